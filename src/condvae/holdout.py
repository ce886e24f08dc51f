"""Validation rows: which rows are held out of training.

At random, by whole groups (so that nothing of a group is seen in training), or the latest in time.
"""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray


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
        >>> from condvae.holdout import held_out
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
