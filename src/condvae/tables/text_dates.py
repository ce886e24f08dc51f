"""Dates, times of day and durations as people write them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

LONGEST_DATE = 60
"""Characters of a cell that may be a date."""

YEARS = (1800, 2199)
"""Of whole numbers of eight digits that are dates, and not quantities."""

FEW_DATES = 3
"""Different whole numbers of eight digits from which it is no chance that all of them are dates."""

_TIME = r"(?P<time>\d{1,2}:\d\d(?P<second>:\d\d(?P<fraction>[.,]\d{1,6})?)?(?P<half> ?[AaPp]\.?[Mm]\.?)?)"
_DATES = re.compile(
    r"(?P<day>(?P<weekday>[A-Za-z]{3,9},? )?"
    r"(?P<first>\d{1,4}|[A-Za-z]{3,9}\.?)(?P<sep>[-/. ])[ ]?(?P<second_part>\d{1,2}|[A-Za-z]{3,9}\.?)"
    r"(?P<sep2>[-/. ]|, )[ ]?(?P<third>\d{2}|\d{4}))"
    rf"(?:(?P<gap>[ T]|, ){_TIME})?(?P<zone> ?(?:Z|[+-]\d\d:?\d\d))?"
)
_CLOCK = re.compile(_TIME)
_MONTH = re.compile(r"(?P<year>\d{4})[-/](?P<month>\d\d)")
_MONTH_FIRST = re.compile(
    r"(?P<month>0[1-9]|1[0-2]|[A-Za-z]{3,9}\.?)(?P<sep>[-/. ])(?P<year>(?:18|19|20|21)\d\d)"
)
_QUARTER = re.compile(r"(?P<year>\d{4})[- ]?[Qq](?P<quarter>[1-4])")
_WEEK = re.compile(r"(?P<year>\d{4})-?[Ww](?P<week>[0-5]\d)(?:-?(?P<day>[1-7]))?")
_DIGITS = re.compile(r"\d{8}")
_DURATION = re.compile(
    r"(?P<sign>-?)(?:(?P<days>\d+) ?(?:days?|d),? ?)?(?P<hours>\d+):(?P<minutes>[0-5]\d)"
    r"(?::(?P<seconds>[0-5]\d(?:\.\d+)?))?"
)
_ISO_DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)

QUARTER, WEEK, MONTH = "quarter", "week", "%Y-%m"
"""Formats of periods, which are read as their first day; strptime has none for quarters and weeks (of
ISO 8601, with the number of the day or without)."""


@dataclass(frozen=True)
class Dates:
    """The dates among some texts.

    Attributes:
        values: of each text that is a date.
        odd: the texts that are none.
        formats: those in which all the dates can be read; more than one where the order of day and month
            is open.
    """

    values: dict[str, datetime]
    odd: tuple[str, ...]
    formats: tuple[str, ...]


def dates_of(texts: Sequence[str]) -> Dates | None:
    """The dates among texts, all of one format, that of the most; None where there are none.

    Args:
        texts: different ones, without blanks around them.

    Example:
        >>> dates_of(["31.01.2012", "1.2.2012"]).formats, dates_of(["1/2/2012", "3/4/2012"]).formats
        (('%d.%m.%Y',), ('%d/%m/%Y', '%m/%d/%Y'))
    """
    candidates: dict[str, None] = {}
    shapes: set[tuple] = set()
    for text in texts:
        shape = _shape(text)
        if shape is not None and shape not in shapes and len(shapes) < 20:
            shapes.add(shape)
            candidates |= dict.fromkeys(_formats(text))
    if not candidates:
        return None
    read = {
        pattern: {text: value for text in texts if (value := parse(text, pattern)) is not None}
        for pattern in candidates
    }
    most = max(map(len, read.values()))
    if most == 0:
        return None
    best = [pattern for pattern, values in read.items() if len(values) == most]
    first = read[best[0]]
    different = tuple(pattern for i, pattern in enumerate(best) if i == 0 or read[pattern] != first)
    if len(different) > 1 and "." in different[0].split("%m")[0]:
        different = tuple(p for p in different if p.startswith("%d."))[:1] or different  # dots: day first
        first = read[different[0]]
    return Dates(first, tuple(text for text in texts if text not in first), different)


def _shape(text: str) -> tuple | None:
    if len(text) > LONGEST_DATE:
        return None
    if any(pattern.fullmatch(text) for pattern in (_DIGITS, _MONTH, _QUARTER, _WEEK)):
        return (len(text), "whole")
    if (match := _MONTH_FIRST.fullmatch(text)) is not None:
        return ("month", match["sep"], match["month"].isdigit(), len(match["month"]) > 3)
    if (match := _DATES.fullmatch(text)) is None:
        return None
    first, second, third = match["first"], match["second_part"], match["third"]
    parts = tuple(
        len(part) if part.isdigit() and len(part) > 2 else part.isdigit() for part in (first, third)
    )
    more = tuple(
        match[name] is not None for name in ("weekday", "time", "second", "fraction", "half", "zone")
    )
    months = tuple(len(part) > 3 for part in (first, second) if not part.isdigit())
    return parts, second.isdigit(), months, match["sep"], match["sep2"], match["gap"], more


def _formats(text: str) -> list[str]:
    """The formats that a text of this shape may have."""
    if _DIGITS.fullmatch(text):
        return ["%Y%m%d"]
    if _MONTH.fullmatch(text):
        return [f"%Y{text[4]}%m"]
    if _QUARTER.fullmatch(text):
        return [QUARTER]
    if _WEEK.fullmatch(text):
        return [WEEK]
    if (match := _MONTH_FIRST.fullmatch(text)) is not None:
        month = "%m" if match["month"].isdigit() else _month(match["month"])
        return [f"{month}{match['sep']}%Y"]
    match = _DATES.fullmatch(text)
    assert match is not None
    first, second, third = match["first"], match["second_part"], match["third"]
    year = "%Y" if len(third) == 4 else "%y"
    sep, sep2 = match["sep"], match["sep2"]
    sep = f"{sep} " if text[match.end("sep") : match.end("sep") + 1] == " " and sep != " " else sep
    sep2 = (
        f"{sep2} " if text[match.end("sep2") : match.end("sep2") + 1] == " " and sep2[-1] != " " else sep2
    )
    if not first.isdigit():
        orders = [f"{_month(first)}{sep}%d{sep2}{year}"]
    elif not second.isdigit():
        orders = [f"%d{sep}{_month(second)}{sep2}{year}"]
        orders += [f"%Y{sep}{_month(second)}{sep2}%d"] if len(first) == 4 else []
    elif len(first) == 4:
        orders = [f"%Y{sep}%m{sep2}%d"]
    elif len(first) <= 2:
        orders = [f"%d{sep}%m{sep2}{year}", f"%m{sep}%d{sep2}{year}"]
        orders += [f"%y{sep}%m{sep2}%d"] if year == "%y" and len(first) == 2 else []
    else:
        return []
    name = (
        "" if (weekday := match["weekday"]) is None else ("%a" if len(weekday.strip(", ")) == 3 else "%A")
    )
    name += weekday[len(weekday.rstrip(", ")) :] if weekday else ""
    clock = ""
    if match["time"] is not None:
        clock = match["gap"] + ("%I:%M" if match["half"] else "%H:%M")
        clock += "" if match["second"] is None else ":%S"
        clock += "" if match["fraction"] is None else f"{match['fraction'][0]}%f"
        clock += "" if match["half"] is None else (" %p" if match["half"][0] == " " else "%p")
    zone = match["zone"]
    clock += "" if zone is None else (" %z" if zone[0] == " " else "%z")
    return [name + order + clock for order in orders]


def _month(text: str) -> str:
    dot = "." if text.endswith(".") else ""
    return ("%b" if len(text.rstrip(".")) == 3 else "%B") + dot


def parse(text: str, pattern: str) -> datetime | None:
    """A text as a date of a format of `datetime.strptime`; None where it is none.

    Example:
        >>> parse("31/01/2012", "%d/%m/%Y"), parse("2020-W02", WEEK)
        (datetime.datetime(2012, 1, 31, 0, 0), datetime.datetime(2020, 1, 6, 0, 0))
    """
    if len(text) > LONGEST_DATE:
        return None
    if pattern == QUARTER:
        match = _QUARTER.fullmatch(text)
        return None if match is None else datetime(int(match["year"]), 3 * int(match["quarter"]) - 2, 1)
    try:
        if pattern == WEEK:
            match = _WEEK.fullmatch(text)
            year, week, day = match.group("year", "week", "day") if match else (0, 0, 0)
            return datetime.fromisocalendar(int(year), int(week), int(day or 1))
        return datetime.strptime(text, pattern)
    except ValueError:
        return None


def as_timestamps(values: Iterable[datetime | None]) -> pa.Array:
    """Dates as Arrow's, in UTC where they have a zone."""
    values = list(values)
    zoned = any(value is not None and value.tzinfo is not None for value in values)
    if zoned:
        values = [None if v is None else v.astimezone(UTC) for v in values]
    return pa.array(values, pa.timestamp("us", tz="UTC" if zoned else None))


def are_days(texts: Iterable[str]) -> bool:
    """Whether whole numbers of eight digits are dates: all of them, of these centuries, and several.

    Example:
        >>> are_days(["20260131", "20260201", "20260202"]), are_days(["20260131", "20269999", "20260202"])
        (True, False)
    """
    texts = list(texts)
    if len(texts) < FEW_DATES:
        return False
    return all(
        _DIGITS.fullmatch(text) is not None
        and YEARS[0] <= int(text[:4]) <= YEARS[1]
        and parse(text, "%Y%m%d") is not None
        for text in texts
    )


def are_months(texts: Iterable[str]) -> bool:
    """Whether texts such as 01.2012, which may be numbers, are months: some has a zero that no number has.

    Example:
        >>> are_months(["01.2012", "12.2012"]), are_months(["10.2012", "12.2012"])
        (True, False)
    """
    texts = list(texts)
    months = all(_MONTH_FIRST.fullmatch(text) is not None for text in texts)
    return months and any(text.startswith("0") for text in texts)


def clock(text: str) -> float | None:
    """A time of day as hours since midnight; None for anything else.

    Example:
        >>> clock("08:30"), clock("8:30 pm"), clock("25:00")
        (8.5, 20.5, None)
    """
    if len(text) > LONGEST_DATE or (match := _CLOCK.fullmatch(text)) is None:
        return None
    plain = text.replace(",", ".")
    half = match["half"]
    plain = plain[: len(plain) - len(half)] if half else plain
    hours, minutes, *seconds = plain.split(":")
    hour, minute, second = int(hours), int(minutes), float(seconds[0]) if seconds else 0.0
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.strip()[0] in "pP" else 0)
    if hour > 23 or minute > 59 or second >= 60:
        return None
    return hour + minute / 60 + second / 3600


def duration(text: str) -> float | None:
    """A duration in seconds; None for anything else.

    Example:
        >>> duration("25:30"), duration("1 days 02:00:00"), duration("PT90M"), duration("long")
        (91800.0, 93600.0, 5400.0, None)
    """
    if len(text) > LONGEST_DATE:
        return None
    match = _DURATION.fullmatch(text) or _ISO_DURATION.fullmatch(text)
    if match is None:
        return None
    parts = {name: match[name] for name in ("days", "hours", "minutes", "seconds")}
    if all(part is None for part in parts.values()):
        return None
    length = timedelta(**{name: float(part) for name, part in parts.items() if part}).total_seconds()
    return -length if match["sign"] else length


SECONDS = {"seconds": 1.0, "hours": 3600.0, "days": 86400.0}
"""Units that durations are read in."""


def unit_of(seconds: np.ndarray) -> str:
    """The unit in which durations are numbers of an ordinary size.

    Example:
        >>> unit_of(np.array([90.0, 600.0])), unit_of(np.array([7200.0])), unit_of(np.array([9e8]))
        ('seconds', 'hours', 'days')
    """
    longest = float(np.abs(seconds).max(initial=0.0))
    return "seconds" if longest < 3600 else "hours" if longest < 100 * 86400 else "days"


def count_dates(texts: Mapping[str, int], dates: Dates) -> int:
    """How many cells are dates."""
    return sum(texts[text] for text in dates.values)
