import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from flowjax.distributions import Normal as FlowNormal
from flowjax.flows import coupling_flow

from condvae.conditionals import (
    AffineGaussian,
    Conditional,
    FlowConditional,
    PriorCorrection,
    StandardNormal,
)
from condvae.distributions import Numpyro
from condvae.heads import GaussianHead
from condvae.linear_gaussian import exact_posterior, linear_gaussian
from condvae.networks import MLP, Features

KEY = jax.random.key(0)


def test_a_conditional_serves_in_every_role():
    module = Conditional(Features(), MLP(3, width=4, depth=1, key=KEY), GaussianHead(4, (2,), key=KEY))
    z, c = jnp.ones(2), jnp.zeros(1)
    same = module(jnp.array([1.0, 1.0, 0.0])).base.loc
    np.testing.assert_array_equal(module(z, c).base.loc, same)
    np.testing.assert_array_equal(module(z, c, prior=StandardNormal((2,))(c)).base.loc, same)


def test_the_fixed_prior_is_standard():
    d = StandardNormal((3,))(None)
    assert d.base.shape() == (3,)
    np.testing.assert_allclose(d.log_prob(jnp.zeros(3)), -1.5 * np.log(2 * np.pi), rtol=1e-6)


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


def test_a_flows_encoder_learns():
    flow = coupling_flow(KEY, base_dist=FlowNormal(jnp.zeros(2)), cond_dim=4, flow_layers=1, nn_width=8)
    module = FlowConditional(Features(), MLP(3, width=4, depth=1, key=KEY), flow)

    def score(module):
        return module(jnp.ones(2), jnp.ones(1)).log_prob(jnp.array([0.3, 0.2]))

    gradient = eqx.filter_grad(score)(module)
    assert jnp.abs(gradient.network.layers[0].weight).max() > 0


def test_an_affine_gaussian_is_what_it_says():
    covariance = jnp.array([[2.0, 0.6], [0.6, 1.0]])
    module = AffineGaussian((jnp.ones((2, 1)), None), jnp.array([1.0, 2.0]), covariance)
    np.testing.assert_allclose(module.covariance, covariance, rtol=1e-6)
    np.testing.assert_allclose(module.mean(jnp.array([3.0]), jnp.zeros(5)), [4.0, 5.0])
    assert module(jnp.array([3.0]), None).sample(KEY).shape == (2,)
