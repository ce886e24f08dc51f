"""One form for the columns of every data frame library."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from condvae.tables import TableError, take
from condvae.tables.cells import LARGEST, Cells, cells, first_duplicate, numbers, open_frame, suggestion

COLUMNS = {
    "text": (["b", None, "a"], pa.large_string(), "text"),
    "floats": ([0.5, float("nan"), 2.5], pa.float64(), "numeric"),
    "ints": ([3, 1, 2], pa.int64(), "numeric"),
    "flags": ([True, None, False], pa.bool_(), "true or false"),
    "times": ([datetime.datetime(2024, 1, 2, 3), None], pa.timestamp("us"), "a date or time"),
    "nothing": ([None, None, None], pa.null(), "numeric"),
}


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"]
)
@pytest.mark.parametrize("name", COLUMNS)
def test_every_library_gives_the_same_cells(make, name):
    given, kind, words = COLUMNS[name]
    column = cells(open_frame(make({name: given})), name)
    assert column.array.type == kind
    assert column.array.to_pylist() == [None if cell != cell else cell for cell in given]
    assert column.empty == (name == "nothing")
    assert not column.category
    if not column.empty:
        assert column.type_name == words


def test_a_frame_that_is_wrapped_already_is_itself():
    frame = open_frame(pl.DataFrame({"a": [1]}))
    assert open_frame(frame).to_native() is frame.to_native()


def test_categories_are_their_values():
    frame = pd.DataFrame({"a": pd.Categorical(["y", None, "x"], categories=["y", "z", "x"], ordered=True)})
    column = cells(open_frame(frame), "a")
    assert column.array.to_pylist() == ["y", None, "x"]
    assert (column.category, column.declared) == (True, ("y", "z", "x"))
    assert not cells(open_frame(pd.DataFrame({"a": pd.Categorical([1, 2])})), "a").numeric


def test_numbers_are_float64_with_a_mask():
    values, mask = numbers(Cells("a", pa.array([2**60, None, -1], pa.int64())))
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, [2.0**60, 0.0, -1.0])
    np.testing.assert_array_equal(mask, [True, False, True])


@pytest.mark.parametrize("cell", [np.inf, -np.inf, 2 * LARGEST, -2 * LARGEST])
def test_numbers_too_large_are_named_by_row(cell):
    with pytest.raises(TableError, match=r"'a', row 3 is (infinite|beyond)"):
        numbers(Cells("a", pa.array([LARGEST, None, cell])))


def test_first_duplicate():
    assert first_duplicate(iter("abcbc")) == "b"
    assert first_duplicate([]) is None


def test_suggestion():
    assert suggestion("hieght", ["height", "weight"]) == "did you mean 'height' or 'weight'?"
    assert suggestion("q", [1, 2]) == "its columns are 1, 2"
    assert suggestion("q", []) == "it has no columns"


# Dates and times


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": pd.Series([datetime.date(2024, 1, 2), None], dtype=object)}),
        pd.DataFrame({"a": pd.Series([datetime.datetime(2024, 1, 2), None], dtype=object)}),
        pd.DataFrame({"a": pd.to_datetime(["2024-01-02", None])}),
        pd.DataFrame({"a": pd.Series(pd.to_datetime(["2024-01-02", None])).astype("datetime64[ns]")}),
        pd.DataFrame({"a": pd.Series(pd.to_datetime(["2024-01-02", None])).astype("category")}),
        pl.DataFrame({"a": [datetime.date(2024, 1, 2), None]}),
        pl.DataFrame({"a": [datetime.datetime(2024, 1, 2), None]}, schema={"a": pl.Datetime("ms")}),
        pa.table({"a": pa.array([datetime.date(2024, 1, 2), None], pa.date64())}),
        pa.table({"a": pa.array([datetime.datetime(2024, 1, 2), None], pa.timestamp("s"))}),
    ],
    ids=range(9),
)
def test_dates_and_times_are_timestamps_of_microseconds(frame):
    column = cells(open_frame(frame), "a")
    assert column.array.type == pa.timestamp("us")
    assert column.array.to_pylist() == [datetime.datetime(2024, 1, 2), None]
    assert (column.datetime, column.numeric, column.category) == (True, False, False)
    assert column.shown(0) == "2024-01-02 00:00:00"


def test_zones_are_kept():
    for frame in (
        pd.DataFrame({"a": pd.to_datetime(["2024-01-02"]).tz_localize("Europe/Berlin")}),
        pl.DataFrame({"a": [datetime.datetime(2024, 1, 2)]}).cast(pl.Datetime("ns", "Europe/Berlin")),
    ):
        assert cells(open_frame(frame), "a").array.type == pa.timestamp("us", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("array", "row"),
    [
        (pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32()), 2),
        (pa.array([None, 0, -(2**60)], pa.timestamp("s")), 3),
    ],
)
def test_dates_too_far_are_named_by_row(array, row):
    with pytest.raises(TableError, match=f"'a', row {row} is hundreds of thousands of years away; correct"):
        cells(open_frame(pa.table({"a": array})), "a")


# Columns of Python objects

NOON = datetime.datetime(2024, 1, 2, 12)


@pytest.mark.parametrize(
    ("objects", "kind"),
    [([1, None, 2.5], pa.float64()), ([1, pd.NA, None], pa.int64()), ([None, True], pa.bool_())],
)
def test_objects_of_one_type_are_that_type(objects, kind):
    column = cells(open_frame(pd.DataFrame({"a": pd.Series(objects, dtype=object)})), "a")
    assert column.array.type == kind
    assert column.array.to_pylist() == [None if cell is pd.NA else cell for cell in objects]


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ([1j, None], "Complex data not supported"),
        ([2.5, 1j], "Complex data not supported"),
        ([NOON, NOON.date()], "mixes dates with times; make all of it one"),
        ([NOON.date(), NOON], "mixes dates with times; make all of it one"),
        ([NOON, NOON.replace(tzinfo=datetime.UTC)], "mixes times with and without a time zone; give"),
        ([True, 1], r"mixes cells of several types \(bool, int\); make all of it numbers or all text"),
        ([10**30, 1], "holds whole numbers beyond 64 bits; turn it into floats"),
        ([object(), None], "has the type object, which is not supported; turn it into numbers or text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "cells",
)
def test_objects_that_cannot_serve(objects, sentence):
    with pytest.raises(TableError, match=f"column 'a' .*{sentence}") as error:
        cells(open_frame(pd.DataFrame({"a": pd.Series(objects, dtype=object)})), "a")
    assert "\n" not in str(error.value)


def test_complex_numbers_and_objects_of_polars():
    for frame in (pd.DataFrame({"a": np.array([1j])}), pl.DataFrame({"a": [1j]})):
        with pytest.raises(TableError, match="Complex data not supported"):
            cells(open_frame(frame), "a")
    with pytest.raises(TableError, match="'a' has the type Object, which is not supported"):
        cells(open_frame(pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)})), "a")


# Rows


def test_take_gives_rows_of_the_same_kind_of_frame():
    index = np.array([2, 0, 2], np.uint8)
    pandas = pd.DataFrame({"a": [5, 6, 7]}, index=["x", "y", "z"])
    pd.testing.assert_frame_equal(take(pandas, index), pandas.iloc[[2, 0, 2]])
    assert take(pl.DataFrame({"a": [5, 6, 7]}), index).equals(pl.DataFrame({"a": [7, 5, 7]}))
    assert take(pa.table({"a": [5, 6, 7]}), index).equals(pa.table({"a": [7, 5, 7]}))
    for frame in (pandas, pl.DataFrame({"a": [5]}), pa.table({"a": [5]})):
        empty = take(frame, [])
        assert type(empty) is type(frame)
        assert len(empty) == 0


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ([0, 3], r"index asks for row 3 of a table of 3 rows; count them from 0"),
        ([-1], "index asks for row -1"),
        ([True, False, True], r"index has shape \(3,\) and type bool, .*np.flatnonzero"),
        ([0.5], r"index has shape \(1,\) and type float64, expected a list of integers"),
        ([[0]], r"index has shape \(1, 1\)"),
    ],
)
@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"]
)
def test_take_of_rows_that_are_not_there(make, index, sentence):
    with pytest.raises(TableError, match=sentence):
        take(make({"a": [5, 6, 7]}), index)
