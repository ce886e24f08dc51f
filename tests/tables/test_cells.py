"""One form for the columns of every data frame library."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from condvae.tables import TableError
from condvae.tables.cells import LARGEST, Cells, cells, first_duplicate, numbers, open_frame

COLUMNS = {
    "text": (["b", None, "a"], pa.large_string(), "text"),
    "floats": ([0.5, float("nan"), 2.5], pa.float64(), "numeric"),
    "ints": ([3, 1, 2], pa.int64(), "numeric"),
    "flags": ([True, None, False], pa.bool_(), "true or false"),
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
