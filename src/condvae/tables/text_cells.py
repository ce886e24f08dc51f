"""Cells of text that are something else: numbers, dates, times of day, durations.

How the cells of a column are read is a `Reading`. It is told by the user or by the cells, once, from the
rows that a model is fitted to; it is kept in the schema, and every later table is read by it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from condvae.sentences import Argument, Text
from condvae.tables.errors import TableError
from condvae.tables.text_dates import SECONDS, as_timestamps, clock, duration, parse
from condvae.tables.text_numbers import Decimal, written

Kind = Literal["as is", "number", "text", "date", "time", "duration"]

WORDS = frozenset(
    ("", "na", "n/a", "n.a.", "n. a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "none", "nil")
)
"""A missing cell in a column of numbers or dates, in capital letters or small ones."""

MARKS = frozenset(
    ("?", "??", "-", "--", "---", ".", "..", "*", "/", "–", "—", "unknown", "missing", "not available")
)
"""What often stands for a missing cell, and may stand for something else: it is asked about."""

_ASKED = re.compile(r"\s*(?P<kind>\w+)\s*(?:\((?P<rest>.*)\))?\s*", re.DOTALL)
_POINTS: dict[str, Decimal] = {"point": ".", "comma": ",", ".": ".", ",": ","}
_NOUNS = {"number": "a number", "date": "a date", "time": "a time of day", "duration": "a duration"}
_HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True)
class Reading:
    """How the cells of a column are read.

    Attributes:
        kind: `"number"`, `"text"`, `"date"`, `"time"` (of day, as hours since midnight) or `"duration"`;
            `"as is"` for cells that keep the type they have.
        decimal: the decimal separator (number); "" where the cells are to tell it.
        unit: what stands beside the numbers, such as `"%"` or `"$"`; of a duration, the unit it is read in.
        format: of `datetime.strptime` (date).
        missing: texts that stand for a missing cell, besides the usual ones.
        count: how many cells were read so at fitting that were of another type.
        example: one of them, as it stood in the table.

    Example:
        >>> Reading.asked_for("date(%d.%m.%Y)", "day")
        Reading(kind='date', decimal='', unit='', format='%d.%m.%Y', missing=(), count=0, example='')
    """

    kind: Kind = "as is"
    decimal: Literal["", ".", ","] = ""
    unit: str = ""
    format: str = ""
    missing: tuple[str, ...] = ()
    count: int = 0
    example: str = ""

    @classmethod
    def asked_for(cls, text: str, column: Any) -> Self:
        """The reading that a user asks for.

        Raises:
            TableError: for anything else than number, number(decimal=comma), number(decimal=point), text,
                date, date(FORMAT), time or duration.
        """
        match = _ASKED.fullmatch(text) if isinstance(text, str) else None
        kinds = [kind for kind in get_args(Kind) if kind != "as is"]
        if match is None or match["kind"] not in kinds:
            raise TableError(
                "{argument}: column {column!q} is to be read as {text!q}",
                remedy="expected one of {kinds}, such as number, number(decimal=comma) or date(%d.%m.%Y)",
                column=column,
                argument="read",
                text=text,
                kinds=", ".join(kinds),
            )
        kind: Any = match["kind"]
        rest = (match["rest"] or "").strip()
        if not rest:
            return cls(kind)
        point = _POINTS.get(rest.removeprefix("decimal=").strip())
        if kind == "number" and point is not None:
            return cls(kind, decimal=point)
        if kind == "date" and "%" in rest:
            return cls("date", format=rest)
        raise TableError(
            "{argument}: column {column!q} is to be read as {text!q}",
            remedy="write number(decimal=comma), number(decimal=point) or date(%d.%m.%Y)",
            column=column,
            argument="read",
            text=text,
        )

    @property
    def in_words(self) -> str:
        """What the cells were read as."""
        if self.kind == "number":
            unit = " (percent)" if self.unit == "%" else f" ({self.unit})" if self.unit else ""
            return f"numbers{unit}" + (" with a decimal comma" if self.decimal == "," else "")
        if self.kind == "date":
            return f"dates ({self.format})" if self.format else "dates"
        if self.kind == "time":
            return "times of day, in hours since midnight"
        if self.kind == "duration":
            return f"durations, in {self.unit}"
        return "text"


def require_readings(read: Any, missing: Any) -> None:
    """Refuse what names no readings, or no texts for a missing cell, before any table is looked at.

    Raises:
        TableError: in a sentence with an example.

    Example:
        >>> require_readings({"hp": "number"}, ("?",))
    """
    if read is not None and not isinstance(read, Mapping):
        raise TableError(
            "{argument} is {read!q}, expected a dictionary by column, such as {{'hp': 'number'}}",
            argument="read",
            read=read,
        )
    for column, text in (read or {}).items():
        Reading.asked_for(text, column)
    if isinstance(missing, str) or not all(isinstance(word, str) for word in missing):
        raise TableError(
            "{argument} is {missing!q}, expected a sequence of texts, such as ('?', '-')",
            argument="missing",
            missing=missing,
        )


class Texts:
    """The different texts of a column, each once, without blanks around it.

    Args:
        array: large_string, null where missing.
        missing: texts that stand for a missing cell.
    """

    def __init__(self, array: pa.Array, missing: Sequence[str] = ()):
        encoded = array.dictionary_encode()
        self.raw: list[str] = encoded.dictionary.to_pylist()
        self.codes = np.asarray(encoded.indices.fill_null(-1), np.int64)
        self.stripped = [text.strip() for text in self.raw]
        self.asked = frozenset(text.strip() for text in missing)
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.raw))
        self.counts: dict[str, int] = {}
        for text, count in zip(self.stripped, counts, strict=True):
            if not (text in self.asked or (len(text) <= 10 and text.lower() in WORDS)):
                self.counts[text] = self.counts.get(text, 0) + int(count)

    @property
    def cells(self) -> int:
        """How many cells are observed."""
        return sum(self.counts.values())

    def row(self, text: str) -> int:
        """The first row of a text, from 0."""
        codes = [i for i, stripped in enumerate(self.stripped) if stripped == text]
        return int(np.argmax(np.isin(self.codes, codes)))

    def first(self, chosen: Sequence[str]) -> tuple[int, str]:
        """The first of some texts by row: the row, and the text as it stands there."""
        among = set(chosen)
        codes = [i for i, stripped in enumerate(self.stripped) if stripped in among]
        row = int(np.argmax(np.isin(self.codes, codes)))
        return row, self.raw[self.codes[row]]

    def filled(self, value: Callable[[str], Any], kind: pa.DataType | None = None) -> pa.Array:
        """The column with a value for each text; missing where the text stands for that."""
        of_text: list[Any] = [value(text) if text in self.counts else None for text in self.stripped]
        if kind == pa.int64():
            of_text = [None if number is None else int(number) for number in of_text]
        values = as_timestamps(of_text) if kind is None else pa.array(of_text, kind)
        return values.take(pa.array(self.codes, mask=self.codes < 0))


def read_cells(name: Any, array: pa.Array, reading: Reading) -> pa.Array:
    """The cells of a column, read as a reading says.

    Args:
        name: of the column, for errors.
        array: its cells, of a plain type; those that are no text are what they are, but for whole numbers
            that are to be dates, and numbers that are to be text.
        reading: how.

    Raises:
        TableError: naming the row, for a cell that cannot be read so.

    Example:
        >>> cells = pa.array(["$1,702", " ? ", None, "12"], pa.large_string())
        >>> read_cells("price", cells, Reading("number", unit="$", missing=("?",))).to_pylist()
        [1702, None, None, 12]
    """
    types = pa.types
    if types.is_time(array.type):
        return pc.call_function("divide", [_microseconds(array), pa.scalar(float(_HOUR))])
    if types.is_duration(array.type):
        unit = SECONDS[reading.unit or "seconds"] * 1e6
        return pc.call_function("divide", [_microseconds(array), pa.scalar(unit)])
    if not types.is_large_string(array.type):
        array = _without_numbers(array, reading.missing)
        numeric = types.is_integer(array.type) or types.is_floating(array.type)
        if array.null_count == len(array) or not (
            reading.kind == "text" or (reading.kind == "date" and numeric)
        ):
            return array
        array = as_text(array)
    if reading.kind in ("as is", "text"):
        return _without_texts(array, reading.missing)
    texts = Texts(array, reading.missing)
    values = values_of(texts, reading)
    if odd := [text for text in texts.counts if text not in values]:
        raise _not_so(name, texts, odd, reading)
    if reading.kind == "date":
        return texts.filled(values.__getitem__)
    whole = reading.kind == "number" and all(map(_is_whole, values, values.values()))
    return texts.filled(values.__getitem__, pa.int64() if whole else pa.float64())


def _is_whole(text: str, value: float) -> bool:
    """Whether a number counts, by how it is written too."""
    cell = written(text)
    written_so = cell is not None and not cell.power and re.search(r"[.,]\d{1,2}$", cell.core) is None
    return written_so and abs(value) < 2**53 and value == value // 1


def _microseconds(array: pa.Array) -> pa.Array:
    unit = pa.time64("us") if pa.types.is_time(array.type) else pa.duration("us")
    whole = pc.cast(array, options=pc.CastOptions(target_type=unit, allow_time_truncate=True))
    return whole.cast(pa.int64()).cast(pa.float64(), safe=False)


def values_of(texts: Texts, reading: Reading) -> dict[str, Any]:
    """Of each text that can be read so, the value."""
    reads: dict[str, Callable[[str], Any]] = {
        "number": lambda text: _number(text, reading),
        "date": lambda text: parse(text, reading.format),
        "time": clock,
        "duration": lambda text: _duration(text, reading.unit),
    }
    read = reads[reading.kind]
    return {text: value for text in texts.counts if (value := read(text)) is not None}


def _duration(text: str, unit: str) -> float | None:
    return None if (seconds := duration(text)) is None else seconds / SECONDS[unit or "seconds"]


def _number(text: str, reading: Reading) -> float | None:
    """A number with the unit of the reading, or without where that changes nothing."""
    cell = written(text)
    if cell is None or cell.unit not in (reading.unit, "" if reading.unit != "%" else "%"):
        return None
    return cell.value(reading.decimal or ".")


def _not_so(name: Any, texts: Texts, odd: Sequence[str], reading: Reading) -> TableError:
    row, text = texts.first(odd)
    unit = f" in {reading.unit}" if reading.kind == "number" and reading.unit else ""
    how = f" of the format {reading.format}" if reading.format else ""
    several = f" (and {len(odd) - 1:,} more)" if len(odd) > 1 else ""
    return TableError(
        "column {column!q}, row {row} ({text!q}) is not {what}{several}",
        remedy="{remedies}",
        column=name,
        row=row,
        text=text,
        what=f"{_NOUNS[reading.kind]}{unit}{how}",
        several=several,
        remedies=remedies(name, text),
    )


def remedies(name: Any, text: str) -> Text:
    """What can be done about a cell that is not what the others are."""
    marked = text.strip().lower() in MARKS
    mend = "empty the cell" if marked else "correct the cell (or delete the row, if it holds totals)"
    missing = ", say {missing} if it stands for a missing cell" if len(text) <= 20 else ""
    return Text(
        mend + missing + ", or say {read} if the column is one of categories",
        missing=Argument("missing", (text.strip(),)),
        read=Argument("read", {str(name): "text"}),
    )


def _without_numbers(array: pa.Array, missing: Sequence[str]) -> pa.Array:
    """Cells that are no text, without those that are written like a missing one, such as -999."""
    if not missing or not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return array
    wanted = []
    for word in missing:
        try:
            wanted.append(float(word))
        except ValueError:
            continue
    if not wanted:
        return array
    values = array.cast(pa.float64(), safe=False)
    gone = pc.call_function("is_in", [values], pc.SetLookupOptions(pa.array(wanted, pa.float64())))
    return pc.call_function("if_else", [gone, pa.scalar(None, array.type), array])


def _without_texts(array: pa.Array, missing: Sequence[str]) -> pa.Array:
    if not missing:
        return array
    stripped = pc.call_function("utf8_trim_whitespace", [array])
    words = pa.array([word.strip() for word in missing], array.type)
    gone = pc.call_function("is_in", [stripped], pc.SetLookupOptions(words))
    return pc.call_function("if_else", [gone, pa.scalar(None, array.type), array])


def as_text(array: pa.Array) -> pa.Array:
    """Cells as they are written; whole numbers without a point, whatever their type.

    Example:
        >>> as_text(pa.array([501.0, None])).to_pylist()
        ['501', None]
    """
    if pa.types.is_floating(array.type):
        values = array.drop_null().to_numpy(zero_copy_only=False)
        if bool((np.abs(values) < 2**53).all() and (values == np.rint(values)).all()):
            array = array.cast(pa.int64())
    return array.cast(pa.large_string())
