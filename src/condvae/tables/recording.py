"""How numbers are recorded: to a step, or piled up at a value; and what that means for their likelihood.

The likelihood of a cell that stands for an interval is a probability, over the step a density in the user's
units; that of a value which has a probability of its own is that probability; any other's is a density.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from condvae.normal_scores import from_scores
from condvae.observed import Observed
from condvae.tables.columns import Column
from condvae.tables.likelihoods import SINGLE
from condvae.tables.shapes import place
from condvae.tables.supports import as_written, recorded_as
from condvae.text import listed

QUARTILE = 0.6745
"""Of a standard Gaussian."""

FAR = 3.0
"""Standard deviations, told by the quartiles, at which a single value is far from the others."""

NEXT_TO = 1e-6
"""Standard deviations within which a number is the one that it is next to, after single precision."""


def numbers_of(columns: Sequence[Column]) -> list[Column]:
    """Those of the numeric block, in its order."""
    return [column for column in columns if column.block == "numeric"]


def recorded(column: Column, values: np.ndarray) -> np.ndarray:
    """Numbers as the column would have them: at a step, at a value that has a probability, within limits.

    A value beyond a limit by more than the error of single precision stays there.

    Example:
        >>> recorded(Column("a", "target", "numeric", "int64"), np.array([1.7, 0.2])).tolist()
        [2.0, 0.0]
        >>> from condvae.tables import Likelihood
        >>> beta = Likelihood("beta", low=0, high=1)
        >>> shares = Column("a", "target", "numeric", "double", likelihood=beta)
        >>> recorded(shares, np.array([-4e-9, 0.5, 1.0000001, 2.0])).tolist()
        [0.0, 0.5, 1.0, 2.0]
    """
    values = np.asarray(values, np.float64)
    error = np.maximum(NEXT_TO * column.sd, SINGLE * np.abs(values - column.mean))
    for end, beyond in zip(column.ends, (-1.0, 1.0), strict=True):
        over = beyond * (values - end)
        values = np.where((over > 0) & (over <= error), end, values)
    if column.universal is not None:
        return recorded_as(column.universal, values, error)
    if (step := column.step) is not None:
        origin = 0.0 if column.likelihood is None else column.likelihood.origin
        return as_written(origin + np.rint((values - origin) / step) * step, step, origin)
    for atom in column.atoms:
        values = np.where(np.abs(values - atom) <= NEXT_TO * column.sd, atom, values)
    return values


def reach(column: Column, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which numbers lies what is recorded as these.

    Example:
        >>> reach(Column("a", "target", "numeric", "int64"), np.array([3.0, 3.2]))
        (array([2.5, 2.5]), array([3.5, 3.5]))
    """
    values = np.asarray(values, np.float64)
    half = np.zeros_like(values)
    if column.step is not None:
        origin = 0.0 if column.likelihood is None else column.likelihood.origin
        # What lies between two steps counts as the lower one: P(x ≤ 3.2) is that of 3.
        values = origin + np.floor((values - origin) / column.step + 1e-6) * column.step
        half = half + 0.5 * column.step
    elif column.atoms:
        half = half + NEXT_TO * column.sd
    return values - half, values + half


def log_scale(columns: Sequence[Column], block: Observed) -> np.ndarray:
    """What the units of the numeric block add to each row's log-density, over its observed cells.

    `log p(row in the user's units) = log p(row in the block's) − log_scale`. Of a cell with a density it is
    log sd, as standardising divides by sd; with the probability of a step log step, which makes it a
    density; with a probability of its own, as one of a few levels has, 0.

    Args:
        columns: the target columns, none of which is of dates.
        block: the numeric block, [n, d].

    Returns:
        float64 [n].

    Example:
        >>> columns = [Column("a", "target", "numeric", "double", sd=np.e)]
        >>> log_scale(columns, Observed(np.zeros((2, 1)), np.array([[True], [False]])))
        array([1., 0.])
    """
    numeric = numbers_of(columns)
    total = np.zeros(len(block.mask))
    for j, column in enumerate(numeric):
        likelihood = column.likelihood
        if column.universal is not None and column.universal.closed:
            continue
        unit = np.log(column.sd if likelihood is None or likelihood.step is None else likelihood.step)
        dense = np.array(block.mask[:, j])
        for atom in () if column.universal is not None and column.step is not None else column.atoms:
            dense &= ~_at(column, atom, block.value[:, j])
        total += np.where(dense, unit, 0.0)
    return total


def intervals(columns: Sequence[Column], block: Observed) -> tuple[np.ndarray, np.ndarray] | None:
    """The ends of what each cell stands for, in the block's units, [n, d] each; alike for a single number.

    Of an end that piles up, all that is beyond. None where every cell is a single number.
    """
    numeric = numbers_of(columns)
    if all(
        (likelihood := column.likelihood) is None or not (likelihood.step or likelihood.atoms)
        for column in numeric
    ):
        return None
    low, high = (np.array(block.value, np.float64) for _ in range(2))
    for j, column in enumerate(numeric):
        likelihood = column.likelihood
        if likelihood is None:
            continue
        if likelihood.step is not None:
            half = 0.5 * likelihood.step / column.sd
            low[:, j] -= half
            high[:, j] += half
        for atom in likelihood.atoms:
            at = _at(column, atom, block.value[:, j])
            if atom == likelihood.high:
                high[at, j] = np.inf
            else:
                low[at, j] = -np.inf
    return low, high


def far_points(column: Column) -> list[tuple[float, float]]:
    """Single values of a target that lie far from its other cells, as 0 or 999 do that mean "missing".

    Returns:
        Each value and the share of cells at it.
    """
    if column.universal is None or column.universal.closed:
        return []
    low, middle, high = from_scores(column.normal_scores, np.array([-QUARTILE, 0.0, QUARTILE]))
    spread = (high - low) / (2 * QUARTILE)
    pairs = zip(column.universal.points, column.universal.point_shares, strict=True)
    return [(p, share) for p, share in pairs if share < 0.2 and abs(p - middle) > FAR * spread]


class Scored(NamedTuple):
    """The numeric block on a scale on which every column is N(0, 1), for what is linear or a kernel.

    Attributes:
        block: the scores, [n, d]; of an interval a value in it.
        intervals: the ends of what each cell stands for, [n, d] each; None where all are single numbers.
        log_factor: log p(row in the block's units) = log p(row of scores) + log_factor, [n].
    """

    block: Observed
    intervals: tuple[np.ndarray, np.ndarray] | None
    log_factor: np.ndarray


def scored(columns: Sequence[Column], block: Observed) -> Scored:
    """The numeric block by the normal scores of its columns: each with its shape, its grid and its piles.

    A column that is no universal one stays as it is.

    Args:
        columns: the target columns.
        block: their numeric block, [n, d].
    """
    numeric = numbers_of(columns)
    value = np.array(block.value, np.float64)
    whole = intervals(columns, block) or (value, value)
    low, high = (np.array(end) for end in whole)
    log_factor = np.zeros(len(value))
    for j, column in enumerate(numeric):
        if column.universal is None:
            continue
        cells = recorded(column, value[:, j] * column.sd + column.mean)
        placed = place(column.universal, column.normal_scores, cells)
        value[:, j], low[:, j], high[:, j] = placed.value, placed.low, placed.high
        # A density of the column's own units is one of standardised ones.
        dense = placed.low == placed.high
        factor = placed.log_factor + np.where(dense, np.log(column.sd), 0.0)
        log_factor += np.where(block.mask[:, j], factor, 0.0)
    value = np.where(block.mask, value, 0.0)
    return Scored(Observed(value, block.mask), None if (low == high).all() else (low, high), log_factor)


def density_units(columns: Sequence[Column]) -> str:
    """Of what a log-density of a row is, in words: of densities, probabilities, or both.

    Example:
        >>> from condvae.tables import Likelihood
        >>> whole = Likelihood("negative_binomial", step=1.0)
        >>> claims = Column("claims", "target", "numeric", "int64", likelihood=whole)
        >>> density_units([claims, Column("age", "target", "numeric", "double")])
        'of a probability in claims; of a density in age'
    """
    names_of: dict[str, list[str]] = {}
    for column in columns:
        step = None if column.likelihood is None else column.likelihood.step
        levels = column.universal is not None and column.universal.closed
        if column.kind == "categorical" or step == 1.0 or levels:
            what = "of a probability in"
        elif step is not None:
            what = f"of the probability of a step of {step:g}, over the step, in"
        elif column.atoms:
            what = f"of a density, and at {' and '.join(f'{a:g}' for a in column.atoms)} a probability, in"
        else:
            what = "of a density in"
        names_of.setdefault(what, []).append(str(column.name))
    return "; ".join(f"{what} {listed(names, 6)}" for what, names in names_of.items())


def _at(column: Column, atom: float, standard: np.ndarray) -> np.ndarray:
    return np.abs(standard - (atom - column.mean) / column.sd) <= NEXT_TO
