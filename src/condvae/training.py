"""Training: maximise an objective over the rows of data, in compiled rounds.

A *round* is a whole number of epochs in one compiled call: steps, and then the held-out rows. Data stay
on the device, batches are drawn there, and Python runs once a round.

Where a run stands is (key, step). The batch at step t is positions tB ... (t+1)B − 1 of an endless
sequence: one random permutation of the training rows after another, permutation e drawn from
`fold_in(key, e)`. Every row is used equally often, every batch has B rows (no smaller last batch, hence
no second compilation), and the batch of any step can be computed from nothing but (key, t).
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
from condvae.model import CVAE
from condvae.objectives import elbo
from condvae.optimisers import Schedule, adamw
from condvae.progress import Progress
from condvae.rounds import Data, Objective, Plan, Rates, State, beta_at, round_steps, run_round
from condvae.rows import num_rows, require_finite, to_device

Callback = Callable[[Mapping[str, float], int], None]


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
    if kl_warmup > 0 and not _takes_beta(objective):
        raise ValueError("kl_warmup needs an objective that takes beta: use elbo, or kl_warmup=0")
    split_key, run_key = jax.random.split(key)
    held = _validation_mask(n, validation, split_key, groups, time)
    weights = _weights(n, sample_weight, held)
    data = Data(
        rows=to_device((x, c)),
        weights=jnp.asarray(weights, jnp.result_type(float)),
        train=np.flatnonzero(~held),
        validation=jnp.asarray(np.flatnonzero(held)),
    )
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    parameters = jax.tree.map(jnp.asarray, parameters)
    plan = Plan(
        objective=objective,
        num_samples=num_samples,
        batch_size=batch_size,
        round_steps=round_steps(len(data.train), batch_size, num_steps),
        optimiser=adamw(clip, weight_decay) if optimiser is None else optimiser,
        schedule=learning_rate if callable(learning_rate) else None,
        own_rate=optimiser is not None,
        warm_up=kl_warmup > 0,
        batch_transform=batch_transform,
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
        optimiser=plan.optimiser.init(parameters),
        step=jnp.asarray(0),
        best_parameters=parameters,
        best_value=jnp.asarray(-jnp.inf, jnp.result_type(float)),
        best_step=jnp.asarray(0),
    )
    rates = Rates(
        peak=jnp.asarray(0.0 if callable(learning_rate) else learning_rate, jnp.result_type(float)),
        num_steps=jnp.asarray(num_steps),
        kl_warmup=jnp.asarray(max(kl_warmup, 1)),
    )
    state = _run(plan, static, state, data, rates, run_key, history, patience, callbacks, progress)
    if kl_warmup > 0 and (end := beta_at(history.best_step - 1, kl_warmup)) != 1 and not history.notes:
        _warn(
            history,
            f"the parameters kept are those of step {history.best_step}, where β was {float(end):.3g}: "
            "they optimise E_q[log p(x|z,c)] − β KL(q‖p), not the ELBO; warm up faster",
        )
    return Fit(eqx.combine(state.best_parameters, static), history)


def _run(
    plan: Plan,
    static: PyTree,
    state: State,
    data: Data,
    rates: Rates,
    key: PRNGKeyArray,
    history: History,
    patience: int | None,
    callbacks: Sequence[Callback],
    progress: bool,
) -> State:
    """Rounds until the steps, or the patience, run out."""
    started, total, done = clock.perf_counter(), int(rates.num_steps), 0
    with Progress("training", total, enabled=progress) as bar:
        while done < total:
            state, metrics = run_round(plan, static, state, data, rates, key, done)
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


def _takes_beta(objective: Objective) -> bool:
    return "beta" in inspect.signature(objective).parameters


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
