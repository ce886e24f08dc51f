"""Scales are positive and bounded."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.heads import (
    LOG_SCALE_BOUNDS,
    GaussianHead,
    StudentTHead,
    bounded_exp,
)

KEY = jax.random.key(0)
FEATURES = jax.random.normal(jax.random.key(1), (6,))


def test_bounded_exp_is_exp_inside_bounded_outside_and_rises_between():
    low, high = LOG_SCALE_BOUNDS
    inside = jnp.linspace(-3.0, 3.0, 13)
    np.testing.assert_allclose(bounded_exp(inside, low, high), jnp.exp(inside), rtol=0.04)
    far = bounded_exp(jnp.array([-1e4, 1e4]), low, high)
    np.testing.assert_allclose(far, np.exp([low, high]), rtol=1e-2)
    slope = jax.jit(jax.vmap(jax.grad(lambda v: bounded_exp(v, low, high))))(jnp.linspace(-12.0, 12.0, 49))
    assert (slope > 0).all()
    extreme = jax.jit(jax.vmap(jax.grad(lambda v: bounded_exp(v, low, high))))(
        jnp.array([-1e30, -1e3, 1e3, 1e30])
    )
    assert jnp.isfinite(extreme).all()


@pytest.mark.parametrize("scale", [0.0, -1.0, "wide"])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="scale is"):
        GaussianHead(6, (2,), scale=scale, key=KEY)


@pytest.mark.parametrize("head", [GaussianHead, StudentTHead])
def test_an_eased_scale_is_shared_at_first_and_the_heads_own_at_last(head):
    built = head(6, (2, 1), key=KEY)

    def at(ramp, features):
        eased = eqx.tree_at(lambda h: h.parameters, built, built.parameters.eased(jnp.asarray(ramp)))
        return eased(features).base

    uneased = [built(features).base for features in (FEATURES, -FEATURES)]
    for ramp, shared in ((0.0, True), (0.5, False), (1.0, False)):
        one, other = at(ramp, FEATURES), at(ramp, -FEATURES)
        assert np.allclose(one.scale, other.scale) == shared
        np.testing.assert_array_equal(one.loc, uneased[0].loc)
        np.testing.assert_array_equal(other.loc, uneased[1].loc)
    np.testing.assert_array_equal(at(1.0, FEATURES).scale, uneased[0].scale)
    fixed = head(6, (2, 1), scale=0.7, key=KEY).parameters
    assert fixed.eased(jnp.asarray(0.0)) is fixed
