"""Relaxed categories: the Concrete density, in log-ratios."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.distributions import RelaxedCategorical, relaxed_one_hot
from helpers import compiled


def concrete(one_hot, logits, temperature):
    """The density of the relaxed one-hot vector, as Maddison et al. (2017) write it: of n − 1 numbers."""
    n, weight = len(logits), np.exp(logits)
    above = weight * one_hot ** (-temperature - 1)
    below = (weight * one_hot**-temperature).sum()
    return math.gamma(n) * temperature ** (n - 1) * above.prod() / below**n


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_the_density_is_that_of_the_concrete_distribution(x64, temperature):
    logits = jnp.array([0.2, -1.0, 0.5])
    relaxed = RelaxedCategorical(logits[None], temperature)
    for value in ([0.3, -0.2], [2.0, 1.5], [-1.0, 0.7]):
        y = jnp.array([value])
        s = np.asarray(relaxed_one_hot(y))[0]
        expected = np.log(concrete(s, np.asarray(logits), temperature)) + np.log(s).sum()  # |ds/dy| = Π s
        np.testing.assert_allclose(compiled(relaxed, "log_prob", y), expected, rtol=1e-10)


def test_it_is_normalised(x64):
    # Its tails are exponential, with the rate of the temperature.
    two = RelaxedCategorical(jnp.array([[0.7, -0.4]]), 0.5)
    y = jnp.linspace(-90.0, 90.0, 20_001)
    density = jnp.exp(jax.jit(jax.vmap(lambda y: two.log_prob(y.reshape(1, 1))))(y))
    np.testing.assert_allclose(jnp.trapezoid(density, y), 1.0, rtol=1e-8)
    three = RelaxedCategorical(jnp.array([[0.7, -0.4, 0.1]]), 1.0)
    y = jnp.linspace(-40.0, 40.0, 401)
    grid = jnp.stack(jnp.meshgrid(y, y), axis=-1).reshape(-1, 1, 2)
    density = jnp.exp(jax.jit(jax.vmap(three.log_prob))(grid))
    np.testing.assert_allclose(density.sum() * (y[1] - y[0]) ** 2, 1.0, rtol=1e-6)


def test_the_largest_of_a_draw_is_the_category():
    logits = jnp.array([[0.2, -1.0, 0.5], [0.0, 0.0, 2.0]])
    relaxed = RelaxedCategorical(logits, 0.4)
    draws = jax.jit(jax.vmap(relaxed.sample))(jax.random.split(jax.random.key(0), 20_000))
    largest = jax.nn.one_hot(relaxed_one_hot(draws).argmax(axis=-1), 3).mean(axis=0)
    share = jax.nn.softmax(logits)
    assert (jnp.abs(largest - share) < 5 * jnp.sqrt(share * (1 - share) / 20_000)).all()
    stderr = draws.std(axis=0) / np.sqrt(20_000)
    assert (jnp.abs(draws.mean(axis=0) - relaxed.mean()) < 5 * stderr).all()


def test_it_is_finite_in_float32_however_sure_and_cold():
    def score(logits, key):
        relaxed = RelaxedCategorical(logits, 0.05)
        return relaxed.log_prob(relaxed.sample(key))

    logits = jnp.array([[60.0, -60.0, 0.0], [0.0, 1e3, -1e3]])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(score), (None, 0)))(
        logits, jax.random.split(jax.random.key(1), 200)
    )
    assert jnp.isfinite(values).all()
    assert jnp.isfinite(slopes).all()


def test_a_value_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected a value of shape \(2, 2\), got \(2, 3\)"):
        RelaxedCategorical(jnp.zeros((2, 3)), 0.5).log_prob(jnp.zeros((2, 3)))
