"""Arrays and frames of every kind to frames, and back."""

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from condvae.tables import TableError
from condvae.tables.native import as_frame, build, kind, rows_of, settled, settled_keys
from estimator.mixed import KINDS, TYPES


@pytest.mark.parametrize(
    "data, name",
    [
        ([[1.0]], "numpy"),
        (np.zeros(2), "numpy"),
        (pd.DataFrame({"a": [1]}), "pandas"),
        (pd.Series([1]), "pandas"),
        (pl.DataFrame({"a": [1]}), "polars"),
        (pl.Series([1]), "polars"),
        (pa.table({"a": [1]}), "pyarrow"),
        (pa.chunked_array([[1]]), "pyarrow"),
    ],
)
def test_kinds(data, name):
    assert kind(data) == name


def test_arrays_get_names_by_place():
    frame = as_frame([[1.0, 2.0], [3.0, 4.0]], "c")
    assert frame.to_pydict() == {"c0": [1.0, 3.0], "c1": [2.0, 4.0]}
    assert as_frame(["a", None], "x").to_pydict() == {"x0": ["a", None]}
    mixed = np.array([[1, "a"], [2, "b"]], object)
    assert as_frame(mixed, "c").to_pydict() == {"c0": [1, 2], "c1": ["a", "b"]}
    dates = as_frame(np.array([["2020-01-01"]], "datetime64[D]"), "c")
    assert pa.types.is_temporal(dates["c0"].type)
    assert as_frame(None, "c") is None


def test_series_are_frames_of_one_column():
    assert list(as_frame(pd.Series([1.0], name="a"), "x").columns) == ["a"]
    assert list(as_frame(pd.Series([1.0]), "x").columns) == ["x0"]
    assert as_frame(pl.Series("a", [1.0]), "x").columns == ["a"]
    frame = pd.DataFrame({"a": [1]})
    assert as_frame(frame, "x") is frame


@pytest.mark.parametrize(
    "data, error, sentence",
    [
        (np.zeros(3), TableError, "Expected 2D array, got 1D array instead"),
        (np.zeros((1, 1, 1)), TableError, "rows and columns, got one of shape"),
        (np.zeros((3, 0)), TableError, r"X has 0 feature\(s\)"),
        ([[1], [1, 2]], TableError, "X is no table .* give every row as many cells"),
        ({"a": [1]}, TableError, "got dict"),
        (np.ones((2, 1)) * 1j, TableError, "Complex data not supported"),
        (sparse.csr_matrix(np.eye(2)), TypeError, r"sparse data are not supported: pass X.toarray\(\)"),
        (pl.DataFrame({"a": [1]}).lazy(), TableError, "lazy polars frame"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), TableError, "more than one column named 'a'"),
    ],
)
def test_what_is_no_table(data, error, sentence):
    with pytest.raises(error, match=sentence):
        as_frame(data, "c")


@pytest.mark.parametrize("of", KINDS)
def test_frames_of_every_kind_are_built(of):
    grades = pl.Series("g", ["b", "a"], dtype=pl.Enum(["b", "a"]))
    columns = {"n": np.array([1.5, 2.5]), "t": np.array(["x", "y"], object)}
    if of == "polars":
        columns = {"g": nw.from_native(grades, series_only=True), **columns}
    frame = build(columns, of)
    assert isinstance(frame, TYPES[of])
    wrapped = nw.from_native(frame, eager_only=True)
    assert wrapped.columns == list(columns)
    assert wrapped["n"].to_list() == [1.5, 2.5]
    assert wrapped["t"].to_list() == ["x", "y"]
    if of == "polars":
        assert frame["g"].dtype == grades.dtype
        assert build({"g": columns["g"]}, of).columns == ["g"]


def test_pandas_keeps_its_index_and_names_that_are_no_strings():
    index = pd.Index(["r", "r"])
    frame = build({3: np.zeros(2), "a": np.ones(2)}, "pandas", index, [3, "a"])
    assert list(frame.columns) == [3, "a"]
    assert frame.index is index or frame.index.equals(index)
    assert rows_of(frame).equals(index)
    assert rows_of(pl.DataFrame({"a": [1]})) is None


def test_arrays_are_stacked():
    assert_array_equal(build({"a": np.array([1.0, 2]), "b": np.array([3.0, 4])}, "numpy"), [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    "names, kept",
    [
        (["a", 1], ["a", 1]),
        ([np.int64(3), 2.5], [3, "2.5"]),
        (
            [pd.Timestamp("2020-01-31"), pd.Timestamp("2020-01-31 12:00")],
            ["2020-01-31", "2020-01-31T12:00:00"],
        ),
        ([None, float("nan")], ["None", "nan"]),
        ([("a", "x"), ("a", "")], ["a_x", "a"]),
        ([True, "b"], ["True", "b"]),
    ],
)
def test_names_are_such_as_json_keeps(names, kept):
    frame = pd.DataFrame([[1, 2]], columns=pd.Index(names, dtype=object, tupleize_cols=False))
    assert list(as_frame(frame, "c").columns) == kept
    assert settled_keys(dict.fromkeys(names, "x")) == dict.fromkeys(kept, "x")
    assert [settled(name) for name in kept] == kept


def test_columns_of_columns_and_named_series():
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    assert list(as_frame(frame, "c").columns) == ["a_x", "a_y"]
    assert list(as_frame(pd.Series([1], name=("a", "x")), "x").columns) == ["a_x"]


@pytest.mark.parametrize(
    "names, sentence",
    [
        ([1, "1"], "columns 1 and '1' would both be named '1'; rename one of them"),
        ([("a", "x"), "a_x"], "columns \\('a', 'x'\\) and 'a_x' would both be named 'a_x'"),
        ([None, "None"], "columns None and 'None' would both be named 'None'"),
        (["a", "a"], "more than one column named 'a'"),
    ],
)
def test_names_that_clash_are_refused(names, sentence):
    frame = pd.DataFrame([[1, 2]], columns=pd.Index(names, dtype=object, tupleize_cols=False))
    with pytest.raises(TableError, match=sentence):
        as_frame(frame, "c")
