"""Intervals and sets of levels that cover as often as is asked: adjusted by rows not trained on.

How far out an observed value lies is told by the distribution function, with the same noise at fitting and
when asked: values that are as far out as each other are so both times, exactly. That matters for what has a
probability of its own: a count, a level, an end at which values are cut off.
"""

from typing import Any

import jax
import numpy as np

from condvae import tables
from condvae.calibration import conformal_level, conformal_score, level_set, mass_above
from condvae.table_models.model import TableModel

SAMPLES = 500
"""Of z for each row."""

MOVES, COARSE = 8, 0.1
"""Steps that an end is moved at most, on grids so coarse (in standard deviations): on others a step has
next to no probability, and it does not matter which one is the end."""

EVEN = 1e-6
"""By what distribution functions may differ that are equal, in single precision."""


def calibrate(model: TableModel, rows: tuple[Any, Any]) -> dict[str, np.ndarray]:
    """What `TableModel.calibration` is, of rows (x, c) that no member was trained on."""
    x, c = rows
    scores: dict[str, np.ndarray] = {}
    if model.numeric:
        value, mask = x["numeric"]
        values = model.to_units(np.where(mask, value, np.nan))
        reach = [tables.reach(column, values[:, j]) for j, column in enumerate(model.numeric)]
        below, up_to = (_cdf(model, c, np.stack(side, axis=1)) for side in zip(*reach, strict=True))
        for j, column in enumerate(model.numeric):
            scores[str(column.name)] = np.stack([below[mask[:, j], j], up_to[mask[:, j], j]], axis=1)
    if model.categorical:
        codes, mask = x["categorical"]
        for k, (column, shares) in enumerate(zip(model.categorical, _probabilities(model, c), strict=True)):
            above = np.broadcast_to(mass_above(shares), (len(codes), len(column.levels)))
            seen = mask[:, k]
            scores[str(column.name)] = above[seen, codes[seen, k]]
    return scores


def half_widths(model: TableModel, coverages: list[float]) -> np.ndarray:
    """The h of each numeric target and coverage, [d, k]: see `condvae.calibration.conformal_level`."""
    pits = [model.calibration[str(column.name)] for column in model.numeric]
    return np.array([[conformal_level(pit, coverage) for coverage in coverages] for pit in pits])


def covering(model: TableModel, c: Any, ends: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Ends of intervals, moved to those of all values whose conformal score is at most h.

    Draws tell quantiles roughly, and of a value that has a probability of its own it matters on which side
    of an end it lies. So ends on a grid are moved along it, to the least y with F(y) ≥ ½ − h and the
    greatest with F(y⁻) ≤ ½ + h; and a single value that has a probability is taken in where its score is
    at most h.

    Args:
        model: the model.
        c: the conditions.
        ends: quantiles at ½ − h and ½ + h, [n, d, k, 2].
        halves: h of each numeric target and interval, [d, k]; at ½ the interval is all that there can be.
    """
    ends = ends.copy()
    inner, least, most = halves < 0.5, 0.5 - halves - EVEN, 0.5 + halves + EVEN
    chosen = [
        j
        for j, column in enumerate(model.numeric)
        if column.step is not None and column.step >= COARSE * column.sd and inner[j].any()
    ]
    rows = np.arange(len(ends)) if chosen else np.zeros(0, int)
    for _ in range(MOVES):
        if not len(rows):
            break
        some = None if c is None else jax.tree.map(lambda leaf, rows=rows: leaf[rows], c)
        at = _at_ends(model, some, ends[rows], chosen)
        moving = np.zeros(len(rows), bool)
        for j in chosen:
            column, interval = model.numeric[j], ends[rows, j]
            low_before, low_at, high_before, high_at = at[j]
            up = np.stack(
                [low_at < least[j], (high_at <= most[j]) & (interval[..., 1] < column.ends[1])], -1
            )
            down = np.stack(
                [(low_before >= least[j]) & (interval[..., 0] > column.ends[0]), high_before > most[j]], -1
            )
            moves = (up * 1.0 - down) * inner[j, :, None]
            moved = np.clip(tables.recorded(column, interval + moves * (column.step or 0.0)), *column.ends)
            ends[rows, j] = np.where(moves != 0, moved, interval)
            moving |= (moves != 0).any(axis=(1, 2))
        rows = rows[moving]
    return _with_atoms(model, c, ends, halves)


def level_sets(
    model: TableModel, c: Any, coverage: float, adjusted: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """By categorical target, the levels that cover, bool [n, levels]; and all, the most probable first."""
    sets = []
    for column, shares in zip(model.categorical, _probabilities(model, c), strict=True):
        scores = model.calibration[str(column.name)] if adjusted else None
        sets.append((level_set(shares, coverage, scores), np.argsort(-shares, axis=1, kind="stable")))
    return sets


def _cdf(model: TableModel, c: Any, values: np.ndarray) -> np.ndarray:
    if c is None:  # one distribution for all rows, and not one with its own noise for each
        return model.cdf(None, values[None], SAMPLES, jax.random.key(0))[0]
    return model.cdf(c, values, SAMPLES, jax.random.key(0))


def _probabilities(model: TableModel, c: Any) -> list[np.ndarray]:
    """Of the levels of each categorical target, [n, levels]."""
    probability = model.centre(c, SAMPLES, jax.random.key(0))[1]
    assert probability is not None
    return [probability[:, k, : len(column.levels)] for k, column in enumerate(model.categorical)]


def _at_ends(model: TableModel, c: Any, ends: np.ndarray, chosen: list[int]) -> dict[int, list[np.ndarray]]:
    """Of each chosen target F(y⁻) and F(y) at the low ends, and at the high ones, [n, k] each."""
    n, d, k, _ = ends.shape
    values = np.full((n, 4 * k, d), np.nan)
    for j in chosen:
        end = np.where(np.isfinite(ends[:, j]), ends[:, j], np.nan)
        sides = [tables.reach(model.numeric[j], end[:, :, side]) for side in (0, 1)]
        values[:, :, j] = np.hstack([*sides[0], *sides[1]])
    cdf = _cdf(model, c, values[0] if c is None else values)
    return {j: np.split(np.reshape(cdf[..., j], (n, 4 * k)), 4, axis=1) for j in chosen}


def _with_atoms(model: TableModel, c: Any, ends: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Single values that have a probability, in columns that are continuous otherwise, taken in."""
    columns = [(j, column) for j, column in enumerate(model.numeric) if column.step is None]
    for j, column in columns:
        for atom in column.atoms:
            values = np.full((len(ends), 2, len(model.numeric)), np.nan)
            values[:, :, j] = np.stack(tables.reach(column, np.array(atom)))
            cdf = _cdf(model, c, values[0] if c is None else values)[..., j].reshape(len(ends), 2)
            inside = conformal_score(cdf[:, 0], cdf[:, 1])[:, None] <= halves[j] + EVEN
            low, high = np.moveaxis(ends[:, j], -1, 0)
            ends[:, j, :, 0] = np.where(inside, np.minimum(low, atom), low)
            ends[:, j, :, 1] = np.where(inside, np.maximum(high, atom), high)
    return ends
