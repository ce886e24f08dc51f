"""What latents are proposed from, so that the weights can be believed.

A mean-field q is too narrow: the weights that would show that an estimate is wrong are the ones it never
draws. So the default is *defensive*, a mixture r of q, of q spread out about its centre, of q drawn in, and
of the prior, each draw weighted by the density of the whole mixture (the balance heuristic):

    w(z) = p_θ(z | c) p_θ(x | z, c) / r(z),    r = 0.3 q + 0.4 q_×1.3 + 0.2 q_×0.8 + 0.1 p_θ(z | c),

so that no weight is above ten times the likelihood, and q may be wrong by a third either way. Where the
posterior's moments are known better than q knows them (`condvae.scoring.refinement`), r is about these:

    r = 0.3 N + 0.5 T_×1.1 + 0.1 q_×1.3 + 0.1 p_θ(z | c),

with N the Gaussian of these moments, and T the same affine map of independent Student-t noise of 6 degrees
of freedom, so that weights stay small where the posterior's tails are longer than a Gaussian's.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.distributions import Distribution

Proposal = Literal["defensive", "posterior", "prior"]

PROPOSALS = ("defensive", "posterior", "prior")

SPREADS = ((1.0, 0.3), (1.3, 0.4), (0.8, 0.2))
"""How far q is spread, and the share of the draws."""

PRIOR_SHARE = 0.1
"""The prior's share."""

GAUSSIAN_SHARE = 0.3
"""Of draws about given moments, the Gaussian's share."""

TAILS = (1.1, 0.5)
"""How far the Student-t is spread, and its share."""

TAILS_DF = 6
"""Its degrees of freedom: even."""

Q_BESIDE = (1.3, 0.1)
"""How far q is spread beside given moments, and its share."""

_LOG_T_AT_0 = (
    math.lgamma(0.5 * (TAILS_DF + 1)) - math.lgamma(0.5 * TAILS_DF) - 0.5 * math.log(TAILS_DF * math.pi)
)


class Moments(NamedTuple):
    """A mean and a covariance L Lᵀ of a latent whose numbers are in one vector.

    Attributes:
        mean: shape (d,).
        scale: L, lower triangular, (d, d).
        inverse: L⁻¹, (d, d).
    """

    mean: Float[Array, " d"]
    scale: Float[Array, "d d"]
    inverse: Float[Array, "d d"]

    @classmethod
    def of(cls, mean: Float[Array, " d"], scale: Float[Array, "d d"]) -> "Moments":
        """With the inverse of L, so that it is computed once for all draws."""
        return cls(mean, scale, solve_triangular(scale, jnp.eye(len(mean), dtype=scale.dtype), lower=True))

    def widened(self, factor: float) -> "Moments":
        """With a standard deviation `factor` times as large."""
        return Moments(self.mean, factor * self.scale, self.inverse / factor)


class Strata(NamedTuple):
    """A mixture that is drawn from by strata: so many draws of each distribution.

    Attributes:
        groups: distributions, each with how far it is spread: a stratum for every factor. Those of one
            distribution are one vectorised function, so that a program does not grow with their number.
        counts: how many draws of each stratum.
    """

    groups: tuple[tuple[Distribution, tuple[float, ...]], ...]
    counts: tuple[int, ...]

    def draw(self, key: PRNGKeyArray) -> PyTree[Array]:
        """All draws, stratum by stratum, on a leading axis."""
        drawn, left = [], list(self.counts)
        for (source, factors), k in zip(self.groups, jax.random.split(key, len(self.groups)), strict=True):
            counts = [left.pop(0) for _ in factors]
            keys = jax.random.split(k, sum(counts))
            if factors == ALONE:
                drawn.append(jax.vmap(source.sample)(keys))
            else:
                each = jnp.repeat(jnp.array(factors), np.array(counts), total_repeat_length=sum(counts))
                drawn.append(jax.vmap(lambda f, key, q=source: _spread(q, f).sample(key))(each, keys))
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *drawn)

    def log_prob(self, z: PyTree[Array]) -> Array:
        """log r(z) of one z, each stratum by its share of the draws."""
        terms = [
            source.log_prob(z)[None]
            if factors == ALONE
            else jax.vmap(lambda f, q=source: _spread(q, f).log_prob(z))(jnp.array(factors))
            for source, factors in self.groups
        ]
        densities = jnp.concatenate(terms)
        # A density that overflows far from where it was made for counts as none.
        densities = jnp.where(jnp.isnan(densities), -jnp.inf, densities)
        share = np.array(self.counts) / sum(self.counts)
        return jax.nn.logsumexp(densities + np.log(share).astype(densities.dtype))


ALONE = (1.0,)


class _Affine(Distribution):
    """mean + L ε of a latent, ε independent: Gaussian, or Student-t."""

    moments: Moments
    unravel: Callable = eqx.field(static=True)
    heavy: bool = eqx.field(static=True, default=False)

    @property
    def reparameterised(self) -> bool:
        return True

    def sample(self, key: PRNGKeyArray) -> PyTree[Array]:
        mean, scale, _ = self.moments
        if not self.heavy:
            return self.unravel(mean + scale @ jax.random.normal(key, mean.shape, mean.dtype))
        # Half a chi-squared of even degrees of freedom is a sum of exponentials: no rejection sampling. All
        # comes of one call of the generator, which takes most of the time that this takes to compile.
        eps = jnp.finfo(mean.dtype).eps
        uniform = jax.random.uniform(key, (1 + TAILS_DF // 2, *mean.shape), mean.dtype, eps / 2, 1.0)
        normal = math.sqrt(2.0) * jax.lax.erf_inv(2.0 * uniform[0] - 1.0)
        chi_squared = -2.0 * jnp.sum(jnp.log(uniform[1:]), axis=0)
        return self.unravel(mean + scale @ (normal * jnp.sqrt(TAILS_DF / chi_squared)))

    def log_prob(self, value: PyTree[Array]) -> Array:
        mean, scale, inverse = self.moments
        noise = inverse @ (ravel_pytree(value)[0] - mean)
        if self.heavy:
            half = 0.5 * (TAILS_DF + 1)
            each = _LOG_T_AT_0 - half * jnp.log1p(noise**2 / TAILS_DF)
        else:
            each = -0.5 * (noise**2 + math.log(2 * math.pi))
        return jnp.sum(each) - jnp.sum(jnp.log(jnp.diagonal(scale)))


def _spread(source: Distribution, factor: Array) -> Distribution:
    wider = source.widened(factor)
    assert wider is not None
    return wider


def strata(
    posterior: Distribution,
    prior: Distribution,
    num_draws: int,
    proposal: Proposal = "defensive",
    moments: Moments | None = None,
) -> Strata:
    """At least `num_draws` draws, at least two of each stratum; about `moments`, where these are given.

    A q that cannot be spread (a discrete one, or a user's own that does not say how) shares the draws with
    the prior half and half.
    """
    if proposal == "posterior":
        return Strata(((posterior, ALONE),), (max(2, num_draws),))
    if proposal == "prior":
        return Strata(((prior, ALONE),), (max(2, num_draws),))
    if moments is not None:
        return _about(moments, posterior, prior, num_draws)
    if posterior.widened(SPREADS[1][0]) is None:
        return Strata(((posterior, ALONE), (prior, ALONE)), (max(2, -(-num_draws // 2)),) * 2)
    factors, shares = zip(*SPREADS, strict=True)
    counts = _counts([*shares, PRIOR_SHARE], num_draws)
    return Strata(((posterior, factors), (prior, ALONE)), counts)


def _about(moments: Moments, posterior: Distribution, prior: Distribution, num_draws: int) -> Strata:
    unravel = ravel_pytree(prior.sample(jax.random.key(0)))[1]
    (wider, tails_share), (factor, q_share) = TAILS, Q_BESIDE
    if posterior.widened(factor) is None:  # not known of it: q stands beside the moments as it is
        factor = 1.0
    groups = (
        (_Affine(moments, unravel), ALONE),
        (_Affine(moments.widened(wider), unravel, heavy=True), ALONE),
        (posterior, (factor,)),
        (prior, ALONE),
    )
    return Strata(groups, _counts([GAUSSIAN_SHARE, tails_share, q_share, PRIOR_SHARE], num_draws))


def _counts(shares: Sequence[float], num_draws: int) -> tuple[int, ...]:
    """Whole numbers near to the shares, each at least 2, of a sum of at least `num_draws`."""
    counts = [max(2, round(share * num_draws)) for share in shares]
    counts[int(np.argmax(shares))] += max(0, num_draws - sum(counts))
    return tuple(counts)
