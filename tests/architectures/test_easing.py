"""What is hard to learn from the start is eased in."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from architectures.rows import mixed
from condvae.architectures import EASED, LINEAR, ease_scales, mlp_cvae

KEY = jax.random.key(0)


def test_scales_are_shared_at_the_very_start_of_training():
    x, c = mixed(4)
    model = mlp_cvae(x, c, latent_size=2, x_levels=(2, 5), c_levels=(3,), width=8, depth=1, key=KEY)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), c)

    @eqx.filter_jit
    def location_and_scale(likelihood, z):
        head = likelihood.head.heads["numeric"]
        base = head(likelihood.network(likelihood.features((z, row)))).base
        return base.loc, base.scale

    def numeric(progress, z):
        eased = model if progress is None else ease_scales(model, jnp.asarray(progress))
        return location_and_scale(eased.likelihood, z)

    one, other = jnp.array([1.0, -2.0]), jnp.array([-1.5, 0.5])
    gaps = []
    for progress in (0.0, 0.99 * EASED, EASED, 1.0, None):
        (loc, scale), (_, other_scale) = (numeric(progress, z) for z in (one, other))
        gaps.append(np.abs(scale - other_scale).max())
        np.testing.assert_array_equal(loc, numeric(None, one)[0])
    assert gaps[:2] == [0.0, 0.0]
    assert 0 < gaps[2] == gaps[3] == gaps[4]
    # What is not a location and a scale stays as it is, the prior and the posterior too.
    eased = ease_scales(model, jnp.asarray(0.0))
    moved = eqx.tree_at(lambda m: m.likelihood.head.heads["numeric"], eased, None)
    assert eqx.tree_equal(moved, eqx.tree_at(lambda m: m.likelihood.head.heads["numeric"], model, None))


def test_a_decoder_in_turn_is_linear_at_first():
    x, c = mixed(4)
    named = {"x_levels": (2, 5), "c_levels": (3,), "width": 8, "depth": 1}
    model = mlp_cvae(x, c, latent_size=0, in_turn=True, **named, key=KEY)
    shaken = jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, model)
    kinds = [eqx.tree_at(lambda m: m.likelihood.linear_first, shaken, jnp.array(kind)) for kind in (0, 1)]
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), (x, c))

    @eqx.filter_jit
    def terms_of(shaken, progress):
        eased = ease_scales(shaken, jnp.asarray(progress))
        return eased.likelihood(jnp.zeros(0), row[1]).terms(row[0])

    def terms(progress, shaken=kinds[1]):
        return np.asarray(terms_of(shaken, jnp.asarray(progress)))

    linear, opened, whole = (terms(progress) for progress in (0.0, LINEAR, LINEAR + 1.01 * EASED))
    np.testing.assert_array_equal(linear, terms(0.99 * LINEAR))
    np.testing.assert_array_equal(whole, terms(1.0))
    assert (linear != opened).all()
    assert (opened != whole).any()  # of categories there are no scales
    # Without the networks, what they are does not matter; the linear path does.
    silenced, heard = (
        terms(
            0.0, eqx.tree_at(lambda m: m.likelihood.networks.own, kind, replace_fn=lambda leaf: leaf + 9.0)
        )
        for kind in kinds[::-1]
    )
    np.testing.assert_array_equal(silenced, linear)
    # Of the other kind, networks are there from the start.
    np.testing.assert_array_equal(terms(1.01 * EASED, kinds[0]), whole)
    assert (heard != terms(0.0, kinds[0])).any()
