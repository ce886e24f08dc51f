"""Columns by name or by pattern, as people write them."""

import csv
import io
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from condvae.tables.cells import suggestion
from condvae.tables.errors import TableError


def match_names(
    text_or_list: str | Iterable[Any], columns: Sequence[Any], what: str = "given"
) -> list[Any]:
    """The columns that names and patterns stand for.

    A pattern has `*` for any characters, `?` for one, `[abc]` for one of these; upper and lower case
    differ. What is the name of a column means that column, even if it would be a pattern too. Spaces
    around names are forgiven.

    Args:
        text_or_list: names and patterns: a text, separated by commas and in double quotes where a
            name itself has commas; or a list of them.
        columns: the names of the table's columns.
        what: the argument, for the error message.

    Returns:
        The names as the table has them, each once, in the order asked for; those of one pattern in the
        order of the table.

    Raises:
        TableError: for a name or a pattern that fits no column.

    Example:
        >>> match_names("mass, bill_*", ["bill_length", "bill_depth", "mass"])
        ['mass', 'bill_length', 'bill_depth']
    """
    wanted = _pieces(text_or_list, what) if isinstance(text_or_list, str) else list(text_or_list)
    matches = [name for piece in wanted for name in _match(piece, columns, what)]
    return list(dict.fromkeys(matches))


def level_name(column: Any, level: Any) -> str:
    """What a column about one level of a column is called: `column=level`.

    The column's name is in double quotes where it has an equals sign, or starts with such a quote: no two
    levels of any columns are called alike.

    Example:
        >>> level_name("a", "b=c"), level_name("a=b", "c"), level_name("dose", 1.0)
        ('a=b=c', '"a=b"=c', 'dose=1')
    """
    name = str(column)
    if "=" in name or name.startswith('"'):
        name = '"' + name.replace('"', '""') + '"'
    return f"{name}={level_text(level)}"


def level_text(level: Any) -> str:
    """A level in words: whole numbers without a point.

    Example:
        >>> level_text(1.0), level_text(0.1), level_text("red"), level_text(True)
        ('1', '0.1', 'red', 'True')
    """
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)


def join_names(names: Iterable[Any]) -> str:
    """Names in one text, as `match_names` reads them: in double quotes where a name has a comma.

    Example:
        >>> join_names(["red", "dark, blue"])
        'red,"dark, blue"'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([level_text(name) for name in names])
    return text.getvalue()


def apart(wanted: Sequence[str], taken: Iterable[Any]) -> list[str]:
    """Names for columns that are added to a table, with underscores behind those that the table has.

    The table's names are its owner's: what is added gives way.

    Example:
        >>> apart(["row", "draw"], ["row", "row_", "x"])
        ['row__', 'draw']
    """
    known, names = {str(name) for name in taken}, []
    for name in wanted:
        while name in known:
            name += "_"
        known.add(name)
        names.append(name)
    return names


def _pieces(text: str, what: str) -> list[str]:
    try:
        row = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise TableError(
            "{what}: {text!q} is no list of names ({reason})",
            remedy="write name,name,...",
            what=what,
            text=text,
            reason=str(error),
        ) from error
    return [piece for piece in row if piece.strip()]


def _match(piece: Any, columns: Sequence[Any], what: str) -> list[Any]:
    if piece in columns:
        return [piece]
    wanted = str(piece).strip()
    if close := [name for name in columns if str(name).strip() == wanted]:
        return close[:1]
    if not any(sign in wanted for sign in "*?["):
        raise TableError(
            "{what}: the table has no column {column!q}",
            remedy="{suggestion}",
            column=wanted,
            what=what,
            suggestion=suggestion(wanted, columns),
        )
    if not (matched := [name for name in columns if fnmatchcase(str(name).strip(), wanted)]):
        raise TableError(
            "{what}: no column matches {wanted!q}",
            remedy="{suggestion}",
            what=what,
            wanted=wanted,
            suggestion=suggestion(wanted, columns),
        )
    return matched
