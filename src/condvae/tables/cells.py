"""One column of any data frame, as an Arrow array of a plain type.

pandas, polars and pyarrow differ in how they store text, categories, booleans with gaps and missing
numbers. Everything above this file sees one form only: an Arrow array of booleans, integers, floats,
text or nothing at all, in which a missing cell (NaN included) is null.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
from narwhals.exceptions import DuplicateError
from narwhals.typing import IntoDataFrame

from condvae.tables.errors import TableError

LARGEST = 1e30  # beyond it, squares and products of standardised cells overflow float32


@dataclass(frozen=True)
class Cells:
    """The cells of one column.

    Attributes:
        name: the column's name.
        array: the n cells, null where missing: bool, (u)int, float, large_string or null typed.
        category: whether the frame declares the column as a category.
        declared: the declared categories in their order, where that order has a meaning; else ().
    """

    name: str
    array: pa.Array
    category: bool = False
    declared: tuple[Any, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether no cell is observed."""
        return self.array.null_count == len(self.array)

    @property
    def type_name(self) -> str:
        """The kind of cells, in the words of an error message."""
        kind = self.array.type
        if self.category:
            return "a category"
        if pa.types.is_boolean(kind):
            return "true or false"
        return "text" if pa.types.is_large_string(kind) else "numeric"

    @property
    def numeric(self) -> bool:
        """Whether the cells are numbers, and not the codes of a category."""
        return self.type_name == "numeric"


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
            f"the table has more than one column named {twice!r}; rename or drop all but one"
        ) from error
    except TypeError as error:
        raise TableError(
            f"expected a pandas, polars or pyarrow table, got {type(frame).__name__}; "
            "convert it (a lazy polars frame by `.collect()`)"
        ) from error


def cells(frame: nw.DataFrame[Any], name: str) -> Cells:
    """Take one column out of a frame.

    Raises:
        TableError: when there is no such column, or its cells are neither numbers, text,
            categories nor booleans.

    Example:
        >>> cells(open_frame(pa.table({"a": [1.5, float("nan")]})), "a").array.null_count
        1
    """
    if name not in frame.columns:
        raise TableError(f"the table has no column {name!r}; {_suggestion(name, frame.columns)}")
    array = _to_arrow(frame.get_column(name))  # not `frame[name]`: of a number, that is a row
    if not pa.types.is_dictionary(array.type):
        return Cells(name, _plain(name, array))
    declared = tuple(array.dictionary.to_pylist()) if array.type.ordered else ()
    return Cells(name, _plain(name, array.dictionary_decode()), category=True, declared=declared)


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
            f"column {column.name!r}, row {row + 1} is {what}; "
            "correct the cell or leave it empty (a missing cell is allowed)"
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


def _to_arrow(series: nw.Series[Any]) -> Any:
    try:
        array = series.to_arrow()
    except (pa.ArrowException, TypeError, ValueError) as error:
        found = sorted({type(cell).__name__ for cell in series.drop_nulls().to_list()})
        if len(found) > 1:
            problem = f"mixes cells of several types ({', '.join(found)})"
        else:
            dtype = getattr(series.to_native(), "dtype", series.dtype)
            problem = f"has the type {dtype}, which is not supported"
        raise TableError(
            f"column {series.name!r} {problem}; make all of it numbers or all of it text"
        ) from error
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


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
    remedy = "turn it into numbers or text, or drop it"
    if types.is_temporal(kind):
        remedy = "turn it into numbers (year, month, hours since a start) or drop it"
    raise TableError(f"column {name!r} has the type {kind}, which is not supported; {remedy}")


def _suggestion(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(str(name), [str(n) for n in names], n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    shown = ", ".join(repr(n) for n in names[:8]) + (", ..." if len(names) > 8 else "")
    return f"its columns are {shown}" if names else "it has no columns"
