import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, encode, sample
from condvae.linear_gaussian import random_linear_gaussian

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


def test_many_draws_of_one_row_are_made_some_at_a_time(monkeypatch):
    import condvae.model

    model = random_linear_gaussian(KEY, x_size=3, z_size=2, c_size=1)
    whole = sample(model, jnp.zeros((1, 1)), key=KEY, num_samples=50)
    monkeypatch.setattr(condvae.model, "DRAWS_AT_ONCE", 7)
    jax.clear_caches()
    np.testing.assert_allclose(sample(model, jnp.zeros((1, 1)), key=KEY, num_samples=50), whole, rtol=1e-5)


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
    draws = model.draws(x, c, key=KEY, num_samples=4)
    assert draws.z.shape == (4, 2)
    for k, z in enumerate(draws.z):
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


def test_every_row_has_noise_of_its_own_whatever_stands_beside_it():
    model = random_linear_gaussian(KEY, x_size=3, z_size=2, c_size=1)
    c = jnp.zeros((7, 1))
    draws = sample(model, c, key=KEY, num_samples=2)
    assert len(np.unique(draws.reshape(14, 3), axis=0)) == 14
    np.testing.assert_allclose(sample(model, c[:3], key=KEY, num_samples=2), draws[:3], rtol=1e-5)


def test_trees_of_any_shape_go_through():
    class Prior(eqx.Module):
        def __call__(self, c):
            return npd.Normal(c["a"].sum() + jnp.zeros((2, 2)), 1.0)

    class Likelihood(eqx.Module):
        def __call__(self, z, c):
            return npd.Bernoulli(logits=jnp.tile(z, (2, 1)))

    class Posterior(eqx.Module):
        def __call__(self, x, c, prior):
            return npd.Normal(x[:2] + c["b"][0], 1.0)

    model = CVAE(Prior(), Likelihood(), Posterior())
    c = {"a": jnp.ones((5, 3)), "b": (jnp.zeros((5,)), jnp.zeros((5, 1)))}
    assert sample(model, c, key=KEY, num_samples=3).shape == (5, 3, 4, 2)
    assert encode(model, jnp.zeros((5, 4, 2)), c).shape == (5, 2, 2)


def test_asking_for_draws_without_a_key_is_refused():
    model = random_linear_gaussian(KEY, x_size=3, z_size=2)
    with pytest.raises(ValueError, match="pass key= as well"):
        encode(model, jnp.zeros((2, 3)), num_samples=3)
