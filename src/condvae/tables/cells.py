"""One column of any data frame, as an Arrow array of a plain type.

pandas, polars and pyarrow differ in how they store text, categories, booleans with gaps and missing
numbers. Everything above this file sees one form only: an Arrow array of booleans, integers, floats,
text, timestamps, times of day, durations or nothing at all, in which a missing cell (NaN included) is null.
"""

import datetime
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from narwhals.exceptions import DuplicateError
from narwhals.typing import IntoDataFrame, IntoDataFrameT
from numpy.typing import ArrayLike

from condvae.tables.errors import TableError
from condvae.tables.text_numbers import Decimal
from condvae.text import quote

LARGEST = 1e30  # beyond it, squares and products of standardised cells overflow float32
LONGEST_NAME = 200  # characters that names are compared by
_REMEDY = "turn it into numbers or text, or drop it"


@dataclass(frozen=True)
class Cells:
    """The cells of one column.

    Attributes:
        name: the column's name.
        array: the n cells, null where missing: bool, (u)int, float, large_string, timestamp[us] (with or
            without a zone; dates are their midnight) or null typed.
        category: whether the frame declares the column as a category.
        declared: the declared categories in their order, where that order has a meaning; else ().
        decimal: the decimal separator of the file that they came from, by which text is read.
    """

    name: str
    array: pa.Array
    category: bool = False
    declared: tuple[Any, ...] = ()
    decimal: Decimal = "."

    @cached_property
    def empty(self) -> bool:
        """Whether no cell is observed."""
        return self.array.null_count == len(self.array)

    @cached_property
    def type_name(self) -> str:
        """The kind of cells, in the words of an error message."""
        kind = self.array.type
        if self.category:
            return "a category"
        if pa.types.is_boolean(kind):
            return "true or false"
        if self.datetime:
            return "a date or time"
        if pa.types.is_time(kind) or pa.types.is_duration(kind):
            return "a time of day" if pa.types.is_time(kind) else "a duration"
        return "text" if pa.types.is_large_string(kind) else "numeric"

    @property
    def numeric(self) -> bool:
        """Whether the cells are numbers, and not the codes of a category."""
        return self.type_name == "numeric"

    @property
    def datetime(self) -> bool:
        """Whether the cells are dates or times."""
        return pa.types.is_timestamp(self.array.type)

    def shown(self, row: int) -> str:
        """A cell in the words of an error message.

        Example:
            >>> Cells("a", pa.array(["x"])).shown(0)
            "'x'"
        """
        value = self.array[row].as_py()
        return str(value) if self.datetime else quote(value)


def open_frame(frame: IntoDataFrame) -> nw.DataFrame[Any]:
    """Wrap a pandas, polars or pyarrow table.

    Raises:
        TableError: for an object that is no such table, or one with two columns of one name.

    Example:
        >>> open_frame(pa.table({"a": [1, 2]})).columns
        ['a']
    """
    try:
        return nw.from_native(frame, eager_only=True)
    except DuplicateError as error:
        native: Any = frame
        twice = first_duplicate(native.column_names if isinstance(native, pa.Table) else native.columns)
        raise TableError(
            "the table has more than one column named {column!q}",
            remedy="rename or drop all but one",
            column=twice,
        ) from error
    except TypeError as error:
        raise TableError(
            "expected a pandas, polars or pyarrow table, got {type}",
            remedy="convert it (a lazy polars frame by `.collect()`)",
            type=type(frame).__name__,
        ) from error


def take(frame: IntoDataFrameT, index: ArrayLike) -> IntoDataFrameT:
    """Rows of a table by their numbers, as a table of the same kind; pandas' index goes with its rows.

    Args:
        frame: a pandas, polars or pyarrow table.
        index: integers of shape (m,), the rows counted from 0; in any order, any of them repeatedly.

    Raises:
        TableError: for an index that is not of integers, or beyond the table.

    Example:
        >>> take(pa.table({"a": [5, 6, 7]}), [2, 0, 0])["a"].to_pylist()
        [7, 5, 5]
    """
    table, rows = open_frame(frame), np.asarray(index)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise TableError(
            "{argument} has shape {shape} and type {type}, expected a list of integers",
            remedy="of a mask of rows, take np.flatnonzero(mask)",
            argument="index",
            shape=rows.shape,
            type=rows.dtype,
        )
    if (wrong := (rows < 0) | (rows >= len(table))).any():
        raise TableError(
            "{argument} asks for row {asked} of a table of {rows} rows",
            remedy="count them from 0",
            argument="index",
            asked=rows[wrong][0],
            rows=len(table),
        )
    return table[rows.astype(np.int64)].to_native()


def cells(frame: nw.DataFrame[Any], name: str) -> Cells:
    """Take one column out of a frame.

    Raises:
        TableError: when there is no such column, or its cells are neither numbers, text,
            categories, booleans, dates nor times with a date.

    Example:
        >>> cells(open_frame(pa.table({"a": [1.5, float("nan")]})), "a").array.null_count
        1
    """
    if name not in frame.columns:
        raise TableError(
            "the table has no column {column!q}",
            remedy="{suggestion}",
            column=name,
            suggestion=suggestion(name, frame.columns),
        )
    array = _to_arrow(frame.get_column(name))  # not `frame[name]`: of a number, that is a row
    if not pa.types.is_dictionary(array.type):
        return Cells(name, _plain(name, array), decimal=decimal_of(frame))
    declared = tuple(array.dictionary.to_pylist()) if array.type.ordered else ()
    column = Cells(name, _plain(name, array.dictionary_decode()), category=True, declared=declared)
    return Cells(name, column.array) if column.datetime else column  # a category of dates is dates


DECIMAL = b"decimal"
"""The key in an Arrow table's metadata under which the decimal separator of its file stands."""


def decimal_of(frame: nw.DataFrame[Any]) -> Decimal:
    """The decimal separator of the file that a table came from; "." where nothing is known of it."""
    native: Any = frame.to_native()
    metadata = (native.schema.metadata or {}) if isinstance(native, pa.Table) else {}
    return "," if metadata.get(DECIMAL) == b"," else "."


def numbers(column: Cells) -> tuple[np.ndarray, np.ndarray]:
    """The cells as float64 [n] (0 where missing), and where they are observed, bool [n].

    Raises:
        TableError: for an infinite cell or one beyond `LARGEST`, with its row.

    Example:
        >>> numbers(Cells("a", pa.array([1, None])))
        (array([1., 0.]), array([ True, False]))
    """
    # Not `safe`: an integer beyond 2**53 is rounded, which standardising would do to it anyway.
    floats = column.array.cast(pa.float64(), safe=False)
    mask = np.asarray(floats.is_valid())
    values = np.where(mask, floats.to_numpy(zero_copy_only=False), 0.0)
    if (wrong := np.abs(values) > LARGEST).any():
        row = int(np.argmax(wrong))
        what = "infinite" if np.isinf(values[row]) else f"beyond ±{LARGEST:g} ({values[row]:g})"
        raise TableError(
            "column {column!q}, row {row} is {what}",
            remedy="correct the cell or leave it empty (a missing cell is allowed)",
            column=column.name,
            row=row,
            what=what,
        )
    return values, mask


def first_duplicate(names: Iterable[Any]) -> Any:
    """The first name that comes a second time, or None.

    Example:
        >>> first_duplicate(["a", "b", "a"])
        'a'
    """
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def suggestion(name: Any, names: Sequence[Any]) -> str:
    """What else a name that is not there may have meant.

    Example:
        >>> suggestion("hieght", ["height", "width"])
        "did you mean 'height'?"
    """
    near = [str(n) for n in names if len(str(n)) <= LONGEST_NAME]
    close = difflib.get_close_matches(str(name)[:LONGEST_NAME], near, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(quote, close))}?"
    shown = ", ".join(quote(n) for n in names[:8]) + (", ..." if len(names) > 8 else "")
    return f"its columns are {shown}" if names else "it has no columns"


def _to_arrow(series: nw.Series[Any]) -> Any:
    # Cells that are Python's own objects: Arrow cuts times to dates and takes local times for UTC where
    # a column mixes them, and knows no complex numbers.
    if series.dtype == nw.Object or "complex" in str(getattr(series.to_native(), "dtype", "")):
        _check_objects(series)
    if str(getattr(series.to_native(), "dtype", "")).startswith("period["):
        native: Any = series.to_native()
        # As they are written, but for weeks: those are written as two dates.
        weeks = "W-" in str(native.dtype)
        native = native.dt.to_timestamp() if weeks else native.astype(str).where(native.notna(), None)
        series = nw.from_native(native, series_only=True)
    try:
        array = series.to_arrow()
    except OverflowError as error:
        raise TableError(
            "column {column!q} holds whole numbers beyond 64 bits",
            remedy="turn it into floats",
            column=series.name,
        ) from error
    except (pa.ArrowException, TypeError, ValueError) as error:
        kinds = sorted({type(cell).__name__ for cell in series.drop_nulls().to_list()})
        if len(kinds) > 1 and series.dtype in (nw.Object, nw.Categorical, nw.Enum):
            problem = (
                f"mixes cells of several types ({', '.join(kinds)}); make all of it numbers or all text"
            )
        else:
            dtype = getattr(series.to_native(), "dtype", series.dtype)
            problem = f"has the type {dtype}, which is not supported; {_REMEDY}"
        raise TableError("column {column!q} {what}", column=series.name, what=problem) from error
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _check_objects(series: nw.Series[Any]) -> None:
    observed = series.drop_nulls().to_list()
    if any(isinstance(cell, complex | np.complexfloating) for cell in observed):
        raise TableError(
            "column {column!q} holds complex numbers (Complex data not supported)",
            remedy="give their real and imaginary parts as two columns",
            column=series.name,
        )
    days = [cell for cell in observed if isinstance(cell, datetime.date)]
    times = [cell for cell in days if isinstance(cell, datetime.datetime)]
    if times and len(times) < len(days):
        raise TableError(
            "column {column!q} mixes dates with times",
            remedy="make all of it one (pandas.to_datetime)",
            column=series.name,
        )
    if len({cell.tzinfo is None for cell in times}) > 1:
        raise TableError(
            "column {column!q} mixes times with and without a time zone",
            remedy="give all of them a zone, or none",
            column=series.name,
        )
    if series.implementation.is_polars():  # which hands out the addresses of the objects as cells
        raise TableError(
            "column {column!q} has the type Object, which is not supported",
            remedy=_REMEDY,
            column=series.name,
        )


def _plain(name: str, array: Any) -> pa.Array:
    kind, types = array.type, pa.types
    if types.is_floating(kind):
        return pa.array(array.to_numpy(zero_copy_only=False), kind, from_pandas=True)  # NaN is missing
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind):
        return array
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return array.cast(pa.large_string())
    if types.is_decimal(kind):
        return array.cast(pa.float64())
    if types.is_date(kind) or types.is_timestamp(kind):
        return _timestamps(name, array)
    if types.is_duration(kind) or types.is_time(kind):
        return array
    raise TableError(
        "column {column!q} has the type {kind}, which is not supported",
        remedy=_REMEDY,
        column=name,
        kind=kind,
    )


def _timestamps(name: str, array: Any) -> pa.Array:
    unit = pa.timestamp("us", tz=getattr(array.type, "tz", None))
    try:
        return pc.cast(array, options=pc.CastOptions(target_type=unit, allow_time_truncate=True))
    except pa.ArrowException as error:
        whole = pa.int32() if pa.types.is_date32(array.type) else pa.int64()
        row = int(np.argmax(np.abs(array.cast(whole).fill_null(0).to_numpy().astype(float))))
        raise TableError(
            "column {column!q}, row {row} is hundreds of thousands of years away",
            remedy="correct the cell or leave it empty",
            column=name,
            row=row,
        ) from error
