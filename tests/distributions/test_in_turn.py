"""Cells one after another, against a Gaussian of full covariance."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy import stats

from condvae.distributions import InTurn, Numpyro, Product
from condvae.observed import Observed

ORDER = np.array([2, 0, 1])  # the second cell first, the first last
WEIGHTS = np.array([[0.0, 0.8, -0.5], [0.0, 0.0, 0.0], [0.0, 1.2, 0.0]])  # of the cells before
NOISE = np.array([0.5, 1.0, 0.3])


def given(x):
    values = jnp.where(x.mask, x.value, 0.0)
    return Numpyro(npd.Normal(jnp.asarray(WEIGHTS) @ values, jnp.asarray(NOISE)))


CHAIN = InTurn(given, jnp.asarray(ORDER), jnp.zeros(3))
MIXING = np.linalg.inv(np.eye(3) - WEIGHTS)
COVARIANCE = MIXING @ np.diag(NOISE**2) @ MIXING.T


def test_the_density_is_that_of_the_joint_gaussian():
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(20, 3))
        value = jax.jit(jax.vmap(CHAIN.log_prob))(jnp.asarray(x))
        np.testing.assert_allclose(value, stats.multivariate_normal(cov=COVARIANCE).logpdf(x), rtol=1e-10)
        np.testing.assert_allclose(jax.jit(jax.vmap(CHAIN.terms))(jnp.asarray(x)).sum(1), value, rtol=1e-12)


def test_draws_have_its_covariance():
    keys = jax.random.split(jax.random.key(0), 40_000)
    rows, drawn = jax.jit(jax.vmap(lambda key: _means(*CHAIN.unrolled(key))))(keys)
    drawn = np.asarray(drawn)
    np.testing.assert_allclose(np.cov(drawn.T), COVARIANCE, atol=0.04)  # three standard errors
    # The mean of each cell given those before it averages to the mean, with less noise.
    assert np.abs(np.mean(rows, 0)).max() < 0.02
    assert (np.var(rows, 0) < drawn.var(0)).all()


def _means(row, drawn):
    return row.mean(), drawn


@pytest.mark.parametrize("mask", [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]])
def test_missing_cells_given_observed_ones(mask):
    """Draws weighed by the density of what is observed have the conditional mean and covariance."""
    mask, x = np.array(mask, bool), np.array([0.7, -0.4, 1.1])
    seen = Observed(jnp.asarray(x), jnp.asarray(mask))

    def draw(key):
        row, value = CHAIN.unrolled(key, seen)
        return row.log_prob(seen), value

    log_w, value = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), 100_000))
    value = np.asarray(value, float)
    np.testing.assert_array_equal(
        value[:, mask], np.broadcast_to(x[mask], (100_000, mask.sum())).astype("f")
    )
    weight = np.exp(np.asarray(log_w, float))
    a, b = COVARIANCE[np.ix_(~mask, mask)], COVARIANCE[np.ix_(mask, mask)]
    gain = a @ np.linalg.inv(b)
    right = gain @ x[mask], COVARIANCE[np.ix_(~mask, ~mask)] - gain @ a.T
    drawn = value[:, ~mask]
    mean = np.average(drawn, axis=0, weights=weight)
    effective = weight.sum() ** 2 / (weight**2).sum()
    assert effective > 1000
    np.testing.assert_allclose(mean, right[0], atol=4 * np.sqrt(right[1].max() / effective))
    covariance = np.cov(drawn.T, aweights=weight).reshape(right[1].shape)
    np.testing.assert_allclose(covariance, right[1], atol=8 * right[1].max() / np.sqrt(effective))
    # The mean weight is the density of the observed cells.
    density = stats.multivariate_normal(cov=b).pdf(x[mask])
    stderr = weight.std() / np.sqrt(len(weight))
    assert abs(weight.mean() - density) < 4 * stderr + 1e-6 * density


def test_a_row_of_several_parts():
    """Cells are counted in the order of a pytree: here the two numbers, then the code."""

    def given(x):
        number, code = x["a"], x["b"]
        logits = jnp.where(number.mask[1], number.value[1], 0.0) * jnp.array([[0.0, 2.0]])
        shift = jnp.where(code.mask[0], code.value[0], 0.0)
        return Product(
            {
                "a": Numpyro(npd.Normal(jnp.stack([10.0 * shift, 0.0 * shift]), 1.0)),
                "b": Numpyro(npd.CategoricalLogits(logits)),
            }
        )

    row = {"a": jnp.zeros(2), "b": jnp.zeros(1, jnp.int32)}
    chain = InTurn(given, jnp.array([2, 0, 1]), row)  # a[1], b, a[0]
    drawn = jax.jit(jax.vmap(chain.sample))(jax.random.split(jax.random.key(2), 4000))
    number, code = np.asarray(drawn["a"]), np.asarray(drawn["b"])[:, 0]
    assert drawn["b"].dtype == jnp.int32
    assert abs(number[code == 1, 0].mean() - 10) < 0.1
    assert abs(number[code == 0, 0].mean()) < 0.1
    share = 1 / (1 + np.exp(-2 * number[:, 1]))
    assert abs((code - share).mean()) < 0.03
    value = {"a": jnp.array([9.0, 0.5]), "b": jnp.array([1])}
    right = stats.norm(10).logpdf(9.0) + stats.norm.logpdf(0.5) - np.log1p(np.exp(-1.0))
    assert float(chain.log_prob(value)) == pytest.approx(right, rel=1e-5)
