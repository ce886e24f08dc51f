"""Categories: unordered, ordered, and very many."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from condvae.heads import (
    LOG_SCALE_BOUNDS,
    CategoricalHead,
    EmbeddingHead,
    OrdinalHead,
    bounded_exp,
)
from helpers import compiled

KEY = jax.random.key(0)
FEATURES = jax.random.normal(jax.random.key(1), (6,))


def test_categorical_cells_have_their_own_levels():
    head = CategoricalHead(6, (2, 4), key=KEY)
    d = eqx.filter_jit(head)(FEATURES)
    pairs = jnp.array([[i, j] for i in range(2) for j in range(4)])
    np.testing.assert_allclose(np.exp(jax.jit(jax.vmap(d.log_prob))(pairs)).sum(), 1.0, rtol=1e-5)
    draws = np.asarray(jax.jit(jax.vmap(d.sample))(jax.random.split(KEY, 500)))
    assert draws.max(axis=0).tolist() == [1, 3]
    gradient = jax.jit(jax.grad(lambda f: head(f).log_prob(jnp.array([1, 3]))))(FEATURES)
    assert jnp.isfinite(gradient).all()


def test_ordinal_masses_are_those_of_a_cut_logistic():
    head = OrdinalHead(6, (2, 4), key=KEY)

    @jax.jit
    def parts(features):
        probabilities = jax.nn.softmax(head(features).base.logits, axis=-1)
        return *head.parameters(features), probabilities, bounded_exp(head.log_gaps[1], *LOG_SCALE_BOUNDS)

    loc, scale, probabilities, gaps = map(np.asarray, parts(FEATURES))
    cuts = np.concatenate([[-np.inf], head.first[1] + np.cumsum(np.concatenate([[0.0], gaps])), [np.inf]])
    expected = np.diff(stats.logistic(float(loc[1]), float(scale[1])).cdf(cuts))
    np.testing.assert_allclose(probabilities[1], expected, rtol=1e-4)
    assert probabilities[0, 2:].sum() == 0
    with pytest.raises(ValueError, match="a cell has 1 levels"):
        OrdinalHead(6, (1,), key=KEY)


def test_a_hundred_thousand_levels_are_scored_drawn_and_learned():
    head = EmbeddingHead(6, 100_000, size=8, key=KEY)
    d = eqx.filter_jit(head)(FEATURES)
    log_p = np.asarray(jax.nn.log_softmax(d.base.logits[0]))
    np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, rtol=1e-4)
    assert 0 <= int(compiled(d, "sample", KEY)[0]) < 100_000
    features, levels = jnp.stack([FEATURES, -FEATURES, 1 - FEATURES]), jnp.array([[0], [99_999], [54_321]])
    np.testing.assert_allclose(compiled(d, "log_prob", levels[1]), log_p[99_999], rtol=1e-6)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(head):
        return -jnp.mean(jax.vmap(lambda f, level: head(f).log_prob(level))(features, levels))

    for _ in range(20):
        nats, gradient = loss(head)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
        head = eqx.apply_updates(head, jax.tree.map(lambda g: -g, gradient))
    assert nats < 0.1 < loss(EmbeddingHead(6, 100_000, size=8, key=KEY))[0]
