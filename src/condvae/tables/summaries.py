"""What a column holds: of all its cells at once, or put together from parts of it.

A table in memory is summarised as a whole; one that is too long for memory a row group at a time, and the
summaries are merged.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from condvae.tables.cells import Cells, numbers
from condvae.tables.errors import TableError
from condvae.tables.times import reach, seconds, varying_parts, zone
from condvae.text import quote

Kind = Literal["numeric", "categorical", "datetime"]

MOST_LEVELS = 100_000
"""Of a column that is put together from parts: with more it is held to be an identifier."""


@dataclass(frozen=True)
class Summary:
    """A column, or a part of one.

    Attributes:
        name: of the column.
        kind: of its cells.
        dtype: what they are; an Arrow name, or "category".
        rows: how many cells there are.
        missing: how many of them are missing.
        mean: of those observed; sd, minimum and maximum likewise (categorical: 0).
        levels: those observed (categorical).
        cells: the cells themselves, of a column as a whole.
        category: whether the column is declared as a category.
        declared: its declared levels, where their order has a meaning.
        zone: of times.
        reached: sines and cosines of the calendar (datetime), as `reach` gives them.
    """

    name: str
    kind: Kind
    dtype: str
    rows: int
    missing: int
    mean: float = 0.0
    sd: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    levels: frozenset[Any] = frozenset()
    cells: Cells | None = field(default=None, compare=False)
    category: bool = False
    declared: tuple[Any, ...] = ()
    zone: str | None = None
    reached: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(cls, column: Cells, *, whole: bool = True) -> Self:
        """The summary of some cells.

        Args:
            column: the cells.
            whole: whether they are all of a column: the last bits of its moments then do not depend on the
                order of the rows.

        Raises:
            TableError: for a number that is infinite or too large.
        """
        array = column.array
        kind: Kind = "datetime" if column.datetime else "numeric" if column.numeric else "categorical"
        summary = cls(column.name, kind, str(array.type), len(array), array.null_count)
        summary = replace(summary, cells=column if whole else None)
        if kind == "categorical":
            plain = "bool" if pa.types.is_boolean(array.type) else "string"
            return replace(
                summary,
                dtype="category" if column.category else plain,
                levels=frozenset(array.drop_null().unique().to_pylist()),
                category=column.category,
                declared=column.declared,
            )
        if summary.empty:
            return summary
        values, mask = seconds(column) if kind == "datetime" else numbers(column)
        values = np.sort(values[mask]) if whole else values[mask]
        mean, sd = _moments(values)
        summary = replace(
            summary, mean=mean, sd=sd, minimum=float(values.min()), maximum=float(values.max())
        )
        return replace(summary, zone=zone(column), reached=reach(column)) if kind == "datetime" else summary

    @property
    def empty(self) -> bool:
        """Whether no cell is observed."""
        return self.rows == self.missing

    @property
    def constant(self) -> str | None:
        """The one value that there is, as it is written; None where there are several."""
        if self.kind == "categorical":
            return quote(next(iter(self.levels))) if len(self.levels) == 1 else None
        return f"{self.mean:g}" if self.minimum == self.maximum else None

    @property
    def parts(self) -> tuple[str, ...]:
        """The calendar parts in which the cells vary."""
        return () if self.reached is None else varying_parts(self.maximum - self.minimum, self.reached)

    def merged(self, other: Self) -> Self:
        """The summary of the cells of both.

        Raises:
            TableError: for more different texts than a category can have.

        Example:
            >>> one, two = (Summary.of(Cells("a", pa.array(cells))) for cells in ([1.0, 2.0], [6.0, None]))
            >>> both = one.merged(two)
            >>> both.mean, both.missing, round(both.sd, 3)
            (3.0, 1, 2.16)
        """
        counts = replace(
            self, cells=None, rows=self.rows + other.rows, missing=self.missing + other.missing
        )
        if other.empty:
            return counts
        if self.empty:
            return replace(other, cells=None, rows=counts.rows, missing=counts.missing)
        levels = self.levels | other.levels
        if len(levels) > MOST_LEVELS:
            raise TableError(
                "column {column!q} looks like an identifier (more than {most:,} different values)",
                remedy="drop it, or group its values",
                column=self.name,
                most=MOST_LEVELS,
            )
        observed, others = self.rows - self.missing, other.rows - other.missing
        share, rest = observed / (observed + others), others / (observed + others)
        between = np.sqrt(share * rest) * (self.mean - other.mean)
        reached = None
        if self.reached is not None and other.reached is not None:
            both = np.stack([self.reached, other.reached])
            reached = np.stack([both[:, 0].min(axis=0), both[:, 1].max(axis=0)])
        numbers = self.kind == other.kind == "numeric"
        return replace(
            counts,
            dtype="double" if numbers and self.dtype != other.dtype else self.dtype,
            mean=share * self.mean + rest * other.mean,
            # By `hypot`, so that the squares of tiny deviations do not underflow.
            sd=float(np.hypot(np.hypot(share**0.5 * self.sd, rest**0.5 * other.sd), between)),
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
            levels=levels,
            declared=self.declared if self.declared == other.declared else (),
            reached=reached,
        )


def _moments(values: np.ndarray) -> tuple[float, float]:
    if values.min() == values.max():
        return float(values[0]), 0.0
    mean = float(values.mean())
    deviation = values - mean
    # Scaled before squaring, so that the squares of tiny deviations do not underflow to 0.
    largest = float(np.abs(deviation).max())
    return mean, largest * float(np.sqrt(np.mean((deviation / largest) ** 2)))
