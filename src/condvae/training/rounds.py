"""The round: training steps, and then the held-out rows, in one compiled program, for all members at once.

Data stay on the device, and Python runs once a round, or a few times in a long one.

Where a run stands is (key, step). The rows of step t are positions tB ... (t+1)B − 1 of an endless
sequence (`condvae.training.batches`). Every row is used equally often, every batch has B rows (no
smaller last one, hence no second compilation), and the batch and the noise of any step follow from
nothing but (key, t).

Everything that is a member's own has a leading axis: its parameters, its key, its rows held out.

Numbers that are not finite are found after the fact. Steps among which there were some are taken again in
*pieces* of fixed places, and a piece with such numbers once more, each step watched and the bad ones left
out: watching costs time, and is seldom needed. Where most steps of a piece are bad the member goes back to
its best parameters, with a lower rate. As pieces have fixed places, all this does not depend on how many
steps were asked for at once.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.model import CVAE
from condvae.objectives.declaration import declaration_of
from condvae.objectives.draws import evaluate, evaluate_batch
from condvae.training.batches import Batches, Data
from condvae.training.devices import Devices
from condvae.training.early_stopping import NOTABLE, kept, num_parts, terms
from condvae.training.optimisers import Schedule, cosine, descend
from condvae.vectorise import compiled, concat_rows, index_rows, take_rows

Objective = Callable[..., Float[Array, ""]]
"""A function of `Draws`, to be maximised."""

Anneal = Callable[[CVAE, Array], CVAE]
"""The model to train at a part of the way: from a model and the progress, 0 to 1."""

Lowering = Literal["vmap", "map"]
"""Members side by side in each operation (on a CPU, a group of them on each core), or in turn."""

VALIDATION_ROWS = 1024
"""Held-out rows scored at once."""

PIECE = 32
"""Steps that are watched together, once there were numbers that are not finite."""

CAUTION = 0.1
"""By what the rate of a member is multiplied that had to go back."""

SIDE_BY_SIDE = 2**17
"""Parameters up to which members are trained side by side on a CPU; larger matrices fill it alone."""


class Plan(NamedTuple):
    """What a compiled round is specialised on: all hashable."""

    objective: Objective
    num_samples: int
    chunk: int | None
    batch_size: int
    round_steps: int
    optimiser: optax.GradientTransformation
    schedule: Schedule | None
    own_rate: bool
    warm_up: bool
    anneal: Anneal | None
    averaged: bool
    batch_transform: Callable | None
    streamed: bool
    lowering: Lowering
    devices: Devices


class Rates(NamedTuple):
    """Numbers that a compiled round takes as arguments, so that another value compiles nothing."""

    num_steps: Any
    kl_warmup: Any
    kl_cycle: Any
    averaging: Any


class PerMember(NamedTuple):
    """What is a member's own and does not change: which rows it trains on, and how fast.

    Attributes:
        order: in a round, where the rows of its batches are, (steps, batch); else None.
        validation: the places of its held-out rows, padded.
        num_validation: how many there are.
        weight_scale: by what the weights of training and of held-out rows are divided, so that their
            mean is 1.
        peak: of its learning rate.
        decay: of its weights.
        key: two, of its noise in steps and on held-out rows.
    """

    order: Any
    validation: Any
    num_validation: Any
    weight_scale: Any
    peak: Any
    decay: Any
    key: PRNGKeyArray


class State(NamedTuple):
    """All of a member that changes in a run; of one that is not active any more, nothing does.

    Attributes:
        parameters: of the last step.
        average: the moving average of them.
        optimiser: its state.
        best_parameters: those kept so far.
        best_value: the objective over the held-out rows there.
        best_parts: of which parts it is made: of targets that are decoded in turn without a latent, each
            cell's, then the whole; else the whole alone.
        best_step: when the value last rose, by `NOTABLE` where it has parts.
        active: whether the member is still trained.
        total: the sum of the objective over the steps of this round.
        skipped: how many of them were left out.
        restarts: how often the member went back to its best parameters.
    """

    parameters: PyTree
    average: PyTree
    optimiser: PyTree
    best_parameters: PyTree
    best_value: Any
    best_parts: Any
    best_step: Any
    active: Any
    total: Any
    skipped: Any
    restarts: Any


class Run(NamedTuple):
    """All of a run that does not change: plan, parts that are not trained, what is a member's own, numbers.

    In a round, also its rows.
    """

    plan: Plan
    static: PyTree
    per_member: PerMember
    rates: Rates
    data: Data | None = None


def first_state(plan: Plan, parameters: PyTree, size: int, parts: int = 1) -> State:
    """Before the first step, for `size` members; the optimiser's state is made in that step."""
    real = jnp.result_type(float)
    init = jax.vmap(plan.optimiser.init)
    shapes = jax.eval_shape(init, parameters)
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.extended) for leaf in jax.tree.leaves(shapes)):
        optimiser = init(parameters)  # it has keys, of which there are no blank ones
    else:
        optimiser = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    return State(
        parameters=parameters,
        average=parameters,
        optimiser=optimiser,
        best_parameters=parameters,
        best_value=np.full(size, -np.inf, real),
        best_parts=np.full((size, parts), -np.inf, real),
        best_step=np.zeros(size, np.int32),
        active=np.ones(size, bool),
        total=np.zeros(size, real),
        skipped=np.zeros(size, np.int32),
        restarts=np.zeros(size, np.int32),
    )


def beta_at(step: int | Array, kl_warmup: int | Array, kl_cycle: int | Array) -> Float[Array, ""]:
    """The weight of the KL term at a step: in the first kl_warmup of every kl_cycle steps it rises to 1."""
    return jnp.minimum(1.0, (step % kl_cycle + 1) / kl_warmup)


def run_steps(
    run: Run, batches: Batches, state: State, first: int, last: int, *, in_turn: bool
) -> tuple[State, PyTree]:
    """Steps `first` to `last` − 1, which lie in one round; at its end the held-out rows are scored.

    Args:
        run: what does not change.
        batches: where rows come from.
        state: before step `first`.
        first: a multiple of `PIECE` from the start of its round.
        last: likewise, or the end of the round or of the run.
        in_turn: whether groups of members follow each other: the first time, so that what they share is
            compiled once.

    Returns:
        The new state; and metrics with a number for every member: `train`, `skipped` and, if rows are
        held out, `validation`. They are complete at the end of a round.
    """
    plan = run.plan
    start = first - first % plan.round_steps
    data, order = batches.round(start)
    drawn = run._replace(per_member=run.per_member._replace(order=order), data=data)
    count = _groups(plan, len(order))
    if count == 1:
        return _sound_steps(drawn, state, start, first, last)

    def steps(group: tuple) -> tuple[State, PyTree]:
        static, state, per_member = group
        return _sound_steps(drawn._replace(static=static, per_member=per_member), state, start, first, last)

    groups = _split((run.static, state, drawn.per_member), count)
    if in_turn:
        return concat_rows([steps(group) for group in groups])
    with ThreadPoolExecutor(count) as pool:
        return concat_rows(list(pool.map(steps, groups)))


def _sound_steps(run: Run, state: State, start: int, first: int, last: int) -> tuple[State, PyTree]:
    """The steps, in pieces where some gave numbers that are not finite."""

    def call(state: State, first: int, last: int, watched: bool) -> tuple[State, PyTree, Array]:
        places = run.plan.devices.whole([np.array(place) for place in (start, first, last)])
        return jax.block_until_ready(_round(run, state, *places, watched=watched))

    new, metrics, sound = call(state, first, last, watched=False)
    if np.asarray(sound).all():
        return new, metrics
    for begin in range(first, last, PIECE):
        end = min(begin + PIECE, last)
        new, metrics, sound = call(state, begin, end, watched=False)
        if not np.asarray(sound).all():
            # Before the held-out rows are scored, as the member may have to go back.
            new, metrics, sound = call(state, begin, end, watched=True)
        state = new
    return state, metrics


def _groups(plan: Plan, size: int) -> int:
    """Into how many groups members are split, each with a thread of its own, all of one size.

    Small matrices keep one core of a CPU busy, however many members share an operation.
    """
    if plan.lowering != "vmap" or jax.default_backend() != "cpu" or plan.devices.mesh is not None:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(count for count in range(1, min(cores, size) + 1) if size % count == 0)


def _split(tree: PyTree, count: int) -> list[PyTree]:
    size = jax.tree.leaves(eqx.filter(tree, eqx.is_array))[0].shape[0] // count
    return [take_rows(tree, slice(i * size, (i + 1) * size)) for i in range(count)]


def batch_objective(
    plan: Plan, model: CVAE, batch: PyTree, keys: tuple[PRNGKeyArray, PRNGKeyArray], beta: Array | None
) -> Array:
    """The objective of each row of a batch; there is a key for each, and one to transform them."""
    row_keys, key = keys
    if plan.batch_transform is not None:
        batch = plan.batch_transform(key, batch)

    batch, row_keys = plan.devices.divide((batch, row_keys))

    options: dict[str, Any] = {"num_samples": plan.num_samples, "chunk": plan.chunk}
    if beta is not None:
        options["beta"] = beta
    if declaration_of(plan.objective).of_batches:
        return evaluate_batch(plan.objective, model, batch, row_keys, **options)

    def one(row: PyTree, key: PRNGKeyArray) -> Array:
        value = evaluate(plan.objective, model, *row, key=key, **options)
        if getattr(value, "shape", None) != ():
            got = f"an array of shape {value.shape}" if hasattr(value, "shape") else f"{value!r}"
            raise ValueError(
                f"the objective returned {got}, expected a scalar for the draws of one row: reduce over "
                "draws"
            )
        return value

    return jax.vmap(one)(batch, row_keys)


def _apart(key: PRNGKeyArray, rows: int) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """A key for each row, and one to transform them all."""
    keys = jax.random.split(key, rows + 1)
    return keys[:-1], keys[-1]


def _take_columns(tree: PyTree, index: Array) -> PyTree:
    """Of each column of a block its own row."""
    return jax.tree.map(lambda leaf: jax.vmap(lambda rows, i: rows[i], (1, 0))(leaf, index), tree)


@compiled(8)
def _round(
    run: Run, state: State, start: Array, first: Array, last: Array, *, watched: bool
) -> tuple[State, dict[str, Array], Array]:
    """Steps of the round from `start`, and at its end the held-out rows, for every member."""
    arrays, fixed = eqx.partition((run.static, state, run.per_member), eqx.is_array)
    gather = run.plan.devices.gather

    def member(arrays: PyTree) -> tuple[State, dict[str, Array], Array]:
        static, state, per_member = eqx.combine(arrays, fixed)
        return _member_round(
            run._replace(static=static, per_member=per_member), state, start, first, last, watched
        )

    if state.active.shape == (1,):
        result = member(jax.tree.map(lambda leaf: leaf[0], arrays))
        return gather(jax.tree.map(lambda leaf: leaf[None], result))
    if run.plan.lowering == "vmap":
        return gather(jax.vmap(member)(arrays))
    return gather(jax.lax.map(lambda arrays: _if_active(member, arrays, arrays[1]), arrays))


def _if_active(member: Callable, arrays: PyTree, state: State) -> Any:
    """One after the other, a member that has stopped costs nothing."""

    def rest() -> Any:
        _, *others = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(member, arrays))
        metrics, sound = others
        return state, metrics, jnp.ones_like(sound)

    return jax.lax.cond(state.active, lambda: member(arrays), rest)


def _member_round(
    run: Run, state: State, start: Array, first: Array, last: Array, watched: bool
) -> tuple[State, dict[str, Array], Array]:
    plan, per_member, rates, data = run.plan, run.per_member, run.rates, run.data
    assert data is not None
    noise_key, validation_key = per_member.key
    order, take = jnp.asarray(per_member.order), _take_columns if plan.streamed else index_rows
    # All keys of the round at once: drawing them step by step would be several small kernels in each.
    every_step = start + jnp.arange(plan.round_steps)
    step_keys = jax.vmap(lambda step: jax.random.fold_in(noise_key, step))(every_step)
    row_keys, transform_keys = jax.vmap(lambda key: _apart(key, plan.batch_size))(step_keys)

    def loss(parameters: PyTree, i: Array) -> Array:
        step = start + i
        beta = beta_at(step, rates.kl_warmup, rates.kl_cycle) if plan.warm_up else None
        model = eqx.combine(parameters, run.static)
        if plan.anneal is not None:
            model = plan.anneal(model, step / rates.num_steps)
        batch, weights = take(data.train, plan.devices.divide(order[i]))
        values = batch_objective(plan, model, batch, (row_keys[i], transform_keys[i]), beta)
        return -jnp.mean(values * weights) / per_member.weight_scale[0]

    def update(gradient: PyTree, optimiser: PyTree, parameters: PyTree, step: Array) -> tuple:
        updates, optimiser = plan.optimiser.update(gradient, optimiser, parameters)
        caution = CAUTION**state.restarts
        if plan.own_rate:
            updates = jax.tree.map(lambda u: (caution * u).astype(u.dtype), updates)
        else:
            rate = (
                cosine(per_member.peak, step, rates.num_steps)
                if plan.schedule is None
                else plan.schedule(step)
            )
            updates = descend(updates, parameters, caution * rate, per_member.decay)
        return eqx.apply_updates(parameters, updates), optimiser

    def averaged(average: PyTree, parameters: PyTree, step: Array) -> PyTree:
        if not plan.averaged:
            return average
        # Early on, over a part of the steps there were: the initial weights do not linger.
        share = jnp.maximum(1.0 - rates.averaging, 9.0 / (10.0 + step))
        return jax.tree.map(lambda a, p: a + (share * (p - a)).astype(a.dtype), average, parameters)

    def one_step(i: Array, carry: tuple) -> tuple:
        parameters, average, optimiser, total, skipped = carry
        step = start + i
        value, gradient = jax.value_and_grad(loss)(parameters, i)
        new, new_optimiser = update(gradient, optimiser, parameters, step)
        if watched:
            norms = [optax.tree.norm(gradient), optax.tree.norm(new)]
            finite = jnp.isfinite(jnp.stack([value, *norms])).all()
            new, new_optimiser = _where(finite, (new, new_optimiser), (parameters, optimiser))
            value = jnp.where(finite, value, 0.0)
            skipped += ~finite
        return new, averaged(average, new, step), new_optimiser, total - value, skipped

    # Without averaging nothing of it is carried through the steps.
    average = state.average if plan.averaged else jnp.zeros(())
    begins = (start == 0) & (first == 0)
    optimiser = _where(begins, plan.optimiser.init(state.parameters), state.optimiser)
    carry = (state.parameters, average, optimiser, state.total, state.skipped)
    parameters, average, optimiser, total, skipped = jax.lax.fori_loop(
        first - start, last - start, one_step, carry
    )
    average = average if plan.averaged else parameters
    # What is not finite stays so: to look at the end is enough.
    sound = jnp.isfinite(total) & jnp.isfinite(optax.tree.norm(parameters))
    restarts = state.restarts
    if watched:
        back = 2 * (skipped - state.skipped) > last - first
        fresh = (state.best_parameters, state.best_parameters, plan.optimiser.init(state.best_parameters))
        parameters, average, optimiser = _where(back, fresh, (parameters, average, optimiser))
        restarts += back
    end = jnp.minimum(start + plan.round_steps, rates.num_steps)
    # Side by side a stopped member is computed all the same, and what comes of that is nobody's concern.
    metrics = {
        "train": total / jnp.maximum(last - start - skipped, 1),
        "skipped": jnp.where(state.active, skipped, 0),
    }
    better = jnp.broadcast_to(state.active & (last == end), state.best_parts.shape)
    parts = state.best_parts
    if per_member.validation.shape[0] > 0:
        # The same noise at every round, so that rounds differ by their parameters alone.
        model = eqx.combine(average, run.static)
        parts = jax.lax.cond(
            last == end,
            lambda: _validate(plan, model, data.held, per_member, validation_key).astype(parts.dtype),
            lambda: jnp.full(parts.shape, jnp.nan, parts.dtype),
        )
        metrics["validation"] = parts[-1]
        better &= parts > state.best_parts
    new = State(
        parameters=parameters,
        average=average,
        optimiser=optimiser,
        best_parameters=state.best_parameters,
        best_value=state.best_value,
        best_parts=state.best_parts,
        best_step=state.best_step,
        active=state.active,
        total=jnp.where(last == end, jnp.zeros_like(total), total),
        skipped=jnp.where(last == end, jnp.zeros_like(skipped), skipped),
        restarts=restarts,
    )
    new = _where(state.active, new, state)
    best_parts = jnp.where(better, parts, state.best_parts)
    value, notable = best_parts[0], better[0]
    if best_parts.size > 1 and per_member.validation.shape[0] > 0:
        value = jnp.sum(best_parts[:-1])
        notable = value > state.best_value + NOTABLE
    new = new._replace(
        best_parameters=kept(better, average, state.best_parameters, run.static),
        best_value=jnp.where(better.any(), value, state.best_value),
        best_parts=best_parts,
        best_step=jnp.where(notable, last.astype(state.best_step.dtype), state.best_step),
    )
    return new, metrics, sound | ~state.active


def _where(condition: Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _validate(plan: Plan, model: CVAE, held: tuple, per_member: PerMember, key: PRNGKeyArray) -> Array:
    """The weighted mean objective over the held-out rows, with β = 1, some rows at a time: [parts]."""
    padded = per_member.validation.shape[0]
    size = min(padded, VALIDATION_ROWS)
    places = jnp.arange(-(-padded // size) * size).reshape(-1, size)  # past the end: of no weight

    def total(place_and_key: tuple[Array, PRNGKeyArray]) -> Array:
        place, key = place_and_key
        index = per_member.validation[jnp.minimum(place, per_member.num_validation - 1)]
        keys = _apart(key, size)
        rows, weights = index_rows(held, index)
        there = place < per_member.num_validation
        if num_parts(model) == 1:
            values = batch_objective(plan, model, rows, keys, None)[:, None]
        else:
            rows = rows if plan.batch_transform is None else plan.batch_transform(keys[1], rows)
            values = terms(model, *plan.devices.divide(rows))
        return jnp.sum(jnp.where(there[:, None], values * weights[:, None], 0.0), axis=0)

    totals = jax.lax.map(total, (places, jax.random.split(key, len(places))))
    return jnp.sum(totals, axis=0) / per_member.num_validation / per_member.weight_scale[1]
