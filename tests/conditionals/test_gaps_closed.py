"""What a diagonal Gaussian leaves of log p(x) the other posteriors close. Only q is learned here."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, fit, log_prob
from condvae.architectures import mlp_cvae
from condvae.conditionals import (
    Conditional,
    Hierarchy,
    StandardNormal,
)
from condvae.heads import GaussianHead, GaussianMixtureHead
from condvae.networks import MLP, Features
from condvae.scoring import bound

OPTIMISED = True
NOISE = 0.3
STEPS = 3000


class Observation(eqx.Module):
    """x = f(z) + noise of one number, f known; z is two numbers, or two layers of one."""

    bent: bool

    def __call__(self, z: Any, c: Any = None) -> npd.Distribution:
        first, second = jnp.concatenate(z) if isinstance(z, tuple) else z
        return npd.Normal(jnp.reshape(second + (first**2 if self.bent else first), (1,)), NOISE)


class Layers(eqx.Module):
    """Normal(0, 1) in each of two layers of one number, as a hierarchy that a ladder corrects."""

    def __call__(self, c: Any) -> Any:
        return Hierarchy((StandardNormal((1,)), lambda above, c: npd.Normal(jnp.zeros(1), 1.0)))(c)


def posterior(name: str, x: jax.Array, key: jax.Array) -> Any:
    if name == "mixture":
        body_key, head_key = jax.random.split(key)
        head = GaussianMixtureHead(32, 2, components=6, key=head_key)
        return Conditional(Features(), MLP(1, width=32, depth=2, key=body_key), head)
    if name == "hierarchy":
        keys = jax.random.split(key, 4)
        parts = [
            Conditional(
                Features(),
                MLP(size, width=32, depth=2, key=keys[i]),
                GaussianHead(32, (1,), key=keys[2 + i]),
            )
            for i, size in enumerate((1, 2))
        ]
        return Hierarchy(parts)
    size = 1 if name == "ladder" else 2
    return mlp_cvae(x, latent_size=size, width=32, posterior=name, key=key).posterior


@pytest.mark.slow
@pytest.mark.parametrize("bent", [False, True], ids=["explaining-away", "banana"])
def test_the_gap_of_a_diagonal_gaussian_is_closed(bent):
    keys = jax.random.split(jax.random.key(0), 4)
    z = jax.random.normal(keys[0], (4200, 2))
    x = z[:, 1:] + (z[:, :1] ** 2 if bent else z[:, :1]) + NOISE * jax.random.normal(keys[1], (4200, 1))
    train, held = x[:4000], x[4000:]
    gap = {}
    for name in ("network", "full", "flow", "ladder", "hierarchy", "mixture"):
        layered = name in ("ladder", "hierarchy")
        prior = Layers() if layered else StandardNormal((2,))
        start = CVAE(prior, Observation(bent), posterior(name, train, keys[2]))
        model, _ = fit(
            start,
            train,
            key=keys[3],
            num_steps=STEPS,
            batch_size=128,
            learning_rate=2e-3,
            num_samples=2,
            progress=False,
        )
        elbo = bound(model, held, key=keys[2], num_samples=400)
        gap[name] = float((known(held, bent) - elbo).mean())
        if name == "flow":
            score = log_prob(model, held, key=keys[0], num_samples=2000)
    said = ", ".join(f"{name} {nats:.3f}" for name, nats in gap.items())
    print(f"\nlog p - ELBO, nats per row ({'banana' if bent else 'explaining away'}): {said}")
    assert gap["network"] > 0.3, said
    closed = ["flow", "ladder", "hierarchy"] + ([] if bent else ["full"])
    for name in closed:
        assert gap[name] < 0.3 * gap["network"], said
    assert gap["mixture"] < 0.7 * gap["network"], said
    assert score.trusted.mean() > 0.95
    far = np.abs(score.value - known(held, bent)) > 5 * score.stderr + 1e-3
    assert not (far & score.trusted).any()


def known(x: jax.Array, bent: bool) -> np.ndarray:
    """log p(x): x is Gaussian given z_1, which is integrated over on a grid."""
    t = np.linspace(-8.0, 8.0, 4001)
    mean = t**2 if bent else t
    inner = npd.Normal(mean, np.hypot(1.0, NOISE)).log_prob(np.asarray(x, float)) + npd.Normal(
        0.0, 1.0
    ).log_prob(t)
    return np.asarray(jax.nn.logsumexp(inner, axis=1) + np.log(t[1] - t[0]))
