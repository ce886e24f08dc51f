"""Training: maximise an objective over the rows of data, in compiled rounds.

A *round* is a whole number of epochs in one compiled call: steps, and then the held-out rows. Data stay
on the device, batches are drawn there, and Python runs once a round.

Where a run stands is (key, step). The batch at step t is positions tB ... (t+1)B − 1 of an endless
sequence: one random permutation of the training rows after another, permutation e drawn from
`fold_in(key, e)`. Every row is used equally often, every batch has B rows (no smaller last batch, hence
no second compilation), and the batch of any step can be computed from nothing but (key, t).
"""

import time as clock
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.holdout import held_out
from condvae.model import CVAE, Draws
from condvae.objectives import elbo
from condvae.optimisers import Schedule, adamw, cosine
from condvae.progress import Progress
from condvae.rows import num_rows, require_finite, to_device

Objective = Callable[..., Float[Array, ""]]
Callback = Callable[[Mapping[str, float], int], None]

MIN_ROUND = 50
"""Steps in a round at least: on small tables several epochs make one."""

VALIDATION_ROWS = 1024
"""Held-out rows scored at once."""


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to do."""


class History:
    """What happened in training: one entry for each round.

    Attributes:
        records: a list of dictionaries with `step`, `train` (the mean objective over the round's
            batches, nats a row), `validation` (over the held-out rows, where there are any), `skipped`
            (steps left out because of numbers that are not finite), `seconds` since the start.
        best_step: the step whose parameters were kept.
        notes: sentences about the run that its user should know.
    """

    def __init__(self):
        self.records: list[dict[str, float]] = []
        self.best_step: int = 0
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, name: str) -> np.ndarray:
        """One metric over the rounds, as an array."""
        return np.array([record[name] for record in self.records])

    def plot(self, ax: Any = None) -> Any:
        """The learning curves, on a matplotlib Axes: a new one, unless `ax` is given. Returns it."""
        from condvae.plots import plot_history

        return plot_history(self.records, best_step=self.best_step, ax=ax)


class Fit(NamedTuple):
    """A trained model and how it came about: `model, history = fit(...)`."""

    model: CVAE
    history: History


class _State(NamedTuple):
    """All that changes in a run."""

    parameters: PyTree
    optimiser: PyTree
    step: Array
    best_parameters: PyTree
    best_value: Array
    best_step: Array


def fit(
    model: CVAE,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    objective: Objective = elbo,
    num_samples: int = 1,
    num_steps: int = 3000,
    batch_size: int = 128,
    learning_rate: float | Schedule = 1e-3,
    weight_decay: float = 0.0,
    clip: float | None = 5.0,
    optimiser: optax.GradientTransformation | None = None,
    sample_weight: np.ndarray | None = None,
    validation: float | np.ndarray = 0.1,
    groups: np.ndarray | None = None,
    time: np.ndarray | None = None,
    patience: int | None = None,
    kl_warmup: int = 0,
    batch_transform: Callable[[PRNGKeyArray, tuple[PyTree, PyTree]], tuple[PyTree, PyTree]] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Fit:
    """Maximise E[objective] over (θ, φ): by default the expected conditional ELBO.

    Args:
        model: a `CVAE`; its floating-point arrays are trained, in their own precision.
        x: n rows on the leading axis, an array or a pytree; missing cells as `Observed`.
        c: their conditions, or None for a plain VAE.
        key: decides batches, noise and validation rows. The same key gives the same model to the bit on
            the same machine.
        objective: a function of `Draws` to maximise, such as `elbo`, `iwae`, or the user's own.
        num_samples: draws of z for each row in each step.
        num_steps: optimiser steps at most; an epoch is n / batch_size of them.
        batch_size: rows in a step.
        learning_rate: the peak of a cosine decay with a short linear warm-up; or a schedule, a function
            of the step, instead.
        weight_decay: decoupled decay (AdamW) of matrices; biases and scales are left alone.
        clip: largest global norm of a gradient; None for none.
        optimiser: an optax optimiser to use instead: it then decides rate, decay and clipping.
        sample_weight: non-negative weight of each row, shape (n,), in training and validation.
        validation: the fraction of rows held out, or a boolean mask of them; 0 for none.
        groups: the group of each row, shape (n,): whole groups are held out.
        time: the time of each row, shape (n,): the latest rows are held out.
        patience: stop after so many steps without a better value on the held-out rows; None never
            stops early. The best parameters are kept either way.
        kl_warmup: steps over which the weight β of the KL term rises from 0 to 1; needs an objective
            that takes `beta`.
        batch_transform: `f(key, (x, c)) -> (x, c)` on each batch, compiled with the step: to binarise,
            or to hide cells at random. Held-out rows get it too, with the same key in every round.
        callbacks: each is called after a round with a dictionary of metrics and the step.
        progress: whether to show a progress bar.

    Returns:
        `Fit(model, history)`: the model with the best parameters on the held-out rows (the last ones,
        where none are held out).

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
        >>> model = mlp_cvae(x, c, latent_size=1, width=16, depth=1, key=key)
        >>> model, history = fit(model, x, c, key=key, num_steps=200, progress=False)
        >>> bool(history["validation"][-1] > history["validation"][0])
        True
    """
    n = num_rows(x=x, c=c)
    require_finite(x=x, c=c)
    counts = {"num_steps": num_steps, "batch_size": batch_size, "num_samples": num_samples}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    split_key, run_key = jax.random.split(key)
    held = _validation_mask(n, validation, split_key, groups, time)
    weights = _weights(n, sample_weight, held)
    data = _Data(
        rows=to_device((x, c)),
        weights=jnp.asarray(weights, jnp.result_type(float)),
        train=jnp.asarray(np.flatnonzero(~held)),
        validation=jnp.asarray(np.flatnonzero(held)),
    )
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    parameters = jax.tree.map(jnp.asarray, parameters)
    plan = _Plan(
        objective=objective,
        num_samples=num_samples,
        batch_size=batch_size,
        round_steps=_round_steps(len(data.train), batch_size, num_steps),
        optimiser=adamw(clip, weight_decay) if optimiser is None else optimiser,
        schedule=learning_rate if callable(learning_rate) else None,
        own_rate=optimiser is not None,
        warm_up=kl_warmup > 0,
        batch_transform=batch_transform,
    )
    _check(plan, eqx.combine(parameters, static), data, run_key)
    history = History()
    if kl_warmup > 0 and (end := _beta(num_steps - 1, kl_warmup)) != 1:
        _warn(
            history,
            f"kl_warmup={kl_warmup} outlasts num_steps={num_steps}: the run ends with β = {float(end):.3g} "
            "and optimises E_q[log p(x|z,c)] − β KL(q‖p), not the ELBO; train longer or warm up faster",
        )
    state = _State(
        parameters=parameters,
        optimiser=plan.optimiser.init(parameters),
        step=jnp.asarray(0),
        best_parameters=parameters,
        best_value=jnp.asarray(-jnp.inf, jnp.result_type(float)),
        best_step=jnp.asarray(0),
    )
    rates = _Rates(
        peak=jnp.asarray(0.0 if callable(learning_rate) else learning_rate, jnp.result_type(float)),
        num_steps=jnp.asarray(num_steps),
        kl_warmup=jnp.asarray(max(kl_warmup, 1)),
    )
    state = _run(plan, static, state, data, rates, run_key, history, patience, callbacks, progress)
    if kl_warmup > 0 and (end := _beta(history.best_step - 1, kl_warmup)) != 1 and not history.notes:
        _warn(
            history,
            f"the parameters kept are those of step {history.best_step}, where β was {float(end):.3g}: "
            "they optimise E_q[log p(x|z,c)] − β KL(q‖p), not the ELBO; warm up faster",
        )
    return Fit(eqx.combine(state.best_parameters, static), history)


def _run(
    plan: "_Plan",
    static: PyTree,
    state: _State,
    data: "_Data",
    rates: "_Rates",
    key: PRNGKeyArray,
    history: History,
    patience: int | None,
    callbacks: Sequence[Callback],
    progress: bool,
) -> _State:
    """Rounds until the steps, or the patience, run out."""
    started, total, done = clock.perf_counter(), int(rates.num_steps), 0
    with Progress("training", total, enabled=progress) as bar:
        while done < total:
            # By Python's integers: step · batch_size outgrows 32 bits in a long run.
            epoch, offset = map(jnp.asarray, divmod(done * plan.batch_size, len(data.train)))
            state, metrics = _round(plan, static, state, data, rates, epoch, offset, key)
            now = int(state.step)
            record = {"step": now} | {name: float(value) for name, value in metrics.items()}
            record["seconds"] = clock.perf_counter() - started
            if record["skipped"] == now - done:
                raise TrainingError(
                    f"no step between {done} and {now} gave finite numbers: lower the learning rate, or "
                    "look for extreme values in x and c"
                )
            history.records.append(record)
            history.best_step = int(state.best_step)
            bar.advance(now - done, note=_note(record))
            for callback in callbacks:
                callback(record, now)
            done = now
            if patience is not None and len(data.validation) and done - history.best_step >= patience:
                break
    return state


def _note(record: Mapping[str, float]) -> str:
    shown = record.get("validation", record["train"])
    return f"{'validation' if 'validation' in record else 'train'} {shown:.3f} nats a row"


def _warn(history: History, sentence: str) -> None:
    history.notes.append(sentence)
    warnings.warn(sentence, UserWarning, stacklevel=3)


def _validation_mask(
    n: int,
    validation: float | np.ndarray,
    key: PRNGKeyArray,
    groups: np.ndarray | None,
    time: np.ndarray | None,
) -> np.ndarray:
    if np.ndim(validation) == 0:
        return held_out(n, float(validation), key=key, groups=groups, time=time)
    mask = np.asarray(validation)
    if mask.shape != (n,) or mask.dtype != bool:
        raise ValueError(
            f"validation has shape {mask.shape} and type {mask.dtype}, expected a fraction or a boolean "
            f"mask of shape ({n},)"
        )
    if mask.all():
        raise ValueError("validation holds out every row: leave some to train on")
    return mask


def _weights(n: int, sample_weight: np.ndarray | None, held: np.ndarray) -> np.ndarray:
    """Row weights with mean 1 over the training rows, and over the validation rows."""
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected ({n},): one finite, non-negative number "
            "for each row"
        )
    weights = weights.copy()
    for part in (~held, held):
        if part.any():
            if weights[part].sum() == 0:
                raise ValueError("sample_weight is 0 on all training or all validation rows: weigh some")
            weights[part] /= weights[part].mean()
    return weights


def _round_steps(rows: int, batch_size: int, num_steps: int) -> int:
    epoch = -(-rows // batch_size)
    return min(epoch * -(-MIN_ROUND // epoch), num_steps)


class _Plan(NamedTuple):
    """What a compiled round is specialised on: all hashable."""

    objective: Objective
    num_samples: int
    batch_size: int
    round_steps: int
    optimiser: optax.GradientTransformation
    schedule: Schedule | None
    own_rate: bool
    warm_up: bool
    batch_transform: Callable | None


class _Rates(NamedTuple):
    """Numbers that a compiled round takes as arguments, so that another value compiles nothing."""

    peak: Array
    num_steps: Array
    kl_warmup: Array


class _Data(NamedTuple):
    rows: PyTree
    weights: Array
    train: Array
    validation: Array


def _beta(step: Any, kl_warmup: Any) -> Any:
    """The weight of the KL term at a step: 1 from step kl_warmup − 1 on."""
    return jnp.minimum(1.0, (step + 1) / kl_warmup)


def _batch_objective(
    plan: _Plan, model: CVAE, rows: PyTree, index: Array, key: PRNGKeyArray, beta: Array | None
) -> Array:
    """The objective of each of the rows at `index`, transformed if they are to be."""
    row_key, transform_key = jax.random.split(key)
    batch = jax.tree.map(lambda leaf: leaf[index], rows)
    if plan.batch_transform is not None:
        batch = plan.batch_transform(transform_key, batch)

    def one(row: PyTree, key: PRNGKeyArray) -> Array:
        draws: Draws = model.draws(*row, key=key, num_samples=plan.num_samples)
        return plan.objective(draws) if beta is None else plan.objective(draws, beta=beta)

    return jax.vmap(one)(batch, jax.random.split(row_key, len(index)))


def _check(plan: _Plan, model: CVAE, data: _Data, key: PRNGKeyArray) -> None:
    """Trace the objective on a batch, so that what cannot work is said before anything is compiled."""
    index = jnp.zeros(plan.batch_size, int)
    beta = jnp.ones(()) if plan.warm_up else None
    try:
        values = eqx.filter_eval_shape(_batch_objective, plan, model, data.rows, index, key, beta)
    except TypeError as error:
        if plan.warm_up and "beta" in str(error):
            message = "kl_warmup needs an objective that takes beta: use elbo, or kl_warmup=0"
            raise ValueError(message) from error
        raise
    shape = getattr(values, "shape", None)
    if shape != (plan.batch_size,):
        got = values if shape is None else f"an array of shape {shape[1:]}"
        raise ValueError(
            f"the objective returned {got}, expected a scalar for the draws of one row: reduce over draws"
        )


@eqx.filter_jit
def _round(
    plan: _Plan,
    static: PyTree,
    state: _State,
    data: _Data,
    rates: _Rates,
    epoch: Array,
    offset: Array,
    key: PRNGKeyArray,
) -> tuple[_State, dict[str, Array]]:
    """Steps up to the end of the round or of the run, then the held-out rows."""
    order_key, noise_key, validation_key = jax.random.split(key, 3)
    order = _order(plan, data.train, epoch, offset, order_key)
    steps = jnp.minimum(plan.round_steps, rates.num_steps - state.step)

    def loss(parameters: PyTree, index: Array, step: Array) -> Array:
        model, step_key = eqx.combine(parameters, static), jax.random.fold_in(noise_key, step)
        beta = _beta(step, rates.kl_warmup) if plan.warm_up else None
        values = _batch_objective(plan, model, data.rows, index, step_key, beta)
        return -jnp.mean(values * data.weights[index])

    def one_step(i: Array, carry: tuple) -> tuple:
        parameters, optimiser, total, skipped = carry
        step = state.step + i
        index = jax.lax.dynamic_slice_in_dim(order, i * plan.batch_size, plan.batch_size)
        value, gradient = jax.value_and_grad(loss)(parameters, index, step)
        sound = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(gradient))

        def update() -> tuple[PyTree, PyTree]:
            updates, new_optimiser = plan.optimiser.update(gradient, optimiser, parameters)
            if not plan.own_rate:
                rate = cosine(rates.peak, step, rates.num_steps)
                rate = rate if plan.schedule is None else plan.schedule(step)
                updates = jax.tree.map(lambda u: (-rate * u).astype(u.dtype), updates)
            return eqx.apply_updates(parameters, updates), new_optimiser

        parameters, optimiser = jax.lax.cond(sound, update, lambda: (parameters, optimiser))
        return parameters, optimiser, total + jnp.where(sound, -value, 0.0), skipped + ~sound

    zero = jnp.zeros((), data.weights.dtype)
    carry = (state.parameters, state.optimiser, zero, jnp.asarray(0))
    parameters, optimiser, total, skipped = jax.lax.fori_loop(0, steps, one_step, carry)
    step = state.step + steps
    metrics = {"train": total / jnp.maximum(steps - skipped, 1), "skipped": skipped}
    if len(data.validation) == 0:
        return _State(parameters, optimiser, step, parameters, state.best_value, step), metrics
    # The same noise at every round, so that rounds differ by their parameters alone.
    value = _validate(plan, eqx.combine(parameters, static), data, validation_key)
    metrics["validation"] = value
    better = value > state.best_value
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), parameters, state.best_parameters)
    best_value = jnp.where(better, value, state.best_value)
    return _State(
        parameters, optimiser, step, best, best_value, jnp.where(better, step, state.best_step)
    ), metrics


def _order(plan: _Plan, train: Array, epoch: Array, offset: Array, key: PRNGKeyArray) -> Array:
    """The rows of the round's batches, on end: a piece of the endless sequence of permutations."""
    length = plan.round_steps * plan.batch_size
    epochs = epoch + jnp.arange(-(-length // len(train)) + 1)
    permute = jax.vmap(lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), train))
    return jax.lax.dynamic_slice_in_dim(permute(epochs).reshape(-1), offset, length)


def _validate(plan: _Plan, model: CVAE, data: _Data, key: PRNGKeyArray) -> Array:
    """The weighted mean objective over the held-out rows, with β = 1, some rows at a time."""
    n = len(data.validation)
    size = min(n, VALIDATION_ROWS)
    places = jnp.arange(-(-n // size) * size).reshape(-1, size)  # past the end: the last row, of no weight

    def total(place_and_key: tuple[Array, PRNGKeyArray]) -> Array:
        place, key = place_and_key
        index = data.validation[jnp.minimum(place, n - 1)]
        values = _batch_objective(plan, model, data.rows, index, key, None)
        return jnp.sum(jnp.where(place < n, values * data.weights[index], 0.0))

    return jnp.sum(jax.lax.map(total, (places, jax.random.split(key, len(places))))) / n
