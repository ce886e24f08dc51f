"""One column of a table, held against what the schema says of it: the checks that encoding and
comparing share, and the cells in the user's own units.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from condvae.tables.cells import Cells, numbers
from condvae.tables.columns import Column
from condvae.tables.errors import TableError
from condvae.tables.recognition import reading_of
from condvae.tables.text_cells import Reading, read_cells
from condvae.tables.times import in_zone, seconds

UNSEEN = -1  # the code of a category that is none of the column's levels


def checked(column: Column, cells: Cells) -> Cells:
    """The cells, read as the column was, if they are of its kind; those of dates by the clock of its zone.

    A column without any observed cell passes whatever its type: a reader that sees no cell of a column
    cannot tell what it holds.

    Raises:
        TableError: where the kind, or having a time zone, is not what it was at fitting.

    Example:
        >>> text = Cells("a", pa.array(["x"], pa.large_string()))
        >>> checked(Column("a", "given", "numeric", "double"), text)
        Traceback (most recent call last):
        condvae.tables.errors.TableError: column 'a' was numeric when the model was fitted and is text here
        (row 1: 'x'); give it the type it had, or correct the cell
    """
    cells = as_read(column, cells)
    if cells.empty:
        return cells
    if not _accepts(column, cells):
        raise _wrong_kind(column, cells)
    return in_zone(cells, column.zone) if column.kind == "datetime" else cells


def as_read(column: Column, cells: Cells) -> Cells:
    """The cells, read as the column was when the model was fitted.

    Raises:
        TableError: for a cell that cannot be.

    Example:
        >>> column = Column("a", "given", "numeric", "double", reading=Reading("number", ".", "%"))
        >>> as_read(column, Cells("a", pa.array(["45%"], pa.large_string()))).array.to_pylist()
        [45]
    """
    reading = column.reading
    text = pa.types.is_large_string(cells.array.type)
    if text and not cells.empty and (reading is None or reading.kind == "as is"):
        missing = () if reading is None else reading.missing
        if column.kind == "numeric":
            reading = _as_number(column, cells, missing)
        elif column.kind == "datetime":
            told = reading_of(cells, missing=missing)
            reading = told if told is not None and told.kind == "date" else reading
    if reading is None:
        return cells
    array = read_cells(column.name, cells.array, reading)
    return cells if array is cells.array else Cells(cells.name, array, cells.category, cells.declared)


def _as_number(column: Column, cells: Cells, missing: tuple[str, ...]) -> Reading:
    """How text is read in a column that held plain numbers: as such, in the way of its file."""
    reading = Reading("number", decimal=cells.decimal, missing=missing)
    try:
        read_cells(column.name, cells.array, reading)
    except TableError as error:
        raise _wrong_kind(column, cells, error.row) from error
    return reading


def measured(column: Column, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a numeric column, or a date's seconds since 1970, and where they are observed.

    Args:
        column: numeric or datetime.
        cells: its cells, as `checked` returns them.

    Returns:
        float64 [n], 0 where missing; bool [n].

    Raises:
        TableError: for a number that is infinite or too large.

    Example:
        >>> measured(Column("a", "given", "numeric", "double"), Cells("a", pa.array([1.5, None])))
        (array([1.5, 0. ]), array([ True, False]))
    """
    if cells.empty:
        return np.zeros(len(cells.array)), np.zeros(len(cells.array), bool)
    return seconds(cells) if column.kind == "datetime" else numbers(cells)


def coded(column: Column, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """The codes of a categorical column, and where its cells are observed.

    Args:
        column: categorical.
        cells: its cells, as `checked` returns them.

    Returns:
        int64 [n], 0 where missing and `UNSEEN` where the category is none of the levels; bool [n].

    Example:
        >>> column = Column("a", "given", "categorical", "string", levels=("f", "m"))
        >>> coded(column, Cells("a", pa.array(["m", None, "x"])))
        (array([ 1,  0, -1]), array([ True, False,  True]))
    """
    if cells.empty:
        return np.zeros(len(cells.array), np.int64), np.zeros(len(cells.array), bool)
    code_of = {level: code for code, level in enumerate(column.levels)}
    # A level such as "1" may come as a number, from a reader that saw no other level.
    as_level = str if is_text(column.levels) else lambda value: value
    unique = cells.array.dictionary_encode()
    code_of_unique = np.array([code_of.get(as_level(v), UNSEEN) for v in unique.dictionary.to_pylist()])
    mask = np.asarray(unique.is_valid())
    return np.where(mask, code_of_unique[np.asarray(unique.indices.fill_null(0))], 0), mask


def is_text(levels: tuple[Any, ...]) -> bool:
    """Whether levels are texts, and not numbers or booleans.

    Example:
        >>> is_text(("f", "m")), is_text((1, 2)), is_text(())
        (True, False, False)
    """
    return bool(levels) and isinstance(levels[0], str)


def _accepts(column: Column, cells: Cells) -> bool:
    if column.kind == "datetime":
        return cells.datetime
    if column.kind == "numeric":
        return cells.numeric
    kind, types = cells.array.type, pa.types
    if is_text(column.levels):
        return types.is_large_string(kind) or types.is_integer(kind)
    if types.is_boolean(kind) or isinstance(column.levels[0], bool):
        return types.is_boolean(kind) and isinstance(column.levels[0], bool)
    return types.is_integer(kind) or types.is_floating(kind)


def _wrong_kind(column: Column, cells: Cells, row: int | None = None) -> TableError:
    row = int(np.argmax(np.asarray(cells.array.is_valid()))) if row is None else row
    was = {"numeric": "numeric", "datetime": "a date or time"}.get(column.kind, "text")
    if column.kind == "categorical" and not is_text(column.levels):
        was = "true or false" if column.boolean else "a category of numbers"
    return TableError(
        "column {column!q} was {was} when the model was fitted and is {type} here (row {row}: {cell})",
        remedy="give it the type it had, or correct the cell",
        column=column.name,
        row=row,
        was=was,
        type=cells.type_name,
        cell=cells.shown(row),
    )
