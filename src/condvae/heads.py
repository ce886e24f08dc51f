"""Heads: from a vector of features to a distribution.

A head ends a network. Each holds the linear map to its own parameters, and the shape of one value.
Scales are positive by a log-scale that is bounded smoothly: a per-example scale with nothing under it
makes the likelihood unbounded on constant or rounded cells.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Numpyro, Product
from condvae.networks import affine

LOG_SCALE_BOUNDS = (-7.0, 7.0)
"""Natural logarithms of the smallest and largest scale, in the units of the (standardised) value."""

NO_LEVEL = -1e30
"""The logit of a level that a column does not have: finite, so that its gradient is 0 and not NaN."""


def bounded_exp(value: Array, low: float, high: float) -> Array:
    """exp(value), bounded smoothly to (exp(low), exp(high)): a positive number from any real one.

    1 / (1 / (eˡᵒʷ + eᵛᵃˡᵘᵉ) + 1 / eʰⁱᵍʰ), the exponential itself well inside the bounds.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.heads import bounded_exp
        >>> [f"{float(v):.2g}" for v in bounded_exp(jnp.array([-1e3, 0.0, 1e3]), -7.0, 7.0)]
        ['0.00091', '1', '1.1e+03']
    """
    # Far above the bound the result is flat in float32; the exponential itself would overflow.
    inner = math.exp(low) + jnp.exp(jnp.minimum(value, high + 20.0))
    return inner / (1.0 + inner * math.exp(-high))


Head = Callable[[Array], Distribution]
"""A vector of features to a distribution."""

Scale = Literal["input", "shared"] | float
"""How a scale is set: by the features, learned and shared by all examples, or fixed at a number."""


class LocationScale(eqx.Module):
    """Features to a location and a scale, shared by the heads of that family."""

    linear: eqx.nn.Linear
    log_scale: Float[Array, " cells"] | None
    shape: tuple[int, ...] = eqx.field(static=True)
    scale: Scale = eqx.field(static=True)

    def __init__(self, in_size: int, shape: Sequence[int], scale: Scale, key: PRNGKeyArray):
        cells = math.prod(shape)
        if not isinstance(scale, str) and scale <= 0:
            raise ValueError(f"scale is {scale}, expected a positive number, 'input' or 'shared'")
        if isinstance(scale, str) and scale not in ("input", "shared"):
            raise ValueError(f"scale is {scale!r}, expected 'input', 'shared' or a positive number")
        self.linear = eqx.nn.Linear(in_size, (1 + (scale == "input")) * cells, key=key)
        self.log_scale = jnp.zeros(cells) if scale == "shared" else None
        self.shape = tuple(shape)
        self.scale = scale

    def __call__(self, features: Float[Array, " in_size"]) -> tuple[Array, Array]:
        out = affine(self.linear, features)
        cells = math.prod(self.shape)
        if isinstance(self.scale, str):
            raw = out[cells:] if self.log_scale is None else self.log_scale
            scale = bounded_exp(raw, *LOG_SCALE_BOUNDS)
        else:
            scale = jnp.full((cells,), self.scale, out.dtype)
        return out[:cells].reshape(self.shape), scale.reshape(self.shape)

    def eased(self, ramp: Float[Array, ""]) -> "LocationScale":
        """The same, its scale depending on the features by the part `ramp`: at 0 it is shared, e^bias."""
        if self.scale != "input":
            return self
        rows = jnp.arange(self.linear.out_features) < math.prod(self.shape)
        weight = jnp.where(rows[:, None], self.linear.weight, ramp * self.linear.weight)
        return eqx.tree_at(lambda head: head.linear.weight, self, weight)


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

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
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
        self.log_degrees = jnp.full((math.prod(shape),), math.log(10.0))

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        loc, scale = self.parameters(features)
        degrees = bounded_exp(self.log_degrees, 0.0, math.log(1000.0)).reshape(loc.shape)
        return Numpyro(npd.StudentT(degrees, loc, scale))


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

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        return Numpyro(npd.BernoulliLogits(affine(self.linear, features).reshape(self.shape)))


class CategoricalHead(eqx.Module):
    """Independent categories: cell i takes one of 0 ... levels[i] − 1.

    Args:
        in_size: the length of the feature vector.
        levels: the number of categories of each cell; a value is an integer vector as long.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import CategoricalHead
        >>> head = CategoricalHead(8, (2, 3), key=jax.random.key(0))
        >>> head(jnp.ones(8)).log_prob(jnp.array([0, 2])).shape
        ()
    """

    linear: eqx.nn.Linear
    levels: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_size: int, levels: Sequence[int], *, key: PRNGKeyArray):
        self.linear = eqx.nn.Linear(in_size, sum(levels), key=key)
        self.levels = tuple(levels)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        flat, widest = affine(self.linear, features), max(self.levels)
        ends = [sum(self.levels[: i + 1]) for i in range(len(self.levels))]
        rows = [
            jnp.pad(flat[end - size : end], (0, widest - size), constant_values=NO_LEVEL)
            for end, size in zip(ends, self.levels, strict=True)
        ]
        return Numpyro(npd.CategoricalLogits(jnp.stack(rows)))


class ProductHead(eqx.Module):
    """Independent blocks given the features: a row of mixed kinds.

    Args:
        heads: a head for each name; a value is a dictionary with the same names.
    """

    heads: dict[str, Head]

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        return Product({name: head(features) for name, head in self.heads.items()})
