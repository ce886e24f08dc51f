"""Values and gradients against closed forms, at the exact posterior and away from it, in float64."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, Draws, elbo, fit, iwae, sticking_the_landing
from condvae.linear_gaussian import (
    exact_elbo,
    exact_log_prob,
    linear_gaussian,
    random_linear_gaussian,
)
from helpers import CASES, compiled_draws, flatten_layers, hierarchical, row_keys

pytestmark = pytest.mark.usefixtures("x64")
REPEATS = 4000


def flat_gradient(value, model):
    """The gradient of `value(model)`, as one vector."""
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    gradient = jax.jit(jax.grad(lambda p: value(eqx.combine(p, static))))(parameters)
    return jax.flatten_util.ravel_pytree(gradient)[0]


def sampled_gradients(objective, model, x, c, num_samples=1, repeats=REPEATS):
    def one(key):
        return flat_gradient(lambda m: objective(m.draws(x, c, key=key, num_samples=num_samples)), model)

    return np.asarray(jax.jit(jax.vmap(one))(row_keys(0, repeats)))


def assert_unbiased(samples, expected):
    stderr = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    # Bonferroni over the parameters, at about 1e-4 in all.
    assert (np.abs(samples.mean(axis=0) - expected) <= 5.0 * stderr + 1e-9).all()


def one_row():
    model = random_linear_gaussian(jax.random.key(3), x_size=3, z_size=2, c_size=1)
    return model, jnp.array([0.3, -1.0, 0.5]), jnp.array([0.7])


def exact_gradient(model, x, c):
    return flat_gradient(lambda m: exact_elbo(m, x[None], c[None])[0], model)


@pytest.mark.parametrize("objective", [elbo, sticking_the_landing, iwae])
def test_gradients_are_those_of_the_exact_elbo_away_from_the_posterior(objective):
    model, x, c = one_row()
    assert exact_log_prob(model, x[None], c[None])[0] - exact_elbo(model, x[None], c[None])[0] > 0.1
    assert_unbiased(sampled_gradients(objective, model, x, c), exact_gradient(model, x, c))


@pytest.mark.parametrize("objective", [elbo, sticking_the_landing])
def test_gradients_on_the_two_layer_latent(objective):
    model = hierarchical(jax.random.key(0))
    x, c = jnp.array([0.3, -1.0, 0.5]), jnp.array([0.7, 0.1])
    exact = flat_gradient(lambda m: exact_elbo(flatten_layers(m), x[None], c[None])[0], model)
    assert_unbiased(sampled_gradients(objective, model, x, c), exact)


def test_gradients_are_those_of_finite_differences():
    model, x, c = one_row()
    key = jax.random.key(1)
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)
    for objective in (elbo, iwae):

        def value(flat, objective=objective):
            draws = eqx.combine(unravel(flat), static).draws(x, c, key=key, num_samples=3)
            return objective(draws)

        steps, values = 1e-6 * jnp.eye(len(flat)), jax.jit(jax.vmap(value))
        numeric = (values(flat + steps) - values(flat - steps)) / 2e-6
        np.testing.assert_allclose(jax.jit(jax.grad(value))(flat), numeric, rtol=1e-5, atol=1e-7)


def test_sticking_the_landing_is_without_variance_at_the_exact_posterior():
    model, x, c = one_row()
    exact = linear_gaussian(model.prior, model.likelihood)
    size = len(jax.flatten_util.ravel_pytree(eqx.filter(exact.posterior, eqx.is_inexact_array))[0])
    path, full = (
        sampled_gradients(f, exact, x, c, repeats=200)[:, -size:] for f in (sticking_the_landing, elbo)
    )
    assert path.var(axis=0).max() < 1e-12
    assert np.abs(path).max() < 1e-6
    assert full.var(axis=0).max() > 1e-3


def test_the_kl_is_in_closed_form_where_there_is_one():
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0), num_samples=2)
    assert draws.kl is not None
    monte_carlo = eqx.tree_at(lambda d: d.kl, draws, None)
    closed, sampled = elbo(draws), elbo(monte_carlo)
    assert closed != sampled
    np.testing.assert_allclose(sampled, draws.log_weights.mean(), rtol=1e-12)
    np.testing.assert_allclose(closed, draws.log_likelihood.mean() - draws.kl, rtol=1e-12)


def test_beta_weighs_the_kl():
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0), num_samples=4)
    np.testing.assert_allclose(elbo(draws) - elbo(draws, beta=3.0), 2.0 * draws.kl, rtol=1e-12)
    np.testing.assert_allclose(
        sticking_the_landing(draws, beta=0.0), draws.log_likelihood.mean(), rtol=1e-12
    )


def test_free_bits_cost_nothing_and_teach_q_nothing():
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0), num_samples=4)
    free = partial(elbo, free_bits=float(draws.kl) + 1.0)
    np.testing.assert_allclose(elbo(draws) - free(draws), 1.0, rtol=1e-9)
    assert elbo(draws, free_bits=float(draws.kl) - 0.1) == elbo(draws)

    def gradient(objective):
        return flat_gradient(lambda m: objective(m.draws(x, c, key=jax.random.key(0))), model)

    # What is left is the gradient of the distortion.
    np.testing.assert_allclose(gradient(free), gradient(partial(elbo, beta=0.0)), rtol=1e-9, atol=1e-12)


def test_iwae_gradient_on_an_enumerated_latent_is_that_of_log_prob():
    case = next(case for case in CASES if case.name == "discrete")
    model = case.build(jax.random.key(0))
    x, c = jnp.array([0.3, -1.0, 0.5]), jnp.array([0.7, 0.1])

    def log_prob(model):
        joint = [
            model.p_z(c).log_prob(jnp.array(z)) + model.p_x(jnp.array(z), c).log_prob(x) for z in range(4)
        ]
        return jax.nn.logsumexp(jnp.stack(joint))

    got = flat_gradient(lambda m: iwae(m.draws(x, c, key=jax.random.key(0))), model)
    np.testing.assert_allclose(got, flat_gradient(log_prob, model), rtol=1e-9, atol=1e-12)


class Mixture(eqx.Module):
    """A posterior whose draws carry no gradient to its weights, and whose support is no list."""

    logits: jax.Array

    def __call__(self, x, c, prior):
        return npd.MixtureSameFamily(
            npd.Categorical(logits=self.logits), npd.Normal(jnp.array([-1.0, 1.0]), 1.0)
        )


@pytest.mark.parametrize("objective", [elbo, iwae, sticking_the_landing])
def test_draws_without_gradients_are_refused_before_any_training(objective):
    model = CVAE(
        lambda c: npd.Normal(0.0, 1.0), lambda z, c: npd.Normal(z[None], 1.0), Mixture(jnp.zeros(2))
    )
    with pytest.raises(ValueError, match="draws"):
        fit(model, jnp.zeros((10, 1)), key=jax.random.key(0), objective=objective, progress=False)


def test_a_users_objective_is_a_function_of_draws():
    def median_weight(draws: Draws):
        return jnp.median(draws.log_weights)

    model, x, c = one_row()
    trained, history = fit(
        model,
        jnp.tile(x, (40, 1)),
        jnp.tile(c, (40, 1)),
        key=jax.random.key(0),
        objective=median_weight,
        num_samples=5,
        num_steps=300,
        progress=False,
    )
    assert history["validation"][-1] > history["validation"][0]
    assert isinstance(trained, CVAE)
