"""A table that is too long for memory, as a stream of encoded rows, and a sample of it that is in memory.

What is measured (scales and levels apart, which are of all rows) is measured on the sample: held-out rows,
intervals, baselines, the support. The rest of the rows is trained on.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pyarrow as pa
from jaxtyping import PyTree

from condvae import tables
from condvae.table_models.model import observed_rows
from condvae.table_models.outside import Outside, gathered, warn
from condvae.tables.scans import Scan, Survey, located, sampled, survey
from condvae.training.streams import Stream

STREAMED_ROWS = 2**20
"""Longer tables are streamed; a `Scan` of fewer rows is read into memory."""

SAMPLE_ROWS = 2**16
"""Of a table that is streamed, about so many are in memory."""

LARGEST_SHARE = 0.25
"""Of the sample, for testing, calibration or validation: the baselines want some of it too."""


class TableStream(Stream):
    """The rows of a scan with an observed target that are not in its sample, encoded.

    Args:
        schema: by which they are encoded.
        scan: the rows.
        sizes: how many of each group those are.
        seed: of the sample.
    """

    def __init__(self, schema: tables.Schema, scan: Scan, sizes: np.ndarray, seed: int):
        self.schema, self.seed = schema, seed
        self.scan = scan.select([str(column.name) for column in (*schema.given, *schema.target)])
        self.sizes = sizes

    def read(self, group: int) -> tuple[PyTree, PyTree]:
        with located(self.scan, group):
            c, x = encoded(self.schema, self.scan.read_group(group))
        chosen = self._chosen(group, x)
        return (x, c) if chosen.all() else jax.tree.map(lambda leaf: leaf[chosen], (x, c))

    def number(self, group: int, index: int) -> int:
        x = tables.encode(self.schema.target, self.scan.read_group(group))
        return self.scan.groups[group].first + int(np.flatnonzero(self._chosen(group, x))[index])

    def _chosen(self, group: int, x: Any) -> np.ndarray:
        return observed_rows(x) & ~sampled(self.scan, group, self.seed, SAMPLE_ROWS)


def encoded(schema: tables.Schema, table: Any) -> tuple[Any, Any]:
    """A table's rows as blocks, c and x."""
    return tables.encode(schema.given, table), tables.encode(schema.target, table)


def fits_memory(rows: int) -> bool:
    """Whether so many rows are read into memory, and not streamed."""
    return rows <= STREAMED_ROWS


def is_long(table: Any) -> bool:
    """Whether a table is streamed."""
    return isinstance(table, Scan) and not fits_memory(len(table))


def look_over(table: Scan, X: Scan | None, y: Scan, **options: Any) -> Survey:
    """A long table's schema, its sample, and which of its rows there are; `options` are of `survey`."""
    names = [] if X is None else X.column_names
    return survey(table, names, y.column_names, sample_rows=SAMPLE_ROWS, **options)


def one_scan(X: Any, y: Any) -> Scan | None:
    """All columns of conditions and targets that are scans; None where neither is.

    Raises:
        TableError: if one of them is in memory, or they are of different files.
    """
    if not isinstance(X, Scan) and not isinstance(y, Scan):
        return None
    if not isinstance(y, Scan) or not (X is None or isinstance(X, Scan)):
        raise tables.TableError(
            "conditions and targets are a table in files and one in memory",
            remedy="give both from the same scan, as scan.select([...])",
        )
    if X is not None and not X.same_rows(y):
        raise tables.TableError(
            "conditions and targets are of different files",
            remedy="give both from one scan, as scan.select([...])",
        )
    if X is None:
        return y
    return X.joined(y)


def by_part(both: Scan, X: Scan | None, y: Scan, ask: Callable[[int, Any, Any], Any]) -> Iterator[Any]:
    """What a question gives of one group of rows after the other: of its number, conditions and targets."""
    total = Outside()
    for number, rows in enumerate(both.parts()):
        given = None if X is None else rows.select(X.column_names)
        with located(both, number), gathered(total):
            answer = ask(number, given, rows.select(y.column_names))
        yield answer
    warn(total)


def in_memory(table: Any) -> Any:
    """A scan that is not long, read; anything else as it is."""
    return table.read() if isinstance(table, Scan) and not is_long(table) else table


def observed(schema: tables.Schema, table: Scan) -> tuple[Any, np.ndarray]:
    """The rows that have an observed target, in memory, and their numbers."""
    parts, numbers = [], []
    for group, rows in zip(table.groups, table.parts(), strict=True):
        seen = np.flatnonzero(observed_rows(encoded(schema, rows)[1]))
        parts.append(rows.take(seen))
        numbers.append(seen + group.first)
    return pa.concat_tables(parts), np.concatenate(numbers)


def share_of(fraction: float, rows: int, sample: int) -> float:
    """The share of a sample that a fraction of all rows is, at most a quarter.

    Example:
        >>> share_of(0.1, rows=10**7, sample=65536), share_of(0.0, rows=10**7, sample=65536)
        (0.25, 0.0)
    """
    return min(fraction * rows / max(sample, 1), LARGEST_SHARE)
