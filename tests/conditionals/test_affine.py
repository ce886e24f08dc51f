"""Affine Gaussians."""

import jax
import jax.numpy as jnp
import numpy as np

from condvae.conditionals import AffineGaussian

KEY = jax.random.key(0)


def test_an_affine_gaussian_is_what_it_says():
    covariance = jnp.array([[2.0, 0.6], [0.6, 1.0]])
    module = AffineGaussian((jnp.ones((2, 1)), None), jnp.array([1.0, 2.0]), covariance)
    np.testing.assert_allclose(module.covariance, covariance, rtol=1e-6)
    np.testing.assert_allclose(module.mean(jnp.array([3.0]), jnp.zeros(5)), [4.0, 5.0])
    assert module(jnp.array([3.0]), None).sample(KEY).shape == (2,)
