"""Independent cells of one family: numbers, and coins."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Numpyro
from condvae.heads.scales import LocationScale, Scale, bounded_exp, raw_parameters


class GaussianHead(eqx.Module):
    """Independent Gaussians: Normal(x | μ(h), σ²), σ from the features, shared, or fixed.

    Args:
        in_size: the length of the feature vector.
        shape: the shape of a value.
        scale: "input", "shared", or a positive number.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import GaussianHead
        >>> head = GaussianHead(8, (2,), scale=1.0, key=jax.random.key(0))
        >>> head(jnp.zeros(8)).sample(jax.random.key(1)).shape
        (2,)
    """

    parameters: LocationScale

    def __init__(self, in_size: int, shape: Sequence[int], *, scale: Scale = "input", key: PRNGKeyArray):
        self.parameters = LocationScale(in_size, shape, scale, key)

    def __call__(self, features: Float[Array, "*map in_size"]) -> Distribution:
        return Numpyro(npd.Normal(*self.parameters(features)))


class StudentTHead(eqx.Module):
    """Independent Student-t's: heavier tails than the Gaussian, by a learned number of degrees.

    The degrees of freedom, one for each cell and shared by all examples, lie between 1 and 1000.

    Args:
        in_size: the length of the feature vector.
        shape: the shape of a value.
        scale: "input", "shared", or a positive number.
        key: for the initial weights.
    """

    parameters: LocationScale
    log_degrees: Float[Array, " cells"]

    def __init__(self, in_size: int, shape: Sequence[int], *, scale: Scale = "input", key: PRNGKeyArray):
        self.parameters = LocationScale(in_size, shape, scale, key)
        self.log_degrees = jnp.full((math.prod(shape),), math.log(10.0), float)

    def __call__(self, features: Float[Array, "*map in_size"]) -> Distribution:
        loc, scale = self.parameters(features)
        degrees = bounded_exp(self.log_degrees, 0.0, math.log(1000.0)).reshape(self.parameters.shape)
        return Numpyro(npd.StudentT(jnp.broadcast_to(degrees, loc.shape), loc, scale))


class BernoulliHead(eqx.Module):
    """Independent coins, from logits. A value is an array of 0s and 1s of any numeric type.

    Args:
        in_size: the length of the feature vector.
        shape: the shape of a value.
        key: for the initial weights.
    """

    linear: eqx.nn.Linear
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_size: int, shape: Sequence[int], *, key: PRNGKeyArray):
        self.linear = eqx.nn.Linear(in_size, math.prod(shape), key=key)
        self.shape = tuple(shape)

    def __call__(self, features: Float[Array, "*map in_size"]) -> Distribution:
        return Numpyro(npd.BernoulliLogits(raw_parameters(self.linear, features, 1, self.shape)[0]))
