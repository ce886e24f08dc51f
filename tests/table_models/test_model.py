"""What a fitted model answers, against mixtures of which everything is known (see `known.py`).

Every tolerance is five standard errors of the draws behind an answer, and rounding.
"""

import jax
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.stats import norm

from condvae.estimator.fitted import fitted_table
from condvae.table_models.model import TableModel
from estimator.known import LEVELS, QUERY_ROWS

S = 20_000

pytestmark = pytest.mark.usefixtures("one_shape")


def mixture_quantile(known, q):
    means, sds = known.normals()
    _, n, d = means.shape
    found = np.empty((n, d))
    for i in range(n):
        for j in range(d):
            m, s = means[:, i, j], sds[:, i, j]

            def gap(value, m=m, s=s):
                return norm.cdf(value, m, s).mean() - q

            found[i, j] = brentq(gap, (m - 9 * s).min(), (m + 9 * s).max())
    return found


@pytest.fixture(params=["known", "known_arrays", "known_plain"])
def any_known(request):
    return request.getfixturevalue(request.param)


def test_the_mean(any_known):
    means, sds = any_known.normals()
    found = np.asarray(any_known.estimator.predict(any_known.asked, num_samples=S))[:, :2].astype(float)
    # Of z alone: the noise of x given z is averaged exactly.
    assert (np.abs(found - means.mean(axis=0)) < 5 * sds.max(axis=0) / np.sqrt(S)).all()


def test_quantiles(any_known):
    estimator, levels = any_known.estimator, [0.05, 0.5, 0.9]
    found = np.asarray(estimator.quantile(any_known.asked, levels, num_samples=S)).reshape(-1, 2, 3)
    for i, q in enumerate(levels):
        truth = mixture_quantile(any_known, q)
        error = np.sqrt(q * (1 - q) / S) / any_known.density(truth)
        assert (np.abs(found[:, :, i] - truth) < 5 * error).all()


def test_an_interval_is_two_quantiles(known, known_arrays):
    ends = known.estimator.interval(known.asked, 0.8)
    quantiles = known.estimator.quantile(known.asked, [0.1, 0.9])
    for name in ("x0", "x1"):
        assert_allclose(ends[f"{name}_low"], quantiles[f"{name}_q0.1"])
        assert_allclose(ends[f"{name}_high"], quantiles[f"{name}_q0.9"])
    assert known_arrays.estimator.interval(known_arrays.asked, 0.8).shape == (QUERY_ROWS, 2, 2)


def test_the_distribution_function(any_known):
    shift, sd = any_known.scales
    for value in (shift, shift + sd):
        asked = {"x0": value[0], "x1": value[1]}
        found = np.asarray(any_known.estimator.cdf(any_known.asked, asked, num_samples=S))
        truth = any_known.cdf(value)
        assert (np.abs(found - truth) < 5 * np.sqrt(truth * (1 - truth) / S)).all()
        above = np.asarray(any_known.estimator.exceedance(any_known.asked, asked, num_samples=S))
        assert_allclose(above, 1 - found, atol=1e-12)


def test_the_distribution_function_and_quantiles_are_inverse(known):
    for q in (0.1, 0.5, 0.95):
        at = known.estimator.quantile(known.asked, q, num_samples=S)
        back = known.estimator.cdf(known.asked, at, num_samples=S)
        assert (np.abs(back - q) < 5 * np.sqrt(2 * q * (1 - q) / S)).to_numpy().all()


def test_the_distribution_function_at_the_ends(known):
    assert (known.estimator.cdf(known.asked, -np.inf) == 0).to_numpy().all()
    assert (known.estimator.cdf(known.asked, np.inf) == 1).to_numpy().all()


def test_draws_are_distributed_as_the_truth(known):
    drawn = known.estimator.sample(known.asked, 4000)[["x0", "x1"]].to_numpy().reshape(-1, 4000, 2)
    shift, _ = known.scales
    truth = known.cdf(shift)
    error = np.sqrt(truth * (1 - truth) / 4000)
    assert (np.abs((drawn <= shift).mean(axis=1) - truth) < 5 * error).all()
    # The two hang together by z: E[x0 x1] is that of the members' Normals and their loadings.
    means, _ = known.normals()
    covariance = np.array([np.prod(np.asarray(m.likelihood.of_z)) for m in known.mixture])
    expected = (covariance[:, None] * np.prod(known.scales[1]) + means.prod(axis=-1)).mean(axis=0)
    products = drawn.prod(axis=-1)
    assert (np.abs(products.mean(axis=1) - expected) < 5 * products.std(axis=1) / np.sqrt(4000)).all()


@pytest.mark.parametrize("fixture", ["known", "known_plain"])
def test_probabilities_of_levels(request, fixture):
    known = request.getfixturevalue(fixture)
    found = known.estimator.predict_proba(known.asked, num_samples=S)
    assert list(found.columns) == sorted(LEVELS)
    truth = known.probabilities()
    assert (np.abs(found[LEVELS] - truth) < 5 * np.sqrt(truth * (1 - truth) / S)).to_numpy().all()
    assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    modes = known.estimator.predict(known.asked, num_samples=S)["g"]
    chosen = truth[np.arange(len(truth)), [LEVELS.index(mode) for mode in modes]]
    assert (chosen > truth.max(axis=1) - 5 / np.sqrt(S)).all()  # the most probable, but for near ties


def with_holes(y):
    y = y.copy()
    y.loc[0, "x0"] = y.loc[1, "x1"] = np.nan
    y.loc[2, ["x0", "x1"]] = np.nan
    if "g" in y:
        y.loc[[1, 3], "g"] = None
    return y


@pytest.mark.parametrize("fixture", ["known", "known_plain"])
def test_log_densities_in_the_users_units_with_and_without_holes(request, fixture):
    known = request.getfixturevalue(fixture)
    for y in (known.y, with_holes(known.y)):
        score = known.estimator.log_prob(known.asked, y, num_samples=4000)
        assert (np.abs(score.value - known.log_prob(y)) < 5 * score.stderr + 1e-4).all()
        elbo = known.estimator.elbo(known.asked, y, num_samples=4000)
        assert (elbo <= score.value + 5 * score.stderr).all()


def test_a_row_without_a_cell_has_log_density_zero(known):
    nothing = known.y.assign(x0=np.nan, x1=np.nan, g=None)
    score = known.estimator.log_prob(known.asked, nothing)
    assert not score.value.any()
    assert not score.stderr.any()
    assert not known.estimator.elbo(known.asked, nothing).any()


@pytest.mark.slow
def test_holes_are_filled_as_the_truth_fills_them(known):
    """By quadrature: the mean of x0 given x1 and the category, and the levels' probabilities given both."""
    n = 4000
    y = known.y.assign(x0=np.nan)
    drawn = known.estimator.impute(known.asked, y, n)
    x0 = drawn["x0"].to_numpy().reshape(-1, n)
    log_joint, z, _ = known.at_nodes(y)
    share = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=(0, 2), keepdims=True))
    shift, sd = known.scales
    loc, noise = [], []
    for member, nodes in zip(known.mixture, z, strict=True):
        p = member.likelihood
        loc.append(nodes * float(p.of_z[0]) + known.c[:, None] * float(p.of_c[0]) + float(p.bias[0]))
        noise.append(float(p.scale[0]))
    loc = np.array(loc) * sd[0] + shift[0]
    mean = (share * loc).sum(axis=(0, 2))
    second = (share * (loc**2 + (np.array(noise)[:, None, None] * sd[0]) ** 2)).sum(axis=(0, 2))
    spread = np.sqrt(second - mean**2)
    # Each draw is one of 512 proposals; the variance of an average over these, weighed, is added.
    proposals = 4 * spread / np.sqrt(512)
    assert (np.abs(x0.mean(axis=1) - mean) < 5 * spread / np.sqrt(n) + proposals).all()
    assert_allclose(x0.std(axis=1), spread, rtol=0.25)
    assert_array_equal(drawn["x1"].to_numpy().reshape(-1, n)[:, 0], y["x1"])
    assert_array_equal(drawn["g"].to_numpy().reshape(-1, n)[:, 0], y["g"])


def test_a_counterfactual_keeps_what_z_tells(known):
    """z ~ q(z | x, c), then x' at c' of the same member: Normal by member, with known mean and share."""
    n = 4000
    new_u = known.u[::-1]
    drawn = known.estimator.counterfactual(known.asked, known.y, pd.DataFrame({"u": new_u}), n)
    found = drawn[["x0", "x1"]].to_numpy().reshape(-1, n, 2)
    shift, sd = known.scales
    standard = (known.y[["x0", "x1"]].to_numpy() - shift) / sd
    means, variances = [], []
    for m in known.mixture:
        p = m.likelihood
        z = float(m.posterior.of_x[0]) * standard.sum(axis=1) + float(m.posterior.of_c[0]) * known.c
        loc = z[:, None] * np.asarray(p.of_z) + known.c[::-1][:, None] * np.asarray(p.of_c)
        means.append((loc + np.asarray(p.bias)) * sd + shift)
        variances.append((0.81 * np.asarray(p.of_z) ** 2 + np.asarray(p.scale) ** 2) * sd**2)
    log_share = np.logaddexp.reduce(known.at_nodes(known.y)[0], axis=-1)
    share = np.exp(log_share - np.logaddexp.reduce(log_share, axis=0))[..., None]
    assert (share.max(axis=0) > 0.9).any()
    mean = np.sum(share * means, axis=0)
    spread = np.sqrt(np.sum(share * (np.array(variances)[:, None] + (means - mean) ** 2), axis=0))
    # Shares are estimated from 512 draws of z, which adds to the error of the mean.
    assert (np.abs(found.mean(axis=1) - mean) < (5 / np.sqrt(n) + 0.03) * spread).all()
    assert_allclose(found.std(axis=1), spread, rtol=0.1)


def test_latents_are_those_of_the_best_member(known):
    best = known.mixture.member(1)  # by what its held-out rows are said to say
    of_c = known.c * float(best.prior.of_c[0])
    assert_allclose(known.estimator.transform(known.asked)["z0"], of_c, rtol=1e-4, atol=1e-6)
    shift, sd = known.scales
    total = ((known.y[["x0", "x1"]].to_numpy() - shift) / sd).sum(axis=1)
    expected = float(best.posterior.of_x[0]) * total + float(best.posterior.of_c[0]) * known.c
    assert_allclose(known.estimator.transform(known.asked, known.y)["z0"], expected, rtol=1e-4, atol=1e-5)


def test_noise_is_of_a_rows_content(known):
    """A row's answers do not depend on the rows beside it, nor on their order."""
    whole = known.estimator.quantile(known.asked, 0.3)
    turned = known.estimator.quantile(known.asked[::-1], 0.3)
    part = known.estimator.quantile(known.asked[:3], 0.3)
    pd.testing.assert_frame_equal(whole, turned[::-1])
    assert_allclose(part, whole[:3], rtol=1e-6)


def test_kept_as_arrays_and_back(known):
    model = known.estimator.table_
    again = TableModel.from_arrays(model.schema, model.mixture, model.best, model.arrays())
    key = jax.random.key(0)
    c = {
        "numeric": jax.tree.map(np.asarray, fitted_table(known.estimator).given(known.asked)[1]["numeric"])
    }
    assert_array_equal(
        again.quantiles(c, np.array([0.5]), 100, key), model.quantiles(c, np.array([0.5]), 100, key)
    )
    assert_array_equal(
        again.support.percentile(again.features(c)), model.support.percentile(model.features(c))
    )
    assert_array_equal(again.training_rows, model.training_rows)
