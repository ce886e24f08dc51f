"""Dates and times as numbers: the instant, and where it falls in the year, the week and the day.

A date or time enters a model as its trend, the standardised seconds since 1970, and as one pair
(sine, cosine) for each calendar part in which the training rows vary. The trend is of the instant;
the parts are of the local wall clock, in the zone that the column had at fitting.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from condvae.tables.cells import Cells
from condvae.tables.errors import TableError

Part = Literal["year", "week", "day"]

_DAY = 86400.0  # seconds
_MICROSECONDS_A_DAY = 86_400_000_000
_CYCLES: dict[Part, float] = {"year": 365.2425 * _DAY, "week": 7 * _DAY, "day": _DAY}
# Sines and cosines that move less than this are held to stand still: yearly cells of the first of July
# differ by the leap day, and a clock that strikes noon may be a few seconds late.
_STILL = 0.05


def seconds(column: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970 as float64 [n] (0 where missing), and where they are observed, bool [n].

    Times without a zone count as if they were UTC.

    Example:
        >>> import datetime
        >>> seconds(Cells("a", pa.array([datetime.datetime(1970, 1, 2), None], pa.timestamp("us"))))
        (array([86400.,     0.]), array([ True, False]))
    """
    return _microseconds(column.array) / 1e6, np.asarray(column.array.is_valid())


def calendar(column: Cells, parts: Sequence[str]) -> np.ndarray:
    """The sine and the cosine of each part, float64 [n, 2 * len(parts)], by the column's own clock.

    A part is the share of it that has passed: of the year from New Year, of the week from Monday, of
    the day from midnight. A missing cell is a row of zeros.

    Args:
        column: cells of dates or times.
        parts: of `"year"`, `"week"` and `"day"`.

    Raises:
        TableError: for a time zone that is not known on this machine.

    Example:
        >>> import datetime
        >>> noon = pa.array([datetime.datetime(2024, 3, 1, 12)], pa.timestamp("us"))
        >>> calendar(Cells("a", noon), ["day"]).round(3).tolist()
        [[0.0, -1.0]]
    """
    wall = _microseconds(_wall(column))
    passed = np.stack([_passed(wall, part) for part in parts], 1) if parts else np.zeros((len(wall), 0))
    pairs = np.stack([np.sin(2 * np.pi * passed), np.cos(2 * np.pi * passed)], 2)
    return pairs.reshape(len(wall), -1) * np.asarray(column.array.is_valid())[:, None]


def reach(column: Cells) -> np.ndarray:
    """The least and the greatest sine and cosine of each part among the cells: float64 [2, 6].

    Example:
        >>> import datetime
        >>> days = [datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(30)]
        >>> reach(Cells("a", pa.array(days).cast(pa.timestamp("us")))).round(1).tolist()
        [[0.0, 0.9, -1.0, -0.9, 0.0, 1.0], [0.5, 1.0, 1.0, 1.0, 0.0, 1.0]]
    """
    turns = calendar(Cells(column.name, column.array.drop_null()), get_args(Part))
    return np.stack([turns.min(axis=0), turns.max(axis=0)])


def varying_parts(span: float, reached: np.ndarray) -> tuple[Part, ...]:
    """The calendar parts that can tell rows apart which the trend does not.

    A part counts when the observed cells span at least half of its cycle (half a year, half a week,
    half a day: below that it is a bent copy of the trend), and its sine or cosine moves by more than
    0.05 among them (dates have no part of the day, Mondays none of the week).

    Args:
        span: seconds from the first to the last cell.
        reached: as `reach` gives it.

    Example:
        >>> import datetime
        >>> days = [datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(30)]
        >>> varying_parts(29 * 86400, reach(Cells("a", pa.array(days).cast(pa.timestamp("us")))))
        ('week',)
    """
    moved = np.ptp(reached, axis=0).reshape(-1, 2).max(axis=1)
    parts = zip(get_args(Part), moved, strict=True)
    return tuple(part for part, move in parts if 2 * span >= _CYCLES[part] and move > _STILL)


def zone(column: Cells) -> str | None:
    """The time zone of the cells, None where they have none.

    Example:
        >>> zone(Cells("a", pa.array([0], pa.timestamp("us", tz="Europe/Berlin"))))
        'Europe/Berlin'
    """
    return column.array.type.tz


def in_zone(column: Cells, fitted: str | None) -> Cells:
    """The same instants by the clock of the zone that the model was fitted to.

    Raises:
        TableError: where one of the two has a zone and the other none.

    Example:
        >>> utc = Cells("a", pa.array([0], pa.timestamp("us", tz="UTC")))
        >>> zone(in_zone(utc, "Asia/Tokyo"))
        'Asia/Tokyo'
    """
    here = zone(column)
    if here is None and fitted is not None:
        raise TableError(
            "column {column!q} has no time zone here and had {fitted} when the model was fitted",
            remedy="give its times their zone",
            column=column.name,
            fitted=fitted,
        )
    if here is not None and fitted is None:
        raise TableError(
            "column {column!q} has the time zone {here} here and had none when the model was fitted",
            remedy="drop the zone, keeping the local time",
            column=column.name,
            here=here,
        )
    return Cells(column.name, column.array.cast(pa.timestamp("us", tz=fitted)))


def _microseconds(array: pa.Array) -> np.ndarray:
    return array.cast(pa.int64()).fill_null(0).to_numpy()


def _wall(column: Cells) -> pa.Array:
    if zone(column) is None:
        return column.array
    try:
        return pc.call_function("local_timestamp", [column.array])
    except pa.ArrowException as error:
        raise TableError(
            "column {column!q} has the time zone {zone}, which is not known here",
            remedy="convert it to UTC, or install the tzdata of this system",
            column=column.name,
            zone=zone(column),
        ) from error


def _passed(wall: np.ndarray, part: str) -> np.ndarray:
    """From microseconds since 1970, by whole numbers: NumPy's dates of that unit overflow in far years."""
    number, rest = np.divmod(wall, _MICROSECONDS_A_DAY)
    in_day = rest / _MICROSECONDS_A_DAY
    if part == "day":
        return in_day
    if part == "week":
        return ((number + 3) % 7 + in_day) / 7  # 1970 began on a Thursday
    day = number.astype("M8[D]")
    year = day.astype("M8[Y]")
    first, last = year.astype("M8[D]"), (year + np.timedelta64(1, "Y")).astype("M8[D]")
    return ((day - first).astype(np.int64) + in_day) / (last - first).astype(np.int64)
