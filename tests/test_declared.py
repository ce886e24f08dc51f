"""Values of files against the hints and shapes that declare them."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest

from condvae.declared import REASON, Shape, conform, reason, require_array, require_like


class Pair(NamedTuple):
    low: float
    high: float | None = None


@dataclass
class Part:
    name: str
    pairs: tuple[Pair, ...] = ()
    kind: Literal["a", 1] = "a"


@pytest.mark.parametrize(
    ("hint", "value", "result"),
    [
        (float, 3, 3),
        (int | None, None, None),
        (str | bool | int, True, True),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (list[Any], [{"b": None}], [{"b": None}]),
        (Part, {"name": "n", "pairs": [[1, 2], [0.5, None]]}, Part("n", (Pair(1, 2), Pair(0.5)))),
        (Pair, {"low": 1.0}, Pair(1.0)),
    ],
)
def test_values_of_the_declared_type_are_taken(hint, value, result):
    assert conform(hint, value, "it") == result


@pytest.mark.parametrize(
    ("hint", "value", "sentence"),
    [
        (int, True, "it is True, expected a whole number"),
        (float, math.nan, "it is nan, expected a finite number"),
        (float | None, "1", "it is '1', expected a finite number"),
        (tuple[int, ...], "ab", "it is 'ab', expected a list"),
        (tuple[int, str], [1], "it has 1 items, expected 2"),
        (dict[str, int], [], r"it is \[\], expected an object"),
        (dict[str, int], {"a": "b"}, "it.a is 'b', expected a whole number"),
        (Part, {"name": "n", "pairs": [[1]]}, r"it.pairs\[0\] has 1 items, expected 2"),
        (Part, {"name": "n", "kind": True}, "it.kind is True, expected 'a' or 1"),
        (Part, {"name": "n", "size": 1}, "it has the field 'size', which this version does not have"),
        (Part, {}, "it lacks the field 'name'"),
    ],
)
def test_values_of_another_type_are_refused_by_their_place(hint, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        conform(hint, value, "it")


def test_axes_of_one_name_are_equally_long():
    sizes = {"width": 2}
    require_array("a", np.zeros((5, 2)), Shape("rows width"), sizes)
    require_array("b", np.zeros(10), Shape("rows*width"), sizes)
    require_array("c", np.zeros((5, 1, 1, 2)), Shape("rows ... width"), sizes)
    assert sizes == {"width": 2, "rows": 5}
    for array, axes in ((np.zeros(4), "rows"), (np.zeros((5, 3)), "rows width"), (np.zeros(5), "rows _")):
        with pytest.raises(ValueError, match="expected numbers of shape"):
            require_array("d", array, Shape(axes), sizes)


@pytest.mark.parametrize(
    ("array", "kinds"),
    [(np.zeros(2, np.float16), "f"), (np.zeros(2, int), "f"), (np.zeros(2), "iu"), (3, "b")],
)
def test_arrays_of_another_type_are_refused(array, kinds):
    with pytest.raises(ValueError, match=r"a is .*expected"):
        require_array("a", array, Shape("_", kinds), {})


def test_numbers_are_finite_unless_infinite_ones_are_declared():
    require_array("a", np.array([-np.inf]), Shape("_", infinite=True), {})
    for value, infinite in ((np.inf, False), (np.nan, True)):
        with pytest.raises(ValueError, match="not finite"):
            require_array("a", np.array([value]), Shape("_", infinite=infinite), {})


def test_arrays_like_others_have_their_names_shapes_and_types():
    like = {"a": np.zeros(2)}
    require_like(like, {"a": np.ones(2)}, "the file", "the model")
    for arrays, sentence in (
        ({}, "only the model has a"),
        ({"a": np.zeros(2), "b": np.zeros(1)}, "only the file has b"),
        ({"a": np.zeros(3)}, r"a is float64\[3\], in the model float64\[2\]"),
        ({"a": np.zeros(2, np.float32)}, r"a is float32\[2\], in the model float64\[2\]"),
    ):
        with pytest.raises(ValueError, match=sentence):
            require_like(like, arrays, "the file", "the model")


def test_reasons_are_short():
    assert reason(RecursionError("maximum ...")) == "it is nested too deeply"
    assert len(reason(ValueError("a\n" * 10_000))) <= REASON
    assert reason(ValueError()) == "ValueError"
