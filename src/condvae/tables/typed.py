"""Columns of text as any program would type them: numbers, true or false, ISO dates; else text."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_ABSENT = "NA N/A n/a n.a. N.A. #N/A #NA <NA> NaN nan -nan -NaN NaT null NULL Null None"
MISSING = ("", *_ABSENT.split())
"""A missing cell in every column of a file; "none" and "na" may be words in a column of text."""

INDEX_NAMES = ("", "Unnamed: 0", "Unnamed: 0.1", "...1", "__index_level_0__")
"""What programs call a column of row numbers that they wrote without being asked."""

LONGEST = 256
"""Characters of a cell, beyond which its column is text."""

_WHOLE = r"^[+-]?\d+$"
_CODE = r"^[+-]?0\d+(\.\d*)?$|^\d{16}\d*$"
_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?)$"
_BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"
_DAY = r"^\d{4}-\d\d-\d\d$"
_TIME = r"^\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?"
_ZONED = r"^\d{4}-\d\d-\d\d[ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)$"
_DECIMAL_COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$"


def plain(array: pa.Array, *, typed: bool = True, points: bool = True) -> pa.Array:
    """A column of text, typed where all its cells are of one type; words for a missing cell are missing.

    Numbers with leading zeros, and whole numbers of more digits than a float has, stay text: they are
    codes.

    Args:
        array: large_string.
        typed: whether it is typed at all.
        points: whether a point is a decimal point; else numbers with points stay text.

    Example:
        >>> plain(pa.array(["1", " 2 ", "NA"], pa.large_string())).to_pylist()
        [1, 2, None]
        >>> plain(pa.array(["00501", "10001"], pa.large_string())).to_pylist()
        ['00501', '10001']
    """
    encoded = array.dictionary_encode()
    raw = encoded.dictionary
    texts = _call("utf8_trim_whitespace", raw)
    missing = pc.call_function("is_in", [texts], pc.SetLookupOptions(pa.array(MISSING, texts.type)))
    kept = pc.call_function("if_else", [missing, pa.scalar(None, texts.type), texts])
    raw = pc.call_function("if_else", [missing, pa.scalar(None, raw.type), raw])
    typed = typed and (points or not _any(kept, r"^[+-]?\d*\.\d*$"))
    values = _typed(kept, raw) if typed else raw.cast(pa.string())
    return values.take(encoded.indices)


def _typed(texts: pa.Array, raw: pa.Array) -> pa.Array:
    observed = texts.drop_null()
    if not len(observed):
        return pa.nulls(len(texts))
    as_text = raw.cast(pa.string())
    longest = _call("max", _call("utf8_length", observed)).as_py()
    if longest > LONGEST or _any(observed, _CODE):
        return as_text
    try:
        if _all(observed, _WHOLE):
            return _cast(_unsigned(texts), pa.int64(), pa.float64())
        if _all(observed, _BOOLEAN):
            return _call("equal", _call("utf8_lower", texts), pa.scalar("true", texts.type))
        if _all(observed, _NUMBER):
            return _unsigned(texts).cast(pa.float64())
        if _all(observed, _DAY):
            return texts.cast(pa.date32())
        if _all(observed, f"{_TIME}$"):
            return texts.cast(pa.timestamp("ns" if _any(observed, r"\.") else "s"))
        if _all(observed, _ZONED):
            return texts.cast(pa.timestamp("ns" if _any(observed, r"\.") else "s", tz="UTC"))
    except pa.ArrowInvalid:  # a thirteenth month, say
        pass
    return as_text


def _cast(texts: pa.Array, *kinds: pa.DataType) -> pa.Array:
    for kind in kinds[:-1]:
        try:
            return texts.cast(kind)
        except pa.ArrowInvalid:  # beyond 64 bits
            continue
    return texts.cast(kinds[-1])


def _unsigned(texts: pa.Array) -> pa.Array:
    options = pc.ReplaceSubstringOptions(r"^\+", "")
    return pc.call_function("replace_substring_regex", [texts], options)


def _call(name: str, *arguments: Any) -> Any:
    return pc.call_function(name, list(arguments))


def _all(texts: pa.Array, pattern: str) -> bool:
    return bool(_call("all", _matches(texts, pattern)).as_py())


def _any(texts: pa.Array, pattern: str) -> bool:
    return bool(_call("any", _matches(texts, pattern)).as_py())


def _matches(texts: pa.Array, pattern: str) -> Any:
    return pc.call_function("match_substring_regex", [texts], pc.MatchSubstringOptions(pattern))


def is_numbering(column: Any) -> bool:
    """Whether cells count the rows from 0 or 1.

    Example:
        >>> is_numbering(pa.array([1, 2, 3])), is_numbering(pa.array([1, 3, 2]))
        (True, False)
    """
    if not pa.types.is_integer(column.type) or column.null_count or not len(column):
        return False
    first = column[0].as_py()
    return first in (0, 1) and column.to_pylist() == list(range(first, first + len(column)))


def is_decimal_comma(array: pa.Array) -> bool:
    """Whether all cells of a column are numbers, and some of them have a decimal comma.

    Example:
        >>> is_decimal_comma(pa.array(["1,5", "2"])), is_decimal_comma(pa.array(["1", "2"]))
        (True, False)
    """
    texts = _call("utf8_trim_whitespace", array.drop_null().unique())
    missing = pc.call_function("is_in", [texts], pc.SetLookupOptions(pa.array(MISSING, texts.type)))
    texts = texts.filter(_call("invert", missing))
    return bool(len(texts)) and _any(texts, ",") and _all(texts, _DECIMAL_COMMA)
