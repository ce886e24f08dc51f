"""Why training gave numbers that are not finite: which row, which of its entries, which tensor."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.sentences import Argument, Text
from condvae.training.batches import Batches
from condvae.training.devices import Devices
from condvae.training.history import Entry, History, TrainingError
from condvae.training.rounds import Plan, Run, State, batch_objective
from condvae.vectorise import num_rows

RATE = Argument("learning_rate")
"""What to lower where numbers are not finite."""

MAX_RESTARTS = 3
"""How often a member goes back to its best parameters before the run is given up."""

ROWS = 4096
"""Rows of which the gradient is looked at, at most."""


def require_parameters(parameters: PyTree) -> None:
    """Refuse a model without parameters, or with a NaN or an infinity among them.

    Raises:
        ValueError: naming the tensor.
    """
    if not jax.tree.leaves(parameters):
        raise ValueError(
            "the model has nothing to train: no floating-point array among the fields of its modules; make "
            "parameters jax.numpy arrays, and modules Equinox modules"
        )
    if (path := _not_finite(parameters)) is not None:
        raise ValueError(
            f"the model's parameters {path} have a NaN or an infinity: build it anew, or repair it, "
            "before training"
        )


def _not_finite(tree: PyTree) -> str | None:
    for path, leaf in _inexact(tree):
        if not np.isfinite(np.asarray(leaf)).all():
            return jax.tree_util.keystr(path)
    return None


def untrainable(run: Run, batches: Batches, state: State, member: int, step: int) -> TrainingError:
    """The error to raise where a member has gone back in vain, with the rows of the steps before `step`."""
    problem = (
        f"training gave numbers that are not finite around step {step:,}, over and over, though the "
        f"learning rate was lowered {MAX_RESTARTS} times"
    )
    return _of_steps(run, batches, state, member, step, problem)


def _of_steps(
    run: Run, batches: Batches, state: State, member: int, step: int, problem: str
) -> TrainingError:
    count = max(min(ROWS // run.plan.batch_size, step), 1)
    taken = batches.rows_of(max(step - count, 0), step, member)
    progress = jnp.asarray(step) / int(run.rates.num_steps)
    return _diagnose(run, state.best_parameters, member, taken, batches.number, problem, progress)


def require_trained(run: Run, batches: Batches, state: State, history: History) -> None:
    """Refuse a member that was never judged, or that never took a step.

    Raises:
        TrainingError: naming the row.
    """
    if run.per_member.validation.shape[1] > 0:
        for member in np.flatnonzero(np.isneginf(np.asarray(state.best_value))):
            raise _unjudgeable(run, batches, state, int(member))
    size = len(run.per_member.key)
    for member in np.flatnonzero(_steps_taken(history, size) == 0):
        last = int(history.records[-1]["step"])
        problem = f"none of {last:,} steps gave numbers that are finite"
        raise _of_steps(run, batches, state, int(member), last, problem)


def _steps_taken(history: History, size: int) -> np.ndarray:
    """How many steps of each member were not left out."""
    steps = np.diff(history["step"], prepend=0)[:, None]
    rounds = len(history)
    # After a member has stopped, its numbers are NaN.
    active = ~np.isnan(history["train"].reshape(rounds, size))
    return ((steps - history["skipped"].reshape(rounds, size)) * active).sum(axis=0)


def _unjudgeable(run: Run, batches: Batches, state: State, member: int) -> TrainingError:
    """The error to raise where the objective of a member's held-out rows was never finite."""
    places = np.asarray(run.per_member.validation[member])[: int(run.per_member.num_validation[member])]
    problem = "the objective of the held-out rows was never finite"
    error = _diagnose(run, state.parameters, member, batches.held_rows(places), batches.number, problem)
    error.held = True
    return error


def _diagnose(
    run: Run,
    parameters: PyTree,
    member: int,
    taken: tuple[PyTree, np.ndarray],
    number: Callable[[np.ndarray], int],
    problem: str,
    progress: Array | None = None,
) -> TrainingError:
    """Each of some rows is put through the objective: what is wrong with the first that is not finite.

    Named are the row, the largest of its numbers, and the first tensor of its gradient that is not finite.
    """
    arrays = run.plan.devices.local((run.static, parameters, run.per_member.key))
    arrays, fixed = eqx.partition(arrays, eqx.is_array)
    arrays = jax.tree.map(lambda leaf: leaf[member], arrays)
    rows, sources = taken
    sources, first = np.unique(sources[:ROWS], return_index=True, axis=0)
    rows = jax.tree.map(lambda leaf: leaf[first], rows)

    def largest(some: np.ndarray) -> Entry:
        return _largest_of(jax.tree.map(lambda leaf: leaf[some], rows), lambda i: number(sources[some[i]]))

    values, bad = map(
        np.asarray, _examine(run.plan._replace(devices=Devices()), rows, arrays, fixed, progress)
    )
    problem = f"member {member}: {problem}" if len(run.per_member.key) > 1 else problem
    suspects = np.flatnonzero(~np.isfinite(values) | bad.any(axis=1))
    if not len(suspects):
        entry = largest(np.arange(len(sources)))
        return TrainingError(
            Text(
                "{problem}; no row alone is at fault: lower {rate}, or look for extreme values, of which "
                "the largest is {value:.3g} in {where}",
                problem=problem,
                rate=RATE,
                value=entry.value,
                where=entry.shown,
            ),
            problem=problem,
            row=entry.place[0],
            entry=entry,
        )
    first, row = suspects[0], number(sources[suspects[0]])
    entry = largest(suspects[:1])
    what = f"the objective is {values[first]:g}"
    if bad[first].any():
        names = [jax.tree_util.keystr(path) for path, _ in _inexact(parameters)]
        what += f" and its gradient in {names[int(np.argmax(bad[first]))]} not finite"
    shown = f"row {row}" if len(suspects) == 1 else f"{len(suspects):,} rows, first in row {row}"
    return TrainingError(
        Text(
            "{problem}; of {rows:,} rows looked at it is so in {shown}: {what}, and the largest of its "
            "numbers is {value:.3g} in {where}; mend or drop the row, or lower {rate}",
            problem=problem,
            rows=len(sources),
            shown=shown,
            what=what,
            value=entry.value,
            where=entry.shown,
            rate=RATE,
        ),
        problem=problem,
        row=row,
        entry=entry,
    )


def _inexact(tree: PyTree) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_inexact_array))[0]


@eqx.filter_jit
def _examine(
    plan: Plan, rows: PyTree, arrays: PyTree, fixed: PyTree, progress: Array | None
) -> tuple[Array, Array]:
    """The objective of each row, and which tensors of its gradient are not finite."""
    static, parameters, key = eqx.combine(arrays, fixed)

    def value(parameters: PyTree, row: PyTree, key: PRNGKeyArray) -> Array:
        beta = jnp.ones(()) if plan.warm_up else None
        keys = jax.random.split(key, 2)
        keys = keys[:1], keys[1]
        model = eqx.combine(parameters, static)
        if plan.anneal is not None and progress is not None:
            model = plan.anneal(model, progress)
        batch = jax.tree.map(lambda leaf: leaf[None], row)
        return batch_objective(plan, model, batch, keys, beta)[0]

    def one(argument: tuple[PyTree, PRNGKeyArray]) -> tuple[Array, Array]:
        loss, gradient = jax.value_and_grad(value)(parameters, *argument)
        return loss, jnp.stack([~jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)])

    return jax.lax.map(one, (rows, jax.random.split(key[0], num_rows(rows=rows))))


def _largest_of(rows: PyTree, number: Callable[[int], int]) -> Entry:
    """The largest number of these rows, of which the i-th is called `number(i)`."""
    entry, row = Entry(("x",), (0,), 0.0, ""), 0
    for path, leaf in _inexact(dict(zip("xc", rows, strict=True))):
        size = np.abs(leaf)
        if size.size and not (largest := np.max(size)) <= entry.value:
            row, *rest = map(int, np.unravel_index(int(np.argmax(size)), size.shape))
            names = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
            inner = f"{names[0]}{jax.tree_util.keystr(path[1:])}"
            entry = Entry(names, tuple(rest), float(largest), inner)
    place = (number(row), *entry.place) if entry.shown else (number(0),)
    return entry._replace(place=place, shown=f"{entry.shown or 'x'}[{', '.join(map(str, place))}]")
