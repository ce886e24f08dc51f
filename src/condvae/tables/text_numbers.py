"""Numbers as people write them: with thousands separators, decimal commas, currencies, percent signs and
units.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Decimal = Literal[".", ","]

FEW_WITH_UNIT = 5
"""Different numbers with a unit of letters, up to which they are names ("2wd", "4wd") and no quantities."""

LONGEST_NUMBER = 60
"""Characters of a cell that may be a number."""

LONGEST_QUANTITY = 16
"""Digits from which a whole number is a code, as of a card: float64 cannot tell it from the next."""

_SIGNS = "$€£¥₹₽₩₺₫₪฿₴₦₱"
_CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|CAD|AUD|NZD|BRL|MXN|ZAR|RUB|TRY|KRW|SGD|HKD"
_BEFORE = rf"(?:(?:US|CA|AU|NZ|R|A|C)?[{_SIGNS}]|(?:{_CODES})|Rs\.?|kr\.?|Fr\.?)"
_BLANK = " \u00a0\u2009\u202f"
_CELL = re.compile(
    rf"(?P<sign>[-+−]?)[{_BLANK}]?(?P<before>{_BEFORE}?)[{_BLANK}]?(?P<sign2>[-−]?)"
    rf"(?P<core>\d(?:[\d.,'’{_BLANK}]*\d)?[.,]?|[.,]\d+)(?P<power>[eE][-+]?\d+)?"
    rf"[{_BLANK}]*(?P<after>[^\d\s.,;:+\-'’/][^\d\s,;]{{0,11}})?"
)
_CURRENCY = re.compile(rf"{_BEFORE}")
_INFINITE = re.compile(r"[-+]?inf(inity)?", re.IGNORECASE)
_CODE = re.compile(r"0\d+")


def _forms(decimal: str) -> re.Pattern[str]:
    point, group = re.escape(decimal), "." if decimal == "," else ","
    whole = rf"[1-9]\d{{0,2}}(?P<group>[{group}'’{_BLANK}])\d{{3}}(?:(?P=group)\d{{3}})*"
    lakhs = rf"[1-9]\d?(?:{re.escape(group)}\d\d)+{re.escape(group)}\d{{3}}"
    return re.compile(rf"(?:(?:\d+|{whole}|{lakhs})(?:{point}\d*)?|{point}\d+)")


_FORMS = {".": _forms("."), ",": _forms(",")}


@dataclass(frozen=True)
class Written:
    """One number as it is written: what stands before and after it, and its digits.

    Example:
        >>> written("$1,702.50")
        Written(negative=False, core='1,702.50', power='', unit='$')
    """

    negative: bool
    core: str
    power: str
    unit: str

    def value(self, decimal: str) -> float | None:
        """The number, if it is one with this decimal separator.

        Example:
            >>> written("1.702,5").value(","), written("10,0").value(".")
            (1702.5, None)
        """
        if self.core == "inf":
            return -float("inf") if self.negative else float("inf")
        if _FORMS[decimal].fullmatch(self.core) is None:
            return None
        digits = re.sub(rf"[^\d{re.escape(decimal)}]", "", self.core).replace(decimal, ".")
        number = float(digits + self.power)
        return -number if self.negative else number

    @property
    def is_code(self) -> bool:
        """Whether it is digits that count nothing: with leading zeros, or more than a number has."""
        plain = not (self.unit or self.power)
        return plain and (
            _CODE.fullmatch(self.core) is not None
            or (self.core.isdigit() and len(self.core) >= LONGEST_QUANTITY)
        )


def written(text: str) -> Written | None:
    """A text as a number with what stands around it; None for what is none."""
    if len(text) > LONGEST_NUMBER:
        return None
    if _INFINITE.fullmatch(text):
        return Written(text.startswith("-"), "inf", "", "")
    if (match := _CELL.fullmatch(text)) is None or (match["sign"] and match["sign2"]):
        return None
    before, after = match["before"] or "", match["after"] or ""
    if before and after:
        return None
    negative = "-" in (sign := match["sign"] + match["sign2"]) or "−" in sign
    return Written(negative, match["core"], match["power"] or "", before or after)


@dataclass(frozen=True)
class Numbers:
    """How the numbers among some texts are written.

    Attributes:
        values: of each text that is a number.
        odd: the texts that are none, in the order they came.
        decimal: the decimal separator.
        unit: what stands beside them; "" where nothing does.
        sure: whether the decimal separator is told by the texts.
        codes: whether they are digits that count nothing.
    """

    values: dict[str, float]
    odd: tuple[str, ...]
    decimal: Decimal
    unit: str
    sure: bool
    codes: bool

    @property
    def plain(self) -> bool:
        """Whether any program would read them."""
        return not self.unit and self.decimal == "." and all(_is_plain(text) for text in self.values)

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers, written so."""
        return all(self.decimal not in text and value == value // 1 for text, value in self.values.items())


def _is_plain(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def numbers_of(texts: Mapping[str, int], hint: Decimal = ".", decimal: Decimal | None = None) -> Numbers:
    """The numbers among texts, all written in one way, and the texts that are none.

    Args:
        texts: different ones without blanks around them, and how many cells each has.
        hint: the decimal separator of the file, by which is decided what the texts leave open.
        decimal: the decimal separator, where it is known.

    Example:
        >>> numbers = numbers_of({"45%": 1, "7,5%": 1, "?": 3})
        >>> numbers.values, numbers.odd, numbers.decimal, numbers.unit
        ({'45%': 45.0, '7,5%': 7.5}, ('?',), ',', '%')
    """
    cells = {text: cell for text in texts if (cell := written(text)) is not None}
    units = Counter[str]()
    for text, cell in cells.items():
        units[cell.unit] += texts[text]
    unit = units.most_common(1)[0][0] if units else ""
    if not unit and (money := [name for name in units if is_currency(name)]):
        unit = money[0]
    # "100" beside "$100" is the same number; beside "45%" or "45 kg" it may be another.
    allowed = {unit, ""} if is_currency(unit) else {unit}
    cells = {text: cell for text, cell in cells.items() if cell.unit in allowed}
    values = {
        kind: {text: value for text, cell in cells.items() if (value := cell.value(kind)) is not None}
        for kind in (".", ",")
    }
    chosen: Decimal
    if decimal is not None:
        chosen, sure = decimal, True
    else:
        chosen, sure = _decimal(cells, values, hint)
    kept = values[chosen]
    codes = bool(kept) and any(cells[text].is_code for text in kept)
    odd = tuple(text for text in texts if text not in kept)
    return Numbers(kept, odd, chosen, unit, sure, codes)


def is_code(text: str) -> bool:
    """Whether a text is digits that count nothing.

    Example:
        >>> is_code("00501"), is_code("501")
        (True, False)
    """
    return (cell := written(text)) is not None and cell.is_code


def is_currency(unit: str) -> bool:
    """Whether a unit is a currency, which may be left out.

    Example:
        >>> is_currency("€"), is_currency("kg")
        (True, False)
    """
    return bool(unit) and _CURRENCY.fullmatch(unit) is not None


def _decimal(
    cells: Mapping[str, Written], values: Mapping[str, Mapping[str, float]], hint: Decimal
) -> tuple[Decimal, bool]:
    point, comma = len(values["."]), len(values[","])
    if point != comma:
        return ("." if point > comma else ","), True
    if all(values["."][text] == values[","].get(text) for text in values["."]):
        return hint, True  # whole numbers
    if hint == "," or not any("," in cell.core for cell in cells.values()):
        return hint, True
    # "1,702" and the like: a number of four digits without a comma contradicts thousands.
    return ".", not any(re.fullmatch(r"\d{4,}(\.\d*)?", cell.core) for cell in cells.values())


def count_of(texts: Mapping[str, int], chosen: Iterable[str]) -> int:
    """How many cells have one of these texts."""
    return sum(texts[text] for text in chosen)
