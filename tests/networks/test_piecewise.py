"""The piecewise-linear encoding of numbers, against what interpolation gives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed, load, save
from condvae.architectures import mlp_cvae
from condvae.networks import Features, PiecewiseLinear, quantile_knots

KNOTS = ((-1.0, 0.0, 0.5, 2.0), (), (0.0, 1.0, 3.0))


def test_a_linear_function_of_the_encoding_is_any_piecewise_linear_function():
    encode = PiecewiseLinear(Features(), KNOTS)
    values = np.linspace(-3.0, 4.0, 201)
    heights = np.array([0.3, -1.0, 2.0, 0.7])
    encoded = jax.jit(jax.vmap(encode))(jnp.stack([values, 9 * values, values], axis=1))
    assert encoded.shape == (201, 3 + 3 + 2)
    heights_between = encoded[:, 3:6] @ np.diff(heights) + (heights[0] + heights[-1]) / 2
    np.testing.assert_allclose(heights_between, np.interp(values, KNOTS[0], heights), atol=1e-5)


def test_what_is_missing_is_nothing_and_categories_are_left_alone():
    encode = PiecewiseLinear(Features(levels=(3,)), KNOTS[:2])
    row = {
        "a": jnp.array(2),
        "b": Observed(jnp.array([jnp.nan, 1.0]), jnp.array([False, True])),
    }
    encoded = np.asarray(encode(row))
    np.testing.assert_array_equal(encoded[-3:], 0.0)
    np.testing.assert_array_equal(encoded[:3], [0.0, 0.0, 1.0])
    assert np.isfinite(encoded).all()


def test_knots_are_quantiles_that_increase_in_single_precision():
    rng = np.random.default_rng(0)
    columns = [
        rng.lognormal(0, 3, 500),
        rng.integers(0, 3, 500),
        rng.integers(0, 2, 500),
        np.zeros(500),
        1e-9 * rng.normal(size=500),
        np.where(rng.random(500) < 0.9, 0.0, rng.normal(size=500)),
    ]
    value = np.stack(columns, axis=1).astype(np.float32)
    mask = rng.random(value.shape) < 0.8
    knots = quantile_knots(Observed(value, mask))
    assert [len(cuts) for cuts in knots[:4]] == [21, 3, 0, 0]  # some 400 cells, 20 in a piece
    assert [len(cuts) for cuts in quantile_knots(Observed(value, mask), rows=2)][:4] == [33, 3, 0, 0]
    for cuts, column, there in zip(knots, value.T, mask.T, strict=True):
        if cuts:
            assert (np.diff(np.float32(cuts)) > 0).all()
            assert (cuts[0], cuts[-1]) == (column[there].min(), column[there].max())
            assert np.isin(np.float32(cuts), column).all()
    encode = PiecewiseLinear(Features(), knots)
    assert jnp.isfinite(jax.jit(jax.vmap(encode))(jnp.asarray(np.concatenate([value, 1e30 + value])))).all()


def test_many_columns_have_fewer_knots_each():
    wide = np.random.default_rng(0).normal(size=(200, 700)).astype(np.float32)
    assert {len(cuts) for cuts in quantile_knots(wide)} == {3}
    assert quantile_knots(np.concatenate([wide] * 4, axis=1)) == ((),) * 2800
    assert quantile_knots(np.zeros((0, 2), np.float32)) == ((), ())


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="knots do not increase"):
        PiecewiseLinear(Features(), [(0.0, 0.0, 1.0)])
    with pytest.raises(ValueError, match="knots has 3 entries for 2 floating-point cells"):
        PiecewiseLinear(Features(), KNOTS)(jnp.zeros(2))


@pytest.mark.parametrize("posterior", ["network", "correction", "ladder"])
def test_a_model_of_it_is_saved_and_is_the_same_again(tmp_path, posterior):
    x, c = jnp.zeros((1, 2)), {"numeric": jnp.zeros((1, 3)), "kind": jnp.zeros((1, 1), int)}
    model = mlp_cvae(
        x,
        c,
        latent_size=2,
        width=8,
        depth=1,
        posterior=posterior,
        x_knots=KNOTS[:2],
        c_knots=KNOTS,
        c_levels=(2,),
        key=jax.random.key(0),
    )
    save(tmp_path / "model", model)
    assert eqx.tree_equal(load(tmp_path / "model"), model)
