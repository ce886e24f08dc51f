"""Numbers and names in words, as people read them."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

MAX_NAMES = 12
"""Names listed at most."""

MAX_QUOTED = 80
"""Characters of a value that a sentence quotes at most."""

MAX_PATH = 240
"""Characters of a path at most."""

MAX_SENTENCE = 1200
"""Characters of a sentence at most: half a screen."""


def quote(value: Any) -> str:
    """A value as it is written in Python, the first characters of a long one.

    Example:
        >>> quote("a"), quote(1.5), len(quote("a" * 10**7))
        ("'a'", '1.5', 82)
    """
    long = isinstance(value, str | bytes) and len(value) > MAX_QUOTED
    text = repr(value[: MAX_QUOTED - 3] if long else value)
    if not long and len(text) <= MAX_QUOTED + 2:
        return text
    end = text[-1] if isinstance(value, str | bytes) else ""
    return f"{text[: MAX_QUOTED - 2]}...{end}"


def path_in_words(path: Any) -> str:
    """A path in quotation marks, the first and the last part of one that is very long.

    Example:
        >>> path_in_words("a/model"), len(path_in_words("a" * 5000))
        ("'a/model'", 242)
    """
    return repr(cut(str(path), MAX_PATH))


def cut(sentence: str, most: int = MAX_SENTENCE) -> str:
    """A sentence, the first and the last part of one with more characters than `most`.

    Example:
        >>> cut("It rains."), len(cut("a" * 10**7))
        ('It rains.', 1200)
    """
    if len(sentence) <= most:
        return sentence
    half = most // 2
    return f"{sentence[: half - 5]} ... {sentence[-half:]}"


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
    return in_line([_clipped(str(name)) for name in names], most)


def in_line(parts: Sequence[str], most: int = MAX_NAMES) -> str:
    """Parts of a sentence in a line, as they are; the first ones of many.

    Example:
        >>> in_line(["'a' in 2 rows", "'b' in 1 row", "'c' in 1 row"], most=1)
        "'a' in 2 rows, and 2 more"
    """
    hidden = len(parts) - most
    return ", ".join(parts if hidden <= 1 else [*parts[:most], f"and {hidden} more"])


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 3]}..."


def quoted(names: Iterable[Any], most: int = MAX_NAMES) -> str:
    """Names in a line, in quotes.

    Example:
        >>> quoted(["a", "b"])
        "'a', 'b'"
    """
    names = list(names)
    text = ", ".join(map(quote, names[:most]))
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def as_call(text: str) -> tuple[str, dict[str, float]] | None:
    """A name, and the numbers that stand in brackets after it; None for anything else.

    Raises:
        ValueError: for a number that is not finite, or is named twice.

    Example:
        >>> as_call("iwae"), as_call("renyi(alpha=0.25)"), as_call("renyi(0.25)")
        (('iwae', {}), ('renyi', {'alpha': 0.25}), None)
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", text)
    if match is None:
        return None
    options: dict[str, float] = {}
    for part in (match[2] or "").split(","):
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
    return match[1], options


def short(value: Any) -> str:
    """A cell for the eye: four digits, and no powers of ten where whole numbers will do.

    Example:
        >>> short(0.123456), short(4202.24), short(None)
        ('0.1235', '4202', '')
    """
    if value is None:
        return ""
    if not isinstance(value, float):
        return _clipped(str(value))
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
