"""Records hold what JSON holds, and their schema says what that is."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest

from condvae.records import Record, schema


class Chance(NamedTuple):
    """A test.

    Attributes:
        p_value: None where nothing
            was tested.
    """

    p_value: float


@dataclass(frozen=True)
class Inner(Record):
    """A part. More of it.

    Attributes:
        shares: by level.
    """

    shares: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Outer(Inner):
    """All there is.

    More of it.

    Attributes:
        kind: one of two.
        ends: a pair.
        parts: others.
        test: one or none.
    """

    kind: Literal["a", "b"] = "a"
    ends: tuple[float, str]
    parts: list[Inner]
    test: Chance | None = None


def test_what_is_not_finite_becomes_none_and_arrays_become_lists():
    inner = Inner({"x": np.float64(np.inf), "y": np.float32(0.5)})
    assert inner.shares == {"x": None, "y": 0.5}
    assert type(inner.shares["y"]) is float
    outer = Outer(shares={}, ends=(np.nan, "b"), parts=[inner], test=Chance(np.nan))
    assert outer.ends == (None, "b")
    assert outer.test == Chance(None)
    assert outer.to_json() == {
        "shares": {},
        "kind": "a",
        "ends": [None, "b"],
        "parts": [{"shares": {"x": None, "y": 0.5}}],
        "test": {"p_value": None},
    }
    values: Any = np.array([[1.0, np.nan]])
    assert Inner(values).shares == [[1.0, None]]


def test_the_schema_is_that_of_types_and_docstrings():
    described = schema(Outer)
    assert (described["title"], described["description"]) == ("Outer", "All there is.")
    assert described["required"] == ["shares", "kind", "ends", "parts"]
    properties = described["properties"]
    number = {"type": ["number", "null"]}
    assert properties["shares"] == {
        "description": "by level.",
        "type": "object",
        "additionalProperties": number,
    }
    assert properties["kind"] == {"description": "one of two.", "enum": ["a", "b"]}
    assert properties["ends"]["prefixItems"] == [number, {"type": "string"}]
    assert properties["parts"]["items"] == {"$ref": "#/$defs/Inner"}
    assert properties["test"]["anyOf"] == [{"$ref": "#/$defs/Chance"}, {"type": "null"}]
    assert (
        described["$defs"]["Chance"]["properties"]["p_value"]
        == {"description": "null where nothing was tested."} | number
    )


def test_a_field_that_is_not_described_has_no_schema():
    @dataclass(frozen=True)
    class Bare(Record):
        """A record without a word on its field."""

        rows: int

    with pytest.raises(KeyError, match="rows"):
        schema(Bare)
