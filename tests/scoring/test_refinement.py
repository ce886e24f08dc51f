"""Proposals that adapt to the posterior: their moments in closed form, and what intervals then cover."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from jax.scipy.special import gammaln

from condvae import CVAE, Mixture, log_prob, sample
from condvae.conditionals import AffineGaussian
from condvae.linear_gaussian import exact_log_prob, exact_posterior, linear_gaussian, random_linear_gaussian
from condvae.scoring import posterior_mean
from condvae.scoring.proposals import Moments
from condvae.scoring.refinement import (
    MOST_LATENTS,
    effective,
    flattening,
    num_latents,
    refine_row,
    weighted_moments,
)
from condvae.vectorise import map_rows

KEY = jax.random.key(0)


def unit(size):
    return Moments(jnp.zeros(size), jnp.eye(size), jnp.eye(size))


def off(size: int, shift: float, scale: float, independent: bool = False) -> tuple[CVAE, CVAE]:
    """A model with the exact posterior, and one whose q is shifted and scaled, in standard deviations."""
    exact = random_linear_gaussian(jax.random.key(size), x_size=size, z_size=size, c_size=2)
    posterior = exact_posterior(exact)
    covariance = posterior.covariance
    if independent:  # the q that factorises and is nearest by KL(q || p)
        covariance = jnp.diag(1.0 / jnp.diagonal(jnp.linalg.inv(covariance)))
    bias = posterior.bias + shift * jnp.sqrt(jnp.diagonal(covariance))
    q = AffineGaussian(posterior.weights, bias, scale**2 * covariance)
    return exact, linear_gaussian(exact.prior, exact.likelihood, q)


def rows_of(model: CVAE, n: int) -> tuple[jax.Array, jax.Array]:
    c = jax.random.normal(jax.random.key(1), (n, 2))
    return jnp.asarray(sample(model, c, key=jax.random.key(2))[:, 0]), c


class Counts(eqx.Module):
    """x_i ~ Poisson(e^(z_i)): with e^z ~ Gamma(a, b), so that log p(x) is a negative binomial's."""

    def __call__(self, z, c=None):
        return npd.Poisson(jnp.exp(z))


class LogGamma(eqx.Module):
    shape: float
    size: int = eqx.field(static=True)

    def __call__(self, c=None):
        base = npd.Gamma(jnp.full(self.size, self.shape), 1.0)
        return npd.TransformedDistribution(base, npd.transforms.ExpTransform().inv)


class Beside(eqx.Module):
    """q(z | x): the log-gamma posterior's moments by a Gaussian, shifted and scaled."""

    shape: float
    shift: float
    scale: float

    def __call__(self, x, c=None, prior=None):
        total = x + self.shape
        mean, variance = jax.scipy.special.digamma(total), jax.scipy.special.polygamma(1, total)
        scale = jnp.sqrt(variance)
        return npd.Normal(mean - jnp.log(2.0) + self.shift * scale, self.scale * scale)


def counts(size: int, shift: float, scale: float, n: int):
    model = CVAE(prior=LogGamma(2.0, size), likelihood=Counts(), posterior=Beside(2.0, shift, scale))
    x = _poisson_rows(size, n)
    truth = gammaln(x + 2.0) - gammaln(2.0) - gammaln(x + 1.0) - (x + 2.0) * jnp.log(2.0)
    return model, x, np.asarray(truth.sum(axis=1))


def _poisson_rows(size: int, n: int) -> jax.Array:
    rate = jax.random.gamma(jax.random.key(3), 2.0, (n, size))
    return jax.random.poisson(jax.random.key(4), rate).astype(jnp.float32)


def assert_covered(score, truth, trusted: float = 0.95):
    """A nominal 90% interval covers 88 to 92% of rows, give or take chance; most are trusted."""
    low, high = score.interval(0.9)
    n = len(truth)
    covered = ((low < truth) & (truth < high)).mean()
    slack = 4 * np.sqrt(0.09 / n)
    assert 0.88 - slack < covered < 0.92 + slack
    assert score.trusted.mean() >= trusted
    return covered


@pytest.mark.parametrize(("size", "shift", "scale"), [(5, 0.5, 0.7), (5, 1.0, 0.5)])
def test_intervals_cover_where_the_centre_of_q_is_off(size, shift, scale):
    exact, model = off(size, shift, scale)
    x, c = rows_of(model, 400)
    score = log_prob(model, x, c, key=KEY)
    assert_covered(score, np.asarray(exact_log_prob(exact, x, c)))
    # Without a budget nothing is refined.
    plain = log_prob(model, x, c, key=KEY, budget=1000)
    assert plain.stderr.mean() > 2 * score.stderr.mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "shift", "scale", "independent"),
    [
        (2, 1.0, 1.0, False),
        (20, 0.3, 0.7, False),
        (20, 1.0, 0.5, False),
        (20, 0.3, 1.0, True),
        (50, 0.2, 0.8, False),
    ],
)
def test_intervals_cover_however_q_is_off(size, shift, scale, independent):
    exact, model = off(size, shift, scale, independent)
    x, c = rows_of(model, 1000)
    assert_covered(log_prob(model, x, c, key=KEY), np.asarray(exact_log_prob(exact, x, c)))


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 5, 10])
def test_intervals_cover_where_the_posterior_is_skewed(size):
    model, x, truth = counts(size, 0.3, 0.7, 1000)
    assert_covered(log_prob(model, x, key=KEY), truth)


def test_the_moments_are_those_of_the_posterior():
    """From a q that is shifted by a standard deviation, half as wide, and independent over cells."""
    exact, model = off(6, 1.0, 0.5, independent=True)
    x, c = rows_of(model, 40)
    refined = map_rows(refine_row, model, (x, c), KEY)
    posterior = exact_posterior(exact)
    scale = np.sqrt(np.diagonal(posterior.covariance))
    error = (refined.mean - np.asarray(jax.jit(jax.vmap(posterior.mean))(x, c))) / scale
    assert np.abs(error).max() < 0.5
    covariance = refined.scale @ refined.scale.transpose(0, 2, 1)
    error = (covariance - np.asarray(posterior.covariance)) / np.outer(scale, scale)
    assert np.abs(error.mean(axis=0)).max() < 0.1
    np.testing.assert_allclose(
        refined.scale @ refined.inverse, np.broadcast_to(np.eye(6), (40, 6, 6)), atol=1e-4
    )


def test_weighted_moments_are_the_moments_and_chance_correlations_are_shrunk():
    covariance = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, 0.0], [0.0, 0.0, 0.5]])
    target = npd.MultivariateNormal(jnp.array([1.0, -1.0, 0.0]), jnp.asarray(covariance))
    proposal = npd.Normal(jnp.zeros(3), 2.0).to_event(1)

    @jax.jit
    def moments_by_draws(key):
        z = proposal.sample(key, (200_000,))
        return weighted_moments(z, target.log_prob(z) - proposal.log_prob(z), unit(3))

    moments_of = eqx.filter_jit(weighted_moments)
    moments = jax.tree.map(np.asarray, moments_by_draws(KEY))
    np.testing.assert_allclose(moments.mean, [1.0, -1.0, 0.0], atol=0.03)
    np.testing.assert_allclose(moments.scale @ moments.scale.T, covariance, atol=0.05)
    z = jax.random.normal(KEY, (30, 20))
    few = jax.tree.map(np.asarray, moments_of(z, jnp.zeros(30), unit(20)))
    correlation = few.scale @ few.scale.T
    assert np.abs(correlation - np.diag(np.diag(correlation))).max() < 0.1
    assert np.isfinite(few.inverse).all()
    # Towards the moments that are near, not towards independence.
    scale = jnp.linalg.cholesky(0.1 * jnp.eye(20) + 0.9)
    near = Moments.of(jnp.zeros(20), scale)
    few = jax.tree.map(np.asarray, moments_of(z @ scale.T, jnp.zeros(30), near))
    correlation = few.scale @ few.scale.T
    correlation = correlation / np.sqrt(np.outer(np.diag(correlation), np.diag(correlation)))
    assert np.abs(correlation[np.triu_indices(20, 1)].mean() - 0.9) < 0.05


def test_flattening_leaves_light_weights_as_they_are():
    log_w = jax.random.normal(KEY, (1000,))
    assert float(flattening(log_w, 50.0)) == 1.0
    heavy = 20.0 * log_w
    assert float(effective(heavy)) < 10
    np.testing.assert_allclose(effective(flattening(heavy, 50.0) * heavy), 50.0, rtol=0.01)


def test_what_is_not_of_real_numbers_or_of_too_many_is_not_refined():
    model = counts(2, 0.0, 1.0, 2)[0]
    assert num_latents(model, None) == 2
    many = CVAE(prior=LogGamma(2.0, MOST_LATENTS + 1), likelihood=Counts(), posterior=Beside(2.0, 0.0, 1.0))
    assert num_latents(many, None) == 0
    score = log_prob(many, jnp.ones((2, MOST_LATENTS + 1)), key=KEY, num_samples=20)
    assert np.isfinite(score.value).all()


def test_members_are_refined_each_by_itself():
    pairs = [off(3, shift, 0.6) for shift in (0.8, -0.8)]
    model = Mixture.of([wrong for _, wrong in pairs])
    x, c = rows_of(pairs[0][0], 300)
    each = np.stack([np.asarray(exact_log_prob(exact, x, c), float) for exact, _ in pairs])
    score = log_prob(model, x, c, key=KEY)
    assert_covered(score, np.logaddexp.reduce(each, axis=0) - np.log(2))


def test_the_posterior_mean_is_right_where_that_of_q_is_not():
    exact, model = off(4, 1.0, 0.7)
    x, c = rows_of(model, 30)
    estimate = posterior_mean(model, x, c, key=KEY)
    posterior = exact_posterior(exact)
    scale = np.sqrt(np.diagonal(posterior.covariance))
    error = (estimate.value - np.asarray(jax.jit(jax.vmap(posterior.mean))(x, c))) / scale
    assert np.abs(error).max() < 5 / np.sqrt(estimate.ess.min())
    assert np.abs(error.mean()) < 0.03
    assert estimate.trusted.all()
