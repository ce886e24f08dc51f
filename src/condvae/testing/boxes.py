"""Whether draws are those of a density: how many fall into small boxes, against what the boxes hold.

For values of numbers, of categories, and of both: a cell that takes a value again and again (a category, a
count, the zero of a hurdle) is held to that value; any other to an interval. Of what the density adds up
to in all, `totals.py` knows more.
"""

from collections.abc import Callable

import numpy as np

REPEATS = 5
"""A value drawn so often is one that has a probability, not only a density."""

BOXES, SHARE, POINTS = 24, 0.04, 2048
"""How many boxes, the part of the draws in each, and the points at which the density of each is taken."""

FEWEST = 25
"""Draws in a box below which it tells too little."""

SURE = 5.5
"""Standard errors: of some hundred comparisons one in a hundred thousand is beyond by chance."""

MAX_CELLS = 8
"""Beyond so many a box that is small enough holds no draws."""


class Untested(Exception):
    """The draws are such that nothing can be told from them."""


def compare(
    draws: np.ndarray, log_prob: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> tuple[int, float, str]:
    """How far frequencies are from probabilities.

    Args:
        draws: values, flat: shape (n, cells).
        log_prob: of such values, shape (m, cells), the log-densities (m,).
        rng: for the boxes and the points in them.

    Returns:
        The number of boxes, the largest difference in standard errors, and where it is, in words.

    Raises:
        Untested: if there are too many cells, or no box with enough draws in it.
    """
    n, cells = draws.shape
    if not 0 < cells <= MAX_CELLS:
        raise Untested(f"it has {cells} cells, and boxes are for 1 to {MAX_CELLS}")
    is_atom = np.stack([np.isin(column, atoms(column)) for column in draws.T], axis=1)
    whole = np.array([np.array_equal(column, np.rint(column)) for column in draws.T])
    spread = np.maximum(np.subtract(*np.quantile(draws, [0.9, 0.1], axis=0)), 1e-12)
    made, worst, where = 0, 0.0, ""
    for anchor in rng.permutation(n)[: 4 * BOXES]:
        if made == BOXES:
            break
        centre, fixed = draws[anchor], is_atom[anchor]
        alike = np.ones(n, bool)
        for i in range(cells):
            alike &= draws[:, i] == centre[i] if fixed[i] else ~is_atom[:, i]
        free = np.flatnonzero(~fixed)
        if len(free):
            if whole[free].any():  # counts that spread so far that none comes again: no interval is small
                continue
            # One half of the draws says how large the box is, the other half is counted in it.
            apart = np.abs((draws[:, free] - centre[free]) / spread[free]).max(axis=1)
            sizing, counted = apart[::2][alike[::2]], np.where(alike, apart, np.inf)[1::2]
            if len(sizing) <= FEWEST:
                continue
            wanted = min(max(int(SHARE * n / 2), FEWEST), len(sizing) - 1)
            reach = np.partition(sizing, wanted)[wanted]
            frequency, size, half = np.mean(counted <= reach), len(counted), reach * spread[free]
        else:
            frequency, size, half = alike.mean(), n, np.zeros(0)
        if frequency * size < FEWEST:
            continue
        points = np.repeat(centre[None], POINTS if len(free) else 1, axis=0)
        points[:, free] = centre[free] + rng.uniform(-half, half, (len(points), len(free)))
        density = np.exp(np.asarray(log_prob(points), np.float64)) * np.prod(2 * half)
        expected, error = density.mean(), density.std() / np.sqrt(len(points))
        made += 1
        binomial = np.sqrt(max(frequency, 1 / size) * (1 - min(frequency, 1 - 1 / size)) / size)
        far = abs(frequency - expected) / np.hypot(binomial, error)
        if not far <= worst:
            worst = float(far)
            where = f"near {np.round(centre, 4).tolist()} lie {frequency:.4f} of them, not {expected:.4f}"
    if not made:
        raise Untested("no value comes again, and no box with enough draws is small")
    return made, worst, where


def atoms(column: np.ndarray) -> np.ndarray:
    """The values of a cell that were drawn again and again, in order."""
    values, counts = np.unique(column, return_counts=True)
    return values[counts >= REPEATS]
