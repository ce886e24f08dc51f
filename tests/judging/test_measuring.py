"""The numbers of an evaluation, against what they must be for a model that is known."""

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import condvae
from condvae import estimator
from condvae.estimator import ConditionalVAE
from condvae.mixture import Mixture
from condvae.tables import TableError
from judging.json_schema import assert_valid


def untrained(model, *_, key, num_members, **__):
    history = condvae.History()
    history.records = [{"step": 1, "train": [-1.0] * num_members, "seconds": 0.0}]
    history.best_step, history.best_value = [1] * num_members, [0.0] * num_members
    return Mixture.of([model(k) for k in jax.random.split(key, num_members)]), history


def table(n, seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"dose": rng.uniform(0, 1, n), "site": rng.choice(["a", "b"], n)})
    y = pd.DataFrame(
        {
            "response": rng.normal(3, 2, n),
            "grade": rng.choice(["high", "low"], n, p=[0.9, 0.1]),
            "count": rng.integers(0, 9, n),
        }
    )
    return X, y


@pytest.fixture(scope="module")
def fitted():
    """Not trained, but sound: the marginal means and scales are those of the data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("condvae.table_models.fitting.fit", untrained)
        small = {"num_members": 1, "width": 8, "depth": 1, "calibration_fraction": 0.3, "joint": "latent"}
        return ConditionalVAE(**small).fit(*table(400, 0))


def evaluate(*arguments, **options):
    return estimator.evaluate(*arguments, diagnosis=False, **options)


@pytest.fixture(scope="module")
def evaluated(fitted):
    X, y = table(405, 1)
    y.loc[:9, "response"] = np.nan
    y.loc[:4, ["grade", "count"]] = np.nan
    X.loc[0, "dose"] = 9.0
    return evaluate(fitted, X, y, num_samples=50, interval_samples=400), X, y


def test_rows_and_cells(evaluated):
    result, _, _ = evaluated
    assert (result.rows, result.rows_scored) == (405, 400)
    assert result.cells == {"response": 395, "grade": 400, "count": 400}
    assert 1 <= result.outside <= 15
    assert result.training_rows == 0
    assert_valid(result.to_json())


def test_densities_are_those_of_the_estimator(evaluated, fitted):
    result, X, y = evaluated
    seen = fitted.observed_rows(y)
    score = fitted.log_prob(X, y, num_samples=50)
    log_prob = score.value[seen]
    np.testing.assert_allclose(result.log_prob, log_prob.mean(), rtol=1e-6)
    np.testing.assert_allclose(result.log_prob_stderr, log_prob.std(ddof=1) / np.sqrt(400), rtol=1e-6)
    assert 0 < result.log_prob_noise < result.log_prob_stderr
    assert result.elbo < result.log_prob + 3 * result.log_prob_noise
    draws = np.median(score.num_samples[seen])
    assert 1 <= result.ess.smallest <= result.ess.median <= draws
    for name, other in result.baseline.items():
        np.testing.assert_allclose(other.gain, result.log_prob - other.log_prob, atol=1e-6)
        assert 0 < other.gain_stderr < 1, name


def test_crps_is_that_of_the_models_own_draws(evaluated, fitted):
    result, X, y = evaluated
    draws = fitted.sample(X, 400)["response"].to_numpy().reshape(405, 400)
    observed = y["response"].to_numpy()[:, None]
    first = np.abs(draws - observed).mean(axis=1)
    ordered = np.sort(draws, axis=1)
    half_spread = (ordered * (2 * np.arange(1, 401) - 401)).sum(axis=1) / (400 * 399)
    assert abs(result.crps["response"] - np.nanmean(first - half_spread)) < 0.02
    assert 0.9 < result.crps["response"] < 1.6  # 2 / sqrt(pi) for the right Gaussian


@pytest.mark.slow
def test_coverage_is_that_of_the_intervals_that_users_get(evaluated, fitted):
    result, X, y = evaluated
    for coverage, level in ((0.5, "0.5"), (0.8, "0.8"), (0.9, "0.9"), (0.95, "0.95")):
        for conformal, key in ((False, "coverage"), (True, "conformal_coverage")):
            ends = fitted.interval(X, coverage, conformal=conformal)
            for name in ("response", "count"):
                seen = y[name].notna()
                inside = (ends[f"{name}_low"] <= y[name]) & (y[name] <= ends[f"{name}_high"])
                assert abs(getattr(result, key)[name][level] - inside[seen].mean()) < 0.03
    adjusted = result.conformal_coverage["response"]["0.9"]
    assert stats.binom.cdf(round(adjusted * 395), 395, 0.85) > 1e-3  # 120 calibration rows spread it
    assert set(result.coverage_stderr) == {"response", "count"}


def test_accuracy_is_that_of_the_mode(evaluated, fitted):
    result, X, y = evaluated
    seen = y["grade"].notna()
    mode = fitted.predict(X)["grade"].astype(str)
    np.testing.assert_allclose(result.accuracy["grade"], (mode == y["grade"])[seen].mean(), atol=0.01)


def test_training_rows_are_known_again(fitted):
    X, y = table(400, 0)
    result = evaluate(fitted, X, y, num_samples=50, interval_samples=400)  # compiled for `evaluated`
    assert result.training_rows == fitted.num_rows_ == 280


@pytest.mark.slow
def test_a_plain_vae_and_few_rows(monkeypatch):
    monkeypatch.setattr("condvae.table_models.fitting.fit", untrained)
    y = table(200, 0)[1][["response"]]
    model = ConditionalVAE(num_members=1, width=8, depth=1).fit(None, y)
    result = evaluate(model, None, y[:100], num_samples=10, interval_samples=2000)  # as `interval` takes
    ends = model.interval(None, 0.9)
    inside = y["response"][:100].between(ends["response_low"][0], ends["response_high"][0]).mean()
    np.testing.assert_allclose(result.coverage["response"]["0.9"], inside)
    assert (result.outside, result.accuracy, result.conformal_coverage) == (0, {}, None)
    one = evaluate(model, None, y[:1], num_samples=10, interval_samples=50)
    assert one.log_prob_stderr is None
    assert one.baseline["linear"].gain_stderr is None
    with pytest.raises(TableError, match="no row has an observed target"):
        evaluate(model, None, pd.DataFrame({"response": [np.nan]}))
