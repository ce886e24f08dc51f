"""Simulation-based calibration of q, right and broken on purpose."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, Mixture
from condvae.conditionals import AffineGaussian
from condvae.diagnosis import posterior_ranks
from condvae.diagnosis.inference import FIT
from condvae.linear_gaussian import exact_posterior, linear_gaussian, random_linear_gaussian
from helpers import CASES

KEY = jax.random.key(0)


def model_and_c(scale=1.0, shift=0.0, n=800):
    """A model whose q is the posterior, `scale` times as wide and moved."""
    model = random_linear_gaussian(jax.random.key(5), x_size=3, z_size=2, c_size=1)
    exact = exact_posterior(model)
    wrong = AffineGaussian(exact.weights, exact.bias + shift, scale**2 * exact.covariance)
    return linear_gaussian(model.prior, model.likelihood, wrong), jax.random.normal(KEY, (n, 1))


def test_ranks_of_the_posterior_are_uniform_as_often_as_stated():
    model, c = model_and_c(n=300)
    p = [posterior_ranks(model, c, key=jax.random.key(seed)).p_value for seed in range(40)]
    assert np.mean(np.array(p) <= 0.1) < 0.1 + 3 * np.sqrt(0.09 / 40)


@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        ({"scale": 0.7}, "narrow"),
        ({"scale": 1.4}, "wide"),
        ({"shift": 0.3}, "high"),
        ({"shift": -0.3}, "low"),
    ],
)
def test_a_q_that_is_wrong_is_found_and_named(wrong, shape):
    model, c = model_and_c(**wrong)
    ranks = posterior_ranks(model, c, key=KEY)
    assert ranks.p_value < 1e-3
    assert {ranks.uniformity[name].shape for name in ("z[0]", "z[1]")} == {shape}


class Folded(eqx.Module):
    """x is near the size of the first of four latents, whose sign it does not tell."""

    def __call__(self, z, c=None):
        return npd.Normal(jnp.concatenate([jnp.abs(z[:1]), z[1:]]), 0.3)


class OnOneMode(eqx.Module):
    """The posterior given that the first latent is positive, about."""

    def __call__(self, x, c=None, prior=None):
        return npd.Normal(x / (1 + 0.3**2), (1 + 0.3**-2) ** -0.5)


class Unit(eqx.Module):
    def __call__(self, c=None):
        return npd.Normal(jnp.zeros(4), 1.0)


def test_a_mode_that_q_misses_is_found():
    """Nothing else tells: the weights of a q on one mode of two agree with each other."""
    model = CVAE(Unit(), Folded(), OnOneMode())
    ranks = posterior_ranks(model, jnp.zeros((300, 0)), key=KEY)
    assert ranks.p_value < 1e-6
    assert ranks.uniformity["z[0]"].p_value < 1e-4 < ranks.uniformity["z[2]"].p_value


def test_discrete_latents_break_ties_at_random():
    case = next(case for case in CASES if case.name == "discrete")
    model = case.build(KEY)
    ranks = posterior_ranks(model, jax.random.normal(KEY, (50, 2)), key=KEY)
    assert FIT in ranks.u
    assert all(((u > 0) & (u < 1)).all() for u in ranks.u.values())


def test_a_mixture_is_refused():
    model, c = model_and_c(n=5)
    with pytest.raises(ValueError, match="take a member of the mixture"):
        posterior_ranks(Mixture.of([model, model]), c, key=KEY)
