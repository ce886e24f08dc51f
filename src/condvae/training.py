"""Training: maximise an objective over the rows of data, in compiled rounds.

What a round is, and how its batches are drawn, is in `condvae.rounds`; here are the arguments and their
checks, the members of a mixture, early stopping, and the history.
"""

import inspect
import time as clock
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray, PyTree

from condvae.holdout import held_out
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.objectives import elbo
from condvae.optimisers import Schedule, adam
from condvae.progress import Progress
from condvae.rounds import (
    SIDE_BY_SIDE,
    Anneal,
    Data,
    Lowering,
    Objective,
    Own,
    Plan,
    Rates,
    State,
    beta_at,
    pad_rows,
    round_steps,
    run_round,
)
from condvae.rows import bucket, num_rows, require_finite, to_device

Callback = Callable[[Mapping[str, Any], int], None]


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to do."""


class History:
    """What happened in training: one entry for each round.

    Attributes:
        records: a list of dictionaries with `step`, `train` (the mean objective over the round's
            batches, nats a row), `validation` (over the held-out rows, where there are any), `skipped`
            (steps left out because of numbers that are not finite), `seconds` since the start. For the
            members of a mixture, `train`, `validation` and `skipped` are lists with one entry for each;
            the first two are NaN after a member has stopped.
        best_step: the step whose parameters were kept; a list of them for a mixture.
        best_value: the objective over the held-out rows there, -inf where none are held out.
        notes: sentences about the run that its user should know.
    """

    def __init__(self):
        self.records: list[dict[str, Any]] = []
        self.best_step: int | list[int] = 0
        self.best_value: float | list[float] = -np.inf
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, name: str) -> np.ndarray:
        """One metric over the rounds: an array of shape (rounds,), or (rounds, K) for a mixture."""
        return np.array([record[name] for record in self.records])

    def plot(self, ax: Any = None) -> Any:
        """The learning curves, on a matplotlib Axes: a new one, unless `ax` is given. Returns it."""
        from condvae.plots import plot_history

        return plot_history(self.records, best_step=self.best_step, ax=ax)


class Fit(NamedTuple):
    """A trained model and how it came about: `model, history = fit(...)`."""

    model: Any
    history: History


def fit(
    model: CVAE | Mixture | Callable[[PRNGKeyArray], CVAE],
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
    averaging: float = 0.0,
    anneal: Anneal | None = None,
    batch_transform: Callable[[PRNGKeyArray, tuple[PyTree, PyTree]], tuple[PyTree, PyTree]] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Fit:
    """Maximise E[objective] over (θ, φ): by default the expected conditional ELBO.

    Args:
        model: a `CVAE`; its floating-point arrays are trained, in their own precision. Or a `Mixture`,
            of which every member is trained; or, with `num_members`, a function that builds a `CVAE`
            from a key.
        x: n rows on the leading axis, an array or a pytree; missing cells as `Observed`.
        c: their conditions, or None for a plain VAE.
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
            one for each member; 0 for none.
        groups: the group of each row, shape (n,): whole groups are held out.
        time: the time of each row, shape (n,): the latest rows are held out.
        patience: stop after so many steps without a better value on the held-out rows; None never
            stops early. The best parameters are kept either way.
        kl_warmup: steps over which the weight β of the KL term rises from 0 to 1; needs an objective
            that takes `beta`.
        averaging: the decay of a moving average of the parameters, such as 0.99: over the last hundred
            steps, that is. It is the average that is judged on the held-out rows, and kept: it is
            better than the parameters of any one step while the learning rate is still large.
        anneal: `f(model, progress) -> model`, the model whose objective is maximised at a part of the
            way, 0 to 1: to ease in what is hard to learn from the start. Held-out rows are judged by the
            model itself.
        batch_transform: `f(key, (x, c)) -> (x, c)` on each batch, compiled with the step: to binarise,
            or to hide cells at random. Held-out rows get it too, with the same key in every round.
        callbacks: each is called after a round with a dictionary of metrics and the step.
        progress: whether to show a progress bar.

    Returns:
        `Fit(model, history)`: the model, or the `Mixture`, with the best parameters on the held-out rows
        (the last ones, where none are held out).

    Raises:
        ValueError: for rows that do not match, NaN or infinities, shapes that do not fit the model, an
            objective that cannot be used with its latent. Before any training.
        TrainingError: if every step of a round gave numbers that are not finite.

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
    n = num_rows(x=x, c=c)
    require_finite(x=x, c=c)
    counts = {"num_steps": num_steps, "batch_size": batch_size, "num_samples": num_samples}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    if not 0 <= averaging < 1:
        raise ValueError(f"averaging is {averaging}, expected at least 0 and below 1")
    if kl_warmup > 0 and not _takes_beta(objective):
        raise ValueError("kl_warmup needs an objective that takes beta: use elbo, or kl_warmup=0")
    stacked, keys, single = _stack(model, num_members, key)
    size = len(keys)
    own = _own_rows(n, keys, validation, groups, time, sample_weight)
    schedule = learning_rate if callable(learning_rate) else None
    own = own._replace(
        peak=_for_each("learning_rate", 0.0 if schedule is not None else learning_rate, size),
        decay=_for_each("weight_decay", weight_decay, size),
    )
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, float)
    rows, weights = pad_rows(((x, c), weights), n)
    data = Data(rows=to_device(rows), weights=jnp.asarray(weights, jnp.result_type(float)))
    parameters, static = eqx.partition(stacked, eqx.is_inexact_array)
    # With its type given, an array is no longer "weakly typed", as what comes out of a round is not: the
    # second round would be compiled anew.
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), parameters)
    plan = Plan(
        objective=objective,
        num_samples=num_samples,
        batch_size=batch_size,
        round_steps=round_steps(max(map(len, own.train)), batch_size, num_steps, size),
        optimiser=adam(clip) if optimiser is None else optimiser,
        schedule=schedule,
        own_rate=optimiser is not None,
        warm_up=kl_warmup > 0,
        anneal=anneal,
        averaged=averaging > 0,
        batch_transform=batch_transform,
        lowering=_lowering(parameters, size),
    )
    history = History()
    if kl_warmup > 0 and (end := beta_at(num_steps - 1, kl_warmup)) != 1:
        _warn(
            history,
            f"kl_warmup={kl_warmup} outlasts num_steps={num_steps}: the run ends with β = {float(end):.3g} "
            "and optimises E_q[log p(x|z,c)] − β KL(q‖p), not the ELBO; train longer or warm up faster",
        )
    state = State(
        parameters=parameters,
        average=parameters,
        optimiser=jax.vmap(plan.optimiser.init)(parameters),
        best_parameters=parameters,
        best_value=jnp.full(size, -jnp.inf, jnp.result_type(float)),
        best_step=jnp.asarray(np.zeros(size, np.int32)),
        active=jnp.ones(size, bool),
    )
    rates = Rates(
        num_steps=jnp.asarray(num_steps),
        kl_warmup=jnp.asarray(max(kl_warmup, 1)),
        averaging=jnp.asarray(averaging, jnp.result_type(float)),
    )
    state = _run(plan, static, state, data, own, rates, history, single, patience, callbacks, progress)
    best_steps, best_values = np.asarray(state.best_step).tolist(), np.asarray(state.best_value).tolist()
    history.best_step = best_steps[0] if single else best_steps
    history.best_value = best_values[0] if single else best_values
    first = min(best_steps)
    if kl_warmup > 0 and (end := beta_at(first - 1, kl_warmup)) != 1 and not history.notes:
        _warn(
            history,
            f"the parameters kept are those of step {first}, where β was {float(end):.3g}: "
            "they optimise E_q[log p(x|z,c)] − β KL(q‖p), not the ELBO; warm up faster",
        )
    trained = Mixture(eqx.combine(state.best_parameters, static))
    return Fit(trained.member(0) if single else trained, history)


def _stack(model: Any, num_members: int | None, key: PRNGKeyArray) -> tuple[CVAE, PRNGKeyArray, bool]:
    """The members, stacked; a key for each to train with; and whether there is but the one model."""
    if isinstance(model, CVAE | Mixture):
        found = model.num_members if isinstance(model, Mixture) else 1
        if num_members not in (None, found):
            raise ValueError(
                f"num_members is {num_members}, but the model given is of {found}: give a function that "
                "builds a model from a key, and as many members are built"
            )
        if isinstance(model, Mixture):
            return model.stacked, jax.random.split(key, found), False
        return Mixture.of([model]).stacked, key[None], True
    if not callable(model):
        raise ValueError(
            f"model is {type(model).__name__}, expected a CVAE, a Mixture, or a function that builds a "
            "CVAE from a key"
        )
    count = 1 if num_members is None else num_members
    if count < 1:
        raise ValueError(f"num_members is {count}, expected at least 1")
    keys = jax.random.split(key, count)
    pairs = [jax.random.split(member) for member in keys]
    built: list[Any] = [model(build) for build, _ in pairs]
    if not isinstance(built[0], CVAE):
        raise ValueError(
            f"the function that builds a model returned {type(built[0]).__name__}, expected a CVAE"
        )
    fit_keys = jnp.stack([train for _, train in pairs])
    return Mixture.of(built).stacked, fit_keys, num_members is None


def _own_rows(
    n: int,
    keys: PRNGKeyArray,
    validation: float | np.ndarray,
    groups: np.ndarray | None,
    time: np.ndarray | None,
    sample_weight: np.ndarray | None,
) -> Own:
    """Which rows each member holds out, and what the weights are divided by."""
    pairs = [jax.random.split(key) for key in keys]
    masks = _validation_masks(n, validation, [split for split, _ in pairs], groups, time)
    weights = _weights(n, sample_weight)
    held = [np.flatnonzero(mask) for mask in masks]
    longest = max(map(len, held))
    padded = np.zeros((len(masks), bucket(longest) if longest else 0), np.int32)
    for row, places in zip(padded, held, strict=True):
        row[: len(places)] = places
    scales = [_mean_weights(weights, mask) for mask in masks]
    return Own(
        train=[np.flatnonzero(~mask) for mask in masks],
        validation=jnp.asarray(padded),
        num_validation=jnp.asarray(np.array([len(places) for places in held], np.int32)),
        weight_scale=jnp.asarray(np.array(scales), jnp.result_type(float)),
        peak=jnp.zeros(0),
        decay=jnp.zeros(0),
        key=jnp.stack([run for _, run in pairs]),
    )


def _lowering(parameters: PyTree, size: int) -> Lowering:
    """Small matrices leave a CPU idle, and share each operation; large ones do not, and go in turn."""
    each = sum(leaf.size for leaf in jax.tree.leaves(parameters)) // size
    return "map" if jax.default_backend() == "cpu" and each > SIDE_BY_SIDE else "vmap"


def _for_each(name: str, value: Any, size: int) -> jax.Array:
    array = np.asarray(value, float)
    if array.shape not in ((), (size,)) or not np.isfinite(array).all() or (array < 0).any():
        one_each = "" if size == 1 else f", or {size} of them, one for each member"
        raise ValueError(f"{name} is {value}, expected a number not below 0{one_each}")
    return jnp.asarray(np.broadcast_to(array, (size,)), jnp.result_type(float))


def _run(
    plan: Plan,
    static: PyTree,
    state: State,
    data: Data,
    own: Own,
    rates: Rates,
    history: History,
    single: bool,
    patience: int | None,
    callbacks: Sequence[Callback],
    progress: bool,
) -> State:
    """Rounds until the steps, or the patience of every member, run out."""
    started, total, done = clock.perf_counter(), int(rates.num_steps), 0
    active = np.ones(len(own.train), bool)
    with Progress("training", total, enabled=progress) as bar:
        while done < total and active.any():
            state, metrics = run_round(plan, static, state, data, own, rates, done)
            now = min(done + plan.round_steps, total)
            numbers = {name: np.asarray(value) for name, value in metrics.items()}
            if (numbers["skipped"] == now - done).any():
                raise TrainingError(
                    f"no step between {done} and {now} gave finite numbers: lower the learning rate, or "
                    "look for extreme values in x and c"
                )
            bar.advance(now - done, note=_note(numbers, active))
            means = {name: np.where(active, numbers[name], np.nan) for name in numbers if name != "skipped"}
            record: dict[str, Any] = {"step": now, "seconds": clock.perf_counter() - started}
            record |= {n: v.item() if single else v.tolist() for n, v in (numbers | means).items()}
            history.records.append(record)
            for callback in callbacks:
                callback(record, now)
            done = now
            if patience is not None and own.validation.shape[1] > 0:
                active &= done - np.asarray(state.best_step) < patience
                state = state._replace(active=jnp.asarray(active))
    return state


def _takes_beta(objective: Objective) -> bool:
    return "beta" in inspect.signature(objective).parameters


def _note(numbers: Mapping[str, np.ndarray], active: np.ndarray) -> str:
    shown = "validation" if "validation" in numbers else "train"
    return f"{shown} {numbers[shown][active].mean():.3f} nats a row"


def _warn(history: History, sentence: str) -> None:
    history.notes.append(sentence)
    warnings.warn(sentence, UserWarning, stacklevel=3)


def _validation_masks(
    n: int,
    validation: float | np.ndarray,
    keys: Sequence[PRNGKeyArray],
    groups: np.ndarray | None,
    time: np.ndarray | None,
) -> np.ndarray:
    """Which rows each member holds out, shape (K, n)."""
    if np.ndim(validation) == 0:
        fraction = float(validation)
        return np.stack([held_out(n, fraction, key=key, groups=groups, time=time) for key in keys])
    mask = np.asarray(validation)
    if mask.shape not in ((n,), (len(keys), n)) or mask.dtype != bool:
        each = "" if len(keys) == 1 else f", or ({len(keys)}, {n}), one for each member"
        raise ValueError(
            f"validation has shape {mask.shape} and type {mask.dtype}, expected a fraction or a boolean "
            f"mask of shape ({n},){each}"
        )
    if mask.all(axis=-1).any():
        raise ValueError("validation holds out every row: leave some to train on")
    if mask.any() and not mask.any(axis=-1).all():
        member = int(np.argmin(mask.any(axis=-1)))
        raise ValueError(
            f"validation holds out no row of member {member}, but some of others: hold out rows of each, "
            "or of none"
        )
    return np.broadcast_to(mask, (len(keys), n))


def _weights(n: int, sample_weight: np.ndarray | None) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected ({n},): one finite, non-negative number "
            "for each row"
        )
    return weights


def _mean_weights(weights: np.ndarray, held: np.ndarray) -> list[float]:
    """The mean weight of the training rows, and of the validation rows."""
    means = [float(weights[part].mean()) if part.any() else 1.0 for part in (~held, held)]
    if min(means) == 0:
        raise ValueError("sample_weight is 0 on all training or all validation rows: weigh some")
    return means
