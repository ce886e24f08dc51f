"""One column held against its schema; `test_encoding.py` has the sentences for what does not fit."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from condvae.tables import Column, TableError
from condvae.tables.cells import Cells
from condvae.tables.readings import UNSEEN, checked, coded, is_text, measured

NUMBER = Column("a", "given", "numeric", "double")
DATE = Column("a", "given", "datetime", "timestamp[us]")
TEXT = Column("a", "given", "categorical", "string", levels=("f", "m"))
FLAG = Column("a", "given", "categorical", "bool", levels=(False, True))
CODE = Column("a", "given", "categorical", "category", levels=(5, 7))
CELLS = {
    "number": Cells("a", pa.array([0.5, None])),
    "integer": Cells("a", pa.array([7, None])),
    "date": Cells("a", pa.array([datetime.datetime(1970, 1, 2), None], pa.timestamp("us"))),
    "text": Cells("a", pa.array(["m", None], pa.large_string())),
    "flag": Cells("a", pa.array([True, None])),
    "nothing": Cells("a", pa.array([None, None])),
}


@pytest.mark.parametrize(
    ("column", "fitting"),
    [
        (NUMBER, {"number", "integer"}),
        (DATE, {"date"}),
        (TEXT, {"text", "integer"}),
        (FLAG, {"flag"}),
        (CODE, {"number", "integer"}),
    ],
    ids=["number", "date", "text", "flag", "code"],
)
@pytest.mark.parametrize("name", CELLS)
def test_what_each_kind_accepts(column, fitting, name):
    if name in {*fitting, "nothing"}:
        assert checked(column, CELLS[name]).array.equals(CELLS[name].array)
        return
    with pytest.raises(
        TableError, match=r"column 'a' was .* and is .* here \(row 1: .*\); give it the type"
    ):
        checked(column, CELLS[name])


def test_the_words_for_dates():
    with pytest.raises(TableError, match=r"was a date or time when .* and is text here \(row 1: 'm'\)"):
        checked(DATE, CELLS["text"])
    with pytest.raises(
        TableError, match=r"was numeric .* a date or time here \(row 1: 1970-01-02 00:00:00\)"
    ):
        checked(NUMBER, CELLS["date"])


def test_measured_is_in_the_users_units():
    for column, name, value in ((NUMBER, "number", 0.5), (DATE, "date", 86400.0), (DATE, "nothing", 0.0)):
        values, mask = measured(column, CELLS[name])
        np.testing.assert_array_equal(values, [value, 0.0])
        np.testing.assert_array_equal(mask, [name != "nothing", False])


def test_coded_tells_the_unseen_from_the_missing():
    codes, mask = coded(TEXT, Cells("a", pa.array(["m", "x", None, "f"])))
    np.testing.assert_array_equal(codes, [1, UNSEEN, 0, 0])
    np.testing.assert_array_equal(mask, [True, True, False, True])
    np.testing.assert_array_equal(coded(CODE, CELLS["nothing"])[1], [False, False])


def test_is_text():
    assert [is_text(column.levels) for column in (TEXT, FLAG, CODE, DATE)] == [True, False, False, False]
