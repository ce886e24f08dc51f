"""Columns that are never below another one, found in the rows: an end after its start, parts of a total."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from condvae import tables
from condvae.conditionals import Limit
from condvae.text import listed, quote

FEWEST_ROWS = 50
"""Rows with both columns observed, below which nothing is said."""

BY_CHANCE = 0.01
"""The share of rows that would be the other way round if the columns had nothing to do with each other,
at least: else their ranges say it already."""

NEAR = 0.5
"""Standard deviations of the difference within which some row comes to 0, or no limit is needed."""

SLACK = 1e-6
"""Of means and spreads: by so much single precision may put two numbers the other way round."""

FEW_ROWS = 256
"""Rows that are looked at first."""

MOST_SHOWN = 5
"""Pairs that are named."""

MOST_ROWS = 100_000
"""Rows that are looked at, evenly spread."""


class Ordered(NamedTuple):
    """Two columns of which one is never below the other.

    Attributes:
        lower: the name of the one.
        upper: that of the other.
        rows: those that it was seen in.
    """

    lower: Any
    upper: Any
    rows: int


def limits_of(schema: tables.Schema, x: Any, c: Any) -> tuple[tuple[Limit, ...], list[Ordered]]:
    """Which cells of x are never below, or above, other cells of x and c; and the same by name.

    Args:
        schema: of the table.
        x: the targets of the rows to train on, encoded.
        c: their conditions.

    Returns:
        A limit for each target with a universal column and each column that limits it; and each pair of
        columns once.
    """
    columns = list(_numbers(schema, x, c))
    targets = [column for column in columns if column.is_target]
    limits, pairs = [], []
    for upper in columns:
        for lower in columns:
            if upper is lower or not (upper.is_target or lower.is_target):
                continue
            rows = _rows_in_order(lower, upper)
            if not rows:
                continue
            pairs.append(Ordered(lower.column.name, upper.column.name, rows))
            # Either it always holds, or at some rate, any being as likely: so one row more would not hold.
            doubt = 1 / ((rows + 1) * (rows + 2))
            if upper in targets:
                limits.append(Limit(upper.cell, lower.cell, 1, *_map(lower, upper), doubt))
            if lower in targets:
                limits.append(Limit(lower.cell, upper.cell, -1, *_map(upper, lower), doubt))
    return tuple(limits), pairs


def said_of(pairs: list[Ordered]) -> str:
    """A sentence on pairs of columns."""
    shown = [f"{quote(pair.lower)} ≤ {quote(pair.upper)}" for pair in pairs[:MOST_SHOWN]]
    more = f" and {len(pairs) - MOST_SHOWN} more" if len(pairs) > MOST_SHOWN else ""
    return f"{listed(shown)}{more} in every row with both, and so in draws"


class _Number(NamedTuple):
    """A column of numbers, where it stands, and its cells in units of its own."""

    column: tables.Column
    cell: int
    is_target: bool
    values: np.ndarray
    mask: np.ndarray


def _numbers(schema: tables.Schema, x: Any, c: Any) -> Iterator[_Number]:
    """Numbers of both sides; targets without a universal column, and dates, are passed over."""
    first = 0
    for columns, side in ((schema.target, x), (schema.given, c or {})):
        for name in sorted(side):
            value, mask = (np.asarray(part) for part in side[name])
            step = max(1, len(value) // MOST_ROWS)
            place = 0
            for column in (column for column in columns if column.block == name):
                is_target = side is x
                known = column.universal is not None if is_target else column.kind == "numeric"
                if name == "numeric" and known:
                    cells = value[::step, place].astype(float) * column.sd + column.mean
                    yield _Number(column, first + place, is_target, cells, mask[::step, place])
                place += column.width
            first += value.shape[1]


def _rows_in_order(lower: _Number, upper: _Number) -> int:
    """Rows of which none has a lower number above the upper one; 0 where that says nothing."""
    few = slice(FEW_ROWS)  # of many pairs of columns nearly all are told apart by these
    if (
        (lower.values[few] > upper.values[few] + _slack(lower, upper)) & lower.mask[few] & upper.mask[few]
    ).any():
        return 0
    both = lower.mask & upper.mask
    n = int(both.sum())
    if n < FEWEST_ROWS:
        return 0
    a, b = lower.values[both], upper.values[both]
    difference, slack = b - a, _slack(lower, upper)
    if difference.min() < -slack or difference.min() > NEAR * difference.std():
        return 0
    if difference.max() <= slack:  # the same column twice
        return 0
    others = np.searchsorted(np.sort(a), b, side="left")  # how many lower numbers are below each upper one
    return n if 1 - others.mean() / n >= BY_CHANCE else 0


def _slack(lower: _Number, upper: _Number) -> float:
    return SLACK * sum(abs(number.column.mean) + number.column.sd for number in (lower, upper))


def _map(source: _Number, cell: _Number) -> tuple[float, float]:
    """Scale and shift from a column's standardised units to another's."""
    one, other = source.column, cell.column
    return one.sd / other.sd, (one.mean - other.mean) / other.sd
