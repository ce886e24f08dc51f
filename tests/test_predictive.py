"""Expectations given c, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from condvae import Mixture
from condvae.linear_gaussian import exact_conditional, random_linear_gaussian
from condvae.predictive import expect

KEY = jax.random.key(0)
N, S = 6, 20_000


def mean(likelihood, _):
    return likelihood.mean()


def products(likelihood, _):
    centre = likelihood.mean()
    return {"square": centre**2, "first": centre[0]}


def plus(likelihood, extra):
    return likelihood.mean() + extra


def below(likelihood, value):
    """P(x_j ≤ value | z), for a Gaussian."""
    sd = jnp.sqrt(jnp.diagonal(likelihood.base.covariance_matrix))
    return jax.scipy.stats.norm.cdf((value - likelihood.mean()) / sd)


def models(k, c_size=2):
    return [
        random_linear_gaussian(key, x_size=3, z_size=2, c_size=c_size)
        for key in jax.random.split(jax.random.key(7), k)
    ]


def exact(model, c):
    """The mean and sd of x given c, and what of the variance is z's."""
    conditional = exact_conditional(model)
    centre = np.asarray(conditional.mean(None) if c is None else jax.vmap(conditional.mean)(c))
    total = np.diagonal(np.asarray(conditional.covariance))
    return centre, np.sqrt(total), np.sqrt(total - np.diagonal(np.asarray(model.likelihood.covariance)))


@pytest.fixture
def c():
    return jax.random.normal(jax.random.key(1), (N, 2))


def test_the_mean_has_the_error_of_the_latent_alone(c):
    """Five standard errors, with the variance of E[x | z, c], not of x."""
    (model,) = models(1)
    centre, _, of_z = exact(model, c)
    found = expect(mean, model, c, key=KEY, num_samples=S)
    assert (np.abs(found - centre) < 5 * of_z / np.sqrt(S)).all()
    runs = expect(mean, model, jnp.tile(c, (40, 1)), key=KEY, num_samples=400).reshape(40, N, 3)
    # A standard deviation of 40 runs, pooled over 6 rows: known to 5%.
    ratio = np.std(runs, axis=0, ddof=1) / (of_z / np.sqrt(400))
    assert (np.abs(np.sqrt((ratio**2).mean(axis=0)) - 1) < 0.2).all()


def test_second_moments_and_trees(c):
    (model,) = models(1)
    centre, _, of_z = exact(model, c)
    found = expect(products, model, c, key=KEY, num_samples=S)
    truth = centre**2 + of_z**2
    # Var(m²) of a Normal m is 2 v² + 4 v mean².
    error = np.sqrt(2 * of_z**4 + 4 * of_z**2 * centre**2) / np.sqrt(S)
    assert (np.abs(found["square"] - truth) < 5 * error).all()
    assert found["first"].shape == (N,)
    assert (np.abs(found["first"] - centre[:, 0]) < 5 * of_z[0] / np.sqrt(S)).all()


def test_the_distribution_function_of_a_mixture_with_its_rows_own_values(c):
    members = models(3)
    values = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    found = expect(below, Mixture.of(members), c, values, key=KEY, num_samples=S)
    truth = np.mean([norm.cdf(values, *exact(m, c)[:2]) for m in members], axis=0)
    assert (np.abs(found - truth) < 5 * np.sqrt(truth * (1 - truth) / S)).all()


def test_without_conditions():
    (model,) = models(1, c_size=0)
    centre, _, of_z = exact(model, None)
    found = expect(mean, model, key=KEY, num_samples=S)
    assert found.shape == (1, 3)
    assert (np.abs(found[0] - centre) < 5 * of_z / np.sqrt(S)).all()
    extra = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    found = expect(plus, model, None, extra, key=KEY, num_samples=S)
    assert (np.abs(found - centre - extra) < 5 * of_z / np.sqrt(S)).all()


def test_draws_are_shared_out_and_counted(c, monkeypatch):
    """The same draws whether averaged in one block or in blocks that do not divide them."""
    (model,) = models(1)
    from condvae import predictive

    found = []
    for at_once in (500, 150):
        monkeypatch.setattr(predictive, "DRAWS_AT_ONCE", at_once)
        found.append(expect(mean, model, c, key=KEY, num_samples=500))
    of_z = exact(model, c)[2]
    assert (np.abs(found[0] - found[1]) < 5 * np.sqrt(2) * of_z / np.sqrt(500)).all()
    # A constant comes out as itself only if exactly num_samples draws are counted.
    monkeypatch.setattr(predictive, "DRAWS_AT_ONCE", 7)
    np.testing.assert_allclose(expect(one, model, c, key=KEY, num_samples=10), 1.0, rtol=1e-6)


def one(likelihood, _):
    return jnp.ones(())


def test_noise_follows_the_seeds(c):
    (model,) = models(1)
    same = jnp.tile(c[:1], (4, 1))
    seeds = np.array([5, 5, 6, 5], np.uint32)
    found = expect(mean, model, same, key=KEY, num_samples=10, seeds=seeds)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[3])
    assert (found[0] != found[2]).any()


def test_no_rows_and_bad_arguments(c):
    (model,) = models(1)
    assert expect(mean, model, c[:0], key=KEY, num_samples=10).shape == (0, 3)
    with pytest.raises(ValueError, match="num_samples is 0, expected at least 1"):
        expect(mean, model, c, key=KEY, num_samples=0)
    with pytest.raises(ValueError, match="c has 6 rows but extra has 5"):
        expect(plus, model, c, np.zeros((5, 3)), key=KEY)
