"""Posteriors that start from the prior."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, PyTree

from condvae.distributions import Distribution, Numpyro
from condvae.heads import LOG_SCALE_BOUNDS, bounded_exp
from condvae.networks import Encoder, affine


class PriorCorrection(eqx.Module):
    """A posterior that corrects the prior: the precision-weighted product of the two.

    The network gives a pseudo-observation m(x, c) with precision λ(x, c) in each cell, and with the
    prior Normal(μ, σ²)

        1/s² = 1/σ² + λ,        mean = s² (μ/σ² + λ m),

    which is the exact form where the likelihood is linear and Gaussian and the noise independent: as
    λ → 0 the posterior is the prior, and a posterior is never wider than it.

    Args:
        features: encodes (x, c).
        network: a vector to a vector.
        linear: from the network's output to m and log √(1/λ), hence twice the size of z.

    Raises:
        TypeError: if the prior is not a diagonal Gaussian.

    Source:
        Sønderby et al. 2016 (ladder variational autoencoders).
    """

    features: Encoder
    network: Callable[[Array], Array]
    linear: eqx.nn.Linear

    needs_prior = True

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        out = affine(self.linear, self.network(self.features(inputs)))
        return corrected(prior, out, "PriorCorrection")


def corrected(prior: Distribution | None, out: Array, name: str) -> Distribution:
    """The prior times a pseudo-observation in each cell; `out` is m and log √(1/λ), end to end.

    Raises:
        TypeError: if the prior is not a diagonal Gaussian; `name` says who needs it.
    """
    if not isinstance(prior, Numpyro) or not isinstance(prior.base, npd.Normal):
        raise TypeError(
            f"{name} needs a prior that is a diagonal Gaussian: use one, or a posterior "
            "that does not depend on the prior"
        )
    loc = jnp.asarray(prior.base.loc)
    precision = 1.0 / jnp.square(jnp.asarray(prior.base.scale))
    pseudo, log_scale = (part.reshape(loc.shape) for part in jnp.split(out, 2))
    evidence = bounded_exp(log_scale, *LOG_SCALE_BOUNDS) ** -2
    total = precision + evidence
    return Numpyro(npd.Normal((loc * precision + pseudo * evidence) / total, total**-0.5))
