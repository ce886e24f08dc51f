"""Cells outside of what a model was trained on."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from condvae.tables import (
    Column,
    Likelihood,
    Schema,
    TableError,
    impossible,
    log_unforeseen,
    outside,
    unseen,
)
from condvae.tables.supports import holds

DAYS = [datetime.datetime(2024, 1, day) for day in (3, 1, 5, 4)]
DATA = {
    "height": [1.5, 1.7, None, 2.2],
    "legs": [2, 4, 6, 8],
    "sex": ["m", None, "f", "m"],
    "site": ["a", "b", "b", "a"],
    "tame": [True, True, False, True],
    "day": DAYS,
    "y": [1.0, 2.0, 3.0, 4.0],
}
GIVEN = [name for name in DATA if name != "y"]


@pytest.fixture(params=[pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"])
def make(request):
    return request.param


def columns(**settings):
    return Schema.infer(pa.table(DATA), given=GIVEN, target=["y"], **settings).given


def test_nothing_of_training_is_outside(make):
    flags = outside(columns(), make(DATA))
    assert list(flags) == GIVEN
    for strange in flags.values():
        assert (strange.dtype, strange.shape) == (bool, (4,))
        assert not strange.any()


@pytest.mark.parametrize("unknown", ["error", "other"])
def test_what_is_outside(make, unknown):
    rows = make(
        {
            "height": [1.49, 2.2, None, 2.21],
            "legs": [1, 2, 8, 9],
            "sex": ["x", "m", None, "f"],
            "site": ["A", "a", None, "b"],
            "tame": [True, False, None, True],
            "day": [DAYS[1] - datetime.timedelta(seconds=1), DAYS[1], DAYS[2], None],
        }
    )
    expected = {
        "height": [1, 0, 0, 1],
        "legs": [1, 0, 0, 1],
        "sex": [1, 0, 0, 0],
        "site": [1, 0, 1, 0],  # a missing cell, of which training had none
        "tame": [0, 0, 1, 0],
        "day": [1, 0, 0, 1],
    }
    flags = outside(columns(unknown=unknown), rows)
    for name in GIVEN:
        np.testing.assert_array_equal(flags[name], np.array(expected[name], bool), err_msg=name)


def test_a_constant_and_a_column_without_cells():
    table = pa.table({"c": [3.0, 3.0], "y": [1.0, 2.0]})
    (column,) = Schema.infer(table, given=["c"], target=["y"]).given
    np.testing.assert_array_equal(outside([column], pa.table({"c": [3, 4]}))["c"], [False, True])
    np.testing.assert_array_equal(outside([column], pa.table({"c": pa.nulls(2)}))["c"], [True, True])
    assert outside([column], pa.table({"c": pa.nulls(0)}))["c"].shape == (0,)
    assert outside([], table) == {}


def test_levels_never_seen_are_named_with_their_rows(make):
    assert unseen(columns(), make(DATA)) == {}
    rows = make(
        {
            "height": [9.0, None, 1.0],
            "legs": [1, 2, 3],
            "sex": ["y", None, "x"],
            "site": ["c", "a", "c"],
            "tame": [True, False, None],
            "day": DAYS[:3],
        }
    )
    rows_of = unseen(columns(unknown="other"), rows)
    assert {
        name: {level: rows.tolist() for level, rows in levels.items()} for name, levels in rows_of.items()
    } == {
        "sex": {"y": [0], "x": [2]},
        "site": {"c": [0, 2]},
    }


def test_a_boolean_that_never_varied_has_a_level_never_seen():
    table = pa.table({"a": [True, True, None], "y": [1.0, 2.0, 3.0]})
    (column,) = Schema.infer(table, given=["a"], target=["y"]).given
    rows = pa.table({"a": [True, False, None]})
    np.testing.assert_array_equal(outside([column], rows)["a"], [False, True, False])
    assert unseen([column], rows)["a"][False].tolist() == [1]


def test_dates_of_another_zone_are_compared_as_instants():
    times = pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin")
    (column,) = Schema.infer(pd.DataFrame({"a": times, "y": [1, 2, 3]}), given=["a"], target=["y"]).given
    later = pd.DataFrame({"a": times.tz_convert("Asia/Tokyo") - pd.to_timedelta([0, 0, 49], unit="h")})
    np.testing.assert_array_equal(outside([column], later)["a"], [False, False, True])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"legs": ["x"]}, "'legs' was numeric when the model was fitted and is text"),
        ({"legs": [float("inf")]}, "'legs', row 1 is infinite"),
        ({}, "no column 'legs'"),
    ],
)
def test_one_sentence_each(data, sentence):
    with pytest.raises(TableError, match=sentence):
        outside(columns()[1:2], pa.table({"other": [1]} | data))


def targets(**cells):
    frame = pd.DataFrame({"c": np.arange(len(next(iter(cells.values())))) % 7 * 1.0, **cells})
    given, target = frame[["c"]], frame[list(cells)]
    return Schema.infer_pair(given, target).with_likelihoods(target, {}, given=given).target


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_number_outside_of_its_support_has_a_cauchy_density(scale):
    cells = np.random.default_rng(0).uniform(0, 1, 2000) * scale
    (column,) = targets(x=np.append(cells, 0.0))
    rows = np.linspace(-400, 400, 40_001) * scale
    beyond = impossible([column], pd.DataFrame({"x": rows}))
    value = log_unforeseen([column], beyond, len(rows), 99)
    there = value != 0
    np.testing.assert_array_equal(there, ~holds(column.universal, rows))
    right = stats.cauchy(column.mean, column.sd).logpdf(rows[there]) - np.log(100)
    np.testing.assert_allclose(value[there], right, rtol=1e-9)
    assert np.exp(value[there]).sum() * (rows[1] - rows[0]) < 0.01  # of 1 in 100


def test_a_number_that_is_none_of_the_levels_has_a_share_of_the_distance_between_them():
    (column,) = targets(x=np.arange(2000) % 5 / 2.0)
    beyond = impossible([column], pd.DataFrame({"x": [0.5, 0.7, 2.5]}))
    value = log_unforeseen([column], beyond, 3, 2000)
    density = stats.cauchy(column.mean, column.sd).logpdf([0.7, 2.5])
    np.testing.assert_allclose(value, [0, *(np.log(0.5) + density - np.log(2001))], rtol=1e-9)


def test_a_number_that_a_named_likelihood_cannot_give_is_impossible():
    count = Column("n", "target", "numeric", "int64", likelihood=Likelihood("poisson", step=1.0))
    beyond = impossible([count], pa.table({"n": [3, -1]}))
    assert log_unforeseen([count], beyond, 2, 10).tolist() == [0.0, -np.inf]
