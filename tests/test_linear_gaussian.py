"""The oracle itself, against joint Gaussians worked out another way, in float64."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from condvae.conditionals import AffineGaussian, StandardNormal
from condvae.linear_gaussian import (
    Moments,
    Truth,
    exact_conditional,
    exact_elbo,
    exact_log_prob,
    exact_posterior,
    expected_elbo,
    expected_log_prob,
    linear_gaussian,
    maximum_likelihood,
    random_linear_gaussian,
)

pytestmark = pytest.mark.usefixtures("x64")
SIZES = [(1, 1, 1), (3, 2, 2), (2, 5, 1), (4, 2, 0)]
every_size = pytest.mark.parametrize(("x_size", "z_size", "c_size"), SIZES)


def setup(x_size, z_size, c_size, n=7):
    model = random_linear_gaussian(jax.random.key(0), x_size=x_size, z_size=z_size, c_size=c_size)
    x = jax.random.normal(jax.random.key(1), (n, x_size))
    return model, x, jax.random.normal(jax.random.key(2), (n, c_size)) if c_size else None


def joint_of_z_and_x(model, c):
    """Mean and covariance of (z, x) given c, by propagating standard noise through the model."""
    prior, likelihood = model.prior, model.likelihood
    emission = np.asarray(likelihood.weights[0])
    mean_z = np.asarray(prior.mean(c))
    mean_x = np.asarray(likelihood.mean(jnp.asarray(mean_z), c))
    z_noise, x_noise = np.asarray(prior.scale_tril), np.asarray(likelihood.scale_tril)
    mixing = np.block([[z_noise, np.zeros((len(mean_z), len(mean_x)))], [emission @ z_noise, x_noise]])
    return np.concatenate([mean_z, mean_x]), mixing @ mixing.T


@every_size
def test_log_prob_is_that_of_the_joint_gaussian(x_size, z_size, c_size):
    model, x, c = setup(x_size, z_size, c_size)
    for i, score in enumerate(exact_log_prob(model, x, c)):
        mean, covariance = joint_of_z_and_x(model, None if c is None else c[i])
        expected = stats.multivariate_normal(mean[z_size:], covariance[z_size:, z_size:]).logpdf(x[i])
        np.testing.assert_allclose(score, expected, rtol=1e-9)


@every_size
def test_the_posterior_is_the_joint_conditioned(x_size, z_size, c_size):
    model, x, c = setup(x_size, z_size, c_size)
    condition = None if c is None else c[0]
    mean, cov = joint_of_z_and_x(model, condition)
    gain = cov[:z_size, z_size:] @ np.linalg.inv(cov[z_size:, z_size:])
    d = exact_posterior(model)(x[0], condition)
    np.testing.assert_allclose(d.mean(), mean[:z_size] + gain @ (x[0] - mean[z_size:]), rtol=1e-8)
    np.testing.assert_allclose(
        d.base.covariance_matrix,
        cov[:z_size, :z_size] - gain @ cov[z_size:, :z_size],
        rtol=1e-7,
        atol=1e-10,
    )


@every_size
def test_the_elbo_is_tight_at_the_exact_posterior_only(x_size, z_size, c_size):
    model, x, c = setup(x_size, z_size, c_size)
    assert (exact_elbo(model, x, c) < exact_log_prob(model, x, c)).all()
    exact = linear_gaussian(model.prior, model.likelihood)
    np.testing.assert_allclose(exact_elbo(exact, x, c), exact_log_prob(exact, x, c), rtol=1e-9)


@every_size
def test_the_expected_elbo_is_the_mean_over_the_rows(x_size, z_size, c_size):
    model, x, c = setup(x_size, z_size, c_size)
    moments = Moments.of_data(x, c)
    np.testing.assert_allclose(expected_elbo(model, moments), exact_elbo(model, x, c).mean(), rtol=1e-9)
    average = expected_log_prob(exact_conditional(model), moments)
    np.testing.assert_allclose(average, exact_log_prob(model, x, c).mean(), rtol=1e-9)


def test_the_moments_of_a_truth_are_those_of_its_draws():
    conditional = AffineGaussian((jnp.array([[2.0], [1.0]]),), jnp.array([0.5, -1.0]), 0.5 * jnp.eye(2))
    truth = Truth(conditional, jnp.array([1.0]), jnp.array([[4.0]]))
    x, c = jax.jit(jax.vmap(truth.sample))(jax.random.split(jax.random.key(0), 200_000))
    drawn, exact = Moments.of_data(x, c), truth.moments()
    np.testing.assert_allclose(drawn.mean, exact.mean, atol=0.05)
    np.testing.assert_allclose(drawn.covariance, exact.covariance, atol=0.2)
    alone = Truth(AffineGaussian((None,), jnp.zeros(2), jnp.eye(2)))
    assert alone.sample(jax.random.key(0))[1] is None
    np.testing.assert_array_equal(alone.moments().covariance, np.eye(2))


@pytest.mark.parametrize(
    "latent_size", [pytest.param(n, marks=pytest.mark.slow if n != 2 else ()) for n in (1, 2, 4, 6)]
)
@pytest.mark.parametrize("with_c", [True, False])
def test_nothing_beats_maximum_likelihood(latent_size, with_c):
    key = jax.random.key(3)
    x = jax.random.normal(key, (200, 4)) @ jax.random.normal(jax.random.key(4), (4, 4)) + 1.0
    c = jax.random.normal(jax.random.key(5), (200, 2)) if with_c else None
    if c is not None:
        x = x + c @ jnp.ones((2, 4))
    best = maximum_likelihood(x, c, latent_size=latent_size)
    moments = Moments.of_data(x, c)
    top = expected_elbo(best, moments)
    np.testing.assert_allclose(top, exact_log_prob(best, x, c).mean(), rtol=1e-9)
    # No direction in (D, b, B) climbs, nor does a change of the one noise variance.
    gradient = eqx.filter_jit(eqx.filter_grad(lambda likelihood: _score(best.prior, likelihood, moments)))(
        best.likelihood
    )
    assert jnp.abs(gradient.bias).max() < 1e-8
    assert all(jnp.abs(w).max() < 1e-8 for w in gradient.weights if w is not None)
    if latent_size < 4:
        assert jnp.abs(gradient.log_diagonal.sum()) < 1e-8


def _score(prior, likelihood, moments):
    return expected_log_prob(exact_conditional(linear_gaussian(prior, likelihood)), moments)


def test_maximum_likelihood_of_as_many_latents_as_dimensions_is_the_covariance_itself():
    x = jax.random.normal(jax.random.key(3), (100, 3)) @ jnp.diag(jnp.array([1.0, 2.0, 3.0]))
    for latent_size in (3, 5):
        fitted = exact_conditional(maximum_likelihood(x, latent_size=latent_size)).covariance
        np.testing.assert_allclose(fitted, np.cov(x.T, bias=True), rtol=1e-8)


def test_rows_without_a_maximum_are_refused():
    x = jnp.outer(jnp.arange(10.0), jnp.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="residuals of x given c are singular"):
        maximum_likelihood(x, latent_size=1)


def test_other_models_are_refused():
    model = random_linear_gaussian(jax.random.key(0), x_size=2, z_size=1)
    other = eqx.tree_at(lambda m: m.prior, model, StandardNormal((1,)))
    with pytest.raises(TypeError, match="the prior is StandardNormal, expected AffineGaussian"):
        exact_posterior(other)
