"""p_θ(z | x, c) of one row by its mean and covariance, from weighted draws that adapt to it.

q_φ(z | x, c) may be off: its centre beside the posterior's, its cells independent where the posterior's are
not. Weights of draws from such a q have an error that they themselves do not show. So draws are made from a
mixture about a Gaussian, weighted, and the Gaussian is given their mean and covariance, up to eight times
over, until enough draws count (adaptive importance sampling). Whoever then draws from that mixture
(`condvae.scoring.proposals`) needs no q that is right, only one that leads to the posterior's mode.

Where few draws are effective, weights are flattened (raised to a power below 1) until enough of them are to
estimate moments from. Correlations are shrunk towards those of q, by as much as chance alone explains.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from condvae.distributions import Distribution
from condvae.model import CVAE
from condvae.scoring.chains import is_real
from condvae.scoring.proposals import Moments, strata

ROUNDS = 8
"""How often the moments are estimated anew, at most."""

SETTLED = 0.4
"""The effective share of the draws, at which the moments count as the posterior's."""

FEWEST = 0.05
"""The effective share of the draws that moments are estimated from, at least."""

MOST_LATENTS = 128
"""Latents with more numbers than this are not refined: their covariance would take too many draws."""

_PRIOR_DRAWS = 8
"""How many draws the variances of q count as, beside those of the weighted draws."""

_LEAST_SHRINKAGE = 0.01
"""Correlations are shrunk by this at least, so that the covariance can be inverted in single precision."""


def num_latents(model: CVAE, c: PyTree) -> int:
    """How many numbers a latent is of; 0 where it is not refined: not of real numbers, or of too many."""
    return _traced(model, jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape[1:], leaf.dtype)), c))


@eqx.filter_jit
def _traced(model: CVAE, c: PyTree) -> int:
    # Compiled so that it is traced once for each structure: nothing of it is ever computed.
    return _num_latents(model.p_z(c))


def _num_latents(prior: Distribution) -> int:
    size = sum(leaf.size for leaf in jax.tree.leaves(prior.sample(jax.random.key(0))))
    return size if is_real(prior) and size <= MOST_LATENTS else 0


def num_draws(latents: int) -> int:
    """Draws in one round, for a latent of so many numbers."""
    return 256 + 32 * latents


class _State(NamedTuple):
    moments: Moments
    settled: Bool[Array, ""]
    round: Int[Array, ""]


def refine_row(model: CVAE, row: PyTree, key: PRNGKeyArray) -> Moments:
    """The mean and covariance of p_θ(z | x, c), for z of real numbers, by adaptive importance sampling.

    Args:
        model: a `CVAE` whose latents range over all real numbers.
        row: x and c of one row; missing cells of x are left out.
        key: a PRNG key.

    Source:
        Cappé, Douc, Guillin, Marin and Robert 2008 (adaptive importance sampling in mixtures); El-Laham,
        Elvira and Bugallo 2018 (flattened weights); Schäfer and Strimmer 2005 (shrinkage).
    """
    x, c = row
    prior = model.p_z(c)
    posterior = model.q_z(x, c, prior)
    start_key, key = jax.random.split(key)
    draws = num_draws(_num_latents(prior))
    drawn = jax.vmap(lambda key: ravel_pytree(posterior.sample(key))[0])(jax.random.split(start_key, draws))
    spread = jnp.maximum(jnp.std(drawn, axis=0), 1e-6)
    unit = Moments(jnp.mean(drawn, axis=0), jnp.diag(spread), jnp.diag(1.0 / spread))
    start = weighted_moments(drawn, jnp.zeros(draws, drawn.dtype), unit)

    def step(state: _State) -> _State:
        source = strata(posterior, prior, draws, moments=state.moments)
        z = source.draw(jax.random.fold_in(key, state.round))

        def log_weight(z: PyTree) -> Array:
            return prior.log_prob(z) + model.p_x(z, c).log_prob(x) - source.log_prob(z)

        log_w = jax.vmap(log_weight)(z)
        log_w = jnp.where(jnp.isnan(log_w), -jnp.inf, log_w)
        flat = jax.vmap(lambda z: ravel_pytree(z)[0])(z)
        power = flattening(log_w, FEWEST * len(log_w))
        # A draw of weight 0 has none at any power, and 0 · −inf is not a number.
        flattened = jnp.where(jnp.isneginf(log_w), -jnp.inf, power * log_w)
        moments = weighted_moments(flat, flattened, start)
        sound = jnp.isfinite(jnp.max(log_w)) & jnp.all(jnp.isfinite(moments.inverse))
        settled = (power == 1.0) & (effective(log_w) >= SETTLED * len(log_w))
        kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), moments, state.moments)
        return _State(kept, settled | ~sound, state.round + 1)

    first = _State(start, jnp.zeros((), bool), jnp.zeros((), int))
    return jax.lax.while_loop(lambda state: ~state.settled & (state.round < ROUNDS), step, first).moments


def weighted_row(
    model: CVAE, x: PyTree, c: PyTree, key: PRNGKeyArray, draws: int
) -> tuple[PyTree, Float[Array, " S"]]:
    """Latents of one row, and the logarithms of the weights that make them draws of p_θ(z | x, c).

    They are proposed about the refined moments; from q and the prior where z cannot be refined. Where the
    values of z can be listed they are these, and the weights are exact.
    """
    prior = model.p_z(c)
    posterior = model.q_z(x, c, prior)
    refine_key, draw_key = jax.random.split(key)
    z, log_r = prior.enumerate_support(), 0.0
    if z is None:
        moments = refine_row(model, (x, c), refine_key) if _num_latents(prior) else None
        source = strata(posterior, prior, draws, moments=moments)
        z = source.draw(draw_key)
        log_r = jax.vmap(source.log_prob)(z)
    log_w = jax.vmap(lambda z: prior.log_prob(z) + model.p_x(z, c).log_prob(x))(z) - log_r
    return z, jnp.where(jnp.isfinite(log_w), log_w, -1e30)


def effective(log_w: Float[Array, " S"]) -> Float[Array, ""]:
    """The effective sample size (Σ w)² / Σ w² of weights given by their logarithms."""
    return jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w))


def flattening(log_w: Float[Array, " S"], fewest: float) -> Float[Array, ""]:
    """The largest power in [0, 1] of the weights at which so many are effective, by bisection.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.scoring.refinement import effective, flattening
        >>> log_w = -jnp.arange(100.0)
        >>> power = flattening(log_w, 20.0)
        >>> round(float(effective(log_w)), 1), round(float(effective(power * log_w)), 1)
        (2.2, 20.0)
    """

    def halve(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = ends
        middle = 0.5 * (low + high)
        enough = effective(middle * log_w) >= fewest
        return (jnp.where(enough, middle, low), jnp.where(enough, high, middle)), None

    zero, one = jnp.zeros((), log_w.dtype), jnp.ones((), log_w.dtype)
    (low, _), _ = jax.lax.scan(halve, (zero, one), None, 20)
    return jnp.where(effective(log_w) >= fewest, one, low)


def weighted_moments(z: Float[Array, "S d"], log_w: Float[Array, " S"], near: Moments) -> Moments:
    """The mean and covariance of weighted draws, the covariance shrunk towards another one.

    Args:
        z: the draws.
        log_w: the logarithms of their weights.
        near: whose covariance to shrink towards. In coordinates in which that is the identity, variances
            are averaged with eight draws of variance 1, and correlations are shrunk towards 0.
    """
    weight = jax.nn.softmax(log_w)
    ess = effective(log_w)
    mean = weight @ z
    scaled = (z - mean) @ near.inverse.T
    covariance = (scaled * weight[:, None]).T @ scaled
    variance = jnp.diagonal(covariance)
    scale = jnp.sqrt((ess * variance + _PRIOR_DRAWS) / (ess + _PRIOR_DRAWS))
    deviation = jnp.sqrt(jnp.maximum(variance, 1e-12))
    correlation = covariance / jnp.outer(deviation, deviation)
    off = correlation * (1.0 - jnp.eye(len(mean)))
    # The variance of a correlation from so many draws, over its square: summed over all pairs.
    by_chance = (jnp.sum((1.0 - off**2) ** 2) - len(mean)) / ess
    shrinkage = jnp.clip(by_chance / jnp.maximum(jnp.sum(off**2), 1e-12), _LEAST_SHRINKAGE, 1.0)
    shrunk = (1.0 - shrinkage) * off + jnp.eye(len(mean))
    return Moments.of(mean, near.scale @ (scale[:, None] * jnp.linalg.cholesky(shrunk)))
