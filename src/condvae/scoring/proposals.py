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
"""How far q is spread, and the share of the draws; what is left is the prior's."""


class Strata(NamedTuple):
    """A mixture that is drawn from by strata: so many draws of each distribution.

    Attributes:
        parts: the distributions.
        counts: how many draws of each.
    """

    parts: tuple[Distribution, ...]
    counts: tuple[int, ...]

    def draw(self, key: PRNGKeyArray) -> PyTree[Array]:
        """All draws, stratum by stratum, on a leading axis."""
        keys = jax.random.split(key, len(self.parts))
        drawn = [
            jax.vmap(part.sample)(jax.random.split(k, count))
            for part, k, count in zip(self.parts, keys, self.counts, strict=True)
        ]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *drawn)

    def log_prob(self, z: PyTree[Array]) -> Array:
        """log r(z) of one z, each part by its share of the draws."""
        total = sum(self.counts)
        terms = jnp.stack([part.log_prob(z) for part in self.parts])
        # A density that overflows far from where it was made for counts as none.
        terms = jnp.where(jnp.isnan(terms), -jnp.inf, terms)
        return jax.nn.logsumexp(terms + np.log(np.array(self.counts) / total).astype(terms.dtype))


def strata(
    posterior: Distribution, prior: Distribution, num_draws: int, proposal: Proposal = "defensive"
) -> Strata:
    """At least `num_draws` draws, at least two of each stratum.

    A q that cannot be spread (a discrete one, or a user's own that does not say how) shares the draws with
    the prior half and half.
    """
    if proposal == "posterior":
        return Strata((posterior,), (max(2, num_draws),))
    if proposal == "prior":
        return Strata((prior,), (max(2, num_draws),))
    spread = [(posterior.spread(factor), share) for factor, share in SPREADS if factor != 1.0]
    if any(part is None for part, _ in spread):
        return Strata((posterior, prior), (max(2, -(-num_draws // 2)),) * 2)
    parts = [(posterior, SPREADS[0][1]), *spread, (prior, 1.0 - sum(share for _, share in SPREADS))]
    return Strata(tuple(part for part, _ in parts), _counts([share for _, share in parts], num_draws))


def _counts(shares: Sequence[float], num_draws: int) -> tuple[int, ...]:
    """Whole numbers near to the shares, each at least 2, of a sum of at least `num_draws`."""
    counts = [max(2, round(share * num_draws)) for share in shares]
    counts[1] += max(0, num_draws - sum(counts))
    return tuple(counts)
