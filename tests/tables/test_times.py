"""Dates and times as numbers, held to calendars worked out by hand."""

import datetime
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from condvae.tables import TableError
from condvae.tables.cells import Cells
from condvae.tables.times import calendar, in_zone, reach, seconds, varying_parts, zone


def times(cells, tz=None):
    array = pa.array(cells, pa.timestamp("us")) if cells and isinstance(cells[0], str) else pa.array(cells)
    if tz is not None:
        array = pa.compute.assume_timezone(array.cast(pa.timestamp("us")), tz)
    return Cells("when", array.cast(pa.timestamp("us", tz=tz)))


def days(count, step=1, start=date(2023, 1, 2)):
    return times([start + timedelta(step * i) for i in range(count)])


def at(*cells, tz=None):
    return times([datetime.datetime.fromisoformat(cell) for cell in cells], tz)


def angle(share):
    return [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)]


def test_seconds():
    values, mask = seconds(
        times([datetime.datetime(1970, 1, 1, 0, 1), None, datetime.datetime(1969, 12, 31)])
    )
    np.testing.assert_array_equal(values, [60.0, 0.0, -86400.0])
    np.testing.assert_array_equal(mask, [True, False, True])
    assert values.dtype == np.float64


def test_seconds_are_of_the_instant():
    winter, summer = at("2024-01-01", tz="Europe/Berlin"), at("2024-07-01", tz="Europe/Berlin")
    assert seconds(at("2024-01-01"))[0] - seconds(winter)[0] == 3600
    assert seconds(at("2024-07-01"))[0] - seconds(summer)[0] == 7200


@pytest.mark.parametrize(
    ("cell", "part", "share"),
    [
        ("2023-01-01", "year", 0),
        ("2023-07-02T12:00", "year", 0.5),  # of 365 days, 182.5 have passed
        ("2024-07-02", "year", 0.5),  # of 366 days, 183
        ("1900-12-31T12:00", "year", 364.5 / 365),
        ("2024-01-01", "week", 0),  # a Monday
        ("1969-12-29", "week", 0),  # a Monday too
        ("2024-01-04T12:00", "week", 0.5),
        ("2024-01-07T12:00", "week", 6.5 / 7),
        ("2024-01-07", "day", 0),
        ("1960-05-05T18:00", "day", 0.75),
    ],
)
def test_calendar(cell, part, share):
    np.testing.assert_allclose(calendar(at(cell), [part]), [angle(share)], atol=1e-12)


def test_calendar_is_that_of_the_wall_clock():
    noon = at("2024-01-15T12:00", "2024-07-15T12:00", tz="Europe/Berlin")  # 11:00 and 10:00 in UTC
    np.testing.assert_allclose(calendar(noon, ["day"]), [angle(0.5)] * 2, atol=1e-12)
    tokyo = in_zone(at("2024-12-31T18:00", tz="UTC"), "Asia/Tokyo")  # where it is 2025 already
    np.testing.assert_allclose(calendar(tokyo, ["year"]), [angle(3 / 24 / 365)], atol=1e-12)


def test_calendar_has_two_numbers_for_each_part_and_none_where_missing():
    column = times([datetime.datetime(2024, 5, 6, 7), None])
    both = calendar(column, ["week", "day"])
    np.testing.assert_array_equal(both[:, :2], calendar(column, ["week"]))
    np.testing.assert_array_equal(both[:, 2:], calendar(column, ["day"]))
    np.testing.assert_array_equal(both[1], np.zeros(4))
    assert calendar(column, []).shape == (2, 0)


def test_far_years_have_a_calendar():
    limits = Cells("when", pa.array([-(2**63) + 1, 2**63 - 1], pa.timestamp("us")))
    pairs = calendar(limits, ["year", "week", "day"]).reshape(2, 3, 2)
    np.testing.assert_allclose((pairs**2).sum(axis=2), 1)


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        (days(3), ()),  # under half a week
        (days(5), ("week",)),
        (days(182), ("week",)),  # under half a year
        (days(184), ("year", "week")),
        (days(60, step=7), ("year",)),  # Mondays
        (at(*(f"{year}-07-01" for year in range(2001, 2030, 7))), ("week",)),  # the leap day is no season
        (at("2023-01-01T00:00", "2023-01-01T11:00"), ()),
        (at("2023-01-01T00:00", "2023-01-01T13:00"), ("day",)),
        (at("2023-01-02T12:00", "2023-01-09T12:00:09"), ()),  # a clock a little late
        (at(*(f"{2020 + i}-0{i + 1}-0{i + 1}T0{i}:00" for i in range(8))), ("year", "week", "day")),
        (at("2024-01-14", "2024-07-21", tz="Europe/Berlin"), ("year",)),  # midnight, by the wall clock
        (days(1), ()),
    ],
)
def test_varying_parts(column, parts):
    values, mask = seconds(column)
    assert varying_parts(np.ptp(values[mask]), reach(column)) == parts


def test_zones():
    naive, utc = at("2024-01-01"), at("2024-01-01", tz="UTC")
    assert (zone(naive), zone(utc)) == (None, "UTC")
    assert in_zone(naive, None).array.equals(naive.array)
    berlin = in_zone(utc, "Europe/Berlin")
    assert zone(berlin) == "Europe/Berlin"
    np.testing.assert_array_equal(seconds(berlin)[0], seconds(utc)[0])
    with pytest.raises(TableError, match=r"'when' has no time zone here and had UTC .*give its times"):
        in_zone(naive, "UTC")
    with pytest.raises(TableError, match=r"'when' has the time zone UTC here and had none .*drop the zone"):
        in_zone(utc, None)


def test_a_zone_that_is_nowhere():
    column = Cells("when", pa.array([0], pa.timestamp("us", tz="Nowhere/At_All")))
    with pytest.raises(
        TableError, match="'when' has the time zone Nowhere/At_All, which is not known here"
    ):
        calendar(column, ["day"])
