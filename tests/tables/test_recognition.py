"""What columns of text are recognised as, what is asked about, and what stays text."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from condvae.tables import Reading, Schema, TableError, encode, reading_of
from condvae.tables.cells import cells, open_frame

NUMBERS = [f"{value:.1f}" for value in np.random.default_rng(0).normal(100, 20, 60)]
MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


def told(texts, asked=None, missing=()):
    column = cells(open_frame(pa.table({"a": texts})), "a")
    return reading_of(column, None if asked is None else Reading.asked_for(asked, "a"), missing)


@pytest.mark.parametrize(
    ("texts", "kind", "more"),
    [
        (NUMBERS, "number", {"decimal": ".", "unit": "", "count": 60}),
        ([" 12 ", "13", None, "N/A", "na"], "number", {"count": 2, "example": "12"}),
        (["$1,702", "$12"], "number", {"unit": "$", "example": "$1,702"}),
        (["45%", "7.5%"], "number", {"unit": "%"}),
        (["10,0", "7,5"], "number", {"decimal": ","}),
        ([f"{i} kg" for i in range(9)], "number", {"unit": "kg"}),
        (["00501", "10001", "90210"], "text", {"count": 1, "example": "00501"}),
        (["1", "2", "3", "4+"] * 9, "text", {"count": 9, "example": "4+"}),
        (["20260131", "20260201", "20260203"], "date", {"format": "%Y%m%d"}),
        ([20260131, 20260201, 20260203], "date", {"format": "%Y%m%d", "count": 3}),
        ([20260131.0, 20260201.0, None, 20260203.0], "date", {"format": "%Y%m%d", "count": 3}),
        (["31.01.2012", "1.2.2012"], "date", {"format": "%d.%m.%Y"}),
        (["2012/01/31", "2012/02/01"], "date", {"format": "%Y/%m/%d"}),
        (["01.2012", "12.2012"], "date", {"format": "%m.%Y"}),
        (["10.2012", "12.2012"], "number", {}),
        (["08:30", "23:59"], "time", {}),
        (["25:30", "100:00"], "duration", {"unit": "hours"}),
    ],
)
def test_what_is_clear_is_read(texts, kind, more):
    reading = told(texts)
    assert reading.kind == kind
    assert {name: getattr(reading, name) for name in more} == more


@pytest.mark.parametrize(
    "cells",
    [
        ["a", "b"],
        ["2wd", "4wd", "4wd"],
        ["5 kg", "7 kg"],
        ["18-24", "25-34"],
        ["yes", "no"],
        ["10.0.0.1", "10.0.0.2"],
        [f"{i}{'st' if i % 2 else 'nd'}" for i in range(60)],
        ["x" * 10**6, "y"],
        ["", " "],
        [1, 2, 3],
        [20260131, 5, 6],
        [True, False],
    ],
)
def test_what_is_something_else_is_left_as_it_is(cells):
    reading = told(cells)
    assert reading is None or reading.count == 0


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            ["?", *NUMBERS],
            r"'a' would be numeric but for row 1 \('\?'\): 60 of 61 cells are; empty the cell",
        ),
        (["?", *NUMBERS], r"say missing=\('\?',\) if it stands .* or say read=\{'a': 'text'\}"),
        ([*["1", "2", "3"] * 20, "4+"], r"numeric but for row 61 \('4\+'\): 60 of 61"),
        (["1", "2", "-"] * 20, r"numeric but for row 3 \('-'\): 40 of 60"),
        ([*NUMBERS, "abc"], r"numeric but for row 61 \('abc'\)"),
        (["a", "b", "c", *NUMBERS], r"row 1 \('a'\) and 2 more of other texts: 60 of 63 cells are"),
        (
            ["$1", "€2", "£3"],
            r"would be of numbers with '\$' but for row 2 \('€2'\) and 1 more of other texts",
        ),
        (["45%", "7%", "0.4"], r"would be of numbers with '%' but for row 3 \('0.4'\)"),
        (
            ["1,702", "1234"],
            r"row 1 \('1,702'\): the comma may be a decimal comma or separate thousands; say",
        ),
        (["1,702", "1234"], r"'number\(decimal=point\)'\} or read=\{'a': 'number\(decimal=comma\)'\}"),
        (["01/02/2012", "02/03/2012"], r"whose day and month no cell tells apart \(row 1: '01/02/2012'\)"),
        (["01/02/2012"], r"say read=\{'a': 'date\(%d/%m/%Y\)'\} or read=\{'a': 'date\(%m/%d/%Y\)'\}"),
        ([*(f"{i + 1}.1.2012" for i in range(30)), "soon"], r"would be of dates but for row 31 \('soon'\)"),
        ([*NUMBERS, "x" * 10**6], r"but for row 61 \('x{77}\.\.\.'\)"),
    ],
)
def test_what_may_be_one_thing_or_another_is_asked_about(texts, sentence):
    with pytest.raises(TableError, match=sentence) as error:
        told(texts)
    assert len(str(error.value)) < 500


def test_what_the_user_says_holds():
    assert told(["?", "1"], missing=("?",)).kind == "number"
    assert told(["1", "2"], "text").kind == "text"
    assert told([1, 2], "text").kind == "text"
    assert told(["1,702", "1234"], "number(decimal=comma)").decimal == ","
    assert told(["01/02/2012", "02/03/2012"], "date(%m/%d/%Y)").format == "%m/%d/%Y"
    assert told(["31.1.2012"], "date").format == "%d.%m.%Y"
    assert told(["00501"], "number").kind == "number"
    assert told([31012012, 1022012], "date(%d%m%Y)").format == "%d%m%Y"
    assert told(["12:30", "1:00"], "duration").unit == "hours"
    assert told([1.5, 2], missing=("-999",)) == Reading(missing=("-999",))
    with pytest.raises(TableError, match="is no date of a known format; say the format"):
        told(["soon"], "date")
    with pytest.raises(TableError, match="is true or false and cannot be read as number"):
        told([True, False], "number")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_later_tables_are_read_as_the_first_was(make):
    first = {
        "p": ["$1,702", "$12", "?"],
        "d": ["31.01.2012", "1.2.2012", "2.2.2012"],
        "t": ["8:30", "9:15", "7:00"],
    }
    schema = Schema.infer(
        make(first | {"y": [1.5, 2.5, 3.5]}), given=["p", "d", "t"], target=["y"], missing=["?"]
    )
    assert Schema.from_json(schema.to_json()) == schema
    p, d, t = schema.given
    assert (p.kind, p.missing, p.maximum) == ("numeric", 1, 1702.0)
    assert (d.kind, t.kind, t.maximum) == ("datetime", "numeric", 9.25)
    blocks = encode(schema.given, make({"p": ["12"], "d": ["02.01.2012"], "t": ["9:00 pm"]}))
    assert blocks["numeric"].mask.all()
    typed = encode(schema.given, pa.table({"p": [12.0], "d": pa.array([15341], pa.date32()), "t": [21.0]}))
    np.testing.assert_allclose(typed["numeric"].value, blocks["numeric"].value, rtol=1e-6)
    with pytest.raises(TableError, match=r"column 'p', row 1 \('€5'\) is not a number in \$"):
        encode([p], make({"p": ["€5"]}))
    with pytest.raises(
        TableError, match=r"column 'd', row 2 \('2012-01-02'\) is not a date of the format %d"
    ):
        encode([d], make({"d": ["1.1.2012", "2012-01-02"]}))


def test_types_of_times_and_periods_are_read():
    frame = pd.DataFrame(
        {
            "wait": pd.to_timedelta([1, 2, 300], unit="h"),
            "month": pd.period_range("2020-01", periods=3, freq="M"),
            "week": pd.period_range("2020-01", periods=3, freq="W"),
            "y": [1.5, 2.5, 3.5],
        }
    )
    wait, month, week = Schema.infer(frame, given=["wait", "month", "week"], target=["y"]).given
    assert (wait.kind, wait.reading.unit, wait.maximum) == ("numeric", "hours", 300.0)
    assert (month.kind, week.kind) == ("datetime", "datetime")
    encode([wait, month, week], frame)


def test_read_names_a_column():
    with pytest.raises(TableError, match="read names 'hq', which is no column; its columns are 'hp'"):
        Schema.infer(pa.table({"hp": [1, 2]}), target=["hp"], read={"hq": "number"})
