import numpy as np
import pandas as pd

from condvae import tables
from condvae.judging.rows import filled
from judging.stand_in import rows_of


def test_rows_are_taken_and_stand_in_the_users_units():
    y = pd.DataFrame({"mass": [1.5, np.nan, 4.0, 8.0], "eggs": [1, 2, 3, 4]})
    rows = rows_of(None, y).take(np.array([3, 1]))
    assert len(rows) == 2
    assert rows.number.tolist() == [3, 1]
    np.testing.assert_allclose(rows.numbers(), [[8.0, 4.0], [np.nan, 2.0]], rtol=1e-6)
    assert rows.c is None


def test_rows_at_even_distances():
    rows = rows_of(None, pd.DataFrame({"mass": np.arange(10.0)}))
    assert rows.evenly(4).tolist() == [0, 3, 6, 9]
    assert rows.evenly(99).tolist() == list(range(10))


def test_a_date_takes_several_places():
    days = pd.date_range("2020-01-01", periods=500, freq="D")
    X = pd.DataFrame(
        {"dose": np.arange(500.0), "day": days, "site": ["a", "b"] * 250, "age": np.arange(500.0)}
    )
    given = rows_of(X, pd.DataFrame({"y": np.arange(500.0)})).model.schema.given
    places = {column.name: tables.places_of(given, column) for column in given}
    width = given[1].width
    assert width > 1
    assert places["dose"] == slice(0, 1)
    assert places["day"] == slice(1, 1 + width)
    assert places["site"] == slice(0, 1)
    assert places["age"] == slice(1 + width, 2 + width)


def test_a_few_rows_are_filled_up_and_many_are_left_as_they_are():
    assert filled(np.arange(3), 1000).tolist() == (list(range(3)) * 86)[:256]
    assert filled(np.arange(300), 1000).tolist() == list(range(300))
    assert filled(np.arange(3), 2).tolist() == [0, 1, 2]
