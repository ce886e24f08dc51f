"""Which columns are conditions, which are targets, and which tell how rows are held out."""

import csv
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from condvae.text import listed


class Roles(NamedTuple):
    """The columns by what they are for.

    Attributes:
        given: the conditions.
        target: the targets.
        group: the column of whole groups, or None.
        time: the column of time, or None.
        unused: columns of the table that are none of these.
        dropped: columns that are done without.
    """

    given: list[str]
    target: list[str]
    group: str | None
    time: str | None
    unused: list[str]
    dropped: list[str]


def choose(
    columns: Sequence[str],
    *,
    given: str = "",
    target: str = "",
    drop: str | None = None,
    group: str | None = None,
    time: str | None = None,
    index: str | None = None,
) -> Roles:
    """Sort columns by the options that name them.

    What is dropped, and the columns of groups, time and row numbers (`index`), no pattern
    matches; the latter can be named outright. Without --target it is all that is left.

    Raises:
        TableError: for names and patterns that fit nothing, and for a column that is to be two things.

    Example:
        >>> choose(["a_1", "a_2", "site", "y"], given="a_*", group="site").target
        ['y']
    """
    from condvae.tables import TableError, match_names

    # The column without a name is dropped by no name.
    dropped = [""] if drop == "" and "" in columns else match_names(drop or "", columns, what="--drop")
    named = {"--given": given, "--target": target, "--group-column": group, "--time-column": time}
    for option, text in named.items():
        texts = _pieces(text or "") if option in ("--given", "--target") else [text]
        if both := [name for name in dropped if name.strip() in texts]:
            raise TableError(
                "column {column!q} is both in --drop and in {option}",
                remedy="leave it out of one",
                column=both[0],
                option=option,
            )
    left = [name for name in columns if name not in dropped]
    if not left:
        raise TableError("--drop leaves no column of the table", remedy="drop fewer")
    if group is not None and time is not None:
        raise TableError(
            "rows are held out by groups or by time", remedy="give --group-column or --time-column"
        )
    group, time = _single(group, left, "--group-column"), _single(time, left, "--time-column")
    special = {name for name in (group, time, index) if name is not None}

    def pick(text: str, what: str) -> list[str]:
        outright = _pieces(text)
        matches = match_names(text, left, what=what)
        return [name for name in matches if name not in special or name.strip() in outright]

    conditions, targets = pick(given, "--given"), pick(target, "--target")
    if target.strip() and not targets:
        raise TableError(
            "--target {target!q} names no column", remedy="name at least one to model", target=target
        )
    if both := [name for name in targets if name in conditions]:
        raise TableError(
            "column {column!q} is both given and a target", remedy="leave it out of one", column=both[0]
        )
    targets = targets or [name for name in left if name not in conditions and name not in special]
    if not targets:
        raise TableError(
            "every column is given, dropped or for holding out rows", remedy="leave one to model"
        )
    unused = [name for name in left if name not in {*conditions, *targets, *special}]
    return Roles(conditions, targets, group, time, unused, dropped)


def _pieces(text: str) -> list[str]:
    try:
        return [piece.strip() for piece in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error:  # which match_names refuses in a sentence
        return []


def _single(name: str | None, columns: Sequence[str], what: str) -> str | None:
    from condvae.tables import TableError, match_names

    if name is None:
        return None
    matches = match_names([name], columns, what=what)
    if len(matches) != 1:
        raise TableError(
            "{what} {name!q} stands for {matches} columns",
            remedy="name one",
            what=what,
            name=name,
            matches=len(matches),
        )
    return matches[0]


def groups_of(table: Any, name: str | None) -> Any:
    """The group of each row.

    Raises:
        TableError: for a row without one.
    """
    import numpy as np

    if name is None:
        return None
    return np.array([str(cell) for cell in _complete(table, name, "--group-column")])


def times_of(table: Any, name: str | None, read: dict[str, str] | None = None) -> Any:
    """The time of each row, as numbers in its order.

    Raises:
        TableError: for a row without one, and for text, whose order is not that of time.
    """
    import pyarrow as pa

    from condvae.tables import Reading, TableError, reading_of
    from condvae.tables.cells import Cells
    from condvae.tables.text_cells import read_cells

    if name is None:
        return None
    asked = Reading.asked_for((read or {})[name], name) if name in (read or {}) else None
    _complete(table, name, "--time-column")
    column = table[name].combine_chunks()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        cells = Cells(name, column.cast(pa.large_string()))
        if (reading := reading_of(cells, asked)) is not None:
            column = read_cells(name, cells.array, reading)
            kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        zone = getattr(kind, "tz", None)
        return column.cast(pa.timestamp("us", tz=zone)).cast("int64").to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.to_numpy(zero_copy_only=False)
    raise TableError(
        "--time-column: column {column!q} is neither of numbers nor of dates (row {row}: {cell!q})",
        remedy="write dates as 2024-03-31",
        column=name,
        row=0,
        cell=column[0].as_py(),
    )


def _complete(table: Any, name: str, what: str) -> list[Any]:
    from condvae.tables import TableError

    cells = table[name].to_pylist()
    for row, cell in enumerate(cells):
        if cell is None or cell != cell:
            raise TableError(
                "{what}: column {column!q}, row {row} is empty",
                remedy="give every row one, or leave the row out",
                column=name,
                row=row,
                what=what,
            )
    return cells


def likelihoods(options: list[str], target: list[str]) -> dict[str, str] | None:
    """`--likelihood COLUMN=NAME` as a dictionary; None where there is none.

    Raises:
        TableError: for what is not of that form, or names no target, or one twice.
    """
    from condvae.tables import TableError

    names: dict[str, str] = {}
    for option in options:
        column, equals, name = option.partition("=")
        # A column's own name may have an equals sign in it.
        for known in sorted(target, key=len, reverse=True):
            if option.startswith(f"{known}="):
                column, name = known, option[len(known) + 1 :]
                break
        if not equals or not name.strip():
            raise TableError(
                "--likelihood is {option!q}",
                remedy="write COLUMN=NAME, such as claims=negative_binomial",
                option=option,
            )
        if column not in target:
            raise TableError(
                "--likelihood names {column!q}, which is no target",
                remedy="the targets are {targets}",
                column=column,
                targets=listed(target),
            )
        if column in names:
            raise TableError(
                "--likelihood names column {column!q} twice", remedy="name it once", column=column
            )
        names[column] = name
    return names or None


def readings(option: str, columns: Sequence[str] | None = None) -> dict[str, str] | None:
    """`--read 'hp=number, day=date(%d.%m.%Y)'` as a dictionary; None where there is none.

    Args:
        option: what the user wrote.
        columns: of the table, of which a name may be a pattern; None where they are not known yet.

    Raises:
        TableError: for what is not of that form, or names no column, or one twice.

    Example:
        >>> readings("hp=number, day=date(%b %d, %Y)")
        {'hp': 'number', 'day': 'date(%b %d, %Y)'}
    """
    from condvae.tables import Reading, TableError, match_names

    # A column's own name may have an equals sign or a comma in it.
    names = "|".join([*map(re.escape, sorted(columns or (), key=len, reverse=True)), ".+?"])
    piece = re.compile(
        rf"[\s,]*(?P<name>{names})\s*=\s*(?P<kind>\w+\s*(?:\([^()]*\))?)\s*(?:,|$)", re.DOTALL
    )
    asked: dict[str, str] = {}
    place = 0
    while option[place:].strip(" ,"):
        if (match := piece.match(option, place)) is None:
            raise TableError(
                "--read is {option!q}",
                remedy="write COLUMN=KIND, such as 'hp=number, zip=text, day=date(%d.%m.%Y)'",
                option=option,
            )
        place = match.end()
        Reading.asked_for(match["kind"], match["name"])
        for name in [match["name"]] if columns is None else match_names([match["name"]], columns, "--read"):
            if name in asked:
                raise TableError("--read names column {column!q} twice", remedy="name it once", column=name)
            asked[name] = match["kind"]
    return asked or None


def words(option: str) -> tuple[str, ...]:
    """`--missing '?,-'` as texts.

    Example:
        >>> words("?, -,n/a")
        ('?', '-', 'n/a')
    """
    return tuple(piece for piece in _pieces(option) if piece)
