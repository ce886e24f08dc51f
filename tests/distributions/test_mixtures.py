"""Mixtures over the whole value, against direct sums."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from condvae import Observed
from condvae.distributions import Gaussians, MixtureOf, Numpyro
from helpers import compiled

LOGITS = jnp.array([0.3, -1.0, 0.8])
LOC = jnp.array([[-2.0, 1.0], [0.5, 0.0], [3.0, -1.0]])
LOG_SCALE = jnp.array([[0.0, -1.0], [0.5, 0.3], [-0.4, 0.2]])
SHARE = np.exp(np.asarray(LOGITS) - logsumexp(LOGITS))
MIXTURE = MixtureOf(LOGITS, Gaussians(LOC, LOG_SCALE))


def direct(value, cells=(0, 1)):
    terms = sum(norm.logpdf(value[i], LOC[:, i], np.exp(LOG_SCALE[:, i])) for i in cells)
    return logsumexp(np.log(SHARE) + terms)


def test_the_density_is_the_sum_over_components():
    for value in ([0.0, 0.0], [3.0, -1.0], [-40.0, 40.0]):
        np.testing.assert_allclose(
            compiled(MIXTURE, "log_prob", jnp.array(value)), direct(value), rtol=1e-5
        )


def test_a_missing_cell_is_summed_out_of_every_component():
    row = Observed(jnp.array([jnp.nan, 0.4]), jnp.array([False, True]))
    marginal = float(jax.jit(lambda row: MIXTURE.marginal(row.mask).log_prob(row.value))(row))
    np.testing.assert_allclose(marginal, direct([0.0, 0.4], cells=(1,)), rtol=1e-5)
    np.testing.assert_allclose(compiled(MIXTURE, "log_prob", row), marginal, rtol=1e-6)


def test_mean_and_spread():
    np.testing.assert_allclose(MIXTURE.mean(), SHARE @ np.asarray(LOC), rtol=1e-5)
    wide = MIXTURE.widened(2.0)
    draws = np.asarray(jax.jit(jax.vmap(wide.sample))(jax.random.split(jax.random.key(0), 20_000)))
    second = SHARE @ (np.asarray(LOC) ** 2 + 4.0 * np.exp(2 * np.asarray(LOG_SCALE)))
    stderr = (draws**2).std(axis=0) / np.sqrt(len(draws))
    assert (np.abs((draws**2).mean(axis=0) - second) < 5 * stderr).all()
    expected = logsumexp(
        np.log(SHARE) + norm.logpdf(np.ones(2), LOC, 2.0 * np.exp(np.asarray(LOG_SCALE))).sum(axis=1)
    )
    np.testing.assert_allclose(compiled(wide, "log_prob", jnp.ones(2)), expected, rtol=1e-5)
    coins = MixtureOf(jnp.zeros(2), lambda k: Numpyro(npd.BernoulliLogits(jnp.array([0.5, 2.0])[k])))
    assert coins.widened(2.0) is None
    np.testing.assert_allclose(
        jnp.exp(jax.jit(jax.vmap(coins.log_prob))(coins.enumerate_support())).sum(), 1.0, rtol=1e-6
    )


def test_expectations_over_branches_have_the_gradient_of_every_parameter():
    """E |z|² = Σ_k π_k Σ_i (μ_ki² + σ_ki²), whose gradient is known; each draw's is unbiased."""

    def exact(mixture):
        part = mixture.component
        return jax.nn.softmax(mixture.logits) @ jnp.sum(part.loc**2 + jnp.exp(2 * part.log_scale), axis=1)

    def drawn(mixture, key):
        index = jnp.arange(mixture.branches)
        z, log_share = jax.vmap(mixture.sample_branch)(index, jax.random.split(key, index.size))
        return jnp.sum(jnp.exp(log_share) * jnp.sum(z**2, axis=1))

    keys = jax.random.split(jax.random.key(1), 4000)
    gradients = eqx.filter_jit(jax.vmap(jax.grad(drawn), (None, 0)))(MIXTURE, keys)
    for each, expected in zip(
        *map(jax.tree.leaves, (gradients, jax.jit(jax.grad(exact))(MIXTURE))), strict=True
    ):
        stderr = each.std(axis=0) / np.sqrt(len(keys))
        assert (jnp.abs(each.mean(axis=0) - expected) < 5 * stderr + 1e-5).all()


def test_a_value_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="expected a value of shape"):
        MIXTURE.log_prob(jnp.zeros((1, 2)))
