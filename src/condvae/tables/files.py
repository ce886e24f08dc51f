"""Tables on disk: CSV and its kin, Parquet, Excel's workbooks and zip archives of one table.

Reading gives a pyarrow table in which an empty cell, `NA`, `NaN`, `null` or the like is missing; what
cannot be read gives one sentence. Writing is atomic: a reader sees the old file or the new one.

Text is read as what any program would read it as (numbers, true or false, ISO dates); what is not so clear
stays text, for the schema to read (`condvae.tables.recognition`) or as a schema says.
"""

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import narwhals as nw
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from narwhals.typing import IntoDataFrame

from condvae.declared import reason
from condvae.interruptions import temporary
from condvae.sentences import remedy_of
from condvae.tables import archives, workbooks
from condvae.tables.cells import DECIMAL, Cells, open_frame
from condvae.tables.columns import Column
from condvae.tables.dialects import MOST_COLUMNS, dialect_of, is_binary, text_of
from condvae.tables.errors import TableError
from condvae.tables.memory import (
    PARQUET_COST,
    TEXT_COST,
    MaxMemory,
    budget,
    parquet_bytes,
    read_bytes,
    require_within,
    within,
)
from condvae.tables.readings import as_read
from condvae.tables.scans import scan
from condvae.tables.typed import INDEX_NAMES, is_decimal_comma, is_numbering, plain
from condvae.text import path_in_words

_SEPARATORS: dict[str, str | None] = {".csv": ",", ".tsv": "\t", ".txt": None}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_LARGEST_BLOCK = 2**31 - 1  # pyarrow's limit
Kept = Callable[[str], bool]
"""Whether a column's cells are left as they are written."""

KINDS = ".csv, .csv.gz, .tsv or .parquet"


@dataclass(frozen=True)
class File:
    """What was read of a file.

    Attributes:
        table: the cells.
        notes: how the file was read, where that was to be told.
        index: the column that numbers the rows and has no name of its own, where there is one.
    """

    table: pa.Table
    notes: tuple[str, ...] = ()
    index: str | None = None


def read_table(path: str | Path, columns: Sequence[Column] = (), max_memory: MaxMemory = None) -> pa.Table:
    """Read a table: CSV and its kin, Parquet, a workbook, a zip archive of one of these.

    Args:
        path: a file ending in `.csv`, `.tsv` or `.txt`, after which may come `.gz`, `.bz2`, `.zst` or
            `.lz4`; in `.parquet` or `.pq`; in `.xlsx`, `.xls` or `.ods` (with the extra `excel`); or in
            `.zip`. `"-"` reads CSV from standard input. Of a folder all Parquet files are read, as `scan`
            does. What separates cells, the encoding and where the table begins are told by the file.
        columns: columns of a schema, as which the file's are read: text stays text even where all the
            cells of this file look like numbers.
        max_memory: the memory that reading may take, in bytes or as a text such as `"2G"`; None for half of
            what is available.

    Raises:
        TableError: when there is no such file, it is not a table that can be read, or it takes more memory.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
        >>> _ = path.write_text("a,b\\n1,x\\n2,NA\\n")
        >>> read_table(path).to_pydict()
        {'a': [1, 2], 'b': ['x', None]}
    """
    return read_file(path, columns, max_memory=max_memory).table


def read_file(
    path: str | Path,
    columns: Sequence[Column] = (),
    text: Iterable[str] = (),
    max_memory: MaxMemory = None,
) -> File:
    """Read a table, and say how.

    Args:
        path: as for `read_table`.
        columns: as for `read_table`.
        text: names and patterns of columns whose cells are left as they are written.
        max_memory: as for `read_table`.

    Raises:
        TableError: as for `read_table`.
    """
    limit = budget(max_memory)
    known, patterns = {str(c.name) for c in columns if _stays_text(c)}, list(text)

    def kept(name: str) -> bool:
        return name in known or any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)

    if str(path) == "-":
        data = within(sys.stdin.buffer.read, limit, TEXT_COST, "standard input", is_binary)
        return _as_columns(_parse_csv(data, "standard input", kept, ","), columns)
    path, shown = Path(path), path_in_words(path)
    ending, compression = "", None
    try:
        if path.is_dir():
            return _as_columns(File(scan(path).read(limit)), columns)
        ending, compression = _format(path, reading=True)
        text_only = ending in _SEPARATORS
        cost = TEXT_COST if text_only else 1  # the others tell themselves what they hold
        data = read_bytes(path, limit, cost, compression, is_binary if text_only else lambda _: False)
    except FileNotFoundError as error:
        raise TableError("there is no file {path}", remedy="check the path", path=shown) from error
    except TableError:
        raise
    except (OSError, ValueError) as error:
        unpacked = f"it is no {compression} file, or is cut short" if compression else str(error)
        raise TableError(
            "{path} cannot be read: {reason}",
            remedy="check the file",
            path=shown,
            reason=getattr(error, "strerror", None) or unpacked,
        ) from error
    only = {str(column.name) for column in columns}
    return _as_columns(_parse(data, ending, shown, kept, limit, only), columns)


def _stays_text(column: Column) -> bool:
    text = bool(column.levels) and isinstance(column.levels[0], str)
    return text or (column.reading is not None and column.reading.kind != "as is")


def _as_columns(file: File, columns: Sequence[Column]) -> File:
    """The table with a schema's columns read as that says."""
    return replace(file, table=read_as(columns, file.table))


def read_as(columns: Sequence[Column], table: pa.Table) -> pa.Table:
    """A table, in which the text of a schema's columns is read as it was when the model was fitted.

    Columns that the table lacks are no matter here.

    Raises:
        TableError: for a cell that cannot be read so.
    """
    for column in columns:
        place = table.schema.get_field_index(str(column.name))
        if place < 0 or column.reading is None:
            continue
        array = table.column(place).combine_chunks()
        if pa.types.is_string(array.type):
            array = array.cast(pa.large_string())
        if pa.types.is_dictionary(array.type) or pa.types.is_timestamp(array.type):
            continue
        read = as_read(column, Cells(column.name, array)).array
        if pa.types.is_large_string(read.type):
            read = read.cast(pa.string())
        table = table.set_column(place, table.column_names[place], read)
    return table


def _parse(data: bytes, ending: str, source: str, kept: Kept, limit: int, only: Set[str]) -> File:
    if ending in _SEPARATORS:
        return _parse_csv(data, source, kept, _SEPARATORS[ending])
    if ending == ".zip":
        return _parse_zip(data, source, kept, limit, only)
    if ending in workbooks.ENDINGS:
        require_within(limit, TEXT_COST * workbooks.unpacked_size(data), source)
        names, rows, notes = workbooks.rows_of(data, source)
        columns = [pa.array(cells, pa.large_string()) for cells in zip(*rows, strict=True)]
        columns = columns or [pa.array([], pa.large_string())] * len(names)
        return _finished(names, columns, kept, source, notes, ".")
    try:
        with pyarrow.parquet.ParquetFile(pa.BufferReader(data)) as file:
            names = file.schema_arrow.names
            if len(names) > MOST_COLUMNS and only:  # all of them would take a minute
                table = file.read([name for name in names if name in only])
            else:
                require_within(
                    limit, PARQUET_COST * parquet_bytes(file.metadata, file.schema_arrow), source
                )
                table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            "{source} is not a Parquet file, or is cut short", remedy="write it again", source=source
        ) from error
    return _without_index(table, source, ())


def _parse_zip(data: bytes, source: str, kept: Kept, limit: int, only: Set[str]) -> File:
    """The one table of an archive."""
    name, inner = archives.only_file(data, source, limit)
    ending, compression = _format(Path(name), reading=True)
    if compression is not None or ending == ".zip":
        raise TableError(
            "{source} holds {name!q}, which is packed once more",
            remedy="unpack it",
            source=source,
            name=name,
        )
    require_within(limit, len(inner) * (TEXT_COST if ending in _SEPARATORS else 1), source)
    return _parse(inner, ending, f"{source} ({name})", kept, limit, only)


def _finished(
    names: Sequence[str],
    columns: Sequence[pa.Array],
    kept: Kept,
    source: str,
    notes: Sequence[str],
    decimal: str,
) -> File:
    """Columns of text as a table, with those typed that any program would type so."""
    points = decimal == "."
    typed = [
        plain(column, typed=not kept(name), points=points)
        for name, column in zip(names, columns, strict=True)
    ]
    table = pa.Table.from_arrays(typed, list(names))
    if decimal == ",":
        table = table.replace_schema_metadata({DECIMAL: b","})
    return _without_index(table, source, notes)


def _without_index(table: pa.Table, source: str, notes: Sequence[str]) -> File:
    """The table, and which of its columns only numbers the rows and has no name of its own."""
    names = table.column_names
    for name in sorted((name for name in INDEX_NAMES if names.count(name) == 1), key=names.index):
        if is_numbering(table[name]):
            return File(table, tuple(notes), name)
    return File(table, tuple(notes))


def write_table(table: IntoDataFrame, path: str | Path) -> None:
    """Write a table as CSV, TSV or Parquet, atomically.

    Args:
        table: a pandas, polars or pyarrow table.
        path: a file ending as for `read_table`; `"-"` writes CSV to standard output.

    Raises:
        TableError: when the file cannot be written, or CSV cannot hold the table.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.parquet"
        >>> write_table(pa.table({"a": [1, 2]}), path)
        >>> read_table(path)["a"].to_pylist()
        [1, 2]
    """
    arrow = nw.maybe_reset_index(open_frame(table)).to_arrow()  # pandas' index is not a column
    write_parts([arrow], path)


def write_parts(parts: Iterable[pa.Table], path: str | Path) -> None:
    """Write a table that comes in parts, atomically: all of it is there, or what was there before.

    Args:
        parts: Arrow tables with the same columns, at least one; each is written before the next is asked
            for.
        path: as for `write_table`.

    Raises:
        TableError: when the file cannot be written, or CSV cannot hold the table.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
        >>> write_parts((pa.table({"a": [i]}) for i in range(3)), path)
        >>> read_table(path)["a"].to_pylist()
        [0, 1, 2]
    """
    if str(path) == "-":
        for number, part in enumerate(parts):
            sys.stdout.buffer.write(_csv_bytes(part, ",", header=number == 0))
        sys.stdout.buffer.flush()
        return
    require_writable(path)
    path = Path(path)
    ending, compression = _format(path)
    name = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary(name, Path.touch) as written:
            with written.open("r+b") as file:
                _write_to(file, parts, ending, compression)
            written.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise TableError(
            "{path!r} cannot be written: {reason}",
            remedy="{other}",
            path=str(path),
            reason=reason,
            other=remedy_of(error),
        ) from error


def _write_to(file: Any, parts: Iterable[pa.Table], ending: str, compression: str | None) -> None:
    if ending in _SEPARATORS:
        with pa.output_stream(file, compression=compression) as stream:
            for number, part in enumerate(parts):
                stream.write(_csv_bytes(part, _SEPARATORS[ending] or "\t", header=number == 0))
        return
    with contextlib.ExitStack() as stack:
        writer = None
        for part in parts:
            if writer is None:
                writer = stack.enter_context(pyarrow.parquet.ParquetWriter(file, part.schema))
            writer.write_table(part)


def require_writable(path: str | Path) -> None:
    """Check that a table can be written at `path`, before any work is done for it.

    Raises:
        TableError: when its ending is of no kind of table, it is a folder, or its folder is not there or
            not to be written to.

    Example:
        >>> require_writable("no/such/folder/rows.csv")
        Traceback (most recent call last):
        condvae.tables.errors.TableError: 'no/such/folder/rows.csv' cannot be written: there is no folder
        'no/such/folder'; choose a folder that exists and may be written to
    """
    if str(path) == "-":
        return
    path = Path(path)
    _format(path)
    if path.is_dir():
        raise TableError("{path!r} is a folder", remedy="name a file to write", path=str(path))
    folder = path.parent
    problem = "it may not be written to" if folder.is_dir() else f"there is no folder {str(folder)!r}"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise TableError(
            "{path!r} cannot be written: {what}",
            remedy="{other}",
            path=str(path),
            what=problem,
            other=remedy_of(OSError()),
        )


def _format(path: Path, reading: bool = False) -> tuple[str, str | None]:
    """The ending that tells the format, and the compression of the file as a whole."""
    compression = _COMPRESSIONS.get(path.suffix.lower())
    ending = (path.with_suffix("") if compression else path).suffix.lower()
    if ending in _SEPARATORS:
        return ending, compression
    if compression is None:
        if ending in (".parquet", ".pq"):  # Parquet compresses inside
            return ".parquet", None
        if reading and ending in (".zip", *workbooks.ENDINGS):
            return ending, None
    more = ", nor in .txt, .xlsx or .zip" if reading else ""
    raise TableError(
        "{path!r} does not end in {kinds}{more}",
        remedy="convert the file, or name one of these kinds",
        path=str(path),
        kinds=KINDS,
        more=more,
    )


def _csv_bytes(table: pa.Table, separator: str, *, header: bool) -> bytes:
    buffer = BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=header, delimiter=separator)
    try:
        pyarrow.csv.write_csv(table, buffer, options)
    except pa.ArrowException as error:
        raise TableError(
            "CSV cannot hold this table ({reason})", remedy="write Parquet", reason=reason(error)
        ) from error
    return buffer.getvalue()


def _parse_csv(data: bytes, source: str, kept: Kept, usual: str | None) -> File:
    text, encoding = text_of(data, source)
    dialect = dialect_of(text, source, usual)
    names = list(dialect.names)
    notes = list(dialect.notes)
    if encoding is not None:
        notes.append(f"{source}: read as {encoding}, as it is not UTF-8")
    if not dialect.body.strip("\r\n"):
        empty = [pa.array([], pa.large_string()) for _ in names]
        return _finished(names, empty, kept, source, notes, ".")
    body = dialect.body if dialect.body.endswith("\n") else dialect.body + "\n"
    data = body.encode()
    # One block for the whole file: a cell may be longer than any other size.
    block_size = min(max(len(data) + 1, 2**16), _LARGEST_BLOCK)
    places = [str(i) for i in range(len(names))]
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(places, pa.large_string()), strings_can_be_null=True, null_values=[""]
    )

    def parse(threads: bool, rows: list[Any]) -> pa.Table:
        def ragged(row: Any) -> str:
            if not row.text.strip() or row.text.lstrip().startswith("#"):
                return "skip"
            rows.append(row)
            return "error"

        return pyarrow.csv.read_csv(
            BytesIO(data),
            pyarrow.csv.ReadOptions(block_size=block_size, use_threads=threads, column_names=places),
            pyarrow.csv.ParseOptions(
                delimiter=dialect.separator,
                newlines_in_values=True,
                # In a file of one column an empty line is a missing cell; elsewhere it is nothing.
                ignore_empty_lines=len(names) > 1,
                invalid_row_handler=ragged,
            ),
            convert,
        )

    try:
        table = parse(True, [])
    except pa.ArrowException as error:
        _explain(error, source, parse)
    columns = [column.combine_chunks() for column in _without_empty_end(table).columns]
    decimal = "," if dialect.separator == ";" and _has_decimal_commas(columns) else "."
    return _finished(names, columns, kept, source, notes, decimal)


def _without_empty_end(table: pa.Table) -> pa.Table:
    """The rows up to the last that holds something, where there are several columns."""
    rows = len(table)
    while (
        table.num_columns > 1 and rows and all(column[rows - 1].as_py() is None for column in table.columns)
    ):
        rows -= 1
    return table.slice(0, rows)


def _has_decimal_commas(columns: Sequence[pa.Array]) -> bool:
    """Whether some column of a file separated by semicolons is of numbers with decimal commas."""
    return any(is_decimal_comma(column) for column in columns)


def _explain(error: Exception, source: str, parse: Any) -> NoReturn:
    """Say in one sentence why pyarrow refused a CSV."""
    rows: list[Any] = []
    with contextlib.suppress(pa.ArrowException):
        parse(False, rows)  # without threads, pyarrow counts rows
    if rows:
        row = rows[0]
        raise TableError(
            "{source}, row {row}: expected {expected} cells, one for each column name, got {got}",
            remedy="mend that line (quote cells that hold the separator)",
            source=source,
            row=row.number - 1,
            expected=row.expected_columns,
            got=row.actual_columns,
        ) from error
    raise TableError(
        "{source} is not a CSV table ({reason})",
        remedy="export it as CSV again",
        source=source,
        reason=reason(error),
    ) from error
