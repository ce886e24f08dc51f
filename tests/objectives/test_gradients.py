"""Gradients other than that of the value: unbiased all the same, without noise where they claim it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, fit, iwae, sticking_the_landing
from condvae.linear_gaussian import exact_elbo
from condvae.objectives import doubly_reparameterised, generalised_doubly_reparameterised, vimco
from condvae.objectives.draws import evaluate
from gradients import (
    Claim,
    assert_unbiased,
    at_posterior,
    by_nodes,
    exact_layers,
    layered_row,
    listed,
    of_posterior,
    of_states,
    one_row,
    sampled,
    the_elbo,
    the_iwae,
    towards,
)
from helpers import compiled_draws, flatten_layers, hierarchical

pytestmark = pytest.mark.usefixtures("x64")

CLAIMS = {
    "sticking_the_landing": lambda x, c: Claim(sticking_the_landing, the_elbo(x, c)),
    "doubly_reparameterised": lambda x, c: Claim(
        doubly_reparameterised, the_iwae(by_nodes(x, c), 2), num_samples=2
    ),
    "generalised_doubly_reparameterised": lambda x, c: Claim(
        generalised_doubly_reparameterised, the_iwae(by_nodes(x, c), 2), num_samples=2
    ),
    "vimco": lambda x, c: Claim(vimco, the_iwae(by_nodes(x, c), 2), num_samples=2),
}
PATHS = [sticking_the_landing, doubly_reparameterised, generalised_doubly_reparameterised]


def name_of(function):
    return getattr(function, "__name__", None)


@pytest.mark.parametrize("exact", [False, True], ids=["away", "at-the-posterior"])
@pytest.mark.parametrize("name", CLAIMS)
def test_value_and_gradient_are_unbiased(name, exact):
    model, x, c = one_row()
    CLAIMS[name](x, c).check(at_posterior(model) if exact else model, x, c)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True], ids=["away", "at-the-posterior"])
def test_sticking_the_landing_on_the_two_layer_latent(exact):
    model = (exact_layers if exact else hierarchical)(jax.random.key(0))
    x, c = layered_row()
    truth = Claim(
        sticking_the_landing, lambda m: exact_elbo(flatten_layers(m), x[None], c[None])[0], num_samples=1
    )
    truth.check(model, x, c)


@pytest.mark.parametrize(
    "objective",
    [
        doubly_reparameterised,
        pytest.param(generalised_doubly_reparameterised, marks=pytest.mark.slow),
        pytest.param(vimco, marks=pytest.mark.slow),
    ],
    ids=name_of,
)
def test_they_are_iwae_in_expectation_on_the_two_layer_latent(objective):
    """Of the same draws, so that most of the noise is in both."""
    model = hierarchical(jax.random.key(0))
    x, c = layered_row()
    (value, gradient), (values, gradients) = (sampled(f, model, x, c, 5) for f in (iwae, objective))
    np.testing.assert_allclose(values, value, rtol=1e-9)
    assert_unbiased(gradients - gradient, np.zeros(gradient.shape[1]))
    assert np.abs(gradient.mean(axis=0)).max() > 0.1


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(False, id="one-layer"),
        pytest.param(True, id="two-layers", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("objective", PATHS, ids=name_of)
def test_phi_has_no_noise_at_the_posterior(objective, layers):
    if layers:
        model, (x, c) = exact_layers(jax.random.key(0)), layered_row()
    else:
        model, x, c = one_row()
        model = at_posterior(model)
    path, plain = (of_posterior(sampled(f, model, x, c, 4, 200)[1], model) for f in (objective, iwae))
    assert np.abs(path).max() < 1e-6
    assert plain.var(axis=0).max() > 1e-4


@pytest.mark.parametrize("objective", PATHS, ids=name_of)
def test_the_noise_of_phi_vanishes_as_the_posterior_is_reached(objective):
    """As the square of what is left of the way: 10 times closer, about 100 times less."""
    model, x, c = one_row()
    noise = []
    for share in (0.9, 0.99, 0.999):
        near = towards(model, at_posterior(model), share)
        noise.append(of_posterior(sampled(objective, near, x, c, 4, 500)[1], near).var(axis=0).sum())
    assert noise[0] > 30 * noise[1] > 900 * noise[2]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("exact", [False, True], ids=["away", "at-the-posterior"])
def test_vimco_is_iwae_of_a_z_that_is_listed(size, exact):
    model, x = of_states(exact)
    Claim(vimco, the_iwae(listed(x), size), num_samples=size).check(model, x)


def test_vimco_is_less_noisy_than_without_others_to_be_held_against():
    model, x = of_states()

    def plain(sampled):
        value = jax.nn.logsumexp(sampled.log_weights + sampled.log_measure)
        return value + jnp.sum(jax.lax.stop_gradient(value) * sampled.log_posterior)

    held, bare = (of_posterior(sampled(f, model, x, None, 5)[1], model) for f in (vimco, plain))
    assert_unbiased(held - bare, np.zeros(held.shape[1]))
    assert held.var(axis=0).sum() < 0.2 * bare.var(axis=0).sum()


def test_values_are_those_of_the_bound():
    model, x, c = one_row()
    draws = compiled_draws(model, x, c, key=jax.random.key(0), num_samples=4)
    for objective in (doubly_reparameterised, generalised_doubly_reparameterised, vimco):
        value = eqx.filter_jit(evaluate)(objective, model, x, c, key=jax.random.key(0), num_samples=4)
        np.testing.assert_allclose(value, iwae(draws), rtol=1e-12)
    np.testing.assert_allclose(sticking_the_landing(draws), draws.log_weights.mean(), rtol=1e-12)
    at_zero = sticking_the_landing(draws, beta=0.0)
    np.testing.assert_allclose(at_zero, draws.log_likelihood.mean(), rtol=1e-12)


def test_a_prior_that_cannot_say_its_noise_has_no_generalised_gradient():
    class Prior(eqx.Module):
        rate: jax.Array

        def __call__(self, c):
            return npd.Gamma(2.0, self.rate)

    model = CVAE(
        Prior(jnp.array(2.0)),
        lambda z, c: npd.Normal(z[None], 1.0),
        lambda x, c, prior: npd.LogNormal(x[0], 1.0),
    )
    options = {"key": jax.random.key(0), "progress": False, "num_samples": 2}
    with pytest.raises(ValueError, match="cannot say of which noise a draw was made: use doubly_"):
        fit(model, jnp.zeros((10, 1)), objective=generalised_doubly_reparameterised, **options)
    value = evaluate(doubly_reparameterised, model, jnp.zeros(1), key=jax.random.key(0), num_samples=2)
    assert np.isfinite(value)


def test_what_has_no_path_is_refused_before_any_training():
    model, x = of_states()
    options = {"key": jax.random.key(0), "progress": False, "num_samples": 2}
    for objective in PATHS:
        with pytest.raises(ValueError, match=r"this posterior's draws\s*have none"):
            fit(model, jnp.tile(x, 10), objective=objective, **options)
    with pytest.raises(ValueError, match="vimco holds each draw against the others, and num_samples is 1"):
        fit(model, jnp.tile(x, 10), objective=vimco, **options | {"num_samples": 1})
    _, history = fit(model, jnp.tile(x, 40), objective=vimco, num_steps=200, **options)
    assert history["validation"][-1] > history["validation"][0]
