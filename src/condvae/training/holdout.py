"""Validation rows: which rows are held out of training.

At random, by whole groups (so that nothing of a group is seen in training), or the latest in time.
"""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.observed import Observed
from condvae.vectorise import content_hashes

FEW_VALUES = 10
"""Different values of a column below which repeated rows say nothing of being copies."""

SPARSE = 10.0
"""How many times the smallest gap between values of a column the median gap is, where values that are
equal are so by copying, and not because they were recorded on a grid."""


def held_out(
    n: int,
    fraction: float,
    *,
    key: PRNGKeyArray | None = None,
    permutation: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    time: np.ndarray | None = None,
) -> np.ndarray:
    """A boolean mask of the rows held out.

    Args:
        n: how many rows there are.
        fraction: of the rows (of the groups, if given); 0 holds out none.
        key: decides which; not used with `time`.
        permutation: a random one of the rows (of the groups) instead, if there is one.
        groups: the group of each row, shape (n,): groups are held out whole.
        time: when each row was, shape (n,), sortable: the latest rows are held out.

    Raises:
        ValueError: if the fraction is outside [0, 1), both or wrongly sized `groups` and `time` are
            given, or nothing would be left on one side.

    Example:
        >>> import jax, numpy as np
        >>> from condvae.training.holdout import held_out
        >>> int(held_out(100, 0.1, key=jax.random.key(0)).sum())
        10
        >>> held_out(4, 0.25, key=jax.random.key(0), time=np.array([3, 9, 1, 2])).tolist()
        [False, True, False, False]
    """
    require_fraction(fraction)
    if groups is not None and time is not None:
        raise ValueError("rows are held out by groups or by time: give one of the two")
    for name, values in (("groups", groups), ("time", time)):
        if values is not None and np.shape(values) != (n,):
            raise ValueError(f"{name} has shape {np.shape(values)}, expected ({n},), one for each row")
    if fraction == 0:
        return np.zeros(n, bool)
    if time is not None:
        count = _count(n, fraction, "rows")
        mask = np.zeros(n, bool)
        mask[np.argsort(time, kind="stable")[n - count :]] = True
        return mask
    members = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    size = int(members.max()) + 1
    count = _count(size, fraction, "rows" if groups is None else "groups")
    chosen = np.zeros(size, bool)
    chosen[np.asarray(_permutation(key, size) if permutation is None else permutation)[:count]] = True
    return chosen[members]


def copies(rows: PyTree) -> np.ndarray | None:
    """Which rows are copies of each other, as a number for each row, shape (n,); None where none are.

    Rows that are equal may be equal by chance, as where all columns have few values: those are different
    rows, and to hold out all of them would hide from training what there is. They are copies where a
    number in them is in no other row, in a column that has values of all kinds: at least `FEW_VALUES`, and
    not on a grid that most of them fill.

    Args:
        rows: arrays with a row for each, columns of numbers among them.

    Example:
        >>> import numpy as np
        >>> from condvae.training.holdout import copies
        >>> number = np.random.default_rng(0).normal(size=(20, 2))
        >>> copies(np.repeat(number, 2, axis=0))[:6].tolist()
        [0, 0, 1, 1, 2, 2]
        >>> copies(np.repeat(np.round(number), 2, axis=0)) is None, copies(number) is None
        (True, True)
    """
    content, counts = np.unique(content_hashes(rows), return_inverse=True, return_counts=True)[1:]
    repeats = counts[content]
    if repeats.max(initial=1) == 1:
        return None
    copied = recognisable(rows, repeats) & (repeats > 1)
    if not copied.any():
        return None
    labels = np.where(copied, content, len(counts) + np.arange(len(content)))
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]


def recognisable(rows: PyTree, repeats: np.ndarray | None = None) -> np.ndarray:
    """Which rows hold a number that no other row holds: a row that equals one of them is its copy.

    Args:
        rows: arrays with a row for each, columns of numbers among them.
        repeats: how many rows are equal to each, itself included, shape (n,); `None`: counted here.

    Example:
        >>> from condvae.training.holdout import recognisable
        >>> number = np.random.default_rng(0).normal(size=(20, 2))
        >>> bool(recognisable(number).all()), bool(recognisable(np.round(number)).any())
        (True, False)
    """
    if repeats is None:
        content, counts = np.unique(content_hashes(rows), return_inverse=True, return_counts=True)[1:]
        repeats = counts[content]
    result = np.zeros(len(repeats), bool)
    width = sum(int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves(rows, is_leaf=_is_block))
    if width < 2:  # where there is one column, equal values say nothing
        return result
    for values, observed in _numbers(rows):
        different, place, occurrences = np.unique(values[observed], return_inverse=True, return_counts=True)
        gaps = np.diff(different)
        if len(different) >= FEW_VALUES and np.median(gaps) > SPARSE * gaps.min():
            result[observed] |= occurrences[place] == repeats[observed]
    return result


def _is_block(leaf: Any) -> bool:
    return isinstance(leaf, Observed)


def _numbers(rows: PyTree) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The values of each column of numbers, and which of them are observed."""
    for block in jax.tree.leaves(rows, is_leaf=_is_block):
        values, mask = (np.asarray(part) for part in (block if _is_block(block) else (block, True)))
        if not np.issubdtype(values.dtype, np.floating):
            continue
        flat, shown = (array.reshape(len(values), -1) for array in (values, mask & np.isfinite(values)))
        yield from zip(flat.T, shown.T, strict=True)


def require_fraction(fraction: float) -> None:
    """Refuse what is no fraction to hold out."""
    if not 0 <= fraction < 1:
        raise ValueError(f"the validation fraction is {fraction}, expected 0 <= fraction < 1")


_permutation = jax.jit(jax.random.permutation, static_argnums=1)


def _count(n: int, fraction: float, what: str) -> int:
    count = max(1, round(n * fraction))
    if count >= n:
        raise ValueError(
            f"holding out {fraction:g} of {n} {what} leaves none to train on: give more {what}, or "
            "hold out none"
        )
    return count
