"""A network with a head, and priors without parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from condvae.conditionals import Conditional, StandardNormal
from condvae.heads import GaussianHead
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
