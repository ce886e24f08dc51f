"""What latents are proposed from, so that the weights can be believed.

A mean-field q is too narrow: the weights that would show that an estimate is wrong are the ones it never
draws. So the default is *defensive*, a mixture r of q, of q spread out about its centre, of q drawn in, and
of the prior, each draw weighted by the density of the whole mixture (the balance heuristic):

    w(z) = p_θ(z | c) p_θ(x | z, c) / r(z),    r = 0.3 q + 0.4 q_×1.3 + 0.2 q_×0.8 + 0.1 p_θ(z | c),

so that no weight is above ten times the likelihood, and q may be wrong by a third either way.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.distributions import Distribution

Proposal = Literal["defensive", "posterior", "prior"]

PROPOSALS = ("defensive", "posterior", "prior")

SPREADS = ((1.0, 0.3), (1.3, 0.4), (0.8, 0.2))
"""How far q is spread, and the share of the draws."""

PRIOR_SHARE = 0.1
"""The prior's share."""


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
        found = jnp.concatenate(terms)
        # A density that overflows far from where it was made for counts as none.
        found = jnp.where(jnp.isnan(found), -jnp.inf, found)
        share = np.array(self.counts) / sum(self.counts)
        return jax.nn.logsumexp(found + np.log(share).astype(found.dtype))


ALONE = (1.0,)


def _spread(source: Distribution, factor: Array) -> Distribution:
    wider = source.spread(factor)
    assert wider is not None
    return wider


def strata(
    posterior: Distribution, prior: Distribution, num_draws: int, proposal: Proposal = "defensive"
) -> Strata:
    """At least `num_draws` draws, at least two of each stratum.

    A q that cannot be spread (a discrete one, or a user's own that does not say how) shares the draws with
    the prior half and half.
    """
    if proposal == "posterior":
        return Strata(((posterior, ALONE),), (max(2, num_draws),))
    if proposal == "prior":
        return Strata(((prior, ALONE),), (max(2, num_draws),))
    if posterior.spread(SPREADS[1][0]) is None:
        return Strata(((posterior, ALONE), (prior, ALONE)), (max(2, -(-num_draws // 2)),) * 2)
    factors, shares = zip(*SPREADS, strict=True)
    counts = _counts([*shares, PRIOR_SHARE], num_draws)
    return Strata(((posterior, factors), (prior, ALONE)), counts)


def _counts(shares: Sequence[float], num_draws: int) -> tuple[int, ...]:
    """Whole numbers near to the shares, each at least 2, of a sum of at least `num_draws`."""
    counts = [max(2, round(share * num_draws)) for share in shares]
    counts[1] += max(0, num_draws - sum(counts))
    return tuple(counts)
