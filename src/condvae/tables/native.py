"""Frames of every kind, in and out.

Arrays become frames with columns c0, c1, ... (conditions) and x0, x1, ... (targets); what comes back is of
the kind that went in, with its index.
"""

import datetime
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from scipy import sparse

from condvae import tables
from condvae.tables.cells import open_frame
from condvae.text import quote

FRAMES = ("pandas", "polars", "pyarrow")


def kind(data: Any) -> str:
    """ "numpy", "pandas", "polars" or "pyarrow", which a scan counts as."""
    if isinstance(data, tables.Scan):
        return "pyarrow"
    if not _is_native(data):
        return "numpy"
    return str(nw.from_native(data, allow_series=True).implementation.name).lower()


def as_frame(data: Any, prefix: str) -> Any:
    """Arrays (and lists) as frames with columns c0, c1, ... (x0, ...); series as frames of one column.

    Raises:
        TableError: for arrays that are no table.
    """
    if data is None or isinstance(data, tables.Scan):
        return data
    if _is_native(data):
        if _is_series(data):
            native = nw.from_native(data, series_only=True)
            return (
                native.alias(settled(native.name) if native.name else f"{prefix}0").to_frame().to_native()
            )
        data = _with_settled_names(data)
        open_frame(data)  # which refuses two columns of one name, and lazy frames
        return data
    array = _as_array(data, prefix)
    columns = {f"{prefix}{i}": _plain(array[:, i]) for i in range(array.shape[1])}
    try:
        return nw.from_dict(columns, backend="pyarrow").to_native()
    except (ValueError, TypeError) as error:  # cells of several types in one column
        raise tables.TableError(
            "a column of the array cannot be read ({reason})",
            remedy="make each all numbers or all text",
            reason=str(error),
        ) from error


def settled(name: Any) -> Any:
    """A column's name as a model keeps it: whole numbers and texts as they are, all else as text.

    What is kept must come back from JSON as it was. A tuple, the name of a column below others, is its
    parts with underscores between them; a date its ISO form.

    Example:
        >>> settled(("dose", "mg")), settled(None), settled(3), settled(2.5)
        ('dose_mg', 'None', 3, '2.5')
    """
    if isinstance(name, tuple):
        return "_".join(str(settled(part)) for part in name if part != "")
    if isinstance(name, datetime.datetime):  # pandas' timestamps, too
        return name.isoformat().removesuffix("T00:00:00")
    if isinstance(name, Integral) and not isinstance(name, bool):
        return int(name)
    return str(name)


def settled_keys(named: Mapping[Any, Any] | None) -> dict[Any, Any] | None:
    """A dictionary by column, with the columns' settled names."""
    return None if named is None else {settled(name): value for name, value in named.items()}


def _shown(name: Any) -> str:
    return quote(name) if isinstance(name, str) else str(name)


def _with_settled_names(data: Any) -> Any:
    """The frame with settled names; the same frame where they are.

    Raises:
        TableError: where two columns have names that are the same text.
    """
    if str(nw.get_native_namespace(data).__name__) != "pandas" or not hasattr(data, "columns"):
        return data
    names = [settled(name) for name in data.columns]
    texts = [str(name) for name in names]
    for i, text in enumerate(texts):
        if (j := texts.index(text)) < i:
            first, second = data.columns[j], data.columns[i]
            if first == second:
                break  # which `open_frame` says
            raise tables.TableError(
                "columns {first} and {second} would both be named {text!q}",
                remedy="rename one of them",
                first=_shown(first),
                second=_shown(second),
                text=text,
            )
    if all(type(name) is type(old) and name == old for name, old in zip(names, data.columns, strict=True)):
        return data
    data = data.copy(deep=False)
    data.columns = names
    return data


def _is_native(data: Any) -> bool:
    try:
        nw.from_native(data, allow_series=True)
    except TypeError:
        return False
    except DuplicateError:
        return True
    return True


def _is_series(data: Any) -> bool:
    try:
        nw.from_native(data, series_only=True)
    except TypeError:
        return False
    return True


def _as_array(data: Any, prefix: str) -> np.ndarray:
    what = "X" if prefix == "c" else "y"
    if sparse.issparse(data):
        raise TypeError(
            f"{what} is a sparse matrix, and sparse data are not supported: pass {what}.toarray()"
        )
    if isinstance(data, str | bytes | Mapping):
        raise tables.TableError(
            "{what}: expected a pandas, polars or pyarrow table or an array, got {type}",
            what=what,
            type=type(data).__name__,
        )
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise tables.TableError(
            "{what} is no table ({reason})",
            remedy="give every row as many cells",
            what=what,
            reason=str(error),
        ) from error
    if array.dtype.kind == "c" or (
        array.dtype == object and any(isinstance(cell, complex) for cell in array.flat)
    ):
        raise tables.TableError(
            "{what} holds complex numbers. Complex data not supported",
            remedy="split them in two",
            what=what,
        )
    if array.ndim == 1 and prefix == "x":
        return array[:, None]
    if array.ndim == 1:
        raise tables.TableError(
            "Expected 2D array, got 1D array instead: X has shape {shape}. Reshape your "
            "data, using X.reshape(-1, 1) for one column or X.reshape(1, -1) for one row",
            shape=array.shape,
        )
    if array.ndim != 2:
        raise tables.TableError(
            "expected an array of rows and columns, got one of shape {shape}",
            remedy="reshape it to (rows, columns)",
            shape=array.shape,
        )
    if array.shape[1] == 0:
        raise tables.TableError(
            "{argument} has 0 feature(s) (shape={shape}) while a minimum of 1 is required",
            remedy="give it some" + (", or X=None for a plain VAE" if what == "X" else ""),
            argument=what,
            shape=array.shape,
        )
    return array


def _plain(column: np.ndarray) -> Any:
    if column.dtype != object:
        return np.ascontiguousarray(column)
    return column.tolist()


def rows_of(data: Any) -> Any:
    """What names the rows of a frame: pandas' index, else nothing."""
    return data.index if kind(data) == "pandas" else None


def build(
    columns: Mapping[Any, Any], of: str, index: Any = None, names: Sequence[Any] | None = None
) -> Any:
    """A frame of the kind `of` from columns by name (arrays, of one length); arrays are stacked.

    Args:
        columns: name to values.
        of: the kind.
        index: pandas' index.
        names: the column names that pandas shall have, where they are no strings.
    """
    if of == "pandas":
        import pandas as pd

        frame = pd.DataFrame({str(name): values for name, values in columns.items()}, index=index)
        if names is not None:
            frame.columns = list(names)
        return frame
    if of == "numpy":
        return np.column_stack([np.asarray(values) for values in columns.values()])
    backend: Any = of
    plain = {str(name): _listed(values) for name, values in columns.items() if not _is_column(values)}
    # As they are: a dictionary of series would make unordered categories of ordered ones.
    ready = [values.alias(str(name)).to_frame() for name, values in columns.items() if _is_column(values)]
    if not ready:
        return nw.from_dict(plain, backend=backend).to_native()
    if plain:
        ready.append(nw.from_dict(plain, backend=backend))
    joined = nw.concat(ready, how="horizontal")
    return joined.select([str(name) for name in columns]).to_native()


def _is_column(values: Any) -> bool:
    return isinstance(values, nw.Series)


def _listed(values: Any) -> Any:
    array = np.asarray(values)
    return array.tolist() if array.dtype == object else array
