"""Gaussians with covariance, and products of heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed
from condvae.heads import (
    CategoricalHead,
    FullGaussianHead,
    GaussianHead,
    LowRankGaussianHead,
    ProductHead,
)

KEY = jax.random.key(0)
FEATURES = jax.random.normal(jax.random.key(1), (6,))


def test_a_row_of_mixed_kinds_is_the_product_with_a_mask_each():
    numeric, categorical = GaussianHead(6, (2,), key=KEY), CategoricalHead(6, (3,), key=KEY)
    d = ProductHead({"numeric": numeric, "categorical": categorical})(FEATURES)
    x = {
        "numeric": Observed(jnp.array([0.5, 0.0]), jnp.array([True, False])),
        "categorical": Observed(jnp.array([2]), jnp.array([True])),
    }
    expected = numeric(FEATURES).log_prob(x["numeric"]) + categorical(FEATURES).log_prob(jnp.array([2]))
    np.testing.assert_allclose(d.log_prob(x), expected, rtol=1e-6)


def test_gaussians_whose_cells_hang_together():
    full = FullGaussianHead(6, 3, key=KEY)(FEATURES).base
    low = LowRankGaussianHead(6, 3, rank=1, key=KEY)(FEATURES).base
    for base in (full, low):
        covariance = np.asarray(base.covariance_matrix)
        assert (np.linalg.eigvalsh(covariance) > 0).all()
        assert (np.abs(covariance[np.triu_indices(3, 1)]) > 0).all()
    with pytest.raises(ValueError, match="rank is 0"):
        LowRankGaussianHead(6, 3, rank=0, key=KEY)
