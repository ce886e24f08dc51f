"""Images, sets and sequences as vectors: what must not matter does not, and models of them are saved."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed, load, save
from condvae.conditionals import Conditional
from condvae.heads import FamilyHead, GaussianHead, PixelHead
from condvae.networks import (
    MLP,
    ByPart,
    ConvDecoder,
    ConvEncoder,
    Features,
    PatchDecoder,
    PatchEncoder,
    SequenceEncoder,
    SetDecoder,
    SetEncoder,
)
from condvae.testing import check_conditional
from helpers import compiled

KEY = jax.random.key(0)
IMAGE = jax.random.normal(jax.random.key(1), (8, 8))
SERIES = jax.random.normal(jax.random.key(2), (6, 2))
HALF = jnp.arange(8)[:, None] + jnp.zeros(8, int) < 4
SOME = jnp.arange(6)[:, None] + jnp.zeros(2, int) < 4
SCAN, VISITS = Observed(IMAGE, HALF), Observed(SERIES, SOME)
ENCODERS = {
    "conv": (ConvEncoder(SCAN, width=4, depth=1, out_size=8, key=KEY), IMAGE, HALF),
    "patch": (PatchEncoder(SCAN, patch=4, width=8, depth=1, num_heads=2, key=KEY), IMAGE, HALF),
    "set": (SetEncoder(VISITS, width=6, depth=1, key=KEY), SERIES, SOME),
    "sequence": (SequenceEncoder(VISITS, width=8, depth=1, num_heads=2, key=KEY), SERIES, SOME),
}


def whole(value):
    """Nothing of it is missing."""
    return Observed(value, jnp.ones(value.shape, bool))


@pytest.fixture(params=ENCODERS)
def encoder(request):
    return ENCODERS[request.param]


def test_what_is_stored_in_missing_cells_does_not_matter(encoder):
    encode, value, mask = encoder
    one, other = (jnp.where(mask, value, junk) for junk in (jnp.nan, 7.0))
    features = [eqx.filter_jit(encode)(Observed(stored, mask)) for stored in (one, other)]
    assert jnp.isfinite(features[0]).all()
    np.testing.assert_array_equal(*features)
    nothing = np.zeros_like(mask)
    none = [eqx.filter_jit(encode)(Observed(np.full_like(value, junk), nothing)) for junk in (1.0, 2.0)]
    np.testing.assert_array_equal(*none)
    assert not np.allclose(features[0], none[0])


@pytest.mark.slow
def test_every_weight_gets_a_gradient_and_none_is_not_a_number(encoder):
    encode, value, mask = encoder

    def loss(encode):
        return jnp.sum(jnp.sin(encode(Observed(jnp.where(jnp.isnan(value), 0, value), mask))))

    for leaf in jax.tree.leaves(eqx.filter_grad(loss)(eqx.filter(encode, eqx.is_inexact_array))):
        assert jnp.isfinite(leaf).all()


def test_the_size_is_known_beforehand(encoder):
    encode, value, mask = encoder
    assert encode.size(Observed(value, mask)) == jax.eval_shape(encode, Observed(value, mask)).size


def test_the_order_of_a_set_does_not_matter_and_that_of_a_sequence_does():
    order = jnp.array([3, 1, 5, 0, 4, 2])
    as_set, sequence = (eqx.filter_jit(ENCODERS[name][0]) for name in ("set", "sequence"))
    np.testing.assert_allclose(as_set(whole(SERIES)), as_set(whole(SERIES[order])), rtol=1e-5)
    assert not np.allclose(sequence(whole(SERIES)), sequence(whole(SERIES[order])), rtol=1e-2)


@pytest.mark.parametrize("name", ["set", "sequence"])
def test_what_pads_does_not_matter(name):
    encode = ENCODERS[name][0]
    padded = Observed(SERIES.at[4:].set(9.0), SOME)
    padded, plain = (eqx.filter_jit(encode)(part) for part in (padded, whole(SERIES[:4])))
    np.testing.assert_allclose(padded, plain, rtol=1e-5, atol=1e-6)


def test_a_longer_sequence_is_refused():
    with pytest.raises(ValueError, match="has 7 steps, expected at most 6: cut it, or build"):
        ENCODERS["sequence"][0](whole(jnp.zeros((7, 2))))


def test_conditions_of_several_kinds_have_encoders_of_their_own():
    c = {"age": jnp.array([0.3]), "scan": SCAN, "visits": VISITS}
    parts = {"age": Features(), "scan": ENCODERS["conv"][0], "visits": ENCODERS["sequence"][0]}
    encode = ByPart((Features(), ByPart(parts)))
    z = jnp.zeros(2)
    expected = [z, c["age"], *(eqx.filter_jit(parts[name])(c[name]) for name in ("scan", "visits"))]
    np.testing.assert_allclose(eqx.filter_jit(encode)((z, c)), np.concatenate(expected), rtol=1e-6)
    with pytest.raises(ValueError, match="encoders for age, scan, visits, the inputs are age: give"):
        encode((z, {"age": z}))
    with pytest.raises(ValueError, match="there are 2 encoders in a tuple, the inputs are a tuple of 1"):
        encode((z,))


DECODERS = {
    "conv": lambda size: ConvDecoder(size, (8, 8), width=3, depth=1, key=KEY),
    "patch": lambda size: PatchDecoder(
        size, (8, 8), patch=4, width=8, out_size=3, depth=1, num_heads=2, key=KEY
    ),
}
HEADS = {
    "negative_binomial": FamilyHead(3, (), "negative_binomial", key=KEY),
    "pixels": PixelHead(3, (), components=2, levels=17, key=KEY),
}


def completing(kind, head):
    """p(x | z, c) of pictures given a part of a picture, its weights shared over the pixels."""
    encode = ByPart((Features(), ENCODERS[kind][0]))
    z, c = jnp.array([0.3, -0.2]), SCAN
    return Conditional(encode, DECODERS[kind](encode.size((z, c))), HEADS[head]), (z, c)


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("head", ["pixels", pytest.param("negative_binomial", marks=pytest.mark.slow)])
def test_pictures_given_pictures(kind, head, tmp_path):
    module, inputs = completing(kind, head)

    @jax.jit
    def scored(key):
        likelihood = module(*inputs)
        x = likelihood.sample(key)
        parts = [likelihood.log_prob(Observed(x, mask)) for mask in (HALF, ~HALF)]
        return x, likelihood.log_prob(x), parts

    x, whole, parts = scored(jax.random.key(3))
    assert x.shape == (8, 8)
    np.testing.assert_allclose(whole, sum(parts), rtol=1e-5)
    save(tmp_path / "m", module)
    assert eqx.tree_equal(load(tmp_path / "m"), module)


def test_the_order_of_a_set_that_is_modelled_does_not_matter(tmp_path):
    likelihood = Conditional(
        Features(), SetDecoder(2, 6, width=8, depth=1, key=KEY), GaussianHead(8, (2,), key=KEY)
    )
    distribution = eqx.filter_jit(likelihood)(jnp.array([0.3, -0.2]))
    x = compiled(distribution, "sample", jax.random.key(3))
    assert x.shape == (6, 2)
    assert len(np.unique(x)) == 12
    score, again = (
        compiled(distribution, "log_prob", rows) for rows in (x, x[np.array([3, 1, 5, 0, 4, 2])])
    )
    np.testing.assert_allclose(again, score, rtol=1e-6)
    holes = [Observed(np.where(mask, x, np.nan), mask) for mask in (SOME, ~SOME)]
    np.testing.assert_allclose(
        sum(compiled(distribution, "log_prob", row) for row in holes), score, rtol=1e-5
    )
    save(tmp_path / "m", likelihood)
    assert eqx.tree_equal(load(tmp_path / "m"), likelihood)
    with pytest.raises(ValueError, match="elements is 0, expected at least 1"):
        SetDecoder(2, 0, key=KEY)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("head", HEADS)
def test_they_are_held_to_what_every_conditional_is(kind, head):
    module, inputs = completing(kind, head)
    outcomes = check_conditional(module, *inputs)
    # Draws are counted in boxes, of 8 cells at most: those of each head by itself, in tests/testing.
    for name in ("scores", "compiled", "gradient"):
        assert outcomes[name] == "passed", outcomes


def test_modules_of_them_come_back_from_a_file(tmp_path):
    c = {"scan": SCAN, "visits": VISITS}
    encode = ByPart((ByPart({"scan": ENCODERS["patch"][0], "visits": ENCODERS["set"][0]}),))
    body = MLP(encode.size((c,)), width=4, depth=1, key=KEY)
    prior = Conditional(encode, body, GaussianHead(4, (2,), key=KEY))
    save(tmp_path / "m", prior)
    assert eqx.tree_equal(load(tmp_path / "m"), prior)
