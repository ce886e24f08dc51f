"""Every kind of head is trained on rows from one of its kind, and comes to the log p(x | c) of these.

The truth is the head of the list, with weights that are moved at random; what is trained is a conditional
VAE that begins with the head as it was. By Gibbs' inequality no model has more than the truth's log p.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import KEY, WIDTH, instances

from condvae import CVAE, fit, log_prob
from condvae.conditionals import Conditional
from condvae.heads import GaussianHead
from condvae.networks import MLP, Features

OPTIMISED = True  # it trains for long
QUICK = {"gaussian-head", "categorical", "bernoulli-head"}
"""Those of the default suite."""
ROWS, HELD_OUT = 20_000, 4_000
ENOUGH = 0.05
"""Nats a row: how near the truth is to be reached."""


def after(network_key, in_size, head):
    return Conditional(Features(), MLP(in_size, width=WIDTH, depth=1, key=network_key), head)


def moved(module, by, key):
    """The module with all its weights moved at random, so that what it gives depends on its inputs."""
    weights, rest = eqx.partition(module, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(weights)
    keys = jax.random.split(key, len(leaves))
    noisy = [w + by * jax.random.normal(k, w.shape) for w, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, noisy), rest)


class Squashed(eqx.Module):
    """A posterior of any x, be it counts or categories: of its size alone, roughly."""

    inner: Conditional

    def __call__(self, x, c, prior=None):
        return self.inner(jax.tree.map(lambda leaf: jnp.arcsinh(leaf.astype(float)), x), c)


@eqx.filter_jit
def simulate(truth, c, key):
    """x of each c, and the truth's log p of it."""

    def row(c, key):
        p = truth(c)
        x = p.sample(key)
        return x, p.log_prob(x).sum()

    return jax.vmap(row)(c, jax.random.split(key, len(c)))


@eqx.filter_jit
def scores(module, x, c):
    return jax.vmap(lambda x, c: module(c).log_prob(x).sum())(x, c)


@pytest.mark.parametrize(
    "instance",
    [pytest.param(i, id=i.name, marks=() if i.name in QUICK else pytest.mark.slow) for i in instances()],
)
def test_the_truth_is_reached(instance):
    truth_key, data_key, x_key, *keys = jax.random.split(jax.random.key(7), 7)
    network_key, head_key = jax.random.split(truth_key)
    start = after(KEY, 1, instance.head)
    network, head = moved(start.network, 1.2, network_key), moved(start.head, 0.3, head_key)
    truth = Conditional(start.features, network, head)
    c = jax.random.uniform(data_key, (ROWS + HELD_OUT, 1), minval=-1.5, maxval=1.5)
    x, log_p = simulate(truth, c, x_key)
    learn, held = (jax.tree.map(lambda rows, s=s: rows[s], x) for s in (slice(ROWS), slice(ROWS, None)))
    before = scores(start, held, c[ROWS:])
    assert float(jnp.mean(log_p[ROWS:] - before)) > ENOUGH  # there is something to learn
    cells = sum(leaf[0].size for leaf in jax.tree.leaves(x))
    prior, posterior = (GaussianHead(WIDTH, (1,), key=KEY) for _ in range(2))
    model = CVAE(
        after(keys[0], 1, prior),
        after(keys[1], 2, instance.head),
        Squashed(after(keys[2], cells + 1, posterior)),
    )
    model, _ = fit(
        model,
        learn,
        c[:ROWS],
        key=keys[3],
        num_steps=4000,
        batch_size=500,
        learning_rate=2e-2,
        averaging=0.99,
    )
    score = log_prob(model, held, c[ROWS:], key=KEY, num_samples=64)
    missed = np.asarray(log_p[ROWS:]) - score.value
    stderr = missed.std() / np.sqrt(HELD_OUT)
    assert stderr < ENOUGH / 4
    assert -3 * stderr < missed.mean() < ENOUGH - stderr
