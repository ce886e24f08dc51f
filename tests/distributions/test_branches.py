"""Chains and products that are discrete in part: what is discrete is listed, what is not is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd

from condvae.distributions import MAX_SUPPORT, Chain, Numpyro, Product

LOGITS = jnp.array([0.3, -1.0, 0.8])
CENTRES = jnp.array([-2.0, 0.5, 3.0])


def chain():
    return Chain(npd.Categorical(logits=LOGITS), (lambda above: npd.Normal(CENTRES[above[0]], 0.5),))


def product():
    return Product({"k": Numpyro(npd.Categorical(logits=LOGITS)), "u": Numpyro(npd.Normal(1.0, 0.5))})


def test_a_discrete_part_is_listed():
    for mixed in (chain(), product()):
        assert mixed.branches == 3
        assert not mixed.reparameterised
        assert mixed.enumerate_support() is None
        index, keys = jnp.arange(3), jax.random.split(jax.random.key(0), 3)
        value, log_share = jax.vmap(mixed.sample_branch)(index, keys)
        k = value["k"] if isinstance(value, dict) else value[0]
        assert sorted(k.tolist()) == [0, 1, 2]
        np.testing.assert_allclose(log_share, jax.nn.log_softmax(LOGITS)[k], rtol=1e-6)


def test_layers_of_a_chain_can_be_asked_for():
    layered = chain()
    assert layered.num_layers == 2
    assert layered.layer(0, ()) is layered.first
    np.testing.assert_allclose(layered.layer(1, (jnp.array(2),)).mean(), 3.0)


def test_what_is_discrete_throughout_is_enumerated():
    pair = Chain(
        npd.Categorical(logits=LOGITS),
        (lambda above: npd.Bernoulli(logits=jnp.stack([CENTRES[above[0]], jnp.zeros(())])),),
    )
    both = Product({"a": Numpyro(npd.Categorical(logits=LOGITS)), "b": Numpyro(npd.BernoulliLogits(0.3))})
    for listed, size in ((pair, 12), (both, 6)):
        support = listed.enumerate_support()
        assert len({tuple(np.ravel(row).tolist()) for row in _rows(support)}) == size
        np.testing.assert_allclose(jnp.exp(jax.vmap(listed.log_prob)(support)).sum(), 1.0, rtol=1e-6)


def _rows(support):
    leaves = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(support)]
    return np.concatenate(leaves, axis=1)


def test_too_many_are_not_listed():
    cells = int(np.log2(MAX_SUPPORT)) // 2 + 1
    coins = Numpyro(npd.BernoulliLogits(jnp.zeros(cells)))
    assert coins.branches == 2**cells
    assert Product({"a": coins, "b": coins}).branches is None
    assert Product({"a": coins, "b": coins}).enumerate_support() is None
