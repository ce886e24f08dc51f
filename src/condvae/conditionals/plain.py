"""Networks and heads together; and what needs no network."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, PyTree

from condvae.distributions import Distribution, Numpyro, as_distribution
from condvae.heads import Head
from condvae.networks import Encoder


class Conditional(eqx.Module):
    """Inputs → features → network → head → distribution. Serves as prior, likelihood or posterior.

    Args:
        features: encodes the inputs: `Features`, which lays them out flat, or any other encoder.
        network: a vector to a vector, or to a map of them, as `ConvDecoder`.
        head: of that a distribution.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.conditionals import Conditional
        >>> from condvae.heads import GaussianHead
        >>> from condvae.networks import MLP, Features
        >>> k1, k2 = jax.random.split(jax.random.key(0))
        >>> likelihood = Conditional(
        ...     Features(), MLP(2 + 1, width=16, depth=2, key=k1), GaussianHead(16, (4,), key=k2)
        ... )
        >>> likelihood(jnp.zeros(2), jnp.zeros(1)).sample(jax.random.key(1)).shape
        (4,)
    """

    features: Encoder
    network: Callable[[Array], Array]
    head: Head

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        return as_distribution(self.head(self.network(self.features(inputs))), "the head")


class StandardNormal(eqx.Module):
    """A fixed prior: Normal(0, 1) in every cell, whatever c is.

    Args:
        shape: the shape of z.
    """

    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, shape: Sequence[int]):
        self.shape = tuple(shape)

    def __call__(self, c: PyTree = None) -> Distribution:
        return Numpyro(npd.Normal(jnp.zeros(self.shape), 1.0))


class SameAsPrior(eqx.Module):
    """The posterior that is the prior: q_φ(z | x, c) = p_θ(z | c), which learns nothing from x.

    For a latent of size 0, and as the Gaussian stochastic network of Sohn, Lee and Yan (2015).
    """

    needs_prior = True

    def __call__(self, x: PyTree, c: PyTree = None, prior: Distribution | None = None) -> Distribution:
        if prior is None:
            raise ValueError("SameAsPrior needs the prior's distribution: call it with prior=")
        return prior
