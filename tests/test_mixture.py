"""Mixtures: members stacked, taken out again as they were, and refused where they do not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, Mixture
from condvae.architectures import mlp_cvae
from condvae.linear_gaussian import random_linear_gaussian
from condvae.mixture import members
from helpers import CASES, diagonal, discrete

KEYS = jax.random.split(jax.random.key(0), 3)


def assert_same(model, other):
    """To the bit; functions made anew in each may be another's."""
    assert jax.tree.structure(model) == jax.tree.structure(other)
    for leaf, twin in zip(jax.tree.leaves(model), jax.tree.leaves(other), strict=True):
        if not callable(leaf):
            np.testing.assert_array_equal(leaf, twin, strict=eqx.is_array(leaf))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_members_are_what_was_put_in(case):
    built = [case.build(key) for key in KEYS]
    mixture = Mixture.of(built)
    assert mixture.num_members == 3
    assert [type(member) for member in mixture] == [type(model) for model in built]
    for k, (model, member) in enumerate(zip(built, mixture, strict=True)):
        assert_same(member, model)
        assert_same(mixture.member(k), model)


def test_arrays_that_are_not_trained_are_each_members_own():
    def numbered(k):
        return eqx.tree_at(lambda m: m.prior.weight, discrete(KEYS[0]), jnp.full((4, 2), k))

    mixture = Mixture.of([numbered(k) for k in range(3)])
    assert [int(member.prior.weight[0, 0]) for member in mixture] == [0, 1, 2]


def test_members_of_other_structures_are_refused():
    x = np.zeros((2, 3), np.float32)
    wide = random_linear_gaussian(KEYS[0], x_size=3, z_size=2, c_size=2)
    for pair in (
        [diagonal(KEYS[0]), wide],
        [wide, random_linear_gaussian(KEYS[1], x_size=3, z_size=1, c_size=2)],
        [wide, random_linear_gaussian(KEYS[1], x_size=3, z_size=2)],
        [wide, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), wide)],
        [mlp_cvae(x, latent_size=1, width=4, activation=name, key=KEYS[0]) for name in ("relu", "tanh")],
    ):
        with pytest.raises(ValueError, match="differ in structure: build each with the same arguments"):
            Mixture.of(pair)
    with pytest.raises(ValueError, match="a mixture needs at least one member"):
        Mixture.of([])


def test_functions_made_anew_are_alike_if_their_code_and_what_they_hold_are():
    def model(shift):
        def prior(c):
            return npd.Normal(shift * jnp.ones(2), 1.0)

        parts = diagonal(KEYS[0])
        return CVAE(prior, parts.likelihood, parts.posterior)

    assert Mixture.of([model(1.0), model(1.0)]).num_members == 2
    with pytest.raises(ValueError, match="differ in structure"):
        Mixture.of([model(1.0), model(2.0)])
    with pytest.raises(ValueError, match="differ in structure"):
        Mixture.of([model(jnp.zeros(2)), model(jnp.ones(2))])


def test_anything_is_the_mixture_of_its_members():
    built = [diagonal(key) for key in KEYS]
    assert [type(member) for member in members(Mixture.of(built))] == [type(built[0])] * 3
    assert members(built[0]) == [built[0]]
