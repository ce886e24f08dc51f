"""Numbers as people write them, and what only looks like one."""

import pytest

from condvae.tables.text_numbers import numbers_of, written


def read(*texts, hint=".", decimal=None):
    return numbers_of(dict.fromkeys(texts, 1), hint, decimal)


@pytest.mark.parametrize(
    ("texts", "values", "unit", "decimal"),
    [
        (["12", "-7", "+3", "1e5", ".5", "2."], [12, -7, 3, 1e5, 0.5, 2], "", "."),
        (["−7", "–"], [-7], "", "."),
        (["$100", "$1,702.50", "-$3", "$-4", "12"], [100, 1702.5, -3, -4, 12], "$", "."),
        (["€ 5,00", "7,50 €"], [5, 7.5], "€", ","),
        (["USD 5", "6 USD"], [5, 6], "USD", "."),
        (["45%", "7.5 %"], [45, 7.5], "%", "."),
        (["5 kg", "7.25 kg"], [5, 7.25], "kg", "."),
        (["20 °C", "-3.5 °C"], [20, -3.5], "°C", "."),
        (["1,702", "12", "1,000,000.5"], [1702, 12, 1000000.5], "", "."),
        (["1.702,5", "12", "3.000.000"], [1702.5, 12, 3e6], "", ","),
        (["10,0", "0,5"], [10, 0.5], "", ","),
        (["1 234", "5\u00a0678,9", "12"], [1234, 5678.9, 12], "", ","),
        (["1'234.5", "1’234"], [1234.5, 1234], "", "."),
        (["12,34,567", "1,00,000"], [1234567, 100000], "", "."),
        (["-inf", "Infinity"], [-float("inf"), float("inf")], "", "."),
    ],
)
def test_what_is_a_number(texts, values, unit, decimal):
    numbers = read(*texts)
    assert [numbers.values[text] for text in texts if text in numbers.values] == values
    assert (numbers.unit, numbers.decimal) == (unit, decimal)


NONE = "? a A1 10.0.0.1 18-24 555-1234 12:30 1/2 5+ 1,2,3 12,3456.7 1_000 --5 1.2.3 2012-01-31 1,23,45"


@pytest.mark.parametrize("text", ["", "1 2", "$5 kg", "9" * 100, *NONE.split()])
def test_what_is_none(text):
    number = written(text)
    assert number is None or (number.value(".") is None and number.value(",") is None)


def test_the_hint_of_the_file_decides_what_the_texts_leave_open():
    assert read("1,702").values == {"1,702": 1702.0}
    assert read("1,702", hint=",").values == {"1,702": 1.702}
    assert read("1.702", hint=",").values == {"1.702": 1702.0}
    assert read("1.702", "0.53", hint=",").values == {"1.702": 1.702, "0.53": 0.53}
    assert read("1,702", decimal=",").values == {"1,702": 1.702}
    assert read("1,702", "12").sure
    assert not read("1,702", "1234").sure
    assert read("1,702", "1234", decimal=".").sure


def test_codes_count_nothing():
    assert read("00501", "10001").codes
    assert read("4111111111111111", "5").codes
    assert not read("0", "0.5", "100").codes
    assert not read("007 kg").codes


def test_another_unit_is_odd_but_a_currency_may_be_left_out():
    assert read("45%", "7%", "0.4").odd == ("0.4",)
    assert read("5 kg", "7 kg", "300 g").odd == ("300 g",)
    assert read("$5", "7", "8").odd == ()
    assert read("$5", "$7", "€8").odd == ("€8",)
