"""The round: training steps, and then the held-out rows, in one compiled call.

Data stay on the device, and Python runs once a round: some whole epochs (a part of one, on very large
tables).

Where a run stands is (key, step). The rows of step t are positions tB ... (t+1)B − 1 of an endless
sequence: one random permutation of the training rows after another, drawn block by block from the key.
Every row is used equally often, every batch has B rows (no smaller last batch, hence no second
compilation), and the batch and the noise of any step follow from nothing but (key, t).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.model import CVAE, Draws
from condvae.optimisers import Schedule, cosine

Objective = Callable[..., Float[Array, ""]]
"""A function of `Draws`, to be maximised."""

MIN_ROUND, MAX_ROUND = 100, 4096
"""Steps in a round: on small tables several epochs make one, on very large ones a part of one does."""

ORDER_BLOCK = 4096
"""Rows of which the order is drawn at once, at least."""

VALIDATION_ROWS = 1024
"""Held-out rows scored at once."""


class Plan(NamedTuple):
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


class Rates(NamedTuple):
    """Numbers that a compiled round takes as arguments, so that another value compiles nothing."""

    peak: Array
    num_steps: Array
    kl_warmup: Array


class Data(NamedTuple):
    """All rows, their weights, and which of them are for training and for validation."""

    rows: PyTree
    weights: Array
    train: np.ndarray
    validation: Array


class State(NamedTuple):
    """All that changes in a run."""

    parameters: PyTree
    optimiser: PyTree
    step: Array
    best_parameters: PyTree
    best_value: Array
    best_step: Array


def round_steps(rows: int, batch_size: int, num_steps: int) -> int:
    """How many steps a round has: whole epochs, where that is neither too few nor too many."""
    epoch = -(-rows // batch_size)
    return min(epoch * -(-MIN_ROUND // epoch), MAX_ROUND, num_steps)


def beta_at(step: Any, kl_warmup: Any) -> Any:
    """The weight of the KL term at a step: rising from 1 / kl_warmup, and 1 from step kl_warmup − 1 on."""
    return jnp.minimum(1.0, (step + 1) / kl_warmup)


def run_round(
    plan: Plan, static: PyTree, state: State, data: Data, rates: Rates, key: PRNGKeyArray, done: int
) -> tuple[State, dict[str, Array]]:
    """One round, from step `done`; with metrics `train`, `skipped` and, if rows are held out, `validation`.

    A round that ends in numbers that are not finite is run again from its start, with each step watched and
    the bad ones left out: watching costs time, and is seldom needed.
    """
    order_key, noise_key, validation_key = jax.random.split(key, 3)
    # By Python's integers: step · batch_size outgrows 32 bits in a long run.
    order = draw_order(data.train, order_key, done * plan.batch_size, plan.round_steps * plan.batch_size)
    arguments = (plan, static, state, data._replace(train=order), rates, noise_key, validation_key)
    new, metrics, sound = _round(*arguments, watched=False)
    if not sound:
        new, metrics, _ = _round(*arguments, watched=True)
    return new, metrics


def draw_order(train: np.ndarray, key: PRNGKeyArray, position: int, length: int) -> np.ndarray:
    """A piece of the endless sequence of permutations of the training rows.

    By NumPy, which is a hundred times faster than sorting random numbers on the device; block b, one
    permutation or as many small ones as fill it, is drawn from (key, b).
    """
    words = np.asarray(jax.random.key_data(key)).tolist()
    copies = np.tile(train, (max(1, ORDER_BLOCK // len(train)), 1))
    first, offset = divmod(position, copies.size)
    blocks = range(first, first + -(-(offset + length) // copies.size))
    pieces = [np.random.default_rng([*words, block]).permuted(copies, axis=1) for block in blocks]
    return np.concatenate(pieces, axis=None)[offset : offset + length].astype(np.int32)


def batch_objective(
    plan: Plan, model: CVAE, rows: PyTree, index: Array, keys: PRNGKeyArray, beta: Array | None
) -> Array:
    """The objective of each of the rows at `index`; there is a key for each, and one to transform them."""
    batch = jax.tree.map(lambda leaf: leaf[index], rows)
    if plan.batch_transform is not None:
        batch = plan.batch_transform(keys[-1], batch)

    def one(row: PyTree, key: PRNGKeyArray) -> Array:
        draws: Draws = model.draws(*row, key=key, num_samples=plan.num_samples)
        value = plan.objective(draws) if beta is None else plan.objective(draws, beta=beta)
        if getattr(value, "shape", None) != ():
            got = f"an array of shape {value.shape}" if hasattr(value, "shape") else f"{value!r}"
            raise ValueError(
                f"the objective returned {got}, expected a scalar for the draws of one row: reduce over "
                "draws"
            )
        return value

    return jax.vmap(one)(batch, keys[:-1])


@eqx.filter_jit
def _round(
    plan: Plan,
    static: PyTree,
    state: State,
    data: Data,
    rates: Rates,
    noise_key: PRNGKeyArray,
    validation_key: PRNGKeyArray,
    *,
    watched: bool,
) -> tuple[State, dict[str, Array], Array]:
    """Steps up to the end of the round or of the run, then the held-out rows."""
    order = jnp.asarray(data.train).reshape(plan.round_steps, plan.batch_size)
    steps = jnp.minimum(plan.round_steps, rates.num_steps - state.step)
    # All keys of the round at once: drawing them step by step would be several small kernels in each.
    every_step = state.step + jnp.arange(plan.round_steps)
    step_keys = jax.vmap(lambda step: jax.random.fold_in(noise_key, step))(every_step)
    row_keys = jax.vmap(lambda key: jax.random.split(key, plan.batch_size + 1))(step_keys)

    def loss(parameters: PyTree, i: Array) -> Array:
        beta = beta_at(state.step + i, rates.kl_warmup) if plan.warm_up else None
        model = eqx.combine(parameters, static)
        values = batch_objective(plan, model, data.rows, order[i], row_keys[i], beta)
        return -jnp.mean(values * data.weights[order[i]])

    def update(gradient: PyTree, optimiser: PyTree, parameters: PyTree, i: Array) -> tuple[PyTree, PyTree]:
        updates, optimiser = plan.optimiser.update(gradient, optimiser, parameters)
        if not plan.own_rate:
            step = state.step + i
            rate = (
                cosine(rates.peak, step, rates.num_steps) if plan.schedule is None else plan.schedule(step)
            )
            updates = jax.tree.map(lambda u: (-rate * u).astype(u.dtype), updates)
        return eqx.apply_updates(parameters, updates), optimiser

    def one_step(i: Array, carry: tuple) -> tuple:
        parameters, optimiser, total, skipped = carry
        value, gradient = jax.value_and_grad(loss)(parameters, i)
        if not watched:
            return *update(gradient, optimiser, parameters, i), total - value, skipped
        sound = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(gradient))
        parameters, optimiser = jax.lax.cond(
            sound,
            lambda: update(gradient, optimiser, parameters, i),
            lambda: (parameters, optimiser),
        )
        return parameters, optimiser, total + jnp.where(sound, -value, 0.0), skipped + ~sound

    zero = jnp.zeros((), data.weights.dtype)
    carry = (state.parameters, state.optimiser, zero, jnp.asarray(0))
    parameters, optimiser, total, skipped = jax.lax.fori_loop(0, steps, one_step, carry)
    step = state.step + steps
    metrics = {"train": total / jnp.maximum(steps - skipped, 1), "skipped": skipped}
    sound = jnp.isfinite(total) & jnp.isfinite(optax.tree.norm(parameters))
    if len(data.validation) == 0:
        return State(parameters, optimiser, step, parameters, state.best_value, step), metrics, sound
    # The same noise at every round, so that rounds differ by their parameters alone.
    value = _validate(plan, eqx.combine(parameters, static), data, validation_key)
    metrics["validation"] = value
    better = value > state.best_value
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), parameters, state.best_parameters)
    best_value = jnp.where(better, value, state.best_value)
    best_step = jnp.where(better, step, state.best_step)
    return State(parameters, optimiser, step, best, best_value, best_step), metrics, sound


def _validate(plan: Plan, model: CVAE, data: Data, key: PRNGKeyArray) -> Array:
    """The weighted mean objective over the held-out rows, with β = 1, some rows at a time."""
    n = len(data.validation)
    size = min(n, VALIDATION_ROWS)
    places = jnp.arange(-(-n // size) * size).reshape(-1, size)  # past the end: the last row, of no weight

    def total(place_and_key: tuple[Array, PRNGKeyArray]) -> Array:
        place, key = place_and_key
        index = data.validation[jnp.minimum(place, n - 1)]
        keys = jax.random.split(key, size + 1)
        values = batch_objective(plan, model, data.rows, index, keys, None)
        return jnp.sum(jnp.where(place < n, values * data.weights[index], 0.0))

    return jnp.sum(jax.lax.map(total, (places, jax.random.split(key, len(places))))) / n
