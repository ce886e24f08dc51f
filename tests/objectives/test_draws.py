"""Draws of a latent of which a part is discrete: that part is summed over, exactly; draws by name."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from condvae import CVAE, elbo, iwae, sticking_the_landing
from condvae.architectures import mlp_cvae
from condvae.distributions import Chain, Gaussians, MixtureOf
from condvae.linear_gaussian import random_linear_gaussian
from condvae.objectives import OBJECTIVES
from condvae.objectives.declaration import declaration_of
from condvae.objectives.draws import KINDS, evaluate, evaluate_batch
from gradients import value_and_gradient
from helpers import compiled_draws
from latents import KINDS as LATENTS
from latents import rows

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
    draws = compiled_draws(model, jnp.asarray(X), key=jax.random.key(0), num_samples=2)
    assert draws.log_weights.shape == (6,)
    assert draws.reparameterised
    assert not draws.enumerated
    np.testing.assert_allclose(np.exp(draws.log_measure).sum(), 1.0, rtol=1e-5)
    for objective in (elbo, iwae, sticking_the_landing):
        np.testing.assert_allclose(eqx.filter_jit(objective)(draws), truth, rtol=1e-5)


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
    draws = compiled_draws(model, jnp.asarray(X), key=jax.random.key(0), num_samples=2)
    for objective in (elbo, iwae, sticking_the_landing):
        np.testing.assert_allclose(eqx.filter_jit(objective)(draws), exact()[-1], rtol=1e-5)


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


# --- draws that objectives declare

ROW, CONDITION, KEY = (0.3, -1.0, 0.5), (0.7,), jax.random.key(0)


def evaluated(name, model, **options):
    """The value of an objective and its gradient, of one row (or, of a batch, of three alike)."""
    function, (x, c) = OBJECTIVES[name], (jnp.array(ROW), jnp.array(CONDITION))

    def value(model):
        if not declaration_of(function).of_batches:
            return evaluate(function, model, x, c, key=KEY, **options)
        rows = jax.tree.map(lambda leaf: jnp.tile(leaf, (3, 1)), (x, c))
        return evaluate_batch(function, model, rows, jax.random.split(KEY, 3), **options).mean()

    return value_and_gradient(value, model)


CHUNKED = {"iwae", "doubly_reparameterised", "wake_sleep"}
"""Those of the default suite: draws of q, of q weighed, and dreamt."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in CHUNKED else pytest.mark.slow) for n in OBJECTIVES]
)
def test_draws_scored_by_chunks_are_the_same(name, x64):
    model = random_linear_gaussian(jax.random.key(3), x_size=3, z_size=2, c_size=1)
    whole, chunked = (evaluated(name, model, num_samples=5, chunk=chunk) for chunk in (None, 2))
    for one, other in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def operations(name, model, num_samples):
    """Of an objective and its gradient, multiplications and additions of the program as it is written."""
    function, row = OBJECTIVES[name], (jnp.array(ROW), jnp.array(CONDITION))
    parameters, static = eqx.partition(model, eqx.is_inexact_array)

    def value(parameters):
        model = eqx.combine(parameters, static)
        if not declaration_of(function).of_batches:
            return evaluate(function, model, *row, key=KEY, num_samples=num_samples)
        rows = jax.tree.map(lambda leaf: jnp.tile(leaf, (2, 1)), row)
        keys = jax.random.split(KEY, 2)
        return evaluate_batch(function, model, rows, keys, num_samples=num_samples).mean()

    return jax.jit(jax.grad(value)).lower(parameters).cost_analysis()["flops"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_encoder_and_prior_are_passed_once_however_many_draws(name):
    x, c = jnp.array([ROW]), jnp.array([CONDITION])
    model = mlp_cvae(x, c, latent_size=2, width=400, depth=2, key=KEY)
    small = mlp_cvae(x, c, latent_size=2, width=4, depth=1, key=KEY)
    model = CVAE(model.prior, small.likelihood, model.posterior)
    few, many = (operations(name, model, size) for size in (2, 32))
    if name == "wake_sleep":  # each dream is an x of its own, which the encoder has to see
        assert many > 5 * few
    else:
        assert many < 1.1 * few


def test_every_kind_is_taken_by_some_objective():
    assert {kind for f in OBJECTIVES.values() for kind in declaration_of(f).draws} == set(KINDS)


def test_draws_of_the_prior_have_q_equal_to_it():
    model = random_linear_gaussian(jax.random.key(3), x_size=3, z_size=2, c_size=1)
    row = jnp.array(ROW), jnp.array(CONDITION)
    draws = eqx.filter_jit(KINDS["from_prior"])(model, *row, key=KEY, num_samples=3, chunk=None)
    np.testing.assert_allclose(draws.log_posterior, draws.log_prior, rtol=1e-6)
    np.testing.assert_allclose(draws.kl, 0.0, atol=1e-6)


def test_what_is_dreamt_has_the_cells_missing_that_the_row_has():
    x, c = rows(1)
    model = next(kind for kind in LATENTS if kind.name == "diagonal").build(jax.random.key(1))
    seen = []

    class Watched(eqx.Module):
        inner: Any

        def __call__(self, x, c, prior):
            jax.debug.callback(lambda value, mask: seen.append((value, mask)), x.value, x.mask)
            return self.inner(x, c, prior=prior)

    watched = CVAE(model.prior, model.likelihood, Watched(model.posterior))
    row = jax.tree.map(lambda leaf: leaf[0], (x._replace(mask=x.mask.at[0, 0].set(False)), c))
    eqx.filter_jit(KINDS["dreamt"])(watched, *row, key=KEY, num_samples=3, chunk=None)
    jax.effects_barrier()
    assert len(seen) >= 3
    for value, mask in seen:
        assert (mask == row[0].mask).all()
        assert (value[~mask] == 0.0).all()
