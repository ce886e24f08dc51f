"""What a user should know of how the columns of a table were read, as data; and in sentences."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from narwhals.typing import IntoDataFrame

from condvae.tables.cells import cells, open_frame
from condvae.tables.columns import MANY_LEVELS, Column
from condvae.tables.readings import checked, measured
from condvae.tables.schema import Schema
from condvae.tables.text_numbers import is_code
from condvae.text import quote

FEW_ROWS = 5
"""Below so many, that all cells differ says nothing."""

SOME_ROWS = 20
"""From so many on, whole numbers that are all different are said to be, in whatever order they are."""


@dataclass(frozen=True)
class Note:
    """What a column was read as, or looks like.

    Attributes:
        column: its name.
        kind: what its cells were read as; "codes" and "odd" for text, most of which could be numbers; or
            "row number" or "identifier".
        count: how many cells that is said of.
        example: one of them.
        remedy: what to do if that is not what the column is.
        what: the kind in words, with its format or unit.

    Example:
        >>> print(Note("a", "number", 2, "$1,702", "read={'a': 'text'} keeps text", "numbers ($)").words())
        column 'a': 2 cells such as '$1,702' were read as numbers ($); read={'a': 'text'} keeps text
    """

    column: Any
    kind: Literal["number", "date", "time", "duration", "codes", "odd", "row number", "identifier"]
    count: int
    example: str
    remedy: str
    what: str = ""

    def words(self) -> str:
        """The sentence."""
        name, cells = quote(self.column), f"{self.count:,} cells such as {quote(self.example)}"
        if self.count == 1:
            cells = f"1 cell, {quote(self.example)},"
        were, are = ("was", "is") if self.count == 1 else ("were", "are")
        if self.kind == "row number":
            said = f"column {name} has a different whole number in each of {self.count:,} rows"
        elif self.kind == "identifier":
            said = f"column {name} {self.what}, as an identifier has"
        elif self.kind == "codes":
            said = f"column {name}: {cells} {are} written as a code, so the column was read as text"
        elif self.kind == "odd":
            said = f"column {name}: {cells} {are} not like the others, so the column was read as text"
        else:
            said = f"column {name}: {cells} {were} read as {self.what}"
        return f"{said}; {self.remedy}"


def notes_on(schema: Schema, given: IntoDataFrame | None, target: IntoDataFrame) -> list[Note]:
    """What columns were read as, and which look as if they numbered or named the rows.

    Args:
        schema: of the table.
        given: rows of the conditions, all or many of them; None without.
        target: rows of the targets.
    """
    notes = of_readings((*schema.given, *schema.target))
    if given is not None:
        notes += of_identifiers(schema.given, given)
    return notes + of_identifiers(schema.target, target)


def of_readings(columns: tuple[Column, ...]) -> list[Note]:
    """What cells of another type were read as.

    Example:
        >>> from condvae.tables import Schema
        >>> import pyarrow as pa
        >>> schema = Schema.infer(pa.table({"a": ["45%", "7%", "12%"]}), target=["a"])
        >>> of_readings(schema.target)[0].kind
        'number'
    """
    notes = []
    for column in columns:
        reading = column.reading
        if reading is None or not reading.count:
            continue
        kind: Any = reading.kind
        name = quote(str(column.name))
        remedy = f"read={{{name}: 'text'}} keeps text"
        if kind == "text":
            kind = "codes" if is_code(reading.example) else "odd"
            remedy = f"read={{{name}: 'number'}} reads numbers"
            if kind == "odd":
                remedy = f"missing=({quote(reading.example)},) counts such cells as missing"
        elif kind == "date" and reading.format == "%Y%m%d":
            remedy = f"read={{{name}: 'number'}} keeps numbers"
        elif not reading.example or column.kind == "categorical":
            continue
        notes.append(Note(column.name, kind, reading.count, reading.example, remedy, reading.in_words))
    return notes


def of_identifiers(columns: tuple[Column, ...], frame: IntoDataFrame) -> list[Note]:
    """Which columns look as if they numbered or named the rows.

    Args:
        columns: of a schema.
        frame: rows of the table, all or many of them.

    Example:
        >>> import pyarrow as pa
        >>> columns = (Column("id", "target", "numeric", "int64"),)
        >>> of_identifiers(columns, pa.table({"id": range(60)}))[0].kind
        'row number'
    """
    table = open_frame(frame)
    return [note for column in columns if (note := _identifier(column, table)) is not None]


def _identifier(column: Column, table: Any) -> Note | None:
    if column.kind == "datetime" or len(table) < FEW_ROWS:
        return None
    if column.kind == "categorical":
        levels = len(column.levels)
        if not FEW_ROWS <= levels <= MANY_LEVELS or 2 * levels <= len(table) or column.boolean:
            return None
        what = f"has {levels:,} different values in {len(table):,} rows"
        remedy = "drop it if it is one, or group its values"
        return Note(column.name, "identifier", levels, str(column.levels[0]), remedy, what)
    measured_in = column.reading is not None and column.reading.unit
    if measured_in or (column.minimum is not None and column.minimum != np.rint(column.minimum)):
        return None
    values, mask = measured(column, checked(column, cells(table, column.name)))
    values = np.sort(values[mask])
    if len(values) < len(table) or (values != np.rint(values)).any() or (np.diff(values) == 0).any():
        return None
    consecutive = bool((np.diff(values) == 1).all())
    if not consecutive and len(values) < SOME_ROWS:
        return None
    return Note(column.name, "row number", len(values), f"{values[0]:g}", "drop it if it numbers the rows")
