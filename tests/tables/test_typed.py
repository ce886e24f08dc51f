"""Columns of text, typed as any program would type them."""

import pyarrow as pa
import pytest

from condvae.tables.typed import is_decimal_comma, is_numbering, plain


def typed(*texts, **options):
    return plain(pa.array(texts, pa.large_string()), **options)


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1", " 2 ", "+3", "NA"], "int64", [1, 2, 3, None]),
        (["9223372036854775807"], "string", ["9223372036854775807"]),
        (["1", "2.5", "1e3", ".5", "3."], "double", [1.0, 2.5, 1000.0, 0.5, 3.0]),
        (["inf", "-Infinity", "nan"], "double", [float("inf"), -float("inf"), None]),
        (["true", "False", "n/a"], "bool", [True, False, None]),
        (["00501", "10001"], "string", ["00501", "10001"]),
        (["01.2012", "12.2012"], "string", ["01.2012", "12.2012"]),
        (["0.5", "0"], "double", [0.5, 0.0]),
        (["1", "x"], "string", ["1", "x"]),
        (["2024-13-01"], "string", ["2024-13-01"]),
        (["none", "na", "1"], "string", ["none", "na", "1"]),
        (["", "NA"], "null", [None, None]),
        (["x" * 10**6], "string", ["x" * 10**6]),
    ],
)
def test_types(texts, kind, values):
    column = typed(*texts)
    assert (str(column.type), column.to_pylist()) == (kind, values)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["2024-01-31"], "date32[day]"),
        (["2024-01-31", "2024-01-31 10:00"], "timestamp[s]"),
        (["2024-01-31T10:00:00.5"], "timestamp[ns]"),
        (["2024-01-31T10:00:00Z", "2024-01-31 10:00+02:00"], "timestamp[s, tz=UTC]"),
        (["2024-01-31T10:00:00Z", "2024-01-31 10:00"], "string"),
        (["10:00"], "string"),
    ],
)
def test_dates(texts, kind):
    assert str(typed(*texts).type) == kind


def test_what_stays_text_on_request():
    assert typed("1", "NA", typed=False).to_pylist() == ["1", None]
    assert typed("1.5", "2", points=False).to_pylist() == ["1.5", "2"]
    assert typed("1", "2", points=False).to_pylist() == [1, 2]


def test_numbering_and_decimal_commas():
    assert is_numbering(pa.array([0, 1, 2]))
    assert not is_numbering(pa.array([2, 3]))
    assert not is_numbering(pa.array([], pa.int64()))
    assert not is_numbering(pa.array([1, None, 3]))
    assert not is_numbering(pa.array(["0", "1"]))
    assert is_decimal_comma(pa.array(["1.702,5", " 2 ", "NA", None]))
    assert not is_decimal_comma(pa.array(["1,5", "x"]))
    assert not is_decimal_comma(pa.array(["1", "2"]))
