"""Chains, products, and those that are discrete in part: what is discrete is listed, the rest is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy import stats

from condvae.distributions import MAX_SUPPORT, Chain, Numpyro, Product
from distributions.instances import INSTANCES, KEY, chain


def test_the_middle_of_a_product_is_that_of_each_block():
    cauchy = Numpyro(npd.StudentT(1.0, jnp.array([2.0]), 1.0))
    middle = Product({"a": cauchy, "b": Numpyro(npd.Poisson(jnp.array([3.0])))}).location()
    assert middle is not None
    assert (middle["a"], middle["b"]) == (2.0, 3.0)


def test_a_chain_is_the_product_of_its_layers():
    z = (jnp.array([0.3, -1.0]), jnp.array([0.1]))
    expected = stats.norm.logpdf([0.3, -1.0]).sum() + stats.norm.logpdf(0.1, loc=0.6, scale=0.5)
    np.testing.assert_allclose(chain().log_prob(z), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="Chain expected 2 layers, got 1"):
        chain().log_prob(z[:1])


def test_a_product_names_its_blocks():
    with pytest.raises(ValueError, match=r"expected a dictionary of \['a', 'b'\], got \['a'\]"):
        INSTANCES["product"]().log_prob({"a": jnp.zeros(2)})
    value = INSTANCES["product"]().sample(KEY)
    hidden = {"a": jnp.zeros(2, bool), "b": jnp.zeros(2, bool)}
    assert INSTANCES["product"]().marginal(hidden).log_prob(value) == 0.0


LOGITS = jnp.array([0.3, -1.0, 0.8])
CENTRES = jnp.array([-2.0, 0.5, 3.0])


def discrete_above_normal():
    return Chain(npd.Categorical(logits=LOGITS), (lambda above: npd.Normal(CENTRES[above[0]], 0.5),))


def discrete_beside_normal():
    return Product({"k": Numpyro(npd.Categorical(logits=LOGITS)), "u": Numpyro(npd.Normal(1.0, 0.5))})


def test_a_discrete_part_is_listed():
    for mixed in (discrete_above_normal(), discrete_beside_normal()):
        assert mixed.branches == 3
        assert not mixed.reparameterised
        assert mixed.enumerate_support() is None
        index, keys = jnp.arange(3), jax.random.split(jax.random.key(0), 3)
        value, log_share = jax.jit(jax.vmap(mixed.sample_branch))(index, keys)
        k = value["k"] if isinstance(value, dict) else value[0]
        assert sorted(k.tolist()) == [0, 1, 2]
        np.testing.assert_allclose(log_share, jax.nn.log_softmax(LOGITS)[k], rtol=1e-6)


def test_layers_of_a_chain_can_be_asked_for():
    layered = discrete_above_normal()
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
        np.testing.assert_allclose(
            jnp.exp(jax.jit(jax.vmap(listed.log_prob))(support)).sum(), 1.0, rtol=1e-6
        )


def _rows(support):
    leaves = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(support)]
    return np.concatenate(leaves, axis=1)


def test_too_many_are_not_listed():
    cells = int(np.log2(MAX_SUPPORT)) // 2 + 1
    coins = Numpyro(npd.BernoulliLogits(jnp.zeros(cells)))
    assert coins.branches == 2**cells
    assert Product({"a": coins, "b": coins}).branches is None
    assert Product({"a": coins, "b": coins}).enumerate_support() is None
