"""Frozen dataclasses that hold only what JSON can hold, and the JSON Schema that describes them."""

import inspect
import math
import re
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

JSON_TYPES: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    # A number that is not finite is null.
    float: {"type": ["number", "null"]},
    str: {"type": "string"},
    NoneType: {"type": "null"},
}


@dataclass(frozen=True)
class Record:
    """A frozen dataclass of numbers, words, lists and mappings of them, named tuples and other records.

    A number that is not finite becomes None and an array a list when the record is made.

    Example:
        >>> from dataclasses import dataclass
        >>> from condvae.records import Record
        >>> @dataclass(frozen=True)
        ... class Mean(Record):
        ...     nats: float | None
        ...     rows: int
        >>> Mean(float("nan"), 3), Mean(0.5, 3).to_json()
        (Mean(nats=None, rows=3), {'nats': 0.5, 'rows': 3})
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _plain(getattr(self, each.name)))

    def to_json(self) -> dict[str, Any]:
        """The fields by name, in JSON's types."""
        return {each.name: _json(getattr(self, each.name)) for each in fields(self)}


def schema(kind: type[Record]) -> dict[str, Any]:
    """The JSON Schema of a kind of record.

    Descriptions come from the docstrings: the first sentence, and what `Attributes` says of each field.
    A field whose default is None, or an empty list or mapping, may be left out.

    Raises:
        KeyError: for a field that the docstring does not describe, or whose type JSON does not have.
    """
    definitions: dict[str, Any] = {}
    root = _object(kind, definitions)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": kind.__name__, **root, "$defs": dict(sorted(definitions.items()))}


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    described, hints = _descriptions(kind), get_type_hints(kind)
    if issubclass(kind, Record):
        names = [each.name for each in fields(kind)]
        required = [
            each.name
            for each in fields(kind)
            if each.default is not None and each.default_factory is MISSING
        ]
    else:
        names = required = list(kind._fields)
    properties = {
        name: {"description": described[name]} | _type(hints[name], definitions) for name in names
    }
    words = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    return {"description": _words(words), "type": "object", "properties": properties, "required": required}


def _type(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        kinds = [_type(argument, definitions) for argument in arguments]
        if all(set(one) == {"type"} for one in kinds):
            names = [name for one in kinds for name in np.atleast_1d(one["type"]).tolist()]
            return {"type": list(dict.fromkeys(names))}
        return {"anyOf": kinds}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if origin is tuple:
        items = [_type(argument, definitions) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if hint in JSON_TYPES:
        return JSON_TYPES[hint]
    if hint.__name__ not in definitions:
        definitions[hint.__name__] = _object(hint, definitions)
    return {"$ref": f"#/$defs/{hint.__name__}"}


def _descriptions(kind: type) -> dict[str, str]:
    """What the docstrings of a class and of those that it extends say of each field."""
    described: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        _, _, attributes = inspect.cleandoc(part.__dict__.get("__doc__") or "").partition("Attributes:\n")
        for name, words in re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", attributes, re.MULTILINE):
            described[name] = _words(words)
    return described


def _words(text: str) -> str:
    """A text of a docstring as a line of a schema, where None is null."""
    return re.sub(r"\bNone\b", "null", " ".join(text.split()))


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_plain, value))
    return type(value)(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _json(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        value = value._asdict()  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, dict):
        return {name: _json(one) for name, one in value.items()}
    return list(map(_json, value)) if isinstance(value, (list, tuple)) else value
