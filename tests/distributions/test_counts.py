import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from condvae.distributions.counts import (
    Hurdle,
    NegativeBinomial,
    Poisson,
    ZeroInflated,
    deviance,
    stirling_error,
)
from helpers import compiled

KEY = jax.random.key(0)
COUNTS = np.array([0, 1, 2, 5, 9, 10, 11, 100, 9990, 10_000, 10_100])


def exact_negative_binomial(mean, r):
    mean, r = (float(np.float32(part)) for part in (mean, r))
    return stats.nbinom(r, r / (r + mean))


@pytest.mark.parametrize("mean", [1e-3, 3.0, 1e4])
@pytest.mark.parametrize("r", [1e-3, 1.0, 1e4, 1e6])
def test_negative_binomial_is_scipys_to_single_precision(mean, r):
    expected = exact_negative_binomial(mean, r).logpmf(COUNTS)
    log_mass = compiled(NegativeBinomial(jnp.array(mean), jnp.array(r)), "log_prob", jnp.array(COUNTS))
    np.testing.assert_allclose(log_mass, expected, rtol=3e-6, atol=1e-5)


@pytest.mark.parametrize("mean", [1e-3, 1.0, 7.0, 1e4])
def test_poisson_is_scipys_to_single_precision(mean):
    expected = stats.poisson(float(np.float32(mean))).logpmf(COUNTS)
    log_mass = compiled(Poisson(jnp.array(mean)), "log_prob", jnp.array(COUNTS))
    np.testing.assert_allclose(log_mass, expected, rtol=3e-6, atol=1e-5)


def test_stirling_and_deviance_are_smooth_where_they_change_formula():
    for function, at in ((stirling_error, 10.0), (lambda x: deviance(x, 1.0), 1.1 / 0.9)):
        below, above = function(at * (1 - 1e-6)), function(at * (1 + 1e-6))
        assert abs(float(below - above)) < 1e-5
        slopes = [float(jax.jit(jax.grad(function))(at * (1 + s))) for s in (-1e-4, 1e-4)]
        assert abs(slopes[0] - slopes[1]) < 1e-3 * max(1.0, abs(slopes[0]))


@pytest.mark.parametrize(
    "count", [Poisson(0.01), Poisson(2.0), NegativeBinomial(2.0, 0.3), NegativeBinomial(0.01, 5.0)]
)
def test_positive_draws_are_the_count_given_that_it_is_not_zero(count):
    n, values = 100_000, jnp.arange(1, 12)
    drawn = np.asarray(compiled(count, "sample_positive", KEY, (n,)))
    expected = np.exp(np.asarray(compiled(count, "log_prob", values), float))
    expected /= -np.expm1(float(compiled(count, "log_prob", jnp.array(0))))
    shares = np.array([(drawn == value).mean() for value in values])
    assert drawn.min() == 1
    assert (np.abs(shares - expected) < 5 * np.sqrt(expected / n) + 5 / n).all()


@pytest.mark.parametrize("kind", [Hurdle, ZeroInflated])
@pytest.mark.parametrize("base", [Poisson(3.0), NegativeBinomial(3.0, 0.7)])
def test_counts_with_other_zeros_add_up_to_one_and_to_their_cdf(kind, base):
    count = kind(base, jnp.array(-0.4))
    probabilities = np.exp(np.asarray(compiled(count, "log_prob", jnp.arange(400)), float))
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(
        compiled(count, "cdf", jnp.arange(20)), probabilities.cumsum()[:20], atol=1e-5
    )
    gate = 1 / (1 + np.exp(0.4))
    zero = gate if kind is Hurdle else gate + (1 - gate) * np.exp(float(base.log_prob(jnp.array(0))))
    np.testing.assert_allclose(probabilities[0], zero, rtol=1e-5)
    assert compiled(count, "cdf", jnp.array(-1)) == 0.0
