"""Tables on disk: CSV, TSV and Parquet, compressed or not, by the file's ending.

Reading gives a pyarrow table in which an empty cell, `NA`, `NaN`, `null` or `None` is missing; what
cannot be read gives one sentence. Writing is atomic: a reader sees the old file or the new one.
"""

import contextlib
import os
import sys
import uuid
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import narwhals as nw
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from narwhals.typing import IntoDataFrame

from condvae.tables.cells import open_frame
from condvae.tables.errors import TableError
from condvae.tables.scans import scan
from condvae.tables.schema import Column

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_LARGEST_BLOCK = 2**31 - 1  # pyarrow's limit


def read_table(path: str | Path, columns: Sequence[Column] = ()) -> pa.Table:
    """Read a CSV, TSV or Parquet file, or a folder of Parquet files.

    Args:
        path: a file ending in `.csv`, `.tsv` (separated by tabs), `.parquet` or `.pq`; after `.csv` or
            `.tsv` may come `.gz`, `.bz2`, `.zst` or `.lz4`. `"-"` reads CSV from standard input. Of a
            folder all Parquet files are read, as `scan` does.
        columns: columns whose types are known from a schema: text stays text even where all the
            cells of this file look like numbers.

    Raises:
        TableError: when there is no such file, or it is not a table that can be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
        >>> _ = path.write_text("a,b\\n1,x\\n2,NA\\n")
        >>> read_table(path).to_pydict()
        {'a': [1, 2], 'b': ['x', None]}
    """
    if str(path) == "-":
        return _parse_csv(sys.stdin.buffer.read(), "standard input", columns, ",")
    path = Path(path)
    if path.is_dir():
        return scan(path).read()
    ending, compression = _format(path)
    try:
        data = path.read_bytes()
        if compression is not None:
            data = pa.CompressedInputStream(pa.BufferReader(data), compression).read()
    except FileNotFoundError as error:
        raise TableError(f"there is no file {str(path)!r}; check the path") from error
    except OSError as error:
        reason = error.strerror or f"it is no {compression} file, or is cut short"
        raise TableError(f"{str(path)!r} cannot be read: {reason}; check the file") from error
    if ending in _SEPARATORS:
        return _parse_csv(data, repr(str(path)), columns, _SEPARATORS[ending])
    try:
        return pyarrow.parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{str(path)!r} is not a Parquet file, or is cut short; write it again") from error


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
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        if ending in _SEPARATORS:
            with pa.output_stream(temporary, compression=compression) as stream:
                for number, part in enumerate(parts):
                    stream.write(_csv_bytes(part, _SEPARATORS[ending], header=number == 0))
        else:
            with contextlib.ExitStack() as stack:
                writer = None
                for part in parts:
                    if writer is None:
                        writer = stack.enter_context(pyarrow.parquet.ParquetWriter(temporary, part.schema))
                    writer.write_table(part)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise TableError(
            f"{str(path)!r} cannot be written: {reason}; choose a folder that exists and is yours"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: str | Path) -> None:
    """Check that a table can be written at `path`, before any work is done for it.

    Raises:
        TableError: when its ending is of no kind of table, it is a folder, or its folder is not there or
            not to be written to.

    Example:
        >>> require_writable("no/such/folder/rows.csv")
        Traceback (most recent call last):
        condvae.tables.errors.TableError: 'no/such/folder/rows.csv' cannot be written: there is no folder
        'no/such/folder'; choose a folder that exists and is yours
    """
    if str(path) == "-":
        return
    path = Path(path)
    _format(path)
    if path.is_dir():
        raise TableError(f"{str(path)!r} is a folder; name a file to write")
    folder = path.parent
    problem = "it may not be written to" if folder.is_dir() else f"there is no folder {str(folder)!r}"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise TableError(
            f"{str(path)!r} cannot be written: {problem}; choose a folder that exists and is yours"
        )


def _format(path: Path) -> tuple[str, str | None]:
    """The ending that tells the format, and the compression of the file as a whole."""
    compression = _COMPRESSIONS.get(path.suffix.lower())
    ending = (path.with_suffix("") if compression else path).suffix.lower()
    if ending in _SEPARATORS:
        return ending, compression
    if ending in (".parquet", ".pq") and compression is None:  # Parquet compresses inside
        return ".parquet", None
    raise TableError(
        f"{str(path)!r} does not end in .csv, .csv.gz, .tsv or .parquet; "
        "convert the file, or name one of these kinds"
    )


def _csv_bytes(table: pa.Table, separator: str, *, header: bool) -> bytes:
    buffer = BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=header, delimiter=separator)
    try:
        pyarrow.csv.write_csv(table, buffer, options)
    except pa.ArrowException as error:
        raise TableError(f"CSV cannot hold this table ({_first_line(error)}); write Parquet") from error
    return buffer.getvalue()


def _parse_csv(data: bytes, source: str, columns: Sequence[Column], separator: str) -> pa.Table:
    header = _check_header(data, source, separator)
    if b"\n" not in data:
        data += b"\n"  # names alone are a table of no rows, which pyarrow sees only with a line's end
    # One block for the whole file: pyarrow settles each column's type on the first block it sees.
    block_size = min(max(len(data) + 1, 2**16), _LARGEST_BLOCK)
    text = {c.name: pa.string() for c in columns if c.levels and isinstance(c.levels[0], str)}
    convert = pyarrow.csv.ConvertOptions(null_values=MISSING, strings_can_be_null=True, column_types=text)
    # In a file of one column an empty line is a missing cell; elsewhere it is nothing.
    one_column = separator not in header

    def parse(threads: bool, rows: list[Any]) -> pa.Table:
        def ragged(row: Any) -> str:
            rows.append(row)
            return "error"

        return pyarrow.csv.read_csv(
            BytesIO(data),
            pyarrow.csv.ReadOptions(block_size=block_size, use_threads=threads),
            pyarrow.csv.ParseOptions(
                delimiter=separator,
                newlines_in_values=True,
                ignore_empty_lines=not one_column,
                invalid_row_handler=ragged,
            ),
            convert,
        )

    try:
        table = parse(True, [])
    except pa.ArrowException as error:
        _explain(error, source, parse)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_binary(column.type):  # what pyarrow makes of text that is not UTF-8
            raise TableError(_not_utf8(source, f"column {name!r}"))
    return table


def _check_header(data: bytes, source: str, separator: str) -> str:
    """The first line, after the checks that need no parser."""
    if not data.strip():
        raise TableError(f"{source} is empty; a table needs a line of column names, then rows")
    if b"\0" in data:
        raise TableError(f"{source} is not a CSV table (it holds zero bytes); export it as CSV in UTF-8")
    first, _, rest = data.partition(b"\n")
    try:
        header = first.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(_not_utf8(source, "the column names")) from error
    second = rest.partition(b"\n")[0]
    for other in ";|,\t":
        if separator not in header and other in header and other.encode() in second:
            end = {",": "name it .csv", "\t": "name it .tsv"}.get(other, "export it separated by commas")
            raise TableError(f"{source} is separated by {other!r}; {end}")
    return header


def _explain(error: Exception, source: str, parse: Any) -> NoReturn:
    """Say in one sentence why pyarrow refused a CSV."""
    rows: list[Any] = []
    with contextlib.suppress(pa.ArrowException):
        parse(False, rows)  # without threads, pyarrow counts rows
    if rows:
        row = rows[0]
        raise TableError(
            f"{source}, row {row.number - 1}: expected {row.expected_columns} cells, one for each column "
            f"name, got {row.actual_columns}; mend that line (quote cells that hold commas)"
        ) from error
    if "UTF8" in str(error):
        raise TableError(_not_utf8(source, "a text column")) from error
    raise TableError(
        f"{source} is not a CSV table ({_first_line(error)}); export it as CSV again"
    ) from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _not_utf8(source: str, where: str) -> str:
    return f"{source} is not UTF-8 text ({where} cannot be decoded); save it as CSV in UTF-8"
