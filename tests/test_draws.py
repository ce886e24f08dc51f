"""Draws of a latent of which a part is discrete: that part is summed over, exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from condvae import CVAE, elbo, iwae, sticking_the_landing
from condvae.distributions import Chain, Gaussians, MixtureOf

LOGITS, CENTRES, SPREAD, NOISE = np.array([0.2, -0.5, 1.0]), np.array([-2.0, 0.3, 2.5]), 0.8, 0.5
LOG_PRIOR = LOGITS - logsumexp(LOGITS)
X = 1.1


class Prior(eqx.Module):
    """k from three categories, u ~ Normal(centre of k, spread²)."""

    def __call__(self, c):
        return Chain(
            npd.Categorical(logits=jnp.asarray(LOGITS)),
            (lambda above: npd.Normal(jnp.asarray(CENTRES)[above[0]], SPREAD),),
        )


class Likelihood(eqx.Module):
    def __call__(self, z, c):
        return npd.Normal(z[1] if isinstance(z, tuple) else z, NOISE)


class Posterior(eqx.Module):
    """The same form: any shares, means and log-scales."""

    logits: jax.Array
    means: jax.Array
    log_scales: jax.Array

    def __call__(self, x, c, prior=None):
        return Chain(
            npd.Categorical(logits=self.logits),
            (lambda above: npd.Normal(self.means[above[0]], jnp.exp(self.log_scales[above[0]])),),
        )


def exact():
    """p(k | x), and the mean and the scale of p(u | k, x)."""
    joint = LOG_PRIOR + norm.logpdf(X, CENTRES, np.hypot(SPREAD, NOISE))
    precision = SPREAD**-2 + NOISE**-2
    means = (CENTRES * SPREAD**-2 + X * NOISE**-2) / precision
    return joint - logsumexp(joint), means, np.full(3, -0.5 * np.log(precision)), logsumexp(joint)


def test_of_the_exact_posterior_every_objective_is_log_p():
    *parts, truth = exact()
    model = CVAE(Prior(), Likelihood(), Posterior(*map(jnp.asarray, parts)))
    draws = model.draws(jnp.asarray(X), key=jax.random.key(0), num_samples=2)
    assert draws.log_weights.shape == (6,)
    assert draws.reparameterised
    assert not draws.enumerated
    np.testing.assert_allclose(jnp.exp(draws.log_measure).sum(), 1.0, rtol=1e-5)
    for objective in (elbo, iwae, sticking_the_landing):
        np.testing.assert_allclose(objective(draws), truth, rtol=1e-5)


def test_the_elbo_is_the_sum_over_categories():
    logits, means, log_scales = np.array([0.5, 0.0, -1.0]), np.array([-1.0, 1.5, 2.0]), np.zeros(3)
    share = np.exp(logits - logsumexp(logits))

    def cross(mean, scale):  # E log N(·) under N(means, 1)
        return norm.logpdf(means, mean, scale) - 0.5 / scale**2

    entropy = 0.5 * np.log(2 * np.pi * np.e)
    expected = share @ (cross(X, NOISE) + LOG_PRIOR + cross(CENTRES, SPREAD) - np.log(share) + entropy)
    posterior = Posterior(*map(jnp.asarray, (logits, means, log_scales)))
    model = CVAE(Prior(), Likelihood(), posterior)

    @eqx.filter_jit
    def each(keys):
        return jax.vmap(lambda key: elbo(model.draws(jnp.asarray(X), key=key, num_samples=2)))(keys)

    values = each(jax.random.split(jax.random.key(1), 2000))
    assert abs(values.mean() - expected) < 5 * values.std() / 2000**0.5


class OfComponents(eqx.Module):
    """The mixture of p(u | k, x) by p(k | x): for a prior that is the mixture over k."""

    def __call__(self, *inputs, prior=None):
        if len(inputs) == 1:
            scales = jnp.full(3, np.log(SPREAD))
            return MixtureOf(jnp.asarray(LOGITS), Gaussians(jnp.asarray(CENTRES), scales))
        logits, means, log_scales, _ = exact()
        return MixtureOf(jnp.asarray(logits), Gaussians(jnp.asarray(means), jnp.asarray(log_scales)))


def test_a_mixture_as_posterior_is_drawn_by_components():
    model = CVAE(OfComponents(), Likelihood(), OfComponents())
    draws = model.draws(jnp.asarray(X), key=jax.random.key(0), num_samples=2)
    for objective in (elbo, iwae, sticking_the_landing):
        np.testing.assert_allclose(objective(draws), exact()[-1], rtol=1e-5)


def test_a_discrete_part_that_is_too_large_is_refused_with_a_way_out():
    class Coins(eqx.Module):
        def __call__(self, *inputs, prior=None):
            return npd.Bernoulli(logits=jnp.zeros(13))

    class OfCoins(eqx.Module):
        def __call__(self, z, c):
            return npd.Normal(z.sum(), 1.0)

    draws = CVAE(Coins(), OfCoins(), Coins()).draws(jnp.asarray(X), key=jax.random.key(0))
    with pytest.raises(
        ValueError, match=r"enumerated \(to 4,096 values\); a larger one can be relaxed, by"
    ):
        elbo(draws)
