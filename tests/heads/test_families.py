"""Families by name, and mixtures of one family."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.heads import FamilyHead, MixtureHead

KEY = jax.random.key(0)
FEATURES = jax.random.normal(jax.random.key(1), (6,))


def test_families_take_their_options_and_no_others():
    with pytest.raises(ValueError, match="no family 'normal': choose one of gaussian"):
        FamilyHead(6, (2,), "normal", key=KEY)
    with pytest.raises(ValueError, match="'low' is no option of 'gamma', which takes no options"):
        FamilyHead(6, (2,), "gamma", low=0.0, key=KEY)
    with pytest.raises(ValueError, match="'rounded_gaussian' needs 'width'"):
        FamilyHead(6, (2,), "rounded_gaussian", key=KEY)
    d = FamilyHead(6, (2,), "rounded_gaussian", width=np.array([0.5, 2.0]), key=KEY)(FEATURES)
    np.testing.assert_allclose(d.base.width, [0.5, 2.0])


def test_components_begin_apart():
    base = MixtureHead(6, (1,), "gaussian", components=3, key=KEY)(jnp.zeros(6)).base
    assert (jnp.diff(base.component_distribution.loc[0]) > 0.5).all()
    with pytest.raises(ValueError, match="components is 0"):
        MixtureHead(6, (1,), components=0, key=KEY)
