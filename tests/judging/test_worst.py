from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

from condvae.judging.worst import worst
from judging.stand_in import rows_of

N = 40
KEY = jax.random.key(0)


@pytest.fixture
def rows():
    """A model that says Normal(0, 1) of a and b, and half and half of g."""
    rng = np.random.default_rng(0)
    y = pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N), "g": rng.choice(["x", "y"], N)})
    y.loc[3, "a"], y.loc[5, "b"], y.loc[8, ["a", "g"]] = 9.0, np.nan, [20.0, None]
    y.loc[9, ["a", "b"]] = [30.0, 90.0]
    rows = rows_of(pd.DataFrame({"u": rng.normal(size=N)}), y)

    def summaries(c, draws, key):
        n = len(c["numeric"].value)
        yield slice(0, n), np.random.default_rng(0).normal(size=(n, draws, 2))

    rows.model.summaries = summaries
    rows.model.centre = lambda c, *_: (None, np.full((len(c["numeric"].value), 1, 2), [0.995, 0.005]))
    return rows


def support(outside=()):
    flags = np.isin(np.arange(N), outside)
    return {"outside": flags, "columns": np.where(flags, "u", ""), "percentile": np.linspace(0, 1, N)}


def test_the_worst_rows_and_why(rows):
    score = np.zeros(N)
    score[[3, 8, 9]] = [-10.0, -np.inf, -5.0]
    lowest = worst(replace(rows, support=support([3])), score, KEY)
    assert len(lowest) == 10
    assert [one.row for one in lowest[:3]] == [8, 3, 9]
    assert [one.log_prob for one in lowest[:3]] == [None, -10.0, -5.0]
    assert lowest[0].target == lowest[1].target == "a"
    assert lowest[2].target == "b"  # both are beyond all draws: the one that is further out
    assert lowest[1].observed == pytest.approx(9.0, rel=1e-5)
    low, high = lowest[1].interval
    assert low == pytest.approx(-1.64, abs=0.2)
    assert high == pytest.approx(1.64, abs=0.2)
    assert lowest[1].chance == 1e-3
    assert lowest[1].outside
    assert lowest[1].outside_columns == "u"
    assert lowest[1].distance == pytest.approx(3 / 39)
    assert not lowest[0].outside


def test_an_improbable_level_is_a_reason(rows):
    codes, mask = rows.x["categorical"]
    place = int(np.flatnonzero((codes[:, 0] == 1) & mask[:, 0] & (np.abs(rows.numbers()[:, 0]) < 1.5))[0])
    score = np.zeros(N)
    score[place] = -7.0
    first = worst(replace(rows, support=support()), score, KEY)[0]
    assert (first.row, first.target, first.observed, first.expected) == (place, "g", "y", "x")
    assert first.chance == pytest.approx(0.005)
    assert first.interval is None


def test_where_no_target_is_out_by_itself_none_is_named(rows):
    codes, mask = rows.x["categorical"]
    far = np.abs(np.nan_to_num(rows.numbers(), nan=9)).max(axis=1)
    place = int(np.flatnonzero((codes[:, 0] == 0) & mask[:, 0] & (far < 1))[0])
    score = np.zeros(N)
    score[place] = -7.0
    first = worst(replace(rows, support=support()), score, KEY)[0]
    assert (first.row, first.target) == (place, None)
    assert first.chance > 0.01
