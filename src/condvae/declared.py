"""Values of files, checked against the type hints and shapes by which they are declared."""

import dataclasses
import math
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np

from condvae.text import cut, quote

MALFORMED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""What reading JSON of another form raises."""

REASON = 240
"""Characters of a reason at most."""


def reason(error: Exception) -> str:
    """Why a file is malformed, in words that fit into brackets.

    Example:
        >>> reason(KeyError("fields")), reason(ValueError("its size is 3, expected 2"))
        ("'fields' is missing", 'its size is 3, expected 2')
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    words = cut(" ".join(str(error).split()), REASON) or type(error).__name__
    return f"{words} is missing" if isinstance(error, KeyError) else words


_JSON: dict[Any, tuple[type | tuple[type, ...], str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a finite number"),
    str: (str, "text"),
    NoneType: (NoneType, "null"),
}

_hints = cache(get_type_hints)


def conform(hint: Any, value: Any, where: str) -> Any:
    """A value of JSON as the type that a hint declares.

    Args:
        hint: `bool`, `int`, `float`, `str`, None, `Any`, a `Literal`, a union, a tuple, list or dictionary
            of such types, or a dataclass or named tuple with hints.
        value: what JSON holds. A dataclass is a dictionary of its fields, in which those with a default may
            be absent; a named tuple is a list or a dictionary; a tuple is a list.
        where: what the value is called in errors.

    Raises:
        ValueError: for a value of another type; the message names its place.

    Example:
        >>> conform(tuple[float, ...], [1.5, 2], "the scales")
        (1.5, 2)
        >>> conform(dict[str, int], {"rows": "many"}, "fitted")
        Traceback (most recent call last):
        ValueError: fitted.rows is 'many', expected a whole number
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if hint in _JSON:
        kinds, words = _JSON[hint]
        odd = isinstance(value, bool) and hint is not bool
        if odd or not isinstance(value, kinds) or (isinstance(value, float) and not math.isfinite(value)):
            raise _other(where, value, words)
        return value
    if origin is Literal:
        if not any(type(value) is type(word) and value == word for word in arguments):
            raise _other(where, value, " or ".join(map(quote, arguments)))
        return value
    if origin in (Union, UnionType):
        return _conform_to_one(arguments, value, where)
    if origin is tuple or origin is list:
        return _conform_items(origin, arguments, value, where)
    if origin is dict:
        _require(dict, value, where, "an object")
        return {
            conform(arguments[0], key, f"a name in {where}"): conform(arguments[1], item, f"{where}.{key}")
            for key, item in value.items()
        }
    return _conform_fields(hint, value, where)


def _conform_to_one(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    hints = tuple(hint for hint in hints if hint is not NoneType or value is None)
    if value is None and NoneType in hints:
        return None
    problems = []
    for hint in hints:
        try:
            return conform(hint, value, where)
        except ValueError as error:
            problems.append(error)
    raise problems[0]


def _conform_items(origin: Any, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    _require((list, tuple), value, where, "a list")
    if origin is list or arguments[1:] == (...,):
        arguments = arguments[:1] * len(value)
    if len(value) != len(arguments):
        raise ValueError(f"{where} has {len(value)} items, expected {len(arguments)}")
    pairs = enumerate(zip(arguments, value, strict=True))
    return origin(conform(hint, item, f"{where}[{i}]") for i, (hint, item) in pairs)


def _conform_fields(kind: Any, value: Any, where: str) -> Any:
    hints: dict[str, Any] = _hints(kind)
    if dataclasses.is_dataclass(kind):
        _require(dict, value, where, "an object")
        optional = {each.name for each in dataclasses.fields(kind) if _has_default(each)}
    else:
        optional = set(kind._field_defaults)
        if isinstance(value, (list, tuple)):
            if len(value) != len(kind._fields):
                raise ValueError(f"{where} has {len(value)} items, expected {len(kind._fields)}")
            value = dict(zip(kind._fields, value, strict=True))
        _require(dict, value, where, "an object")
    if odd := sorted(set(value) - set(hints)):
        raise ValueError(f"{where} has the field {quote(odd[0])}, which this version does not have")
    if absent := sorted(set(hints) - set(value) - optional):
        raise ValueError(f"{where} lacks the field {quote(absent[0])}")
    build: Any = kind
    return build(**{name: conform(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _has_default(field: Any) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _require(kinds: Any, value: Any, where: str, words: str) -> None:
    if not isinstance(value, kinds):
        raise _other(where, value, words)


def _other(where: str, value: Any, words: str) -> ValueError:
    return ValueError(f"{where} is {quote(value)}, expected {words}")


Sizes = dict[str, int]
"""The lengths of axes, by name."""


class Shape(NamedTuple):
    """What an array is declared to be.

    Attributes:
        axes: the names of its axes: those of one name are equally long; `a*b` has the product of two
            lengths, `_` has any length, and `...` stands for any number of axes.
        kinds: the kinds of its type, as `dtype.kind` has them; "" for any.
        infinite: whether it may hold infinite numbers.
    """

    axes: str
    kinds: str = "f"
    infinite: bool = False


def require_array(name: str, array: Any, shape: Shape, sizes: Sizes) -> None:
    """Check the type and the shape of an array, and that its numbers are finite.

    Args:
        name: what the array is called in errors.
        array: one of NumPy or JAX.
        shape: what it is declared to be.
        sizes: the lengths that are known; those of other axes are added.

    Raises:
        ValueError: for another array; the message gives its shape and the one expected.

    Example:
        >>> require_array("bias", np.zeros(3), Shape("size"), {"size": 2})
        Traceback (most recent call last):
        ValueError: bias is float64[3], expected numbers of shape [2]
    """
    kinds, axes = shape.kinds, shape.axes.split()
    words = {"f": "numbers", "iu": "whole numbers", "b": "true or false"}.get(kinds, "an array")
    if not hasattr(array, "dtype"):
        raise _other(name, array, words)
    odd = (kinds and array.dtype.kind not in kinds) or (kinds == "f" and array.dtype.itemsize < 4)
    if odd or not _fits(array.shape, axes, sizes):
        lengths = [_length(axis, sizes) for axis in axes]
        expected = [
            axis if length is None else str(length) for axis, length in zip(axes, lengths, strict=True)
        ]
        given = f"{array.dtype}{list(array.shape)}"
        raise ValueError(f"{name} is {given}, expected {words} of shape [{', '.join(expected)}]")
    if array.dtype.kind == "f":
        values = np.asarray(array)
        if not (~np.isnan(values) if shape.infinite else np.isfinite(values)).all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _fits(shape: tuple[int, ...], axes: list[str], sizes: Sizes) -> bool:
    if "..." in axes:
        place = axes.index("...")
        after = len(axes) - place - 1
        if len(shape) < len(axes) - 1:
            return False
        return _fits(shape[:place], axes[:place], sizes) and _fits(
            shape[len(shape) - after :], axes[place + 1 :], sizes
        )
    if len(shape) != len(axes):
        return False
    for axis, size in zip(axes, shape, strict=True):
        if axis.isidentifier() and axis != "_":
            sizes.setdefault(axis, size)
        if (expected := _length(axis, sizes)) is not None and expected != size:
            return False
    return True


def _length(axis: str, sizes: Sizes) -> int | None:
    lengths = [int(part) if part.isdigit() else sizes.get(part) for part in axis.split("*")]
    known = [length for length in lengths if length is not None]
    return math.prod(known) if len(known) == len(lengths) else None


def require_like(expected: Mapping[str, Any], arrays: Mapping[str, Any], saved: str, other: str) -> None:
    """Check that arrays have the names, shapes and types of others.

    Args:
        expected: arrays by name.
        arrays: those of the file.
        saved: what the file is called in errors.
        other: what the others are called.

    Raises:
        ValueError: if they differ.
    """
    if odd := sorted(set(expected) ^ set(arrays)):
        raise ValueError(f"only {saved if odd[0] in arrays else other} has {cut(odd[0], REASON // 2)}")
    for name, other_array in expected.items():
        array, shape, dtype = arrays[name], other_array.shape, other_array.dtype
        if array.shape != shape or array.dtype != dtype:
            given = f"{array.dtype}{list(array.shape)}"
            raise ValueError(f"{name} is {given}, in {other} {dtype}{list(shape)}")
