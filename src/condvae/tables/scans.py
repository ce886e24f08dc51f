"""Tables that are too long for memory: Parquet files, read a row group at a time.

A `Scan` stands for the rows of a file or of a folder of files, and is passed where a data frame is. A
`survey` goes over all of it once, for the schema and a sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from condvae.declared import reason
from condvae.progress import Progress
from condvae.tables.cells import cells, first_duplicate, open_frame, suggestion
from condvae.tables.errors import TableError
from condvae.tables.memory import (
    PARQUET_COST,
    MaxMemory,
    budget,
    parquet_bytes,
    require_regular,
    require_within,
)
from condvae.tables.recognition import reading_of
from condvae.tables.schema import Schema, Unknown, as_read, asked_readings, check_names, require_unknown
from condvae.tables.summaries import Summary
from condvae.text import path_in_words

ENDINGS = (".parquet", ".pq")
THREADS = 2
"""That read a table in a survey: more of them hold more row groups in memory."""


class Group(NamedTuple):
    """A row group: the file, its place in it, its first row in the whole table, and how many there are."""

    file: Path
    place: int
    first: int
    rows: int


class Scan:
    """The rows of Parquet files, which are read when they are needed.

    Attributes:
        column_names: the columns.
        groups: the row groups that have rows, in the order of the files' names.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.parquet"
        >>> pq.write_table(pa.table({"a": range(10), "b": range(10)}), path, row_group_size=4)
        >>> table = scan(path).select(["b"])
        >>> len(table), [part["b"].to_pylist() for part in table.parts()]
        (10, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]])
    """

    def __init__(self, path: Path, types: pa.Schema, groups: Sequence[Group], metadata: dict[Path, Any]):
        self.path, self.types, self.groups, self._metadata = path, types, list(groups), metadata

    @property
    def column_names(self) -> list[str]:
        """The names of its columns."""
        return self.types.names

    def __len__(self) -> int:
        return sum(group.rows for group in self.groups)

    def __repr__(self) -> str:
        names = ", ".join(self.column_names)
        return f"Scan({str(self.path)!r}: {len(self):,} rows in {len(self.groups):,} groups, of {names})"

    def select(self, names: Sequence[str]) -> "Scan":
        """The same rows with these columns alone.

        Raises:
            TableError: for a column that is not there.
        """
        for name in names:
            if name not in self.column_names:
                hint = suggestion(name, self.column_names)
                raise TableError(
                    "the table has no column {column!q}", remedy="{hint}", column=name, hint=hint
                )
        types = pa.schema([self.types.field(name) for name in names])
        return Scan(self.path, types, self.groups, self._metadata)

    def joined(self, other: "Scan") -> "Scan":
        """These columns, and those of the other that are not among them, of the same rows."""
        more = [field for field in other.types if field.name not in self.column_names]
        return Scan(self.path, pa.schema([*self.types, *more]), self.groups, self._metadata)

    def same_rows(self, other: "Scan") -> bool:
        """Whether the rows are those of the other, in the same order."""
        return self.groups == other.groups

    def read_group(self, number: int) -> pa.Table:
        """The rows of a group.

        Raises:
            TableError: if its file has gone, or is not as it was.
        """
        group = self.groups[number]
        try:
            with pq.ParquetFile(group.file, metadata=self._metadata[group.file]) as file:
                table = file.read_row_group(group.place, columns=self.column_names, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise TableError(
                "{file!r} cannot be read any more ({reason})",
                remedy="put it back as it was",
                file=str(group.file),
                reason=reason(error),
            ) from error
        return table.select(self.column_names)

    def parts(self) -> Iterator[pa.Table]:
        """All rows, a group at a time; the next is read meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(self.read_group, 0)] if self.groups else []
            for number in range(len(self.groups)):
                table = ahead.pop().result()
                if number + 1 < len(self.groups):
                    ahead.append(pool.submit(self.read_group, number + 1))
                yield table

    def read(self, max_memory: MaxMemory = None) -> pa.Table:
        """All rows at once, in memory.

        Raises:
            TableError: if a file has gone, or the rows take more memory than that (see `read_table`).
        """
        share = len(self.types) / max(max((m.num_columns for m in self._metadata.values()), default=1), 1)
        held = sum(parquet_bytes(metadata, self.types, share) for metadata in self._metadata.values())
        require_within(budget(max_memory), PARQUET_COST * held, path_in_words(self.path))
        tables = list(self.parts())
        return pa.concat_tables(tables) if tables else self.types.empty_table()


def scan(path: str | Path) -> Scan:
    """A Parquet file, or a folder of them, to be read as it is needed.

    Args:
        path: a file ending in `.parquet` or `.pq`; or a folder, of which all such files are taken, those
            in folders within it too. Names that begin with `_` or `.` are left out.

    Raises:
        TableError: if there is no such file, one is not Parquet, or they have not the same columns.
    """
    path, shown = Path(path), path_in_words(path)
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise TableError(
            "there is no file or folder {shown}", remedy="check the path", shown=shown
        ) from error
    files = [path]
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _counts(file.relative_to(path))]
        if not files:
            raise TableError(
                "the folder {shown} has no Parquet files (.parquet)", remedy="name another one", shown=shown
            )
    groups, metadata, types, first = [], {}, None, 0
    for file in files:
        try:
            require_regular(file)
            with pq.ParquetFile(file) as opened:
                metadata[file], schema = opened.metadata, opened.schema_arrow.remove_metadata()
        except (OSError, pa.ArrowException) as error:
            raise TableError(
                "{file!r} is not a Parquet file, or is cut short", remedy="write it again", file=str(file)
            ) from error
        if types is None:
            types = schema
            _require_different(schema.names, file)
        else:
            _require_alike(types, schema, files[0], file)
        for place in range(metadata[file].num_row_groups):
            rows = metadata[file].row_group(place).num_rows
            if rows:
                groups.append(Group(file, place, first, rows))
            first += rows
    assert types is not None
    return Scan(path, types, groups, metadata)


def _counts(inside: Path) -> bool:
    hidden = any(part.startswith(("_", ".")) for part in inside.parts)
    return inside.suffix.lower() in ENDINGS and not hidden


def _require_different(names: Sequence[str], file: Path) -> None:
    if (twice := first_duplicate(names)) is not None:
        raise TableError(
            "{file!r} has more than one column named {column!q}",
            remedy="rename all but one",
            column=twice,
            file=str(file),
        )


def _require_alike(types: pa.Schema, schema: pa.Schema, first: Path, file: Path) -> None:
    for name in types.names:
        if name not in schema.names:
            raise TableError(
                "{file!r} has no column {column!q}, which {first!r} has",
                remedy="give it one",
                column=name,
                file=str(file),
                first=str(first),
            )
        if schema.field(name).type != types.field(name).type:
            raise TableError(
                "column {column!q} is of type {type} in {file!r} and of type {other} in {first!r}",
                remedy="write them alike",
                column=name,
                type=schema.field(name).type,
                file=str(file),
                other=types.field(name).type,
                first=str(first),
            )


class Survey(NamedTuple):
    """What there is to know of a table before it is learned from.

    Attributes:
        schema: its columns.
        sample: about so many of its rows as were asked for, drawn at random, in their order.
        sample_rows: the number of each of them in the table, from 0.
        sizes: of each group, the rows with an observed target that are not in the sample.
        rows: with an observed target, the sample's included.
        holes: rows with a missing condition.
    """

    schema: Schema
    sample: pa.Table
    sample_rows: np.ndarray
    sizes: np.ndarray
    rows: int
    holes: int


def survey(
    table: Scan,
    given: Sequence[str],
    target: Sequence[str],
    *,
    unknown: Unknown = "error",
    read: Mapping[Any, str] | None = None,
    missing: Sequence[str] = (),
    seed: int,
    sample_rows: int,
    progress: bool = False,
) -> Survey:
    """Go over a table once: for its schema, a sample, and which rows there are.

    Args:
        table: the rows.
        given: the names of the conditions.
        target: the names of the targets.
        unknown: as for `Schema.infer`.
        read: as for `Schema.infer`; what the cells tell, those of the first row group do.
        missing: as for `Schema.infer`.
        seed: decides which rows are in the sample.
        sample_rows: about how many.
        progress: whether to show a bar.

    Raises:
        TableError: for columns or cells that cannot serve.
    """
    require_unknown(unknown)
    check_names(given, target)
    names = [*given, *target]
    chosen = table.select(names)
    if len(chosen) < 2:
        raise TableError(
            "the table has {rows} rows",
            remedy="a model needs at least two, better hundreds",
            rows=len(chosen),
        )

    asked = asked_readings(read, names)
    with located(chosen, 0):
        first = open_frame(chosen.read_group(0))
        readings = {name: reading_of(cells(first, name), asked.get(name), missing) for name in names}

    def look(number: int) -> tuple[list[Summary], pa.Table, np.ndarray, int, int]:
        with located(chosen, number):
            frame = chosen.read_group(number)
            columns = [as_read(cells(open_frame(frame), name), readings[name]) for name in names]
            partial = [Summary.of(column, whole=False) for column in columns]
        seen = [np.asarray(column.array.is_valid()) for column in columns]
        usable = np.any(seen[len(given) :], axis=0)
        holes = int((~np.all(seen[: len(given)], axis=0)).sum()) if given else 0
        drawn = usable & sampled(chosen, number, seed, sample_rows)
        rows = np.flatnonzero(drawn)
        return partial, frame.take(rows), rows + chosen.groups[number].first, int(usable.sum()), holes

    summaries: list[Summary] = []
    parts = []
    with (
        ThreadPoolExecutor(THREADS) as pool,
        Progress("reading the table", len(chosen), enabled=progress) as bar,
    ):
        for partial, *part in pool.map(look, range(len(chosen.groups))):
            pairs = zip(summaries, partial, strict=True)
            summaries = [one.merged(two) for one, two in pairs] if summaries else partial
            parts.append(part)
            bar.advance(chosen.groups[len(parts) - 1].rows)
    pa.default_memory_pool().release_unused()
    samples, rows, usable, holes = zip(*parts, strict=True)
    for summary in summaries:
        if (reading := readings[summary.name]) is not None and reading.count and reading.kind != "text":
            readings[summary.name] = replace(reading, count=summary.rows - summary.missing)
    schema = Schema.of(summaries[: len(given)], summaries[len(given) :], unknown, readings)
    sizes = np.array(usable) - [len(sample) for sample in samples]
    return Survey(
        schema, pa.concat_tables(samples), np.concatenate(rows), sizes, int(sum(usable)), int(sum(holes))
    )


def sampled(table: Scan, number: int, seed: int, sample_rows: int) -> np.ndarray:
    """Which rows of a group are drawn, where about `sample_rows` of the whole table are: bool [rows].

    By a hash of a row's number and the seed, so that whoever reads a group knows.
    """
    group = table.groups[number]
    words = np.arange(group.first, group.first + group.rows, dtype=np.uint64)
    # SplitMix64 (Steele, Lea and Flood 2014); unsigned arithmetic wraps, as it should.
    words = (words + np.uint64(seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    share = (words ^ (words >> np.uint64(31))) / 2.0**64
    return share < sample_rows / max(len(table), 1)


@contextmanager
def located(table: Scan, number: int) -> Iterator[None]:
    """Within, the row of an error is counted in a group; without, in the whole table."""
    try:
        yield
    except TableError as error:
        if error.row is not None:
            error.row += table.groups[number].first
        raise
