"""Between data frames and arrays, by the numbers of a schema.

A frame becomes at most two blocks, `"numeric"` (standardised, float32) and `"categorical"` (codes,
int32), each an `Observed` whose columns stand in schema order. Decoding takes blocks back into a
frame. A model works in standardised units; `log_scale` takes its log-densities back into the user's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pyarrow as pa
from narwhals.typing import IntoDataFrame

from condvae.observed import Observed
from condvae.tables.cells import Cells, cells, numbers, open_frame
from condvae.tables.errors import TableError
from condvae.tables.schema import Column

Backend = Literal["pandas", "polars", "pyarrow"]


def encode(columns: Sequence[Column], frame: IntoDataFrame) -> dict[str, Observed] | None:
    """Turn a frame's cells into arrays.

    Args:
        columns: the columns to encode, as a schema holds them.
        frame: a table of n rows with at least these columns, in any order.

    Returns:
        `{"numeric": Observed(float32 [n, d], bool [n, d]), "categorical": Observed(int32 [n, k],
        bool [n, k])}`, without the block that has no columns; None where there are no columns at
        all. A missing cell has value 0 and mask False.

    Raises:
        TableError: for a missing column, a cell of the wrong kind, an unseen category, or a number
            that is infinite or too large.

    Example:
        >>> columns = [Column("a", "given", "numeric", "double", mean=2.0, sd=0.5)]
        >>> encode(columns, pa.table({"a": [3.0, None]}))["numeric"]
        Observed(value=array([[2.], [0.]], dtype=float32), mask=array([[ True], [False]]))
    """
    if not columns:
        return None
    table = open_frame(frame)
    taken = {column.name: cells(table, column.name) for column in columns}
    blocks = {}
    for kind, dtype, convert in (
        ("numeric", np.float32, _standardise),
        ("categorical", np.int32, _codes),
    ):
        chosen = [column for column in columns if column.kind == kind]
        if not chosen:
            continue
        value = np.empty((len(table), len(chosen)), dtype)
        mask = np.empty((len(table), len(chosen)), bool)
        for j, column in enumerate(chosen):
            value[:, j], mask[:, j] = convert(column, taken[column.name])
        blocks[kind] = Observed(value, mask)
    return blocks


def decode(columns: Sequence[Column], blocks: Mapping[str, np.ndarray], backend: Backend = "pandas") -> Any:
    """Turn arrays back into a frame: the inverse of `encode`, for cells none of which is missing.

    Args:
        columns: the columns that the blocks hold, as a schema holds them.
        blocks: `"numeric"` [n, d] and `"categorical"` [n, k], as `encode` lays them out.
        backend: whose frame to make.

    Returns:
        A frame of n rows with `columns` in their order. Integers are rounded and kept within the
        range of their type; categories and booleans are levels again.

    Raises:
        TableError: when a block has not one column for each that it should hold, a whole number
            is not finite, or a code has no level.

    Example:
        >>> columns = [Column("a", "target", "numeric", "int64", mean=2.0, sd=0.5)]
        >>> decode(columns, {"numeric": np.array([[2.1], [0.0]])}, "pyarrow")["a"].to_pylist()
        [3, 2]
    """
    taken = {name: iter(np.asarray(block).T) for name, block in blocks.items()}
    _check_widths(columns, blocks)
    arrays = []
    for column in columns:
        convert = _destandardise if column.kind == "numeric" else _from_codes
        arrays.append(convert(column, next(taken[column.kind])))
    table = pa.table(arrays, names=[str(column.name) for column in columns])
    frame = nw.from_arrow(table, backend=backend)
    if backend == "polars":  # which reads ordered categories as unordered
        order = {c.name: nw.Enum(c.declared) for c in columns if _text(c.declared)}
        frame = frame.with_columns(nw.col(name).cast(enum) for name, enum in order.items())
    return frame.to_native()


def levels(columns: Sequence[Column]) -> tuple[int, ...]:
    """How many levels each column of the categorical block has, in its order.

    Example:
        >>> levels([Column("sex", "given", "categorical", "string", levels=("f", "m"))])
        (2,)
    """
    return tuple(len(column.levels) for column in columns if column.kind == "categorical")


def log_scale(columns: Sequence[Column], mask_numeric: np.ndarray) -> np.ndarray:
    """What standardising added to each row's log-density: the sum of log sd over observed cells.

    `log p(row in the user's units) = log p(standardised row) − log_scale`, since standardising
    divides each observed numeric cell by its sd.

    Args:
        columns: the target columns.
        mask_numeric: bool [n, d], the mask of the numeric block.

    Returns:
        float64 [n].

    Example:
        >>> columns = [Column("a", "target", "numeric", "double", sd=np.e)]
        >>> log_scale(columns, np.array([[True], [False]]))
        array([1., 0.])
    """
    log_sd = np.log([column.sd for column in columns if column.kind == "numeric"])
    return np.asarray(mask_numeric, np.float64) @ log_sd


def _standardise(column: Column, found: Cells) -> tuple[np.ndarray, np.ndarray]:
    if found.empty:
        return _nothing(found)
    if not found.numeric:
        raise TableError(_wrong_kind(column, found))
    values, mask = numbers(found)
    with np.errstate(over="ignore"):
        standard = np.where(mask, (values - column.mean) / column.sd, 0.0)
    if (wrong := np.abs(standard) > np.finfo(np.float32).max).any():
        row = int(np.argmax(wrong))
        raise TableError(
            f"column {column.name!r}, row {row + 1} ({values[row]:g}) is beyond float32 once "
            f"standardised (mean {column.mean:g}, sd {column.sd:g}); correct the cell or empty it"
        )
    return standard.astype(np.float32), mask


def _codes(column: Column, found: Cells) -> tuple[np.ndarray, np.ndarray]:
    if found.empty:
        return _nothing(found)
    if not _accepts(column, found):
        raise TableError(_wrong_kind(column, found))
    code_of = {level: code for code, level in enumerate(column.levels)}
    # A level such as "1" may come as a number, from a reader that saw no other level.
    as_level = str if _text(column.levels) else lambda value: value
    unique = found.array.dictionary_encode()
    code_of_unique = np.array([code_of.get(as_level(v), -1) for v in unique.dictionary.to_pylist()])
    mask = np.asarray(unique.is_valid())
    codes = np.where(mask, code_of_unique[np.asarray(unique.indices.fill_null(0))], 0)
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise TableError(_unseen(column, found.array[row].as_py(), row))
    return codes, mask


def _accepts(column: Column, found: Cells) -> bool:
    """Whether cells of this type can be levels of the column."""
    kind, types = found.array.type, pa.types
    if _text(column.levels):
        return types.is_large_string(kind) or types.is_integer(kind)
    if types.is_boolean(kind) or isinstance(column.levels[0], bool):
        return types.is_boolean(kind) and isinstance(column.levels[0], bool)
    return types.is_integer(kind) or types.is_floating(kind)


def _nothing(found: Cells) -> tuple[np.ndarray, np.ndarray]:
    # Whatever its type: a reader that sees no cell of a column cannot tell what it holds.
    return np.zeros(len(found.array)), np.zeros(len(found.array), bool)


def _text(values: tuple[Any, ...]) -> bool:
    return bool(values) and isinstance(values[0], str)


def _wrong_kind(column: Column, found: Cells) -> str:
    row = int(np.argmax(np.asarray(found.array.is_valid())))
    was = "true or false" if column.boolean else "numeric" if column.kind == "numeric" else "text"
    if column.kind == "categorical" and not (column.boolean or _text(column.levels)):
        was = "a category of numbers"
    return (
        f"column {column.name!r} was {was} when the model was fitted and is {found.type_name} "
        f"here (row {row + 1}: {found.array[row].as_py()!r}); give it the type it had"
    )


def _unseen(column: Column, value: Any, row: int) -> str:
    shown = ", ".join(map(repr, column.levels[:8])) + (", ..." if len(column.levels) > 8 else "")
    return (
        f"column {column.name!r}, row {row + 1}: the category {value!r} was not there when the "
        f"model was fitted; use one of {shown}, or leave the cell empty"
    )


def _check_widths(columns: Sequence[Column], blocks: Mapping[str, np.ndarray]) -> None:
    for kind in ("numeric", "categorical"):
        expected = sum(column.kind == kind for column in columns)
        shape = np.shape(blocks[kind]) if kind in blocks else (0, 0)
        if len(shape) != 2 or shape[1] != expected:
            raise TableError(f"expected a {kind} block of shape [n, {expected}], got {shape}")


def _destandardise(column: Column, standard: np.ndarray) -> pa.Array:
    values = standard.astype(np.float64) * column.sd + column.mean
    target = pa.type_for_alias(column.dtype)
    if not column.integer:
        return pa.array(values.astype(target.to_pandas_dtype()))
    if not np.isfinite(values).all():
        raise TableError(f"column {column.name!r}: cannot round a cell that is not finite")
    limits = np.iinfo(target.to_pandas_dtype())
    # The largest 64-bit integers have no float64 of their own: stop one float short of them.
    high = float(limits.max)
    high = np.nextafter(high, 0) if int(high) > limits.max else high
    return pa.array(np.clip(np.rint(values), limits.min, high).astype(limits.dtype))


def _from_codes(column: Column, codes: np.ndarray) -> pa.Array:
    if codes.size and (codes.min() < 0 or codes.max() >= len(column.levels)):
        raise TableError(f"column {column.name!r} has {len(column.levels)} levels; got a code beyond")
    if column.dtype != "category":
        known = pa.array(column.levels, pa.type_for_alias(column.dtype))
        return known.take(pa.array(codes.astype(np.int64)))
    if not column.declared:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), column.levels)
    place = np.array([column.declared.index(level) for level in column.levels], np.int32)
    return pa.DictionaryArray.from_arrays(place[codes], column.declared, ordered=True)
