"""Cells read as a reading says."""

import datetime
import json
from dataclasses import asdict

import pyarrow as pa
import pytest

from condvae.declared import conform
from condvae.tables import Reading, TableError
from condvae.tables.text_cells import read_cells, require_readings


def text(*cells):
    return pa.array(cells, pa.large_string())


def test_cells_are_read():
    number = Reading("number", ".", "%", missing=("?",))
    assert read_cells("a", text("45%", " ? ", None, "n/a", "7.5 %"), number).to_pylist() == [
        45,
        None,
        None,
        None,
        7.5,
    ]
    comma = Reading("number", ",")
    assert read_cells("a", text("1.702,5", "3"), comma).to_pylist() == [1702.5, 3.0]
    assert read_cells("a", text("1.702", "3"), comma).type == pa.int64()
    assert read_cells("a", pa.array([1.5]), comma).to_pylist() == [1.5]
    date = Reading("date", format="%Y%m%d")
    assert read_cells("a", pa.array([20260131, None]), date).to_pylist() == [
        datetime.datetime(2026, 1, 31),
        None,
    ]
    assert read_cells("a", pa.array([501.0, 2.0]), Reading("text")).to_pylist() == ["501", "2"]
    assert read_cells("a", text("x", "?"), Reading("text", missing=("?",))).to_pylist() == ["x", None]
    assert read_cells("a", pa.array([-999, 5]), Reading(missing=("-999", "x"))).to_pylist() == [None, 5]
    assert read_cells("a", pa.array([datetime.time(8, 30)]), Reading("time")).to_pylist() == [8.5]
    hours = Reading("duration", unit="hours")
    assert read_cells("a", pa.array([datetime.timedelta(hours=2)]), hours).to_pylist() == [2.0]
    assert read_cells("a", text("90:00"), hours).to_pylist() == [90.0]


@pytest.mark.parametrize(
    ("cells", "reading", "sentence"),
    [
        (
            text("1", "?"),
            Reading("number", "."),
            r"'a', row 2 \('\?'\) is not a number; empty the cell, say missing",
        ),
        (
            text("1", "x", "y"),
            Reading("number", "."),
            r"row 2 \('x'\) is not a number \(and 1 more\); correct",
        ),
        (text("45"), Reading("number", ".", "%"), r"row 1 \('45'\) is not a number in %"),
        (text("1:00", "noon"), Reading("time"), r"row 2 \('noon'\) is not a time of day"),
        (pa.array([20261399]), Reading("date", format="%Y%m%d"), r"is not a date of the format %Y%m%d"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(cells, reading, sentence):
    with pytest.raises(TableError, match=sentence):
        read_cells("a", cells, reading)


def test_what_is_asked_for():
    assert Reading.asked_for(" number ", "a") == Reading("number")
    assert Reading.asked_for("number(comma)", "a").decimal == ","
    assert Reading.asked_for("date(%b %d, %Y)", "a").format == "%b %d, %Y"
    for wrong in ("numeral", "as is", "", 3, "number(3)", "date(d.m.y)", "text(x)"):
        with pytest.raises(TableError, match="read: column 'a' is to be read as"):
            Reading.asked_for(wrong, "a")


def test_a_reading_goes_through_json():
    reading = Reading("number", ",", "€", missing=("?",), count=3, example="5,00 €")
    assert conform(Reading, json.loads(json.dumps(asdict(reading))), "it") == reading


def test_readings_that_are_none_are_refused():
    require_readings(None, ())
    for read, missing, sentence in (
        ("number", (), "read is 'number', expected a dictionary by column"),
        ({"a": 3}, (), "read: column 'a' is to be read as 3; expected one of"),
        (None, "?,-", r"missing is '\?,-', expected a sequence of texts"),
        (None, (-999,), r"missing is \(-999,\), expected a sequence of texts"),
    ):
        with pytest.raises(TableError, match=sentence):
            require_readings(read, missing)
