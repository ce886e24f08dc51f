"""Text files as people have them: their encoding, what separates cells, and where the table begins."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite

from condvae.tables.errors import TableError
from condvae.text import quote

SEPARATORS = (",", ";", "\t", "|")
LOOKED_AT = 2**18
"""Characters by which it is told what separates cells."""

RECORDS = 200
"""Lines likewise."""

STEADY = 0.75
"""The share of lines that must have one number of cells, where the file's name tells another separator."""

MOST_TITLES = 20
"""Lines above a table among which titles are looked for, and lines below among which footers are."""

MOST_COLUMNS = 50_000
"""Columns of a text file at most, each of which takes a fraction of a millisecond."""

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Dialect:
    """How a text file holds a table.

    Attributes:
        separator: what stands between cells.
        names: of the columns.
        body: the text after the line of the names.
        notes: what a user should know of that.
    """

    separator: str
    names: tuple[str, ...]
    body: str
    notes: tuple[str, ...]


def text_of(data: bytes, source: str) -> tuple[str, str | None]:
    """The text of a file, and its encoding where that is not UTF-8.

    Raises:
        TableError: for what is no text.

    Example:
        >>> text_of("größe".encode("utf-16"), "a.csv"), text_of("größe".encode("latin-1"), "a.csv")
        (('größe', 'UTF-16'), ('größe', 'Latin-1'))
    """
    encoding = _encoding_of(data)
    try:
        text, named = data.decode(encoding), encoding[:6].upper() if "8" not in encoding else None
    except UnicodeDecodeError:
        # What few bytes say nothing in it are letters of no European language.
        text, named = data.decode("cp1252", errors="replace"), "Latin-1"
    if "\0" in text or (named == "Latin-1" and _strange(text)):
        what = "it holds zero bytes" if "\0" in text else "it is no text"
        raise TableError(
            "{source} is not a CSV table ({what})",
            remedy="export it as CSV in UTF-8",
            source=source,
            what=what,
        )
    return text, named


def _encoding_of(data: bytes) -> str:
    """The encoding that the first bytes tell; UTF-8 where they tell none."""
    if encoding := next((name for mark, name in _BOMS if data.startswith(mark)), ""):
        return encoding
    if b"\0" not in data[:LOOKED_AT]:
        return "utf-8"
    even, odd = data[:1000:2].count(0), data[1:1000:2].count(0)
    return "utf-16-le" if odd > 4 * even + 4 else "utf-16-be" if even > 4 * odd + 4 else "utf-8"


def is_binary(data: bytes) -> bool:
    """Whether the first bytes of a file tell that it is no text, which `text_of` then refuses.

    Example:
        >>> is_binary(b"a,b\\n1,2\\n"), is_binary("a,b\\n1,2\\n".encode("utf-16-le"))
        (False, False)
        >>> is_binary(b"\\0" * 99)
        True
    """
    return b"\0" in data[:LOOKED_AT] and _encoding_of(data) == "utf-8"


def _strange(text: str) -> bool:
    some = text[:LOOKED_AT]
    return sum(ord(letter) < 32 and letter not in "\t\r\n\f\v" for letter in some) > len(some) / 100


def dialect_of(text: str, source: str, usual: str | None) -> Dialect:
    """What separates the cells of a text, and where its table begins.

    Args:
        text: the file's.
        source: the file, for errors.
        usual: the separator that the file's name tells.

    Raises:
        TableError: for a file without a table.

    Example:
        >>> dialect = dialect_of("Survey of 2020\\n\\na;b\\n1,5;2\\n", "a.csv", ",")
        >>> dialect.separator, dialect.names, dialect.body
        (';', ('a', 'b'), '1,5;2\\n')
    """
    if not text.strip():
        raise TableError(
            "{source} is empty", remedy="a table needs a line of column names, then rows", source=source
        )
    if "\n" not in text:
        text = text.replace("\r", "\n")
    told = re.match(r"sep=(.)\r?\n", text)
    start, usual = (told.end(), told[1]) if told else (0, usual)
    if text.find("\n", start, start + LOOKED_AT) < 0 and len(text) - start > LOOKED_AT:
        raise TableError(
            "the first line of {source} has more than {letters:,} characters, too many for column names",
            remedy="check that it is a table, or write it as Parquet",
            source=source,
            letters=LOOKED_AT,
        )
    separator, records = _separated(text[start : start + LOOKED_AT], usual, len(text) - start > LOOKED_AT)
    rows = [cells for cells, _ in records]
    if usual is None and all(len(cells) < 2 for cells in rows) and (spaced := _by_blanks(text, rows)):
        dialect = dialect_of(spaced, source, "\t")
        return replace(dialect, notes=(*dialect.notes, f"{source}: its cells are separated by blanks"))
    place = header_place(rows)
    names = list(rows[place])
    for _ in range(records[place][1]):
        start = text.find("\n", start) + 1 or len(text)
    body, footer = _without_footer(text[start:], separator, len(names))
    if len(names) > MOST_COLUMNS:
        raise TableError(
            "{source} has {number:,} columns, more than the {most:,} that are read of text",
            remedy="check that it is a table, or write it as Parquet",
            source=source,
            number=len(names),
            most=MOST_COLUMNS,
        )
    notes = [*_left_out(source, "above", rows[:place]), *_left_out(source, "below", footer)]
    if _is_row(names, rows[place + 1 :]):
        notes.append(
            f"{source}: its first line ({quote(separator.join(names))}) looks like a row and is read as "
            "the names of the columns; if the file has no names, put a line of names above"
        )
    if usual is not None and separator != usual and len(names) > 1:
        notes.append(f"{source}: its cells are separated by {NAMES.get(separator, quote(separator))}")
    return Dialect(separator, (*_unnamed(names, rows[place + 1 :]),), body, tuple(notes))


def _by_blanks(text: str, rows: Sequence[Sequence[str]]) -> str | None:
    """The text with tabs for blanks, where these make a table of all lines."""
    cells = [len(row[0].split()) for row in rows if row and row[0].strip()]
    if '"' in text or len(cells) < 3 or len(set(cells[1:])) > 1 or cells[0] not in (cells[1], cells[1] - 1):
        return None
    if min(cells) < 2:
        return None
    return "\n".join("\t".join(line.split()) for line in text.splitlines()) + "\n"


def _left_out(source: str, where: str, rows: Sequence[Sequence[str]]) -> list[str]:
    said = [quote(" ".join(filter(None, cells))) for cells in rows if any(cell.strip() for cell in cells)]
    several = f" and {len(said) - 1} more" if len(said) > 1 else ""
    return [f"{source}: left out what stands {where} the table ({said[0]}{several})"] if said else []


def _without_footer(body: str, separator: str, width: int) -> tuple[str, list[list[str]]]:
    """The text without the last lines that are remarks on the table, and the cells of these.

    A remark begins with several words, and has too few cells or, of three or more, no other that is filled
    and a colon or more than three words.
    Where other rows begin with several words, nothing is left out: a row that is cut short is refused.

    Example:
        >>> _without_footer("1,2,3\\n4,5,6\\nSource: the office\\n", ",", 3)
        ('1,2,3\\n4,5,6\\n', [['Source: the office']])
    """
    tail = body[-LOOKED_AT:].rstrip()
    lines = tail.splitlines(keepends=True)
    footer: list[list[str]] = []
    while width > 1 and len(lines) > 1 and len(footer) < MOST_TITLES and lines[-1].count('"') % 2 == 0:
        cells = next(csv.reader([lines[-1]], delimiter=separator), [])
        if any(cell.strip() for cell in cells) and not _is_remark(cells, width):
            break
        footer.insert(0, cells)
        tail = tail[: -len(lines.pop())]
    above = csv.reader(lines[-MOST_TITLES:], delimiter=separator)
    if not any(map(any, footer)) or any(_is_remark(cells[:1], width) for cells in above if cells):
        return body, []
    return body[:-LOOKED_AT] + tail, footer


def _is_remark(cells: Sequence[str], width: int) -> bool:
    """Whether a line begins with several words and has too few cells, or is a sentence in the first alone.

    A row of which nothing but the name of two words is known is a row.
    """
    words = cells[0].split()
    several = len(words) > 1 and any(letter.isalpha() for letter in cells[0])
    lone = len(cells) == width > 2 and not any(cell.strip() for cell in cells[1:])
    return several and (len(cells) < width or (lone and (":" in cells[0] or len(words) > 3)))


def _is_row(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the line of the names may be a row: a number stands over each column of numbers.

    Years and other numbers that go up are names of columns, and 0 is that of the only one.
    """
    rows = [cells for cells in rows if len(cells) == len(names)]
    columns = [[cell for cell in column if cell.strip()] for column in zip(*rows, strict=True)]
    numeric = [i for i, cells in enumerate(columns) if cells and all(map(_is_number, cells))]
    if len(rows) < 2 or not numeric or not all(_is_number(names[i]) for i in numeric):
        return False
    heads = [float(names[i]) for i in numeric]
    steps = [b - a for a, b in pairwise(heads)]
    names_go_up = min(steps) > 0 and (len(steps) > 1 or steps[0] == 1) if steps else heads == [0]
    return not names_go_up


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _unnamed(names: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The names, with "" for a column that numbers the rows, or is empty, where rows have one cell more."""
    rows = [cells for cells in rows if any(cell.strip() for cell in cells)]
    if len(names) < 2 or not rows or any(len(cells) != len(names) + 1 for cells in rows):
        return names
    first, last = ([cells[place].strip() for cells in rows] for place in (0, -1))
    if not any(last):
        return [*names, ""]
    numbered = any(first == [str(i + start) for i in range(len(rows))] for start in (0, 1))
    return ["", *names] if numbered and len(rows) > 1 else names


def _separated(text: str, usual: str | None, cut: bool) -> tuple[str, list[tuple[list[str], int]]]:
    """The separator that makes the most lines of one number of cells of a text, and those lines."""
    candidates: list[str] = list(dict.fromkeys(filter(None, (usual, *SEPARATORS))))
    best: str = usual or ","
    records_of = {candidate: _records(text, candidate, cut) for candidate in candidates}
    most = 0.0
    for candidate, records in records_of.items():
        widths = [len(cells) for cells, _ in records if any(cell.strip() for cell in cells)]
        several = Counter(width for width in widths if width > 1)
        if not several:
            continue
        width, lines = several.most_common(1)[0]
        below = widths[widths.index(width) :]
        share = lines / len(widths)
        # A separator that is not the usual one must make a table of all that follows its names.
        if share > most and (
            candidate == usual or (lines > 1 and below.count(width) >= STEADY * len(below))
        ):
            best, most = candidate, share
    return best, records_of[best]


def _records(text: str, separator: str, cut: bool) -> list[tuple[list[str], int]]:
    """The first records, each with the number of lines up to its end."""
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    records: list[tuple[list[str], int]] = []
    try:
        for cells in reader:
            records.append((cells, reader.line_num))
            if len(records) >= RECORDS:
                return records
    except csv.Error:  # a cell longer than the csv module takes
        return records or [(text.split("\n", 1)[0].split(separator), 1)]
    return records[:-1] if cut and len(records) > 1 else records


def _after_titles(rows: Sequence[Sequence[str]], filled: Sequence[list[int]], width: int) -> int:
    """Where a table begins whose titles have separators in them: after one without, and an empty line."""
    for place in range(min(len(rows), MOST_TITLES) - 1, 0, -1):
        below = [
            len(cells) for cells, positions in zip(rows[place:], filled[place:], strict=True) if positions
        ]
        ends = not filled[place] and len(filled[place - 1]) == 1 and len(rows[place - 1]) < width
        if ends and len(below) > 1 and set(below) == {width}:
            return place
    return 0


def header_place(rows: Sequence[Sequence[str]]) -> int:
    """Which of the first rows has the names of the columns.

    What stands above has one cell (a title, a comment) or none.

    Example:
        >>> header_place([["# made by hand"], [], ["a", "b"], ["1", "2"], ["3", "4"]])
        2
    """
    filled = [[i for i, cell in enumerate(cells) if cell.strip()] for cells in rows]
    widths = Counter(len(cells) for cells, positions in zip(rows, filled, strict=True) if positions)
    several = Counter({width: lines for width, lines in widths.items() if width > 1})
    width = several.most_common(1)[0][0] if several else 1
    first = _after_titles(rows, filled, width)
    for place, (cells, positions) in enumerate(zip(rows, filled, strict=True)):
        if not positions or place < first:
            continue
        title = (
            width > 1 and len(positions) == 1 and (len(cells) < width or (width > 2 and positions == [0]))
        )
        start = cells[0].lstrip()
        comment = start.startswith("//") or (
            start.startswith("# " if width == 1 else "#") and (len(cells) != width or width == 1)
        )
        if not (title or comment):
            return place
    return next((place for place, positions in enumerate(filled) if positions), 0)
