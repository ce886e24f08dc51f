import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE
from condvae.linear_gaussian import random_linear_gaussian
from helpers import compiled_draws

KEY = jax.random.key(0)


def prior(c):
    return npd.Normal(jnp.zeros(2), 1.0)


def likelihood(z, c):
    return npd.Normal(jnp.zeros(3) + z[0], 1.0)


def posterior(x, c, prior):
    return npd.Normal(jnp.zeros(2), 1.0)


def test_a_part_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="likelihood is int, expected a module"):
        CVAE(prior, 3, posterior)


def test_a_posterior_that_takes_no_prior_is_refused_at_once():
    with pytest.raises(TypeError, match="give it a parameter named prior"):
        CVAE(prior, likelihood, lambda x, c: npd.Normal(jnp.zeros(2), 1.0))


def test_a_part_that_returns_no_distribution_is_refused():
    with pytest.raises(TypeError, match="the posterior returned float"):
        CVAE(prior, likelihood, lambda x, c, prior: 0.5).draws(jnp.zeros(3), key=KEY)


def test_shapes_that_do_not_fit_are_refused_before_anything_is_broadcast():
    scalar = CVAE(lambda c: npd.Normal(0.0, 1.0), likelihood, posterior)
    with pytest.raises(ValueError, match=r"the posterior draws z of shape \(2,\), the prior of shape \(\)"):
        scalar.draws(jnp.zeros(3), key=KEY)
    with pytest.raises(ValueError, match=r"over x of shape \(3,\), but one row of x has shape \(4,\)"):
        CVAE(prior, likelihood, posterior).draws(jnp.zeros(4), key=KEY)


def test_draws_are_the_three_densities():
    model = random_linear_gaussian(KEY, x_size=3, z_size=2, c_size=1)
    x, c = jnp.ones(3), jnp.ones(1)
    draws = compiled_draws(model, x, c, key=KEY, num_samples=4)
    assert draws.z.shape == (4, 2)
    for k, z in enumerate(np.asarray(draws.z)):
        np.testing.assert_allclose(draws.log_prior[k], model.p_z(c).log_prob(z), rtol=1e-5)
        np.testing.assert_allclose(draws.log_likelihood[k], model.p_x(z, c).log_prob(x), rtol=1e-5)
        np.testing.assert_allclose(draws.log_posterior[k], model.q_z(x, c).log_prob(z), rtol=1e-5)
    np.testing.assert_array_equal(draws.log_posterior, draws.log_posterior_stopped)
    np.testing.assert_allclose(jnp.exp(draws.log_measure).sum(), 1.0, rtol=1e-6)


def test_the_posterior_sees_the_prior():
    def shifted(x, c, prior):
        return npd.Normal(prior.mean() + 1.0, 1.0)

    model = CVAE(lambda c: npd.Normal(c, 1.0), lambda z, c: npd.Normal(z, 1.0), shifted)
    np.testing.assert_allclose(model.q_z(jnp.zeros(2), jnp.array([1.0, 2.0])).mean(), [2.0, 3.0])


def test_a_prior_is_given_the_posterior_if_it_declares_that_it_needs_it():
    class Prior(eqx.Module):
        def __call__(self, c, posterior):
            return npd.Normal(0.0, 1.0)

    with pytest.raises(
        TypeError, match=r"needs_posterior is true, and cannot be: missing a .* 'posterior'"
    ):
        CVAE(Prior(), likelihood, posterior)
    Prior.needs_posterior = True
    CVAE(Prior(), likelihood, posterior).p_z()
