"""What the cells of a column are, told by the cells: text that holds numbers, dates, times or durations,
and whole numbers that are dates.

What is clear is read, and said; what may be one thing or another is asked about, in one sentence.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from condvae.sentences import Argument, Text
from condvae.tables.cells import Cells
from condvae.tables.errors import TableError
from condvae.tables.text_cells import MARKS, Kind, Reading, Texts, as_text, read_cells, remedies, values_of
from condvae.tables.text_dates import Dates, are_days, are_months, dates_of, unit_of
from condvae.tables.text_numbers import (
    FEW_WITH_UNIT,
    Numbers,
    is_code,
    is_currency,
    numbers_of,
    written,
)
from condvae.text import quote

MOSTLY = 0.5
"""The share of cells from which a column is mostly numbers."""

NEARLY = 0.9
"""The share of cells from which so few others are spoilt ones, however few different numbers there are."""

MANY = 10
"""Different numbers from which a column of mostly numbers is held to be of numbers, some of them spoilt."""

_WHAT = {"number": "numeric", "date": "of dates", "time": "of times", "duration": "of durations"}

LOOKED_AT = 1000
"""Texts of which one must be a number or a date, for the others to be looked at."""


def reading_of(column: Cells, asked: Reading | None = None, missing: Sequence[str] = ()) -> Reading | None:
    """How the cells of a column are read; None for as they are.

    Args:
        column: its cells, all of them or many.
        asked: what the user asks for.
        missing: texts that stand for a missing cell.

    Raises:
        TableError: in a sentence that proposes what to ask for, for cells that may be one thing or another;
            and for those that cannot be what is asked for.

    Example:
        >>> reading_of(Cells("price", pa.array(["$1,702", "$12"], pa.large_string())))
        Reading(kind='number', decimal='.', unit='$', format='', missing=(), count=2, example='$1,702')
    """
    missing = tuple(missing)
    as_is = Reading(missing=missing) if missing else None
    kind, types = column.array.type, pa.types
    if types.is_time(kind):
        return _described(Reading("time", missing=missing), column.array)
    if types.is_duration(kind):
        seconds = read_cells(column.name, column.array, Reading("duration", unit="seconds"))
        unit = unit_of(seconds.drop_null().to_numpy(zero_copy_only=False))
        return _described(Reading("duration", unit=unit, missing=missing), column.array)
    if not types.is_large_string(kind):
        return _of_others(column, asked, missing) or as_is
    if column.category and asked is None:
        return as_is
    if asked is not None and asked.kind == "text":
        return replace(asked, missing=missing)
    texts = Texts(column.array, missing)
    if not texts.counts:
        # Words for a missing cell alone: of whatever kind, nothing is observed.
        return Reading("number", decimal=".", missing=missing)
    if asked is not None:
        return _asked(column, asked, texts, missing)
    recognised = _told(column, texts)
    return as_is if recognised is None else replace(recognised, missing=missing)


def _described(reading: Reading, array: pa.Array) -> Reading:
    observed = array.drop_null()
    example = str(observed[0].as_py()) if len(observed) else ""
    return replace(reading, count=len(observed), example=example)


def _of_others(column: Cells, asked: Reading | None, missing: tuple[str, ...]) -> Reading | None:
    """Of cells that are no text."""
    array = read_cells(column.name, column.array, Reading(missing=missing))
    whole = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if asked is not None:
        if asked.kind == "date" and whole:
            return _described(replace(asked, format=asked.format or "%Y%m%d", missing=missing), array)
        if asked.kind == "text" or (asked.kind == "date" and column.datetime):
            return replace(asked, missing=missing)
        if asked.kind in ("date", "time", "duration") or not whole:
            raise TableError(
                "column {column!q} is {type} and cannot be read as {kind}",
                remedy="leave it out of {argument}",
                column=column.name,
                argument="read",
                type=column.type_name,
                kind=asked.kind,
            )
        return Reading(missing=missing)
    if not whole or column.category or len(array) == array.null_count:
        return None
    ends = array.drop_null().to_numpy(zero_copy_only=False)
    if ends.min() < 1800_01_01 or ends.max() > 2199_12_31 or (ends != np.rint(ends)).any():
        return None
    if not are_days(as_text(array).drop_null().unique().to_pylist()):
        return None
    return _described(Reading("date", format="%Y%m%d", missing=missing), as_text(array))


def _asked(column: Cells, asked: Reading, texts: Texts, missing: tuple[str, ...]) -> Reading:
    """What a user asks for, with what was left open told by the cells."""
    if asked.kind == "number":
        numbers = numbers_of(texts.counts, column.decimal, asked.decimal or None)
        asked = replace(asked, decimal=numbers.decimal, unit=numbers.unit)
    elif asked.kind == "date" and not asked.format:
        dates = dates_of(list(texts.counts))
        if dates is None:
            row, text = texts.first(list(texts.counts))
            raise TableError(
                "column {column!q}, row {row} ({text!q}) is no date of a known format",
                remedy="say the format, as in {read}",
                column=column.name,
                row=row,
                text=text,
                read=Argument("read", {str(column.name): "date(%d.%m.%Y)"}),
            )
        asked = replace(asked, format=_format(column.name, texts, dates))
    elif asked.kind == "duration":
        asked = replace(asked, unit=_unit(texts))
    return _counted(replace(asked, missing=missing), texts, list(texts.counts))


def _told(column: Cells, texts: Texts) -> Reading | None:
    """What the texts are by themselves; None for text."""
    some = list(texts.counts)[:LOOKED_AT]
    few = {text: texts.counts[text] for text in some}
    kinds: list[Kind] = [kind for kind in ("time", "duration") if _any(few, kind)]
    if not kinds and not numbers_of(few, column.decimal).values and dates_of(some) is None:
        return None
    numbers, dates = numbers_of(texts.counts, column.decimal), dates_of(list(texts.counts))
    read: dict[str, Sequence[str]] = {
        "date": list(dates.values) if dates is not None else [],
        "number": list(numbers.values),
    }
    read |= {kind: list(values_of(texts, Reading(kind, unit="seconds"))) for kind in kinds}
    if numbers.codes and not (dates is not None and not dates.odd and are_days(texts.counts)):
        return _counted(Reading("text"), texts, [text for text in numbers.values if is_code(text)])
    both = dates is not None and set(dates.values) == set(numbers.values)  # digits that may be numbers, too
    if both and not (are_days(read["date"]) or are_months(read["date"])):
        read["date"] = []
    kind: Any = max(read, key=lambda kind: sum(texts.counts[text] for text in read[kind]))
    among = set(read[kind])
    odd = [text for text in texts.counts if text not in among]
    if kind == "number" and _is_name(numbers):
        return None
    if odd:
        return _mostly(column.name, texts, kind, read[kind], odd, numbers)
    if kind == "date":
        assert dates is not None
        return _counted(Reading("date", format=_format(column.name, texts, dates)), texts, read[kind])
    if kind == "number":
        if not numbers.sure:
            raise _thousands(column.name, texts, numbers)
        reading = Reading("number", decimal=numbers.decimal, unit=numbers.unit)
        return _counted(reading, texts, read[kind])
    return _counted(Reading(kind, unit=_unit(texts) if kind == "duration" else ""), texts, read[kind])


def _any(texts: dict[str, int], kind: Kind) -> bool:
    array = pa.array(list(texts), pa.large_string())
    return bool(values_of(Texts(array), Reading(kind, unit="seconds")))


def _is_name(numbers: Numbers) -> bool:
    """Whether numbers with letters beside them are rather names: few of them, or some without letters."""
    letters = numbers.unit and numbers.unit != "%" and not is_currency(numbers.unit)
    return bool(letters) and (len(set(numbers.values.values())) <= FEW_WITH_UNIT or bool(numbers.odd))


def _mostly(
    name: Any, texts: Texts, kind: str, read: Sequence[str], odd: Sequence[str], numbers: Numbers
) -> Reading | None:
    """Where some texts are none of what the others are: what is asked, or text."""
    cells = sum(texts.counts[text] for text in read)
    share = cells / texts.cells
    marks = all(text.lower() in MARKS for text in odd)
    many = share >= MOSTLY and len(read) >= max(MANY, 2 * len(odd))
    spoilt = 10 * len(odd) < len(texts.counts) or many or share >= NEARLY
    units = {cell.unit if (cell := written(text)) else None for text in texts.counts}
    mixed = kind == "number" and numbers.unit and len(units - {None}) > 1
    money = mixed and all(unit is not None and (not unit or is_priced(unit)) for unit in units)
    if read and (marks or spoilt or money or (mixed and share >= MOSTLY)):
        row, text = texts.first(odd)
        several = f" and {len(odd) - 1:,} more of other texts" if len(odd) > 1 else ""
        what = f"of numbers with {quote(numbers.unit)}" if mixed else _WHAT[kind]
        raise TableError(
            "column {column!q} would be {what} but for row {row} ({text!q}){several}: {cells:,} of {all:,} "
            "cells are",
            remedy="{remedies}",
            column=name,
            row=row,
            what=what,
            text=text,
            several=several,
            cells=cells,
            all=texts.cells,
            remedies=remedies(name, text),
        )
    if read and share >= MOSTLY:
        return _counted(Reading("text"), texts, odd)
    return None


def _counted(reading: Reading, texts: Texts, chosen: Sequence[str]) -> Reading:
    """The same reading, with how many cells were read so and which was the first."""
    _, text = texts.first(chosen)
    return replace(reading, count=sum(texts.counts[one] for one in chosen), example=text.strip()[:40])


def is_priced(unit: str) -> bool:
    """Whether a unit is a currency or a percent sign, which no name ends with."""
    return unit == "%" or is_currency(unit)


def _unit(texts: Texts) -> str:
    seconds = values_of(texts, Reading("duration", unit="seconds")).values()
    return unit_of(np.array(list(seconds), float))


def _format(name: Any, texts: Texts, dates: Dates) -> str:
    """The format of dates.

    Raises:
        TableError: where more than one is possible.
    """
    if len(dates.formats) == 1:
        return dates.formats[0]
    row, text = texts.first(list(dates.values))
    raise TableError(
        "column {column!q} holds dates whose day and month no cell tells apart (row {row}: {text!q})",
        remedy="say {either}",
        column=name,
        row=row,
        text=text,
        either=_either(name, [f"date({pattern})" for pattern in dates.formats]),
    )


def _either(name: Any, readings: Sequence[str]) -> Text:
    """What to say for one or another reading of a column."""
    template = " or ".join(f"{{read{i}}}" for i in range(len(readings)))
    said = {f"read{i}": Argument("read", {str(name): text}) for i, text in enumerate(readings)}
    return Text(template, **said)


def _thousands(name: Any, texts: Texts, numbers: Numbers) -> TableError:
    row, text = texts.first([text for text in numbers.values if "," in text])
    return TableError(
        "column {column!q}, row {row} ({text!q}): the comma may be a decimal comma or separate thousands",
        remedy="say {either}",
        column=name,
        row=row,
        text=text,
        either=_either(name, ["number(decimal=point)", "number(decimal=comma)"]),
    )
