"""Numbers and names in words, as people read them."""

import math
import re
from collections.abc import Iterable
from typing import Any

MAX_NAMES = 12
"""Names listed at most."""

MAX_SHOWN = 80
"""Characters of a cell that are shown at most."""


def count(number: int, noun: str) -> str:
    """So many of something.

    Example:
        >>> count(1, "row"), count(12345, "row")
        ('1 row', '12,345 rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Iterable[Any], most: int = MAX_NAMES) -> str:
    """Names in a line, the first ones of many.

    Example:
        >>> listed(["a", "b", "c", "d"], most=2)
        'a, b, and 2 more'
    """
    names = [str(name) for name in names]
    hidden = len(names) - most
    return ", ".join(names if hidden <= 1 else [*names[:most], f"and {hidden} more"])


def quoted(names: Iterable[Any], most: int = MAX_NAMES) -> str:
    """Names in a line, in quotes.

    Example:
        >>> quoted(["a", "b"])
        "'a', 'b'"
    """
    names = list(names)
    text = ", ".join(map(repr, names[:most]))
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def shown(value: Any, most: int = MAX_SHOWN) -> str:
    """A value as it is written in Python, cut where it is long.

    Example:
        >>> shown("Astoria"), len(shown("x" * 200))
        ("'Astoria'", 80)
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 4]}...{text[-1]}"


def as_call(text: str) -> tuple[str, dict[str, float]] | None:
    """A name, and the numbers that stand in brackets after it; None for anything else.

    Raises:
        ValueError: for a number that is not finite, or is named twice.

    Example:
        >>> as_call("iwae"), as_call("renyi(alpha=0.25)"), as_call("renyi(0.25)")
        (('iwae', {}), ('renyi', {'alpha': 0.25}), None)
    """
    found = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", text)
    if found is None:
        return None
    options: dict[str, float] = {}
    for part in (found[2] or "").split(","):
        if not part.strip():
            continue
        key, _, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            return None
        if not math.isfinite(value):
            raise ValueError(f"{text.strip()!r} has {key}={number}: give a finite number, or leave it out")
        if key in options:
            raise ValueError(f"{text.strip()!r} has {key!r} twice: give it once")
        options[key] = value
    return found[1], options


def short(value: Any) -> str:
    """A cell for the eye: four digits, and no powers of ten where whole numbers will do.

    Example:
        >>> short(0.123456), short(4202.24), short(None)
        ('0.1235', '4202', '')
    """
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


def plus_minus(value: float | None, stderr: float | None, digits: int = 2) -> str:
    """A number with its standard error, where it has one; None is a density of 0 somewhere.

    Example:
        >>> plus_minus(1.234, 0.1), plus_minus(1.234, None)
        ('1.23 ± 0.10', '1.23')
    """
    if value is None:
        return "-inf"
    if stderr is None or not math.isfinite(stderr):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"
