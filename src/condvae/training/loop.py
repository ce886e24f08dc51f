"""The loop: arguments and their checks, rounds, early stopping, checkpoints, what was mended.

What a round is, and how its batches are drawn, is in `condvae.training.rounds`.
"""

import json
import time as clock
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from condvae.interruptions import catch_signals
from condvae.mixture import Mixture
from condvae.objectives import elbo
from condvae.objectives.declaration import declaration_of
from condvae.progress import Progress
from condvae.runtime import require_runtime
from condvae.sentences import Argument, InputError, Text
from condvae.storage import StorageError
from condvae.training.admission import require_held
from condvae.training.batches import Batches
from condvae.training.checkpoints import (
    RESUME,
    Checkpoints,
    Interrupted,
    Keeper,
    fingerprint,
)
from condvae.training.devices import Devices
from condvae.training.early_stopping import num_parts
from condvae.training.faults import MAX_RESTARTS, require_parameters, require_trained, untrainable
from condvae.training.history import History
from condvae.training.members import Model, count_members, draw_keys, for_each, stack
from condvae.training.optimisers import Schedule, adam
from condvae.training.rounds import (
    PIECE,
    SIDE_BY_SIDE,
    Anneal,
    Lowering,
    Objective,
    Plan,
    Rates,
    Run,
    State,
    first_state,
    run_steps,
)
from condvae.training.sources import from_arrays, from_stream, to_permute
from condvae.training.streams import Stream
from condvae.vectorise import take_rows

CALL_SECONDS = 0.5
"""About how long a call of the compiled round takes: signals, checkpoints and the bar wait for its end."""

Callback = Callable[[Mapping[str, Any], int], None]


class Fit(NamedTuple):
    """A trained model and how it came about: `model, history = fit(...)`."""

    model: Any
    history: History


def fit(
    model: Model,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    objective: Objective = elbo,
    num_samples: int = 1,
    num_members: int | None = None,
    num_steps: int = 3000,
    batch_size: int = 128,
    learning_rate: float | np.ndarray | Schedule = 1e-3,
    weight_decay: float | np.ndarray = 0.0,
    clip: float | None = 5.0,
    optimiser: optax.GradientTransformation | None = None,
    sample_weight: np.ndarray | None = None,
    validation: float | np.ndarray = 0.1,
    groups: np.ndarray | None = None,
    time: np.ndarray | None = None,
    patience: int | None = None,
    kl_warmup: int = 0,
    kl_cycles: int = 1,
    chunk: int | None = None,
    averaging: float = 0.0,
    anneal: Anneal | None = None,
    batch_transform: Callable[[PRNGKeyArray, tuple[PyTree, PyTree]], tuple[PyTree, PyTree]] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | Checkpoints | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
    progress: bool = True,
) -> Fit:
    """Maximise E[objective] over (θ, φ): by default the expected conditional ELBO.

    Args:
        model: a `CVAE`; its floating-point arrays are trained, in their own precision. Or a `Mixture`,
            of which every member is trained; or, with `num_members`, a function that builds a `CVAE`
            from a key.
        x: n rows on the leading axis, an array or a pytree; missing cells as `Observed`. Or a `Stream`
            of rows (x, c) that are too many for memory: read ahead on other threads, used in an order
            drawn from the key.
        c: the conditions, or None for a plain VAE and if x is a stream. (`ConditionalVAE` takes them
            first: see "The order of c and x" in docs/architecture.md.)
        key: decides batches, noise and validation rows. The same key gives the same model to the bit on
            the same machine.
        objective: a function of `Draws` to maximise, such as `elbo`, `iwae`, or the user's own.
        num_samples: draws of z for each row in each step.
        num_members: K models trained at once in one compiled program, each with its own initial
            weights, batches, validation rows and early stopping; they make a `Mixture`.
        num_steps: optimiser steps at most; an epoch is n / batch_size of them.
        batch_size: rows in a step.
        learning_rate: the peak of a cosine decay with a short linear warm-up, or one for each member;
            or a schedule, a function of the step, instead.
        weight_decay: decoupled decay (AdamW) of matrices, or one for each member; biases and scales are
            left alone.
        clip: largest global norm of a gradient; None for none.
        optimiser: an optax optimiser to use instead: it then decides rate, decay and clipping.
        sample_weight: non-negative weight of each row, shape (n,), in training and validation.
        validation: the fraction of rows held out; or a boolean mask of them, shape (n,), or (K, n) for
            one for each member; 0 for none. Of a stream, 8,192 rows at most, the same for all members;
            or rows (x, c) in memory that are none of the stream's.
        groups: the group of each row, shape (n,): whole groups are held out.
        time: the time of each row, shape (n,): the latest rows are held out.
        patience: stop after so many steps without a better value on the held-out rows; None never
            stops early. The best parameters are kept either way.
        kl_warmup: steps over which the weight β of the KL term rises from 0 to 1; needs an objective
            that takes `beta`.
        kl_cycles: how often, at even distances, β begins to rise anew (cyclical annealing, Fu et al. 2019).
        chunk: how many of the `num_samples` draws are scored at once: beyond it memory grows with K by the
            draws alone, and each draw is scored once more on the way back.
        averaging: the decay of a moving average of the parameters, such as 0.99: over the last hundred
            steps, that is. It is the average that is judged on the held-out rows, and kept: it is
            better than the parameters of any one step while the learning rate is still large.
        anneal: `f(model, progress) -> model`, the model whose objective is maximised at a part of the
            way, 0 to 1: to ease in what is hard to learn from the start. Held-out rows are judged by the
            model itself.
        batch_transform: `f(key, (x, c)) -> (x, c)` on each batch, compiled with the step: to binarise
            (`binarise`), or to hide cells at random. Held-out rows get it too, with one key in all rounds.
        callbacks: each is called after a round with a dictionary of metrics and the step.
        checkpoint: a folder in which the run is kept, every minute and when it is interrupted by Ctrl-C,
            SIGTERM or SIGHUP; or `Checkpoints`, which says how often.
        resume: whether to go on from what is in that folder, if there is something. The model is then,
            on the same machine, that of an uninterrupted run to the bit.
        mesh: devices, of one process or of several (`jax.distributed`), over which the rows of each batch
            are divided: the same model, but for the order in which numbers are summed. Every process
            calls `fit` with the same arguments, and gets the model; the first one writes checkpoints. One
            that fails by itself (by a callback, say) has to exit without JAX's farewell, by `os._exit`, for
            the others to notice.
        progress: whether to show a progress bar.

    Returns:
        `Fit(model, history)`: the model, or the `Mixture`, with the best parameters on the held-out rows
        (the last ones, where none are held out).

    Raises:
        ValueError: for rows that do not match, NaN or infinities, shapes that do not fit the model, an
            objective that cannot be used with its latent. Before any training.
        SupportError: an `InputError`, for a value of x that the likelihood cannot hold (of a stream, among
            the rows held out). Before any training.
        TrainingError: if training gives numbers that are not finite over and over. A few bad steps are
            left out; where most are bad, a member goes back to its best parameters with a tenth of the
            rate, three times at most. `history.events` says when. The message names the row, and the
            tensor of the gradient or the largest of the row's numbers.
        StorageError: if checkpoints cannot be written, or resumed from: they are of other data or
            settings, or another run is using them.
        Interrupted: a `KeyboardInterrupt`, by Ctrl-C, SIGTERM or SIGHUP where there is a `checkpoint`.
        Disconnected: if another process of the mesh has ended.

    Example:
        >>> import jax
        >>> from condvae import fit, sample
        >>> from condvae.architectures import mlp_cvae
        >>> key = jax.random.key(0)
        >>> c = jax.random.normal(key, (200, 1))
        >>> x = c + 0.1 * jax.random.normal(jax.random.key(1), (200, 1))
        >>> def build(key):
        ...     return mlp_cvae(x, c, latent_size=1, width=16, depth=1, key=key)
        >>> model, history = fit(build(key), x, c, key=key, num_steps=200, progress=False)
        >>> bool(history["validation"][-1] > history["validation"][0])
        True
        >>> mixture, _ = fit(build, x, c, key=key, num_members=3, num_steps=200, progress=False)
        >>> sample(mixture, c, key=key, num_samples=6).shape
        (200, 6, 1)
    """
    require_runtime()
    counts = {"num_steps": num_steps, "batch_size": batch_size, "num_samples": num_samples}
    counts |= {"kl_cycles": kl_cycles} | ({} if chunk is None else {"chunk": chunk})
    for name, value in counts.items():
        if value < 1:
            raise InputError("{argument} is {value}, expected at least 1", argument=name, value=value)
    devices = Devices(mesh)
    if batch_size % devices.count:
        said, remedy = (
            "{argument} is {size}, which {n} devices cannot share evenly",
            "give a multiple of {n}",
        )
        raise InputError(said, remedy=remedy, argument="batch_size", size=batch_size, n=devices.count)
    if not 0 <= averaging < 1:
        raise ValueError(f"averaging is {averaging}, expected at least 0 and below 1")
    if kl_warmup > 0 and not _takes_beta(objective):
        raise InputError(
            "{argument} needs an objective with the option beta, set to no number but 1",
            remedy="use elbo, declare your objective with {declaration}, or set {none}",
            argument="kl_warmup",
            declaration='condvae.objectives.takes("draws", options=("beta",))',
            none=Argument("kl_warmup", 0),
        )
    if kl_cycles > 1 and not 0 < kl_warmup <= num_steps // kl_cycles:
        raise InputError(
            "{argument} of {num_steps} have {each} steps each, and {kl_warmup} is {steps}",
            remedy="give half of that, say",
            argument=Argument("kl_cycles", kl_cycles),
            num_steps=Argument("num_steps", num_steps),
            each=num_steps // kl_cycles,
            kl_warmup=Argument("kl_warmup"),
            steps=kl_warmup,
        )
    size = count_members(model, num_members)
    single = num_members is None and not isinstance(model, Mixture)
    keys = draw_keys(model, size, key, to_permute(x, validation, groups, time))
    stacked = stack(model, keys)
    along: dict[str, Any] = {"groups": groups, "time": time, "sample_weight": sample_weight}
    chosen: dict[str, Any] = {"validation": validation, "batch_size": batch_size, "num_steps": num_steps}
    chosen["devices"] = devices
    if isinstance(x, Stream):
        batches, per_member = from_stream(x, keys, refused={"c": c} | along, **chosen)
        if count := int(per_member.num_validation[0]):
            (held_x, held_c), _ = batches.held_rows(np.arange(count))
            require_held(stacked, held_x, held_c, batch_transform)
    else:
        batches, per_member = from_arrays(x, c, keys, **along, **chosen)
        require_held(stacked, x, c, batch_transform)
    schedule = learning_rate if callable(learning_rate) else None
    per_member = per_member._replace(
        peak=for_each("learning_rate", 0.0 if callable(learning_rate) else learning_rate, size),
        decay=for_each("weight_decay", weight_decay, size),
    )
    parameters, static = eqx.partition(stacked, eqx.is_inexact_array)
    require_parameters(parameters)
    # With its type given, an array is no longer "weakly typed", as what comes out of a round is not: the
    # second round would be compiled anew.
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), parameters)
    plan = Plan(
        objective=objective,
        num_samples=num_samples,
        chunk=chunk,
        batch_size=batch_size,
        round_steps=batches.round_steps,
        optimiser=adam(clip) if optimiser is None else optimiser,
        schedule=schedule,
        own_rate=optimiser is not None,
        warm_up=kl_warmup > 0,
        anneal=anneal,
        averaged=averaging > 0,
        batch_transform=batch_transform,
        streamed=batches.streamed,
        lowering=_lowering(parameters, size),
        devices=devices,
    )
    kl_cycle = -(-num_steps // kl_cycles)
    rates = Rates(*map(np.array, (num_steps, max(kl_warmup, 1), kl_cycle, float(averaging))))
    state = first_state(plan, parameters, size, num_parts(eqx.combine(parameters, static)))
    state, static, per_member, rates = devices.whole((state, static, per_member, rates))
    run = Run(plan, static, per_member, rates)
    history = History()
    if kl_warmup > num_steps:
        said = (
            "{kl_warmup} outlasts {num_steps}: the run ends with β = {beta:.3g} and optimises "
            "E_q[log p(x|z,c)] − β KL(q‖p), not the ELBO; train longer or warm up faster"
        )
        steps, warm_up = Argument("num_steps", num_steps), Argument("kl_warmup", kl_warmup)
        history.warn(Text(said, kl_warmup=warm_up, num_steps=steps, beta=num_steps / kl_warmup))
    keeper = None
    if checkpoint is not None:
        checkpoints = checkpoint if isinstance(checkpoint, Checkpoints) else Checkpoints(checkpoint)
        identity = _identity(run, batches, state, clip, patience)
        if devices.first:
            keeper = Keeper(checkpoints, identity, resume=resume)
    elif resume:
        said = "{argument} needs {checkpoint}, the folder to resume from"
        raise InputError(said, argument=RESUME, checkpoint=Argument("checkpoint"))
    try:
        kept, shown = checkpoint is not None, progress and devices.first
        loop = _Loop(run, batches, state, history, keeper, kept, single, patience, callbacks, shown)
        state, history = loop.to_the_end()
    finally:
        batches.close()
        if keeper is not None:
            keeper.close()
    best_steps, best_values = np.asarray(state.best_step).tolist(), np.asarray(state.best_value).tolist()
    history.best_step = best_steps[0] if single else best_steps
    history.best_value = best_values[0] if single else best_values
    first = min(best_steps)
    if first < kl_warmup <= num_steps:
        history.warn(
            f"the parameters kept are those of step {first}, where β was "
            f"{first / kl_warmup:.3g}: they optimise E_q[log p(x|z,c)] − β KL(q‖p), not the ELBO; "
            "warm up faster"
        )
    trained = eqx.combine(*devices.local((state.best_parameters, static)))
    return Fit(take_rows(trained, 0) if single else Mixture(trained), history)


def _lowering(parameters: PyTree, size: int) -> Lowering:
    """Small matrices leave a CPU idle, and share each operation; large ones do not, and go in turn."""
    each = sum(leaf.size for leaf in jax.tree.leaves(parameters)) // size
    return "map" if jax.default_backend() == "cpu" and each > SIDE_BY_SIDE else "vmap"


def _identity(
    run: Run, batches: Batches, state: State, clip: float | None, patience: int | None
) -> dict[str, str]:
    """What a run is given, apart from functions' code: what must be the same for it to be resumed."""
    plan, per_member, rates = run.plan, run.per_member, run.rates
    functions = ("objective", "schedule", "anneal", "batch_transform")
    return {
        **{name: fingerprint(tree) for name, tree in batches.identity().items()},
        "model": fingerprint((state.parameters, run.static)),
        "key": fingerprint(per_member.key),
        **{name: _name_of(getattr(plan, name)) for name in functions},
        "learning_rate": fingerprint(per_member.peak),
        "weight_decay": fingerprint(per_member.decay),
        "kl_warmup": str(rates.kl_warmup),
        "kl_cycles": str(-(-rates.num_steps // rates.kl_cycle)),
        "averaging": str(rates.averaging),
        "optimiser": fingerprint(state.optimiser),
        "clip": str(clip),
        "patience": str(patience),
        **{name: str(getattr(plan, name)) for name in ("num_samples", "batch_size", "round_steps")},
        "num_steps": str(rates.num_steps),
    }


def _name_of(function: Any) -> str:
    if isinstance(function, partial):
        return f"{_name_of(function.func)}{function.args}{sorted(function.keywords.items())}"
    return getattr(function, "__qualname__", type(function).__name__)


class _Loop:
    """Rounds until the steps, or the patience of every member, run out."""

    def __init__(
        self,
        run: Run,
        batches: Batches,
        state: State,
        history: History,
        keeper: Keeper | None,
        kept: bool,
        single: bool,
        patience: int | None,
        callbacks: Sequence[Callback],
        progress: bool,
    ):
        self.run, self.batches, self.state, self.history = run, batches, state, history
        self.keeper, self.kept, self.devices = keeper, kept, run.plan.devices
        self.single, self.patience, self.callbacks, self.progress = single, patience, callbacks, progress
        self.done, self.total = 0, int(run.rates.num_steps)

    def to_the_end(self) -> tuple[State, History]:
        """The state after the last step."""
        with self.devices.connected():
            return self._rounds()

    def _rounds(self) -> tuple[State, History]:
        if self.kept:
            self._begin()
        before = self.history.records[-1]["seconds"] if self.history.records else 0.0
        self._started = clock.perf_counter() - before
        first, pace = True, None
        with (
            catch_signals(self.kept) as caught,
            Progress("training", self.total, enabled=self.progress) as bar,
        ):
            bar.advance(self.done)
            while self.done < self.total and np.asarray(self.state.active).any():
                steps = PIECE if pace is None else max(int(CALL_SECONDS / pace) // PIECE, 1) * PIECE
                # By one process's clock, as all must take the same steps.
                steps = int(self.devices.of_first(np.array(steps)))
                last = min(self.done + steps, self._end_of_round(), self.total)
                begun = clock.perf_counter()
                note = self._call(last, first)
                if not first:  # that one was mostly compiling
                    pace = (clock.perf_counter() - begun) / (last - self.done)
                bar.advance(last - self.done, note=note)
                self.done, first = last, False
                self._stop_and_keep(caught.signal)
            if self.keeper is not None:
                self.keeper.save_or_warn(self.state, self.history, self.done)
            self._stop_and_keep(caught.signal)  # one that came while this was written
        self._last_look()
        return self.state, self.history

    def _begin(self) -> None:
        """From the newest checkpoint, if there is one."""
        history = ""
        if self.keeper is not None:
            self.state, restored, self.done = self.keeper.start(
                self.devices.local(self.state), self.history
            )
            history = json.dumps(restored.to_json())
        arrays, rest = eqx.partition(self.devices.local(self.state), eqx.is_array)
        arrays = self.devices.of_first(arrays)
        self.state = self.devices.whole(eqx.combine(arrays, rest))
        self.done = int(self.devices.of_first(np.array(self.done)))
        self.history = History.from_json(json.loads(self.devices.text_of_first(history)))

    def _last_look(self) -> None:
        """No member comes out of it untrained, and no step was left out without a word."""
        require_trained(self.run, self.batches, self.state, self.history)
        left_out = sum(event["count"] for event in self.history.events if event["event"] == "skipped")
        if left_out:
            members = "" if self.single else " in all members"
            self.history.warn(
                f"{left_out:,} steps gave numbers that are not finite and were left out{members}: look for "
                "extreme values in the data, or lower the learning rate"
            )

    def _end_of_round(self) -> int:
        size = self.run.plan.round_steps
        return (self.done // size + 1) * size

    def _call(self, last: int, first: bool) -> str:
        """Steps up to `last`; at the end of a round its record, and which members stop."""
        old, active = self.state, np.asarray(self.state.active)
        self.state, metrics = run_steps(self.run, self.batches, old, self.done, last, in_turn=first)
        numbers = {name: np.asarray(value) for name, value in metrics.items()}
        self._note_faults(old, last, numbers["skipped"])
        if last in (self._end_of_round(), self.total):
            self._record(last, numbers, active)
            if self.patience is not None and self.run.per_member.validation.shape[1] > 0:
                waited = last - np.asarray(self.state.best_step)
                self.state = self.state._replace(
                    active=self.devices.whole(active & (waited < self.patience))
                )
        shown = "validation" if np.isfinite(numbers.get("validation", np.nan)).any() else "train"
        return f"{shown} {numbers[shown][active].mean():.3f} nats per row"

    def _note_faults(self, old: State, last: int, skipped: np.ndarray) -> None:
        """What was left out and who went back, in the history; the error where that does not help."""
        # At the start of a round the count begins anew.
        before = np.asarray(old.skipped)
        for member in np.flatnonzero(skipped > before):
            count = int(skipped[member] - before[member])
            self._event("skipped", last, member, count=count)
        restarts = np.asarray(self.state.restarts)
        for member in np.flatnonzero(restarts > np.asarray(old.restarts)):
            self._event("restart", last, member, count=int(restarts[member]))
            if restarts[member] > MAX_RESTARTS:
                raise untrainable(self.run, self.batches, self.state, int(member), last)

    def _event(self, event: str, step: int, member: Any, **more: Any) -> None:
        of = {} if self.single else {"member": int(member)}
        self.history.events.append({"step": step, "event": event, **of, **more})

    def _record(self, last: int, numbers: dict[str, np.ndarray], active: np.ndarray) -> None:
        means = {name: np.where(active, numbers[name], np.nan) for name in numbers if name != "skipped"}
        record: dict[str, Any] = {"step": last, "seconds": clock.perf_counter() - self._started}
        record |= {n: v.item() if self.single else v.tolist() for n, v in (numbers | means).items()}
        self.history.records.append(record)
        for callback in self.callbacks:
            callback(record, last)

    def _stop_and_keep(self, signal: int | None) -> None:
        if not self.kept:
            return
        signal = self.devices.largest(signal or 0)
        if signal:
            where = f"stopped at step {self.done:,} of {self.total:,}"
            if self.keeper is None:
                raise Interrupted(f"{where}, and kept by the first process", signal)
            try:
                self.keeper.save(self.state, self.history, self.done)
            except StorageError as error:
                raise self.keeper.interrupted(where, signal, error) from error
            raise self.keeper.interrupted(where, signal)
        if self.keeper is not None and self.keeper.due():
            self.keeper.save_or_warn(self.state, self.history, self.done)


def _takes_beta(objective: Objective) -> bool:
    """Whether it has a β that may rise to 1: no other is set."""
    other = isinstance(objective, partial) and objective.keywords.get("beta", 1.0) != 1.0
    return "beta" in declaration_of(objective).options and not other
