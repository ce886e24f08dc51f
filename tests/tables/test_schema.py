"""What a schema learns from a table, and the sentences for tables that cannot serve."""

import json
from datetime import date, datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from condvae.tables import Column, Schema, TableError

MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
DATA = {
    "height": [1.5, 1.7, None, 2.2],
    "legs": [2, 4, 6, 8],
    "sex": ["m", None, "f", "m"],
    "tame": [True, True, False, True],
    "same": [3.0, 3.0, 3.0, 3.0],
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS)
def make(request):
    return request.param


def test_columns_are_described(make):
    schema = Schema.infer(make(DATA), given=["same", "sex"], target=["legs", "height", "tame"])
    assert [c.name for c in schema.given] == ["same", "sex"]
    legs, height, tame = schema.target
    assert legs == Column(
        "legs", "target", "numeric", "int64", mean=5.0, sd=np.sqrt(5), minimum=2.0, maximum=8.0
    )
    assert height.mean == pytest.approx(1.8, rel=1e-15)
    assert height.sd == pytest.approx(np.std([1.5, 1.7, 2.2]), rel=1e-15)
    assert (height.missing, height.minimum, height.maximum, height.dtype) == (1, 1.5, 2.2, "double")
    assert tame == Column(
        "tame", "target", "categorical", "bool", levels=(False, True), minimum=0.0, maximum=1.0
    )
    same, sex = schema.given
    assert (same.mean, same.sd) == (3.0, 1.0)  # a constant condition is allowed
    assert sex == Column("sex", "given", "categorical", "string", missing=1, levels=("f", "m"))
    assert (legs.integer, height.integer, tame.integer) == (True, False, False)
    assert (legs.boolean, tame.boolean) == (False, True)


def test_the_plain_vae_has_no_conditions(make):
    assert Schema.infer(make(DATA), target=["height"]).given == ()


@pytest.mark.parametrize(
    ("cells", "kind", "dtype", "levels"),
    [
        (pd.Series([1, 2, 1], dtype="uint8"), "numeric", "uint8", ()),
        (pd.Series([1, None, 2], dtype="Int16"), "numeric", "int16", ()),
        (pd.Series([1, 2, 1], dtype="float32"), "numeric", "float", ()),
        (pd.Series([True, None, False], dtype=object), "categorical", "bool", (False, True)),
        (pd.Series(["b", "a", "b"], dtype=object), "categorical", "string", ("a", "b")),
        (pd.Series(["b", "a", "b"], dtype="category"), "categorical", "category", ("a", "b")),
        (pd.Series([7, 5, 7], dtype="category"), "categorical", "category", (5, 7)),
        (pl.Series(["b", "a", "b"], dtype=pl.Categorical), "categorical", "category", ("a", "b")),
        (pl.Series(["1.5", "2.5", None]).cast(pl.Decimal(10, 2)), "numeric", "double", ()),
        (pa.array(["b", "a", "b"]).dictionary_encode(), "categorical", "category", ("a", "b")),
        (pa.array(["b", "a", "b"], pa.string_view()), "categorical", "string", ("a", "b")),
    ],
    ids=str,
)
def test_every_type_of_column(cells, kind, dtype, levels):
    frames = {pd.Series: pd.DataFrame, pl.Series: pl.DataFrame}
    column = Schema.infer(frames.get(type(cells), pa.table)({"a": cells}), target=["a"]).target[0]
    assert (column.kind, column.dtype, column.levels) == (kind, dtype, levels)


def test_declared_order_is_kept_and_levels_are_those_observed():
    declared = ["small", "medium", "large"]
    cells = ["small", "large", "small"]
    ordered = pd.CategoricalDtype(declared, ordered=True)
    for frame in (
        pd.DataFrame({"a": pd.Series(cells, dtype=ordered)}),
        pl.DataFrame({"a": pl.Series(cells, dtype=pl.Enum(declared))}),
    ):
        column = Schema.infer(frame, target=["a"]).target[0]
        assert column.levels == ("small", "large")
        assert column.declared == tuple(declared)


def test_chunks_of_different_dictionaries_are_one_column():
    chunks = [pa.array(["b"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()]
    column = Schema.infer(pa.table({"a": pa.chunked_array(chunks)}), target=["a"]).target[0]
    assert column.levels == ("a", "b")


def test_nan_is_missing(make):
    column = Schema.infer(make({"a": [1.0, float("nan"), 3.0]}), target=["a"]).target[0]
    assert (column.missing, column.mean) == (1, 2.0)


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e29])
def test_moments_survive_extreme_units(unit):
    column = Schema.infer(pa.table({"a": unit * np.array([1.0, 2.0, 3.0])}), target=["a"]).target[0]
    assert column.mean == pytest.approx(2 * unit)
    assert column.sd == pytest.approx(np.sqrt(2 / 3) * unit)


@pytest.mark.parametrize("num_rows", [3, 1000])
def test_moments_do_not_depend_on_the_order_of_the_rows(num_rows):
    rng = np.random.default_rng(0)
    cells = rng.normal(1e3, 1, num_rows) * 10.0 ** rng.integers(-8, 8, num_rows)
    first, *others = (
        Schema.infer(pa.table({"a": rng.permutation(cells)}), target=["a"]).target[0] for _ in range(20)
    )
    assert all(other == first for other in others)  # mean and sd to the last bit


def test_dates_are_described(make):
    days = [date(2024, 1, 1), None, date(2024, 1, 8), date(2024, 1, 3)]
    if make is pd.DataFrame:
        days = pd.to_datetime(pd.Series(days))
    schema = Schema.infer(make(DATA | {"day": days}), given=["day", "sex"], target=["legs"])
    start, day = datetime(2024, 1, 1).timestamp() - datetime(1970, 1, 1).timestamp(), 86400.0
    column = schema.given[0]
    assert (column.kind, column.dtype, column.missing, column.levels) == (
        "datetime",
        "timestamp[us]",
        1,
        (),
    )
    assert (column.mean, column.minimum, column.maximum) == (start + 3 * day, start, start + 7 * day)
    assert column.sd == pytest.approx(np.std([0, 7, 2]) * day)
    assert (column.parts, column.zone) == (("week",), None)
    assert (column.block, column.width) == ("numeric", 3)
    assert [(c.block, c.width) for c in (schema.given[1], schema.target[0])] == [
        ("categorical", 1),
        ("numeric", 1),
    ]
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema


def test_dates_with_a_zone_and_a_constant_one():
    times = pd.to_datetime(["2024-01-01", "2024-01-01"])
    frame = pd.DataFrame({"a": times, "b": times.tz_localize("Europe/Berlin"), "y": [1, 2]})
    a, b = Schema.infer(frame, given=["a", "b"], target=["y"]).given
    assert (a.zone, b.zone, b.dtype) == (None, "Europe/Berlin", "timestamp[us, tz=Europe/Berlin]")
    assert a.mean - b.mean == 3600
    assert (a.sd, a.parts) == (1.0, ())


def test_unknown_gives_the_categorical_conditions_a_level_more(make):
    names = {"given": ["sex", "same", "tame"], "target": ["legs"]}
    assert not any(column.other for column in Schema.infer(make(DATA), **names).given)
    schema = Schema.infer(make(DATA), **names, unknown="other")
    assert [column.other for column in schema.given] == [True, False, False]  # a boolean has no others
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    names = {"given": ["same"], "target": ["sex"]}
    assert not Schema.infer(make(DATA), **names, unknown="other").target[0].other


def test_json_is_exact(make):
    data = DATA | {"größe": [0.1 + 0.2, 1e-300, 1 / 3, None]}
    target = ["legs", "height", "tame", "größe"]
    if make is pd.DataFrame:
        data["size"] = pd.Categorical([3, 1, 3, 1], categories=[3, 2, 1], ordered=True)
        target.append("size")
    schema = Schema.infer(make(data), given=["sex", "same"], target=target)
    text = json.dumps(schema.to_json(), allow_nan=False)
    assert Schema.from_json(json.loads(text)) == schema
    assert Schema.from_json(schema.to_json()) == schema


def test_json_of_earlier_versions_is_read(make):
    schema = Schema.infer(make(DATA), given=["sex"], target=["legs"])
    data = schema.to_json()
    for column in data["given"] + data["target"]:
        for name in ("other", "parts", "zone", "reading", "support", "scores"):
            del column[name]
    assert Schema.from_json(json.loads(json.dumps(data))) == schema


@pytest.mark.parametrize("data", [{}, {"given": []}, {"given": [], "target": [{"name": "a"}]}, [], None])
def test_json_of_something_else_is_refused(data):
    with pytest.raises(TableError, match="not a schema"):
        Schema.from_json(data)


# Tables that cannot serve

MANY = [f"id{i}" for i in range(60)]
TYPO = [*map(str, range(59)), "abc"]


@pytest.mark.parametrize(
    ("data", "names", "sentence"),
    [
        ({}, {"target": []}, "no target column was named; name at least one"),
        ({}, {"target": "height"}, r"target='height' is one name; pass a list, \['height'\]"),
        ({}, {"target": ["hieght"]}, "no column 'hieght'; did you mean 'height'?"),
        ({}, {"target": ["zzz"]}, "no column 'zzz'; its columns are 'height', 'legs', "),
        ({}, {"given": ["sex"], "target": ["legs", "sex"]}, "'sex' is both given and a target"),
        (
            {"a": ["$5", "$6", "7%", "8"]},
            {"target": ["a"]},
            r"'a' would be of numbers with '\$' but for row 3",
        ),
        ({}, {"given": ["sex", "sex"], "target": ["legs"]}, "'sex' is named twice in given"),
        ({}, {"target": ["legs", "legs"]}, "'legs' is named twice in target"),
        ({}, {"target": ["same"]}, r"target column 'same' is constant \(always 3\); drop it"),
        ({"a": ["x", "x", None, "x"]}, {"target": ["a"]}, r"'a' is constant \(always 'x'\)"),
        ({"a": [True, True, None, True]}, {"target": ["a"]}, r"'a' is constant \(always True\)"),
        ({"a": [None, 5, None, None]}, {"target": ["a"]}, r"'a' is constant \(always 5\)"),
        ({"a": [None] * 4}, {"target": ["a"]}, "'a' has no observed cell; a target needs"),
        ({"a": [None] * 4}, {"given": ["a"], "target": ["legs"]}, "'a' has no observed cell; drop"),
        ({"a": [float("nan")] * 4}, {"given": ["a"], "target": ["legs"]}, "'a' has no observed cell"),
        ({"a": [1.0, float("inf"), 2.0, 3.0]}, {"target": ["a"]}, "'a', row 2 is infinite; correct"),
        ({"a": [1.0, 2.0, -1e31, 3.0]}, {"target": ["a"]}, r"'a', row 3 is beyond ±1e\+30 \(-1e\+31\)"),
        ({"a": [[1], [2], [3], [4]]}, {"target": ["a"]}, r"'a' has the type (large_)?list<.*not supported"),
        ({"a": [{"x": 1}] * 4}, {"target": ["a"]}, "'a' has the type struct<.*not supported"),
        (
            {"a": pd.date_range("2020", periods=4)},
            {"target": ["a"]},
            "target column 'a' holds dates .*days since",
        ),
        ({}, {"target": ["legs"], "unknown": "maybe"}, "unknown='maybe', expected 'error' or 'other'"),
        ({"a": [b"x", b"y", b"x", b"y"]}, {"target": ["a"]}, "'a' has the type .*binary, which is not"),
    ],
)
def test_one_sentence_each(make, data, names, sentence):
    if isinstance(data.get("a"), pd.DatetimeIndex) and make is not pd.DataFrame:
        data = {"a": data["a"].to_pydatetime().tolist()}
    with pytest.raises(TableError, match=sentence) as error:
        Schema.infer(make(DATA | data), **names)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (MANY, r"'a' looks like an identifier \(60 different values in 60 rows\); drop it"),
        (TYPO, r"'a' would be numeric but for row 60 \('abc'\): 59 of 60 cells are; correct the cell"),
        ([f"1/2/{2000 + i}" for i in range(60)], "'a' holds dates whose day and month no cell tells apart"),
        ([f"10.0.0.{i}" for i in range(60)], "'a' looks like an identifier"),
    ],
)
def test_identifiers_are_refused(make, cells, sentence):
    with pytest.raises(TableError, match=sentence):
        Schema.infer(make({"a": cells, "x": range(60)}), given=["a"], target=["x"])


def test_many_levels_that_repeat_are_no_identifier(make):
    schema = Schema.infer(make({"a": 2 * MANY, "x": range(120)}), given=["a"], target=["x"])
    assert len(schema.given[0].levels) == 60


@pytest.mark.parametrize(("num_rows", "sentence"), [(0, "has no rows"), (1, "has only one row")])
def test_too_few_rows(make, num_rows, sentence):
    with pytest.raises(TableError, match=sentence):
        Schema.infer(make({"a": [1.0][:num_rows]}), target=["a"])


def test_two_columns_of_one_name():
    for frame in (
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
    ):
        with pytest.raises(TableError, match="more than one column named 'a'; rename"):
            Schema.infer(frame, target=["a"])


@pytest.mark.parametrize(
    "frame", [[1, 2], None, np.zeros((2, 2)), pl.LazyFrame({"a": [1]}), pd.Series([1])]
)
def test_what_is_no_table(frame):
    with pytest.raises(TableError, match="expected a pandas, polars or pyarrow table, got"):
        Schema.infer(frame, target=["a"])


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (pd.Series(["x", 1, 2.5], dtype=object), r"mixes cells of several types \(float, int, str\)"),
        (pd.Series([1j, 2j, 3j]), "Complex data not supported"),
        (pd.Series(pd.arrays.SparseArray([0, 0, 1])), "has the type Sparse.*not supported; turn it into"),
        (
            pd.Series([1, "x", 2], dtype=object).astype("category"),
            r"mixes cells of several types \(int, str\)",
        ),
        (pd.cut(pd.Series([1.0, 2.0, 3.0]), 2), "not supported"),
        (pl.Series([1, 2, 3], dtype=pl.Int128), "has the type Int128, which is not supported"),
    ],
    ids=str,
)
def test_types_that_only_one_library_has(cells, sentence):
    frame = (pd if isinstance(cells, pd.Series) else pl).DataFrame({"a": cells})
    with pytest.raises(TableError, match=f"column 'a' .*{sentence}"):
        Schema.infer(frame, target=["a"])
