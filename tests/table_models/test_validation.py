"""What is measured on held-out rows when a model is fitted, and how sure it is."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from condvae import ConditionalVAE, Observed, scoring
from condvae.baselines import fit_baseline
from condvae.normal_scores import to_scores
from condvae.table_models.validation import compare
from estimator.mixed import BARE

N = 100
X = np.arange(float(N))[:, None]
Y = np.random.default_rng(0).normal(size=N)


def rows_of(m, c):
    """The rows of X that encoded conditions are."""
    column = m.schema_.given[0]
    return np.rint(c["numeric"].value[:, 0] * column.sd + column.mean).astype(int)


def by_row(places, values):
    """The values of each row, averaged over the members that held it out."""
    frame = pd.DataFrame({"place": np.concatenate(places), "value": np.concatenate(values)})
    return frame.groupby("place").value.mean().to_numpy()


@pytest.mark.parametrize("likelihood", ["auto", "gaussian"])
@pytest.mark.parametrize("how", ["test", "members"])
def test_what_is_measured_is_what_one_would_compute(untrained, monkeypatch, how, likelihood):
    """A score that is a known function of the row: log p = −(standardised y)², by any model.

    What it is held against is linear in y where a family is named, else in the normal scores of y.
    """
    from condvae.table_models import validation

    def log_prob(model, x, *_, **__):
        value = -(np.asarray(x["numeric"].value[:, 0], float) ** 2)
        zeros = np.zeros(len(value))
        return scoring.LogProb(value, zeros, zeros + 1, zeros, zeros + 1000)

    monkeypatch.setattr(validation.scoring, "log_prob", log_prob)
    options = {"test_fraction": 0.2} if how == "test" else {"validation_fraction": 0.2}
    m = ConditionalVAE(**BARE | options, likelihood=likelihood).fit(X, Y)
    call, target = untrained.calls[-1], m.schema_.target[0]
    z = (Y - target.mean) / target.sd
    linear, log_slope = z, np.full(N, -np.log(target.sd))
    if likelihood == "auto":
        linear, log_slope = to_scores(target.normal_scores, Y)
    trained = rows_of(m, call["c"])
    values, others, places = [], {"marginal": [], "linear": []}, []
    if how == "test":
        splits = [(np.setdiff1d(np.arange(N), trained), trained)]
    else:
        splits = [(trained[mask], trained[~mask]) for mask in call["validation"]]
    for held, seen in splits:
        places.append(held)
        values.append(-(z[held] ** 2) - np.log(target.sd))

        def rows(index):
            c = (X[index] - m.schema_.given[0].mean) / m.schema_.given[0].sd
            return [{"numeric": Observed(v.astype(np.float32), v == v)} for v in (linear[index, None], c)]

        for name in others:
            x_seen, c_seen = rows(seen)
            x_held, c_held = rows(held)
            given = None if name == "marginal" else c_seen
            baseline = fit_baseline(x_seen, given, x_levels=(), c_levels=())
            found = baseline.log_prob(x_held, None if given is None else c_held)
            others[name].append(found + log_slope[held])
    values = by_row(places, values)
    found = m.validation_
    assert (found["how"], found["rows"]) == (how, len(values))
    assert_allclose(found["log_prob"], values.mean(), rtol=1e-4)
    assert_allclose(found["stderr"], values.std(ddof=1) / np.sqrt(len(values)), rtol=1e-4)
    for name, other in others.items():
        other = by_row(places, other)
        gain = values - other
        assert_allclose(found["baseline"][name]["log_prob"], other.mean(), rtol=1e-3)
        assert_allclose(found["baseline"][name]["gain"], gain.mean(), rtol=1e-3, atol=1e-4)
        stderr = gain.std(ddof=1) / np.sqrt(len(gain))
        assert_allclose(found["baseline"][name]["gain_stderr"], stderr, rtol=1e-3)


def test_nothing_is_measured_where_nothing_is_held_out(untrained):
    assert ConditionalVAE(**BARE).fit(X, Y).validation_ is None


def test_a_comparison_weighs_rows_and_counts_groups():
    value, other = np.array([1.0, 1.0, 4.0]), {"of one": np.array([0.0, 0.0, 1.0])}
    found = compare(value, other, weight=np.array([1.0, 1.0, 2.0]), groups=np.array([0, 0, 1]))
    # gains 1 and 3 of two groups of equal weight
    assert found == {"of one": {"log_prob": 0.5, "gain": 2.0, "gain_stderr": 1.0}}


def test_rows_without_a_log_density_are_left_out_of_a_comparison():
    found = compare(np.array([1.0, 2.0, 9.0]), {"peer": np.array([0.0, 0.0, np.nan])})["peer"]
    assert found == {"log_prob": 0.0, "gain": 1.5, "gain_stderr": pytest.approx(0.5)}


@pytest.mark.slow
def test_what_is_measured_is_honest_where_rows_are_copied():
    """120 rows of weight 5: those held out are as hard as new ones, and intervals cover new ones."""
    rng = np.random.default_rng(0)

    def rows(n):
        c = rng.normal(size=(n, 3))
        return c, c[:, 0] + 0.5 * rng.normal(size=n)

    (c, x), (c_new, x_new) = rows(120), rows(2000)
    parts = {"test_fraction": 0.2, "calibration_fraction": 0.2}
    m = ConditionalVAE(num_members=1, num_steps=300, width=32, **parts).fit(c, x, np.full(120, 5))
    found, (new, stderr) = m.validation_, (m.score(c_new, x_new), 0.05)
    assert found["rows"] == 120
    assert found["stderr"] > 0.1  # of 24 rows, and not of 120
    assert abs(found["log_prob"] - new) < 3 * np.hypot(found["stderr"], stderr)
    low, high = m.interval(c_new, 0.9).T
    # 24 rows to adjust by: the share that is covered is Beta(23, 2), of mean 0.92 and sd 0.05.
    assert 0.78 < np.mean((low <= x_new) & (x_new <= high)) <= 1
