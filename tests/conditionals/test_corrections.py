import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae.conditionals import AffineGaussian, PriorCorrection
from condvae.distributions import Numpyro
from condvae.linear_gaussian import exact_posterior, linear_gaussian
from condvae.networks import MLP, Features

KEY = jax.random.key(0)


def correction(in_size: int, z_size: int) -> PriorCorrection:
    return PriorCorrection(
        Features(), MLP(in_size, width=1, depth=0, key=KEY), eqx.nn.Linear(in_size, 2 * z_size, key=KEY)
    )


def test_a_correction_can_be_the_exact_posterior():
    # x = z + noise in each of two dimensions: the pseudo-observation is x, its precision the noise's.
    prior = AffineGaussian((jnp.eye(2),), jnp.ones(2), jnp.diag(jnp.array([0.5, 2.0])))
    likelihood = AffineGaussian((jnp.eye(2), None), jnp.zeros(2), jnp.diag(jnp.array([0.3, 0.7])))
    x, c = jnp.array([0.4, -1.0]), jnp.array([1.0, 2.0])
    exact = exact_posterior(linear_gaussian(prior, likelihood))(x, c)
    module = correction(4, 2)
    weight = jnp.concatenate([jnp.eye(2, 4), jnp.zeros((2, 4))])
    bias = jnp.concatenate([jnp.zeros(2), 0.5 * jnp.log(jnp.array([0.3, 0.7]))])
    module = eqx.tree_at(lambda m: (m.linear.weight, m.linear.bias), module, (weight, bias))
    diagonal = Numpyro(npd.Normal(prior.mean(c), jnp.sqrt(jnp.diagonal(prior.covariance))))
    d = module(x, c, prior=diagonal)
    np.testing.assert_allclose(d.base.loc, exact.base.loc, atol=2e-3)
    np.testing.assert_allclose(d.base.scale**2, jnp.diagonal(exact.base.covariance_matrix), rtol=2e-2)


def test_a_correction_is_never_wider_than_the_prior_and_needs_a_gaussian_one():
    prior = Numpyro(npd.Normal(jnp.zeros(2), jnp.array([0.1, 3.0])))
    assert (correction(1, 2)(jnp.ones(1), None, prior=prior).base.scale < prior.base.scale).all()
    with pytest.raises(TypeError, match="needs a prior that is a diagonal Gaussian"):
        correction(1, 2)(jnp.ones(1), None, prior=Numpyro(npd.Laplace(jnp.zeros(2), 1.0)))
