"""Dates, times of day and durations as people write them."""

from datetime import datetime

import pytest

from condvae.tables.text_dates import are_days, as_timestamps, clock, dates_of, duration, parse


@pytest.mark.parametrize(
    ("texts", "formats", "last"),
    [
        (["2012/01/30", "2012/01/31"], ("%Y/%m/%d",), datetime(2012, 1, 31)),
        (["2012-1-3", "2012-01-31"], ("%Y-%m-%d",), datetime(2012, 1, 31)),
        (["01.02.2012", "3.2.2012"], ("%d.%m.%Y",), datetime(2012, 2, 3)),
        (["01.02.12", "3.2.12"], ("%d.%m.%y",), datetime(2012, 2, 3)),
        (["01/02/2012", "31/01/2012"], ("%d/%m/%Y",), datetime(2012, 1, 31)),
        (["01/02/2012", "01/31/2012"], ("%m/%d/%Y",), datetime(2012, 1, 31)),
        (["01-02-2012", "31-01-2012"], ("%d-%m-%Y",), datetime(2012, 1, 31)),
        (["01/02/2012", "02/03/2012"], ("%d/%m/%Y", "%m/%d/%Y"), datetime(2012, 3, 2)),
        (["1/1/2012", "2/2/2012"], ("%d/%m/%Y",), datetime(2012, 2, 2)),  # the same by either
        (["Jan 5, 2020", "Feb 7, 2021"], ("%b %d, %Y",), datetime(2021, 2, 7)),
        (["5 January 2020", "7 May 2021"], ("%d %B %Y",), datetime(2021, 5, 7)),
        (["5-Jan-2020", "7-Feb-2021"], ("%d-%b-%Y",), datetime(2021, 2, 7)),
        (["Monday, 6 January 2020"], ("%A, %d %B %Y",), datetime(2020, 1, 6)),
        (["31.01.2012 10:30", "1.2.2012 9:05"], ("%d.%m.%Y %H:%M",), datetime(2012, 2, 1, 9, 5)),
        (["1/31/2012 9:05 PM"], ("%m/%d/%Y %I:%M %p",), datetime(2012, 1, 31, 21, 5)),
        (["2024-01-01T03:04:05.25"], ("%Y-%m-%dT%H:%M:%S.%f",), datetime(2024, 1, 1, 3, 4, 5, 250000)),
        (["20260131", "20260201"], ("%Y%m%d",), datetime(2026, 2, 1)),
        (["2024-01", "2024-12"], ("%Y-%m",), datetime(2024, 12, 1)),
        (["01.2012", "12.2013"], ("%m.%Y",), datetime(2013, 12, 1)),
        (["01/2012", "12/2013"], ("%m/%Y",), datetime(2013, 12, 1)),
        (["May 2020", "Jun 2020"], ("%b %Y",), datetime(2020, 6, 1)),
        (["2024Q1", "2024-Q4"], ("quarter",), datetime(2024, 10, 1)),
        (["2020-W01", "2020W53", "2020-w02-7"], ("week",), datetime(2020, 1, 12)),
    ],
)
def test_what_is_a_date(texts, formats, last):
    dates = dates_of(texts)
    assert dates.formats == formats
    assert list(dates.values.values())[-1] == last


@pytest.mark.parametrize("text", ["", "soon", "31.13.2012", "1.2", "10.0.0.1", "1/2", "2012", "x" * 100])
def test_what_is_none(text):
    assert dates_of([text]) is None
    assert parse(text, "%d.%m.%Y") is None


def test_most_dates_decide_and_the_others_are_odd():
    dates = dates_of(["01/02/2012", "31/01/2012", "30/01/2012", "01/31/2012", "soon"])
    assert dates.formats == ("%d/%m/%Y",)
    assert dates.odd == ("01/31/2012", "soon")


def test_times_with_a_zone_are_in_utc():
    values = dates_of(["2024-01-01T03:04:05+02:00"]).values
    array = as_timestamps([*values.values(), None])
    assert array.type.tz == "UTC"
    assert array[0].as_py().hour == 1


def test_whole_numbers_that_are_dates():
    assert are_days(["20260131", "19991231", "20240229"])
    assert not are_days(["20260131", "20260132", "20240229"])
    assert not are_days(["30260131", "20260131", "20240229"])
    assert not are_days(["20260131"])


def test_times_of_day_and_durations():
    assert [clock(text) for text in ("00:00", "23:59:59", "12:15 am", "12:15pm", "7:30 p.m.")] == [
        0,
        pytest.approx(24 - 1 / 3600),
        0.25,
        12.25,
        19.5,
    ]
    assert [clock(text) for text in ("24:00", "12:60", "13:00 pm", "7", "7:3")] == [None] * 5
    assert [duration(text) for text in ("100:00", "-1:30:15.5", "2 days, 1:00:00", "P1DT2H", "PT0.5S")] == [
        360000,
        -5415.5,
        176400,
        93600,
        0.5,
    ]
    assert [duration(text) for text in ("P", "1:75", "long", "")] == [None] * 4
