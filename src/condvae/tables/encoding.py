"""Between data frames and arrays, by the numbers of a schema.

A frame becomes at most two blocks, `"numeric"` (standardised, float32) and `"categorical"` (codes,
int32), each an `Observed` whose columns stand in schema order, several for a date. Decoding takes
blocks back into a frame.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from narwhals.typing import IntoDataFrame

from condvae.observed import Observed
from condvae.sentences import Argument
from condvae.tables.cells import Cells, cells, open_frame
from condvae.tables.columns import Column
from condvae.tables.errors import TableError
from condvae.tables.readings import UNSEEN, as_read, checked, coded, is_text, measured
from condvae.tables.recording import recorded
from condvae.tables.supports import described
from condvae.tables.times import calendar
from condvae.text import quote

Backend = Literal["pandas", "polars", "pyarrow"]
Unseen = Literal["error", "missing"]


def encode(
    columns: Sequence[Column], frame: IntoDataFrame, unseen: Unseen = "error"
) -> dict[str, Observed] | None:
    """Turn a frame's cells into arrays.

    Args:
        columns: the columns to encode, as a schema holds them.
        frame: a table of n rows with at least these columns, in any order.
        unseen: what becomes of a category that was not there at fitting, in a column without a level
            for others, and of a number that the column's likelihood cannot give: `"error"`, or
            `"missing"`, a missing cell.

    Returns:
        `{"numeric": Observed(float32 [n, d], bool [n, d]), "categorical": Observed(int32 [n, k],
        bool [n, k])}`, without the block that has no columns; None where there are no columns at
        all. A missing cell has value 0 and mask False. A column takes `Column.width` columns of its
        block: one, and for a date a sine and a cosine for each of its parts.

    Raises:
        TableError: for a missing column, a cell of the wrong kind, an unseen category, or a number
            that is infinite, too large, or none that the column's likelihood can give.

    Example:
        >>> columns = [Column("a", "given", "numeric", "double", mean=2.0, sd=0.5)]
        >>> encode(columns, pa.table({"a": [3.0, None]}))["numeric"]
        Observed(value=array([[2.], [0.]], dtype=float32), mask=array([[ True], [False]]))
    """
    if not columns:
        return None
    if unseen not in get_args(Unseen):
        raise TableError(
            "{argument}, expected 'error' or 'missing'",
            remedy="pass one of them",
            argument=Argument("unseen", unseen),
        )
    table = open_frame(frame)
    taken = {column.name: cells(table, column.name) for column in columns}
    blocks = {}
    for block, dtype in (("numeric", np.float32), ("categorical", np.int32)):
        chosen = [column for column in columns if column.block == block]
        if not chosen:
            continue
        ends = np.cumsum([column.width for column in chosen])
        value = np.empty((len(table), ends[-1]), dtype)
        mask = np.empty((len(table), ends[-1]), bool)
        for column, end in zip(chosen, ends, strict=True):
            span, column_cells = slice(end - column.width, end), checked(column, taken[column.name])
            if block == "numeric":
                value[:, span], mask[:, span] = _standardise(column, column_cells, unseen)
            else:
                value[:, span], mask[:, span] = _codes(column, column_cells, unseen)
        blocks[block] = Observed(value, mask)
    return blocks


def decode(
    columns: Sequence[Column],
    blocks: Mapping[str, np.ndarray],
    backend: Backend = "pandas",
    *,
    observed: IntoDataFrame | None = None,
) -> Any:
    """Turn arrays back into a frame: the inverse of `encode`, for cells none of which is missing.

    Args:
        columns: the columns that the blocks hold, as a schema holds them.
        blocks: `"numeric"` [n, d] and `"categorical"` [n, k], as `encode` lays them out.
        backend: whose frame to make.
        observed: a frame of the same rows, whose numbers are kept as they are where they are not
            missing: through standardising and back they would change in the last digits. So are levels
            that were never seen.

    Returns:
        A frame of n rows with `columns` in their order. Integers are rounded and kept within the
        range of their type; categories and booleans are levels again.

    Raises:
        TableError: when a block has not one column for each that it should hold, a whole number
            is not finite, a code has no level, or a column is of dates, which float32 would round.

    Example:
        >>> columns = [Column("a", "target", "numeric", "int64", mean=2.0, sd=0.5)]
        >>> decode(columns, {"numeric": np.array([[2.1], [0.0]])}, "pyarrow")["a"].to_pylist()
        [3, 2]
    """
    taken = {name: iter(np.asarray(block).T) for name, block in blocks.items()}
    _check_decodable(columns, blocks)
    arrays = []
    for column in columns:
        convert = _destandardise if column.kind == "numeric" else _from_codes
        array = convert(column, next(taken[column.block]))
        if observed is not None:
            observed_cells = as_read(column, cells(open_frame(observed), column.name))
            array = _as_observed(column, array, observed_cells)
        arrays.append(array)
    table = pa.table(arrays, names=[str(column.name) for column in columns])
    frame = nw.from_arrow(table, backend=backend)
    if backend == "polars":  # which reads ordered categories as unordered
        order = {
            column.name: nw.Enum([str(level) for level in column.declared])
            for column, array in zip(columns, arrays, strict=True)
            if is_text(column.declared) and pa.types.is_dictionary(array.type)
        }
        frame = frame.with_columns(nw.col(name).cast(enum) for name, enum in order.items())
    return frame.to_native()


def _as_observed(column: Column, array: pa.Array, observed: Cells) -> pa.Array:
    """The observed cells that their codes or standardised values do not stand for exactly, put back."""
    original = observed.array
    if column.kind == "numeric":
        if column.integer and not _whole(original):
            array = array.cast(pa.float64())  # whole at fitting, and not here: nothing is cut off
        kept = original.is_valid()
    else:
        kept = pa.array((coded(column, observed)[0] == UNSEEN) & np.asarray(original.is_valid()))
        if not pc.call_function("any", [kept]).as_py():
            return array
        array = array.cast(pa.string())
    return pc.call_function("if_else", [kept, original.cast(array.type, safe=False), array])


def column_at(columns: Sequence[Column], block: str, place: int) -> Column:
    """Whose number stands at a place of a block, as `encode` lays them out.

    Example:
        >>> columns = [Column("a", "given", "numeric", "double"), Column("b", "given", "numeric", "double")]
        >>> column_at(columns, "numeric", 1).name
        'b'
    """
    chosen = [column for column in columns if column.block == block]
    ends = np.cumsum([column.width for column in chosen])
    return chosen[int(np.searchsorted(ends, place, side="right"))]


def places_of(columns: Sequence[Column], column: Column) -> slice:
    """Where a column stands in its block: a date takes several places."""
    before = 0
    for other in columns:
        if other is column:
            break
        before += other.width if other.block == column.block else 0
    return slice(before, before + column.width)


def only(
    columns: Sequence[Column], blocks: Mapping[str, Observed], column: Column, others: bool = False
) -> dict[str, Observed]:
    """The blocks in which only the cells of one column are observed; or only those of the others.

    Args:
        columns: all columns of the blocks.
        blocks: as `encode` makes them.
        column: the one, of `columns`.
        others: whether it is the one to leave out.
    """
    kept = {}
    for name, block in blocks.items():
        of_column = np.zeros_like(block.mask)
        if name == column.block:
            of_column[:, places_of(columns, column)] = True
        kept[name] = Observed(block.value, block.mask & (of_column != others))
    return kept


def levels(columns: Sequence[Column]) -> tuple[int, ...]:
    """How many levels each column of the categorical block has, in its order: one for others included.

    Example:
        >>> levels([Column("sex", "given", "categorical", "string", levels=("f", "m"))])
        (2,)
    """
    return tuple(len(column.levels) + column.other for column in columns if column.kind == "categorical")


def _standardise(column: Column, cells: Cells, unseen: Unseen) -> tuple[np.ndarray, np.ndarray]:
    values, mask = measured(column, cells)
    if unseen == "error":
        _require_possible(column, values, mask)
    elif column.likelihood is not None:
        mask = mask & column.possible(values)
    with np.errstate(over="ignore"):
        standard = np.where(mask, (values - column.mean) / column.sd, 0.0)
    if (wrong := np.abs(standard) > np.finfo(np.float32).max).any():
        row = int(np.argmax(wrong))
        raise TableError(
            "column {column!q}, row {row} ({value:g}) is beyond float32 once standardised "
            "(mean {mean:g}, sd {sd:g})",
            remedy="correct the cell or empty it",
            column=column.name,
            row=row,
            value=values[row],
            mean=column.mean,
            sd=column.sd,
        )
    numbers = standard[:, None]
    if column.parts and mask.any():
        numbers = np.hstack([numbers, calendar(cells, column.parts)])
    return numbers, mask[:, None]


def _require_possible(column: Column, values: np.ndarray, mask: np.ndarray) -> None:
    if (likelihood := column.likelihood) is None:
        return
    if (wrong := mask & ~column.possible(values)).any():
        row = int(np.argmax(wrong))
        held = likelihood.range if column.universal is None else described(column.universal)
        raise TableError(
            "column {column!q}, row {row} ({value:g}): its likelihood is {family}, of {held}",
            remedy="correct the cell or empty it, or fit with another likelihood, such as {likelihoods}",
            column=column.name,
            row=row,
            value=values[row],
            family=likelihood.family,
            held=held,
            likelihoods=Argument("likelihoods", {column.name: "student_t"}),
        )


def _codes(column: Column, cells: Cells, unseen: Unseen) -> tuple[np.ndarray, np.ndarray]:
    codes, mask = coded(column, cells)
    if (strange := codes == UNSEEN).any():
        if column.other:
            codes = np.where(strange, len(column.levels), codes)
        elif unseen == "missing":
            codes, mask = np.where(strange, 0, codes), mask & ~strange
        else:
            row = int(np.argmax(strange))
            raise _unseen(column, cells.array[row].as_py(), row)
    return codes[:, None], mask[:, None]


def _unseen(column: Column, level: Any, row: int) -> TableError:
    fit = " (fitting with {unknown} accepts such levels)" if column.role == "given" else ""
    return TableError(
        "column {column!q}, row {row}: the level {level!q} was not there when the model was fitted",
        remedy="use one of {levels}, or leave the cell empty" + fit,
        column=column.name,
        row=row,
        level=level,
        levels=", ".join(map(quote, column.levels[:8])) + (", ..." if len(column.levels) > 8 else ""),
        unknown=Argument("unknown", "other"),
    )


def _check_decodable(columns: Sequence[Column], blocks: Mapping[str, np.ndarray]) -> None:
    if dates := [column.name for column in columns if column.kind == "datetime"]:
        raise TableError(
            "column {column!q} is of dates, which are not decoded", remedy="leave it out", column=dates[0]
        )
    for kind in ("numeric", "categorical"):
        expected = sum(column.width for column in columns if column.block == kind)
        shape = np.shape(blocks[kind]) if kind in blocks else (0, 0)
        if len(shape) != 2 or shape[1] != expected:
            raise TableError(
                "expected a {kind} block of shape [n, {expected}], got {shape}",
                kind=kind,
                expected=expected,
                shape=shape,
            )


def _destandardise(column: Column, standard: np.ndarray) -> pa.Array:
    values = standard.astype(np.float64) * column.sd + column.mean
    target = pa.type_for_alias(column.dtype)
    if not column.integer:
        return pa.array(recorded(column, values).astype(target.to_pandas_dtype()))
    if not np.isfinite(values).all():
        raise TableError("column {column!q}: cannot round a cell that is not finite", column=column.name)
    limits = np.iinfo(target.to_pandas_dtype())
    # The largest 64-bit integers have no float64 of their own: stop one float short of them.
    high = float(limits.max)
    high = np.nextafter(high, 0) if int(high) > limits.max else high
    return pa.array(np.clip(recorded(column, values), limits.min, high).astype(limits.dtype))


def _whole(array: pa.Array) -> bool:
    if not pa.types.is_floating(array.type):
        return True
    values = array.drop_null().to_numpy(zero_copy_only=False)
    return bool((values == np.rint(values)).all())


def _from_codes(column: Column, codes: np.ndarray) -> pa.Array:
    if codes.size and (codes.min() < 0 or codes.max() >= len(column.levels)):
        raise TableError(
            "column {column!q} has {levels} levels, and got a code beyond",
            column=column.name,
            levels=len(column.levels),
        )
    if column.dtype != "category":
        known = pa.array(column.levels, pa.type_for_alias(column.dtype))
        return known.take(pa.array(codes.astype(np.int64)))
    if not column.declared:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), column.levels)
    place = np.array([column.declared.index(level) for level in column.levels], np.int32)
    return pa.DictionaryArray.from_arrays(place[codes], column.declared, ordered=True)
