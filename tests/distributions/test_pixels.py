import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from condvae.distributions.pixels import ContinuousBernoulli, DiscretisedLogisticMixture
from helpers import compiled

GRID = np.linspace(0.0, 1.0, 20_001)


@pytest.mark.parametrize("logit", [-50.0, -3.0, -0.11, -0.09, 0.0, 0.01, 0.09, 0.11, 4.0, 80.0])
def test_continuous_bernoulli_is_a_density_with_its_mean_and_quantiles(logit):
    d = ContinuousBernoulli(jnp.array(logit))
    density = np.exp(np.asarray(compiled(d, "log_prob", jnp.array(GRID)), float))
    np.testing.assert_allclose(np.trapezoid(density, GRID), 1.0, atol=1e-5)
    np.testing.assert_allclose(compiled(d, "mean"), np.trapezoid(density * GRID, GRID), atol=1e-5)
    inner = np.linspace(0.01, 0.99, 50, dtype=np.float32)
    again = compiled(d, "cdf", compiled(d, "icdf", inner))
    np.testing.assert_allclose(again, inner, atol=1e-5)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(GRID))])
    np.testing.assert_allclose(compiled(d, "cdf", jnp.array(GRID)), below, atol=1e-5)


def test_pixels_are_the_mass_of_logistics_and_their_ends_take_the_rest():
    logits, loc, scale = jnp.array([0.3, -1.0]), jnp.array([-0.9, 0.4]), jnp.array([0.2, 0.05])
    d = DiscretisedLogisticMixture(logits, loc, scale, levels=16)
    edges = np.concatenate([[-np.inf], (2 * np.arange(15) + 1) / 15 - 1, [np.inf]])
    parts = np.diff(stats.logistic(np.asarray(loc)[:, None], np.asarray(scale)[:, None]).cdf(edges), axis=1)
    expected = np.asarray(jax.nn.softmax(logits)) @ parts
    np.testing.assert_allclose(np.exp(d.log_prob(jnp.arange(16))), expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(d.cdf(jnp.arange(16)), expected.cumsum(), rtol=1e-4)
    np.testing.assert_allclose(d.mean, expected @ np.arange(16), rtol=1e-4)
    assert (d.log_prob(jnp.array([-1, 16])) == -jnp.inf).all()
    counts = np.bincount(np.asarray(d.sample(jax.random.key(0), (50_000,))), minlength=16)
    assert stats.chisquare(counts, 50_000 * expected / expected.sum()).pvalue > 1e-4
