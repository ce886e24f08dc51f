"""Flows: normalised, whatever they are conditioned on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.heads import FlowHead


def random_weights(head, key):
    """Far from where it starts, so that the layers bend."""
    arrays, rest = eqx.partition(head, eqx.is_inexact_array)
    leaves, treedef = jax.tree.flatten(arrays)
    keys = jax.random.split(key, len(leaves))
    moved = [leaf + 0.4 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(treedef, moved), rest)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (1, "spline"),
        pytest.param(2, "coupling", marks=pytest.mark.slow),
        pytest.param(2, "spline", marks=pytest.mark.slow),
    ],
)
def test_a_flow_is_normalised(x64, size, kind):
    head = random_weights(
        FlowHead(3, size, kind, layers=2, width=6, key=jax.random.key(0)), jax.random.key(1)
    )
    features = jnp.array([0.5, -1.0, 2.0])
    draw = jax.jit(jax.vmap(lambda key: head(features).sample(key)))
    draws = np.asarray(draw(jax.random.split(jax.random.key(2), 2000)))
    points = 4001 if size == 1 else 301
    # Evenly in sinh⁻¹, so that the grid is fine where most draws are and reaches far.
    t = np.linspace(-5.0, 5.0, points)
    centre, spread = np.median(draws, axis=0), draws.std(axis=0)
    grid = np.stack(np.meshgrid(*[t] * size, indexing="ij"), axis=-1).reshape(-1, size)
    log_jacobian = np.sum(np.log(spread * np.cosh(grid)), axis=-1)
    score = jax.jit(jax.vmap(lambda value: head(features).log_prob(value)))
    log_density = np.asarray(score(centre + spread * np.sinh(grid)))
    total = np.exp(log_density + log_jacobian).sum() * (t[1] - t[0]) ** size
    np.testing.assert_allclose(total, 1.0, rtol=5e-3)
    assert abs(np.mean(((draws - draws.mean(0)) / spread) ** 4) - 3.0) > 0.2 or kind == "coupling"


def test_without_features_it_is_one_distribution():
    head = FlowHead(0, 2, "coupling", layers=1, width=4, key=jax.random.key(0))
    assert jnp.isfinite(jax.jit(lambda value: head(jnp.zeros(0)).log_prob(value))(jnp.zeros(2)))


def test_bad_choices_are_refused():
    with pytest.raises(ValueError, match="kind is 'planar', expected coupling or spline"):
        FlowHead(1, 2, "planar", key=jax.random.key(0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layers is 0, expected at least 1"):
        FlowHead(1, 2, layers=0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="expected a value of shape"):
        FlowHead(1, 2, layers=1, width=4, key=jax.random.key(0))(jnp.zeros(1)).log_prob(jnp.zeros((1, 2)))
