"""Bounds and their gradients against closed forms, at the exact posterior and away from it, in float64."""

import itertools
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, Draws, elbo, fit, iwae
from condvae.linear_gaussian import exact_elbo, exact_log_prob
from condvae.objectives import gaussian_stochastic_network, hybrid, renyi
from condvae.objectives.draws import evaluate
from gradients import (
    Claim,
    assert_unbiased,
    at_posterior,
    by_nodes,
    exact_layers,
    flat_gradient,
    layered_row,
    one_row,
    sampled,
    the_elbo,
    the_iwae,
    the_renyi,
    value_and_gradient,
    with_q_the_prior,
)
from helpers import CASES, compiled_draws, flatten_layers, hierarchical

pytestmark = pytest.mark.usefixtures("x64")


def plus_kl(x, c, of):
    """The ELBO and so much of its KL."""
    return lambda m: the_elbo(x, c)(m) + of(m.posterior(x, c).kl(m.prior(c)))


def mixed(x, c, share):
    return lambda m: share * the_elbo(x, c)(m) + (1 - share) * with_q_the_prior(x, c)(m)


CLAIMS = {
    "elbo": lambda x, c: Claim(elbo, the_elbo(x, c)),
    "elbo, its KL by draws": lambda x, c: Claim(partial(elbo, monte_carlo=True), the_elbo(x, c)),
    "elbo, β": lambda x, c: Claim(partial(elbo, beta=0.3), plus_kl(x, c, lambda kl: 0.7 * kl)),
    "elbo, free bits": lambda x, c: Claim(partial(elbo, free_bits=9.0), plus_kl(x, c, lambda kl: kl - 9.0)),
    "iwae": lambda x, c: Claim(iwae, the_iwae(by_nodes(x, c), 2), num_samples=2),
    "renyi": lambda x, c: Claim(
        partial(renyi, alpha=0.3), the_renyi(by_nodes(x, c), 2, 0.3), num_samples=2
    ),
    "renyi, α below 0": lambda x, c: Claim(
        partial(renyi, alpha=-1.0), the_renyi(by_nodes(x, c), 2, -1.0), num_samples=2
    ),
    "gaussian_stochastic_network": lambda x, c: Claim(gaussian_stochastic_network, with_q_the_prior(x, c)),
    "hybrid": lambda x, c: Claim(partial(hybrid, alpha=0.3), mixed(x, c, 0.3)),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_value_and_gradient_are_unbiased_away_from_the_posterior(name):
    model, x, c = one_row()
    assert exact_log_prob(model, x[None], c[None])[0] - exact_elbo(model, x[None], c[None])[0] > 0.1
    CLAIMS[name](x, c).check(model, x, c)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_value_and_gradient_are_unbiased_at_the_posterior(name):
    model, x, c = one_row()
    CLAIMS[name](x, c).check(at_posterior(model), x, c)


@pytest.mark.slow
def test_the_nodes_know_the_bounds_that_have_closed_forms():
    model, x, c = one_row()
    np.testing.assert_allclose(the_iwae(by_nodes(x, c), 1)(model), the_elbo(x, c)(model), rtol=1e-9)
    truth = exact_log_prob(model, x[None], c[None])[0]
    np.testing.assert_allclose(the_iwae(by_nodes(x, c), 2)(at_posterior(model)), truth, rtol=1e-9)
    coarse, fine = (the_iwae(by_nodes(x, c, nodes), 2)(model) for nodes in (16, 20))
    np.testing.assert_allclose(coarse, fine, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
def test_bounds_on_the_two_layer_latent(exact):
    model = (exact_layers if exact else hierarchical)(jax.random.key(0))
    x, c = layered_row()
    Claim(elbo, lambda m: exact_elbo(flatten_layers(m), x[None], c[None])[0]).check(model, x, c)


def discrete_row():
    case = next(case for case in CASES if case.name == "discrete")
    return case.build(jax.random.key(0)), jnp.array([0.3, -1.0, 0.5]), jnp.array([0.7, 0.1])


def sums(model, x, c):
    """log p(x, z), log q(z) and log p(z), of every z."""
    every = jnp.arange(4)
    prior = jax.vmap(model.p_z(c).log_prob)(every)
    joint = prior + jax.vmap(lambda z: model.p_x(z, c).log_prob(x))(every)
    return joint, jax.vmap(model.q_z(x, c).log_prob)(every), prior


ENUMERATED = {
    "elbo": (elbo, lambda joint, q, prior: jnp.sum(jnp.exp(q) * (joint - q))),
    "iwae": (iwae, lambda joint, q, prior: jax.nn.logsumexp(joint)),
    "renyi": (
        partial(renyi, alpha=0.3),
        lambda joint, q, prior: jax.nn.logsumexp(0.7 * joint + 0.3 * q) / 0.7,
    ),
    "gaussian_stochastic_network": (
        gaussian_stochastic_network,
        lambda joint, q, prior: jnp.sum(jnp.exp(prior) * (joint - prior)),
    ),
    "hybrid": (
        partial(hybrid, alpha=0.3),
        lambda joint, q, prior: (
            0.3 * jnp.sum(jnp.exp(q) * (joint - q)) + 0.7 * jnp.sum(jnp.exp(prior) * (joint - prior))
        ),
    ),
}


@pytest.mark.parametrize("name", ENUMERATED)
def test_an_enumerated_latent_is_summed_over_exactly(name):
    objective, truth = ENUMERATED[name]
    model, x, c = discrete_row()
    value, gradient = value_and_gradient(
        lambda m: evaluate(objective, m, x, c, key=jax.random.key(0)), model
    )
    expected, slope = value_and_gradient(lambda m: truth(*sums(m, x, c)), model)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "objective",
    [elbo, partial(elbo, monte_carlo=True), iwae, renyi, gaussian_stochastic_network, hybrid],
    ids=["elbo", "elbo-by-draws", "iwae", "renyi", "gaussian_stochastic_network", "hybrid"],
)
def test_gradients_are_those_of_finite_differences(objective):
    model, x, c = one_row()
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)

    def value(flat):
        model = eqx.combine(unravel(flat), static)
        return evaluate(objective, model, x, c, key=jax.random.key(1), num_samples=3)

    steps, values = 1e-6 * jnp.eye(len(flat)), jax.jit(jax.vmap(value))
    numeric = (values(flat + steps) - values(flat - steps)) / 2e-6
    np.testing.assert_allclose(jax.jit(jax.grad(value))(flat), numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_the_bound_tightens_as_k_grows():
    model, x, c = one_row()
    truth = exact_log_prob(model, x[None], c[None])[0]
    runs = [sampled(iwae, model, x, c, size)[0] for size in (1, 4, 16, 64)]
    for looser, tighter in itertools.pairwise(runs):
        gain = tighter.mean() - looser.mean()
        assert gain > 4 * np.hypot(looser.std(), tighter.std()) / len(looser) ** 0.5
    below = truth - runs[-1].mean()
    assert 0 < below < 0.25 * (truth - runs[0].mean())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.999999])
def test_renyi_lies_between_the_elbo_and_iwae(alpha):
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0), num_samples=8)
    low, high = draws.log_weights.mean(), iwae(draws)
    value = renyi(draws, alpha=alpha)
    assert low - 1e-4 <= value <= high + 1e-9
    if alpha == 0.0:
        np.testing.assert_allclose(value, high, rtol=1e-12)
    if alpha == 0.999999:
        np.testing.assert_allclose(value, low, atol=1e-4)


def test_numbers_that_make_no_objective_are_refused():
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0))
    with pytest.raises(ValueError, match="alpha is 1, where Rényi's bound is the ELBO: use elbo"):
        renyi(draws, alpha=1)
    with pytest.raises(ValueError, match=r"alpha is 1\.5, expected a number from 0"):
        hybrid(draws, draws, alpha=1.5)


def test_the_kl_is_in_closed_form_where_there_is_one():
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0), num_samples=2)
    assert draws.kl is not None
    by_draws = partial(elbo, monte_carlo=True)
    assert elbo(draws) != by_draws(draws)
    np.testing.assert_allclose(by_draws(draws), draws.log_weights.mean(), rtol=1e-12)
    np.testing.assert_allclose(elbo(draws), draws.log_likelihood.mean() - draws.kl, rtol=1e-12)
    without = eqx.tree_at(lambda d: d.kl, draws, None)
    assert elbo(without) == by_draws(draws)


def test_beta_weighs_the_kl():
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0), num_samples=4)
    np.testing.assert_allclose(elbo(draws) - elbo(draws, beta=3.0), 2.0 * draws.kl, rtol=1e-12)


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


class Mixture(eqx.Module):
    """A posterior whose draws carry no gradient to its weights, and whose support is no list."""

    logits: jax.Array

    def __call__(self, *inputs, prior=None):
        return npd.MixtureSameFamily(
            npd.Categorical(logits=self.logits), npd.Normal(jnp.array([-1.0, 1.0]), 1.0)
        )


@pytest.mark.parametrize("objective", [elbo, iwae, renyi, hybrid])
def test_draws_without_gradients_are_refused_before_any_training(objective):
    model = CVAE(
        lambda c: npd.Normal(0.0, 1.0), lambda z, c: npd.Normal(z[None], 1.0), Mixture(jnp.zeros(2))
    )
    with pytest.raises(ValueError, match="needs draws that carry gradients, and this posterior's do not"):
        fit(model, jnp.zeros((10, 1)), key=jax.random.key(0), objective=objective, progress=False)


@pytest.mark.parametrize("objective", [gaussian_stochastic_network, hybrid])
def test_a_prior_without_gradients_is_refused_before_any_training(objective):
    model = CVAE(
        Mixture(jnp.zeros(2)),
        lambda z, c: npd.Normal(z[None], 1.0),
        lambda x, c, prior: npd.Normal(x[0], 1.0),
    )
    with pytest.raises(ValueError, match="needs draws that carry gradients, and this prior's do not"):
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


def test_the_test_of_bias_finds_what_is_biased():
    model, x, c = one_row()
    with pytest.raises(AssertionError):
        assert_unbiased(sampled(iwae, model, x, c, 2)[1], flat_gradient(the_elbo(x, c), model))
