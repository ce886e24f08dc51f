"""Inputs of every kind as one vector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed
from condvae.networks import Features


def test_features_of_every_kind_of_input():
    inputs = {
        "flag": jnp.array([True, False]),
        "image": jnp.arange(4.0).reshape(2, 2),
        "level": Observed(jnp.array([1, 0]), jnp.array([True, False])),
        "nothing": None,
        "size": Observed(jnp.array([2.0, 9.0]), jnp.array([True, False])),
    }
    features = Features(levels=(2, 3))
    expected = [1, 0, *range(4), 0, 1, 0, 0, 0, 1, 0, 2, 0, 1, 0]
    np.testing.assert_array_equal(features(inputs), expected)
    assert features.size(inputs) == len(expected)
    assert Features()(None).shape == (0,)


def test_what_stands_in_a_missing_cell_is_never_used():
    def score(value):
        row = Observed(jnp.array([value, 1.0]), jnp.array([False, True]))
        return jnp.sum(Features()(row))

    assert score(7.0) == score(0.0)
    assert jax.jit(jax.grad(score))(7.0) == 0.0


@pytest.mark.parametrize(("levels", "message"), [((), "fewer than"), ((2, 2), "more than")])
def test_levels_must_match_the_integer_cells(levels, message):
    with pytest.raises(ValueError, match=message):
        Features(levels)(jnp.array([1]))
