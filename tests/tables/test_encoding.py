"""Frames to arrays and back: exact where it can be, and one sentence where it cannot."""

from datetime import date, datetime, timedelta
from importlib.resources import files

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from condvae.observed import Observed
from condvae.tables import Column, Schema, TableError, decode, encode, levels, log_scale, read_table

MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
DATA = {
    "height": [1.5, 1.7, None, 2.2],
    "legs": [2, 4, 6, 8],
    "sex": ["m", None, "f", "m"],
    "tame": [True, True, False, True],
}
NAMES = list(DATA)


@pytest.fixture(params=MAKERS)
def backend(request):
    return request.param


@pytest.fixture
def make(backend):
    return MAKERS[backend]


@pytest.fixture
def columns(make):
    return Schema.infer(make(DATA), target=NAMES).target


def test_blocks(make, columns):
    blocks = encode(columns, make(DATA))
    assert list(blocks) == ["numeric", "categorical"]
    value, mask = blocks["numeric"]
    assert (value.dtype, value.shape, mask.dtype) == (np.float32, (4, 2), bool)
    assert value.flags.c_contiguous
    height = np.array([1.5, 1.7, 1.8, 2.2])  # the mean where missing, hence 0
    np.testing.assert_allclose(value[:, 0], (height - 1.8) / np.std([1.5, 1.7, 2.2]), atol=1e-7)
    np.testing.assert_allclose(value[:, 1], np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-7)
    np.testing.assert_array_equal(mask, [[1, 1], [1, 1], [0, 1], [1, 1]])
    assert value[2, 0] == 0
    value, mask = blocks["categorical"]
    assert (value.dtype, mask.dtype) == (np.int32, bool)
    np.testing.assert_array_equal(value, [[1, 1], [0, 1], [0, 0], [1, 1]])
    np.testing.assert_array_equal(mask, [[1, 1], [0, 1], [1, 1], [1, 1]])


def test_a_block_without_columns_is_absent(make, columns):
    assert list(encode(columns[:2], make(DATA))) == ["numeric"]
    assert list(encode(columns[2:], make(DATA))) == ["categorical"]
    assert encode((), make(DATA)) is None


def test_other_columns_and_their_order_do_not_matter(make, columns):
    frame = make({"extra": [[1]] * 4} | {name: DATA[name] for name in reversed(NAMES)})
    for ours, theirs in zip(
        encode(columns, frame).values(), encode(columns, make(DATA)).values(), strict=True
    ):
        np.testing.assert_array_equal(ours.value, theirs.value)
        np.testing.assert_array_equal(ours.mask, theirs.mask)


@pytest.mark.parametrize("num_rows", [0, 1, 2])
def test_few_rows(make, columns, num_rows, backend):
    blocks = encode(columns, make({name: cells[:num_rows] for name, cells in DATA.items()}))
    assert blocks["numeric"].value.shape == (num_rows, 2)
    assert blocks["categorical"].mask.shape == (num_rows, 2)
    back = decode(columns, {kind: block.value for kind, block in blocks.items()}, backend)
    assert back.shape == (num_rows, 4)


def test_standardising_is_in_float64(make):
    cells = [1e9, 1e9 + 0.25, 1e9 + 0.5]  # which are one number in float32
    frame = make({"a": cells})
    columns = Schema.infer(frame, target=["a"]).target
    np.testing.assert_allclose(encode(columns, frame)["numeric"].value[:, 0], [-1.2247449, 0, 1.2247449])


@pytest.mark.parametrize("empty", [[None, None], [float("nan")] * 2], ids=["null", "nan"])
def test_columns_without_cells_are_missing_whatever_their_type(make, columns, empty):
    blocks = encode(columns, make({name: empty for name in NAMES}))
    assert not blocks["numeric"].mask.any()
    assert not blocks["categorical"].mask.any()
    assert (blocks["numeric"].value == 0).all()


def test_empty_columns_of_a_csv_are_missing(tmp_path, columns):
    (tmp_path / "rows.csv").write_text("height,legs,sex,tame\n,NA,,\n,,null,NaN\n")
    assert not encode(columns, read_table(tmp_path / "rows.csv"))["numeric"].mask.any()


def test_frames_of_any_library_encode_alike(columns):
    numbers = [encode(columns, make(DATA))["numeric"].value for make in MAKERS.values()]
    np.testing.assert_array_equal(numbers[0], numbers[1])
    np.testing.assert_array_equal(numbers[0], numbers[2])


@pytest.mark.parametrize(
    ("fitted", "later"),
    [
        (["b", "a", "b"], pd.Categorical(["b", "b", "a"], categories=["z", "b", "a"])),
        (pd.Categorical(["b", "a", "b"]), ["b", "b", "a"]),
        (pd.Categorical([7, 5, 7]), [7, 7, 5]),
        (pd.Categorical([7, 5, 7]), [7.0, 7.0, 5.0]),
        (["2", "1", "x"], [2, 2, 1]),
        ([True, False, None], [True, True, False]),
    ],
    ids=str,
)
def test_categories_are_known_by_value(fitted, later):
    columns = Schema.infer(pd.DataFrame({"a": fitted}), target=["a"]).target
    first, second, third = encode(columns, pd.DataFrame({"a": later}))["categorical"].value[:, 0]
    assert first == second == 1
    assert third == 0


# Back into frames


def test_decode_gives_the_table_back(backend, make):
    data = {name: [cell for cell in cells if cell is not None][:3] for name, cells in DATA.items()}
    columns = Schema.infer(make(data), target=NAMES).target
    blocks = {kind: block.value for kind, block in encode(columns, make(data)).items()}
    back = nw.from_native(decode(columns, blocks, backend), eager_only=True)
    before = nw.from_native(make(data), eager_only=True)
    assert type(back.to_native()) is type(before.to_native())
    assert back.schema == before.schema  # the columns, their order and their types
    np.testing.assert_allclose(back["height"].to_numpy(), data["height"], rtol=1e-6)
    for name in NAMES[1:]:
        assert back[name].to_list() == data[name]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64, np.float32])
def test_numbers_keep_their_type_and_its_range(dtype, backend):
    columns = Schema.infer(pa.table({"a": np.array([1, 2, 60], dtype)}), target=["a"]).target
    back = decode(columns, {"numeric": np.array([[-1e30], [0.0], [1e30]])}, backend)
    cells = nw.from_native(back, eager_only=True)["a"].to_numpy()
    assert cells.dtype == dtype
    assert cells[0] < cells[1] < cells[2]
    assert cells[1] == (21 if np.issubdtype(dtype, np.integer) else 21.0)
    if np.issubdtype(dtype, np.integer):
        assert cells[0] == np.iinfo(dtype).min
        assert cells[2] == pytest.approx(np.iinfo(dtype).max)


def test_categories_keep_their_type():
    declared = ["small", "medium", "large"]
    cells = ["small", "large", "small"]
    pandas = pd.DataFrame(
        {
            "free": pd.Categorical(cells),
            "ordered": pd.Categorical(cells, categories=declared, ordered=True),
            "coded": pd.Categorical([7, 5, 7]),
        }
    )
    columns = Schema.infer(pandas, target=list(pandas)).target
    codes = encode(columns, pandas)["categorical"].value
    pd.testing.assert_frame_equal(decode(columns, {"categorical": codes}, "pandas"), pandas)
    polars = decode(columns, {"categorical": codes}, "polars")
    assert dict(polars.schema) == {"free": pl.Categorical, "ordered": pl.Enum(declared), "coded": pl.Int64}
    assert polars["ordered"].to_list() == cells
    arrow = decode(columns, {"categorical": codes}, "pyarrow")
    assert arrow["ordered"].type.ordered
    assert arrow["coded"].to_pylist() == [7, 5, 7]


def test_the_order_of_the_columns_is_the_schemas(backend, make):
    names = ["sex", "height", "tame", "legs"]
    columns = Schema.infer(make(DATA), target=names).target
    back = decode(columns, {"numeric": np.zeros((1, 2)), "categorical": np.array([[0, 1]])}, backend)
    row = nw.from_native(back, eager_only=True).rows(named=True)[0]
    assert list(row) == names
    assert row == {"sex": "f", "height": pytest.approx(1.8), "tame": True, "legs": 5}


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ({}, r"expected a numeric block of shape \[n, 2\], got \(0, 0\)"),
        ({"numeric": np.zeros((3, 2))}, r"expected a categorical block of shape \[n, 2\]"),
        ({"numeric": np.zeros(2), "categorical": np.zeros((1, 2), int)}, r"\[n, 2\], got \(2,\)"),
        ({"numeric": np.full((1, 2), np.nan), "categorical": np.zeros((1, 2), int)}, "'legs'.*not finite"),
        ({"numeric": np.zeros((1, 2)), "categorical": np.full((1, 2), 2)}, "'sex' has 2 levels"),
        ({"numeric": np.zeros((1, 2)), "categorical": np.full((1, 2), -1)}, "'sex' has 2 levels"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(columns, blocks, sentence):
    with pytest.raises(TableError, match=sentence):
        decode(columns, blocks)


# What the heads and the scores need to know


def test_levels(columns):
    assert levels(columns) == (2, 2)
    assert levels(columns[:2]) == ()


def test_log_scale_is_that_of_the_observed_cells(make, columns):
    mask = encode(columns, make(DATA))["numeric"].mask
    log_sd = np.log([column.sd for column in columns[:2]])
    expected = [log_sd.sum(), log_sd.sum(), log_sd[1], log_sd.sum()]
    scale = log_scale(columns, Observed(np.zeros(mask.shape), mask))
    np.testing.assert_allclose(scale, expected, rtol=1e-15)
    assert scale.dtype == np.float64
    none = Observed(np.zeros((3, 0)), np.zeros((3, 0), bool))
    np.testing.assert_array_equal(log_scale(columns[2:], none), np.zeros(3))


def test_a_change_of_units_shifts_the_log_density():
    def log_density(cells):  # of the standard normal, after standardising
        columns = Schema.infer(pa.table({"a": cells}), target=["a"]).target
        block = encode(columns, pa.table({"a": cells}))["numeric"]
        return -0.5 * block.value[:, 0] ** 2 - 0.5 * np.log(2 * np.pi) - log_scale(columns, block)

    cells = np.array([1.0, 2.5, 4.0, -3.0])
    np.testing.assert_allclose(log_density(1000 * cells), log_density(cells) - np.log(1000), rtol=1e-6)


# Dates as conditions


def fit_dates(times, **more):
    frame = pd.DataFrame({"when": times, "y": range(len(times))} | more)
    return Schema.infer(frame, given=["when", *more], target=["y"]).given


def test_a_date_is_its_trend_and_its_calendar(make):
    days = [date(2024, 1, 1) + timedelta(i) for i in range(15)]  # from a Monday
    data = {"a": [1.0, 2.0, 3.0] * 5, "day": days, "sex": ["f", "m", "m"] * 5, "b": [4.0, 5.0, 7.0] * 5}
    if make is pd.DataFrame:
        data["day"] = pd.to_datetime(pd.Series(days))
    columns = Schema.infer(make(data | {"y": range(15)}), given=list(data), target=["y"]).given
    value, mask = (blocks := encode(columns, make(data)))["numeric"]
    assert (value.dtype, value.shape, mask.shape) == (np.float32, (15, 5), (15, 5))
    assert mask.all()
    np.testing.assert_array_equal(
        value[:, [0, 4]], encode([columns[0], columns[3]], make(data))["numeric"].value
    )
    trend = np.arange(15) - 7
    np.testing.assert_allclose(value[:, 1], trend / np.std(trend), rtol=1e-6)
    week = 2 * np.pi * np.arange(15) / 7
    np.testing.assert_allclose(value[:, 2:4], np.stack([np.sin(week), np.cos(week)], 1), atol=1e-6)
    assert blocks["categorical"].value.shape == (15, 1)
    assert levels(columns) == (2,)


@pytest.mark.parametrize("missing", [[None, None], pd.to_datetime([None, None])], ids=["null", "NaT"])
def test_missing_dates_are_zeros(missing):
    times = pd.date_range("2024-01-01", periods=400, freq="17h")
    columns = fit_dates(times)
    assert columns[0].width == 7
    value, mask = encode(columns, pd.DataFrame({"when": [times[5], None]}))["numeric"]
    assert mask[0].all()
    assert not mask[1].any()
    np.testing.assert_array_equal(value[1], np.zeros(7))
    value, mask = encode(columns, pd.DataFrame({"when": missing}))["numeric"]
    assert (value.shape, value.any(), mask.any()) == ((2, 7), False, False)


def test_dates_of_any_library_unit_and_zone_encode_alike():
    times = pd.date_range("2024-01-01", periods=400, freq="31h", tz="Europe/Berlin")
    columns = fit_dates(times)
    assert columns[0].parts == ("year", "week", "day")
    first = encode(columns, pd.DataFrame({"when": times}))["numeric"].value
    arrow = pa.table({"when": pa.array(times.tz_convert("UTC"))})
    later = pd.DataFrame({"when": times.tz_convert("Asia/Tokyo").as_unit("s")})
    for frame in (later, arrow, pl.from_arrow(arrow)):
        np.testing.assert_array_equal(encode(columns, frame)["numeric"].value, first)


def test_a_date_is_its_midnight():
    columns = fit_dates(pd.date_range("2024-01-01", periods=30, freq="5h"))
    midnight, day = datetime(2024, 1, 3), date(2024, 1, 3)
    np.testing.assert_array_equal(
        *(encode(columns, pl.DataFrame({"when": [cell]}))["numeric"].value for cell in (midnight, day))
    )


@pytest.mark.parametrize(
    ("zone", "cells", "sentence"),
    [
        (
            None,
            ["soon"],
            r"'when' was a date or time when .* and is text here \(row 1: 'soon'\)",
        ),
        (None, [3.5], "'when' was a date or time .* and is numeric here"),
        (None, pd.date_range("2024", periods=1, tz="UTC"), "time zone UTC here and had none"),
        ("UTC", pd.date_range("2024", periods=1), "no time zone here and had UTC when"),
    ],
)
def test_dates_that_do_not_fit(zone, cells, sentence):
    columns = fit_dates(pd.date_range("2024", periods=9, tz=zone))
    with pytest.raises(TableError, match=sentence):
        encode(columns, pd.DataFrame({"when": cells}))


def test_dates_where_there_were_none(columns, make):
    for name, was in (("height", "numeric"), ("sex", "text"), ("tame", "true or false")):
        with pytest.raises(
            TableError, match=f"'{name}' was {was} .* a date or time here .row 1: 2024-01-01"
        ):
            encode(
                columns,
                make({key: cells[:1] for key, cells in DATA.items()} | {name: [datetime(2024, 1, 1)]}),
            )


def test_dates_are_not_decoded():
    columns = fit_dates(pd.date_range("2024", periods=9))
    with pytest.raises(TableError, match="'when' is of dates, which are not decoded; leave it out"):
        decode(columns, {"numeric": np.zeros((1, columns[0].width))})


# Categories that were not there


def given(make, unknown):
    names = {"given": ["sex", "tame", "height"], "target": ["legs"]}
    return Schema.infer(make(DATA), **names, unknown=unknown).given


def test_others_are_a_level_of_their_own(make):
    columns = given(make, "other")
    assert levels(columns) == (3, 2)
    value, mask = encode(columns, make(DATA | {"sex": ["x", "m", None, "y"]}))["categorical"]
    np.testing.assert_array_equal(value[:, 0], [2, 1, 0, 2])
    np.testing.assert_array_equal(mask[:, 0], [True, True, False, True])
    np.testing.assert_array_equal(encode(columns, make(DATA))["categorical"].value.max(axis=0), [1, 1])
    with pytest.raises(TableError, match=r"'sex' was text .* and is true or false here"):
        encode(columns, make(DATA | {"sex": [True] * 4}))


@pytest.mark.parametrize("unknown", ["error", "other"])
def test_unseen_categories_may_be_missing(make, unknown):
    frame = make(DATA | {"sex": ["x", "m", None, "f"]})
    value, mask = encode(given(make, unknown), frame, unseen="missing")["categorical"]
    others = unknown == "other"  # where there is a level for them, they are it
    np.testing.assert_array_equal(value[:, 0], [2 * others, 1, 0, 0])
    np.testing.assert_array_equal(mask[:, 0], [others, True, False, True])


def test_unseen_categories_are_an_error_that_names_the_remedy(make):
    frame = make(DATA | {"sex": ["m", "x", None, "f"]})
    with pytest.raises(
        TableError, match=r"'sex', row 2: .* \(fitting with unknown='other' accepts such levels"
    ):
        encode(given(make, "error"), frame)
    target = Schema.infer(make(DATA), target=["sex"]).target
    with pytest.raises(TableError, match=r"use one of 'f', 'm', or leave the cell empty$"):
        encode(target, frame)
    with pytest.raises(TableError, match="unseen='drop', expected 'error' or 'missing'"):
        encode(target, frame, unseen="drop")


# Tables that do not fit the schema


@pytest.mark.parametrize(
    ("name", "cells", "sentence"),
    [
        ("height", ["x", "y"], r"'height' was numeric .* and is text here \(row 1: 'x'\); give it"),
        ("height", [None, "y"], r"is text here \(row 2: 'y'\)"),
        ("height", [True, False], "was numeric .* is true or false"),
        ("sex", [1.5, 2.5], "'sex' was text .* and is numeric here"),
        ("sex", [True, False], "'sex' was text .* and is true or false here"),
        ("tame", [1, 0], "'tame' was true or false .* and is numeric here"),
        ("tame", ["yes", "no"], r"'tame' was true or false .* text here \(row 1: 'yes'\)"),
        ("sex", ["m", "x"], "'sex', row 2: the level 'x' was not there .* use one of 'f', 'm', or"),
        ("sex", [3, 4], "'sex', row 1: the level 3 was not there"),
        ("height", [1.0, float("inf")], "'height', row 2 is infinite"),
        ("height", [-1e31, 1.0], "'height', row 1 is beyond"),
        ("height", [[1.0], [2.0]], "'height' has the type (large_)?list"),
    ],
)
def test_one_sentence_each(make, columns, name, cells, sentence):
    with pytest.raises(TableError, match=sentence) as error:
        encode(columns, make({key: cells_[:2] for key, cells_ in DATA.items()} | {name: cells}))
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named_with_its_like(make, columns):
    with pytest.raises(TableError, match=r"no column 'height'; did you mean 'heigth'\?"):
        encode(columns, make({"heigth": [1.0], "legs": [2]}))


def test_numbers_beyond_float32_once_standardised():
    column = Column("a", "target", "numeric", "double", mean=0.0, sd=1e-20)
    with pytest.raises(TableError, match=r"'a', row 2 \(1e\+20\) is beyond float32 once standardised"):
        encode([column], pa.table({"a": [0.0, 1e20]}))


# A real table


def test_penguins_go_there_and_back(backend):
    table = read_table(files("condvae") / "data" / "penguins.csv")
    frame = nw.from_arrow(table, backend=backend).to_native()
    schema = Schema.infer(
        frame,
        given=["species", "island", "sex"],
        target=["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"],
    )
    assert levels(schema.given) == (3, 3, 2)
    assert [column.missing for column in schema.target] == [2, 2, 2, 2]
    assert schema.given[2].missing == 11
    for columns in (schema.given, schema.target):
        blocks = encode(columns, frame)
        back = nw.from_native(
            decode(columns, {k: b.value for k, b in blocks.items()}, backend), eager_only=True
        )
        for kind, block in blocks.items():
            for j, column in enumerate(c for c in columns if c.kind == kind):
                before = np.array(table[column.name].to_pylist(), object)[block.mask[:, j]]
                after = np.array(back[column.name].to_list(), object)[block.mask[:, j]]
                if column.integer or kind == "categorical":
                    np.testing.assert_array_equal(after, before)
                else:
                    np.testing.assert_allclose(after.astype(float), before.astype(float), rtol=1e-6)


def test_observed_numbers_are_kept_as_they_are():
    columns = [
        Column("a", "target", "numeric", "int64", mean=2.0, sd=0.5),
        Column("b", "target", "numeric", "double", mean=0.1, sd=0.3),
    ]
    drawn = {"numeric": np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])}
    given = pa.table({"a": [None, 7, None], "b": [0.1 + 0.2, None, None]})
    kept = decode(columns, drawn, "pyarrow", observed=given)
    assert kept["a"].to_pylist() == [2, 7, 2]
    assert kept["a"].type == pa.int64()
    assert kept["b"].to_pylist() == [0.1 + 0.2, 0.1 + 0.3, 0.1]
    halves = decode(
        columns, drawn, "pyarrow", observed=given.set_column(0, "a", pa.array([2.5, None, None]))
    )
    assert halves["a"].to_pylist() == [2.5, 2.0, 2.0]
