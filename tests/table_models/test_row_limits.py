"""Columns that are never below another one: which are taken for it, and what comes of it."""

import numpy as np
import pandas as pd
import pytest

from condvae import ConditionalVAE
from condvae.estimator.prepare import training_table
from condvae.table_models.row_limits import limits_of

N = 600


def found(given, target, likelihood="auto"):
    table = training_table(
        pd.DataFrame(given), pd.DataFrame(target), None, None, None, likelihood=likelihood
    )
    limits, pairs = limits_of(table.schema, table.x, table.c)
    return limits, {(pair.lower, pair.upper): pair.rows for pair in pairs}, table


def test_an_end_is_not_before_its_start_wherever_they_stand():
    rng = np.random.default_rng(0)
    start = np.where(rng.random(N) < 0.1, np.nan, rng.uniform(0, 100, N))
    end = start + rng.gamma(2, 5, N)
    colour = rng.choice(["red", "blue"], N)
    both = int((~np.isnan(start)).sum())
    limits, pairs, table = found({"a": rng.normal(size=N)}, {"colour": colour, "start": start, "end": end})
    assert pairs == {("start", "end"): both}
    # Cells are counted with categories first.
    assert [limit[:3] for limit in limits] == [(2, 1, 1), (1, 2, -1)]
    one, other = table.schema.target[1:]
    assert limits[0].scale * other.sd == pytest.approx(one.sd)
    assert limits[0].doubt == 1 / ((both + 1) * (both + 2))
    limits, pairs, _ = found({"site": colour, "start": start}, {"end": end, "other": rng.normal(size=N)})
    assert pairs == {("start", "end"): both}
    assert [limit[:3] for limit in limits] == [(0, 3, 1)]  # of conditions nothing is drawn


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_equal_numbers_and_other_units_are_no_hindrance(scale):
    rng = np.random.default_rng(1)
    part = np.round(rng.gamma(2, 10, N), 2) * scale
    total = part + np.where(rng.random(N) < 0.4, 0, np.round(rng.gamma(2, 3, N), 2)) * scale
    _, pairs, _ = found({"a": rng.normal(size=N)}, {"part": part, "total": total})
    assert pairs == {("part", "total"): N}


def nothing():
    rng = np.random.default_rng(2)
    start = rng.uniform(0, 100, N)
    one_wrong = start + rng.gamma(2, 5, N)
    one_wrong[7] = start[7] - 1
    yield "one row the other way round", {"start": start, "end": one_wrong}
    yield "ranges that do not meet", {"age": rng.uniform(20, 80, N), "income": rng.lognormal(10, 1, N)}
    yield "never near", {"start": start, "end": start + 50 + 5 * rng.normal(size=N)}
    yield "the same column twice", {"start": start, "again": start}
    yield "few rows", {"start": start[:40], "end": start[:40] + rng.gamma(2, 5, 40)}


@pytest.mark.parametrize("target", [pytest.param(t, id=name) for name, t in nothing()])
def test_what_is_no_limit(target):
    rows = len(target[next(iter(target))])
    assert found({"a": np.random.default_rng(3).normal(size=rows)}, target)[:2] == ((), {})


def test_a_named_likelihood_knows_no_limit():
    rng = np.random.default_rng(4)
    start = rng.uniform(0, 100, N)
    target = {"start": start, "end": start + rng.gamma(2, 5, N)}
    assert found({"a": rng.normal(size=N)}, target, likelihood="student_t")[0] == ()


@pytest.fixture(scope="module")
def trips():
    rng = np.random.default_rng(5)
    booked = rng.uniform(0, 100, N)
    start = booked + rng.gamma(2, 5, N)
    target = pd.DataFrame({"start": start, "end": start + rng.gamma(2, 2, N)})
    X = pd.DataFrame({"booked": booked})
    return ConditionalVAE(num_members=2, width=16, num_steps=200, progress=False).fit(X, target), X, target


def test_draws_keep_to_it_however_little_was_learned(trips):
    model, X, target = trips
    drawn = model.sample(X, 5)
    assert (drawn["start"] < np.repeat(X["booked"].to_numpy(), 5)).mean() < 0.003
    assert (drawn["end"] < drawn["start"]).mean() < 0.003
    assert "'start' ≤ 'end'" in model.history_.notes[0]
    holes = target.assign(start=np.nan)
    filled = model.impute(X, holes)
    assert (filled["start"] > filled["end"]).mean() < 0.01


def test_a_row_that_does_not_has_a_small_density_and_not_none(trips):
    model, X, target = trips
    right = model.log_prob(X, target).value
    wrong = model.log_prob(X, target.assign(end=target["start"] - 1e-2)).value
    assert np.isfinite(wrong).all()
    assert (wrong < right - 3).mean() > 0.9


def test_means_and_chances_are_those_of_draws(trips):
    model, X, _ = trips
    few = X.iloc[:4]
    drawn = model.sample(few, 4000)
    mean = model.predict(few)
    for name in ("start", "end"):
        own = drawn[name].to_numpy().reshape(4, -1)
        error = own.std(axis=1) / np.sqrt(own.shape[1])
        assert (np.abs(mean[name].to_numpy() - own.mean(axis=1)) < 5 * error + 0.01 * own.std(axis=1)).all()


def test_it_is_saved_and_loaded(trips, tmp_path):
    model, X, target = trips
    model.save(tmp_path / "model")
    again = ConditionalVAE.load(tmp_path / "model")
    np.testing.assert_array_equal(again.log_prob(X, target).value, model.log_prob(X, target).value)
