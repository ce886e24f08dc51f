"""What a user should know of how the columns of a table were read, as data; and in sentences."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from narwhals.typing import IntoDataFrame

from condvae.sentences import Argument, Text
from condvae.tables.cells import cells, open_frame
from condvae.tables.columns import MANY_LEVELS, Column
from condvae.tables.readings import checked, measured
from condvae.tables.schema import Schema
from condvae.tables.text_numbers import is_code

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
        remedy: what to do if that is not what the column is; `{argument}` in it stands for the argument.
        what: the kind in words, with its format or unit.
        argument: what to say to the library for the remedy.

    Example:
        >>> text = Argument("read", {"a": "text"})
        >>> print(Note("a", "number", 2, "$1,702", "{argument} keeps text", "numbers ($)", text).words())
        column 'a': 2 cells such as '$1,702' were read as numbers ($); read={'a': 'text'} keeps text
    """

    column: Any
    kind: Literal["number", "date", "time", "duration", "codes", "odd", "row number", "identifier"]
    count: int
    example: str
    remedy: str
    what: str = ""
    argument: Argument | None = None

    def words(self) -> Text:
        """The sentence."""
        cells = "1 cell, {example!q}," if self.count == 1 else "{count:,} cells such as {example!q}"
        were, are = ("was", "is") if self.count == 1 else ("were", "are")
        if self.kind == "row number":
            said = "column {column!q} has a different whole number in each of {count:,} rows"
        elif self.kind == "identifier":
            said = "column {column!q} {what}, as an identifier has"
        elif self.kind == "codes":
            said = f"column {{column!q}}: {cells} {are} written as a code, so the column was read as text"
        elif self.kind == "odd":
            said = f"column {{column!q}}: {cells} {are} not like the others, so the column was read as text"
        else:
            said = f"column {{column!q}}: {cells} {were} read as {{what}}"
        return Text(f"{said}; {self.remedy}", **vars(self))


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
        argument, remedy = Argument("read", {str(column.name): "text"}), "{argument} keeps text"
        if kind == "text":
            kind = "codes" if is_code(reading.example) else "odd"
            argument, remedy = (
                replace(argument, value={str(column.name): "number"}),
                "{argument} reads numbers",
            )
            if kind == "odd":
                argument = Argument("missing", (reading.example,))
                remedy = "{argument} counts such cells as missing"
        elif kind == "date" and reading.format == "%Y%m%d":
            argument, remedy = (
                replace(argument, value={str(column.name): "number"}),
                "{argument} keeps numbers",
            )
        elif not reading.example or column.kind == "categorical":
            continue
        more = (reading.count, reading.example, remedy, reading.in_words, argument)
        notes.append(Note(column.name, kind, *more))
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
