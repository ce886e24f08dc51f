"""Positive numbers, bounded smoothly: a scale with nothing under it makes the likelihood unbounded."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution
from condvae.networks import affine

LOG_SCALE_BOUNDS = (-7.0, 7.0)
"""Natural logarithms of the smallest and largest scale, in the units of the (standardised) value."""


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


def raw_parameters(linear: eqx.nn.Linear, features: Array, count: int, shape: Sequence[int]) -> Array:
    """So many parameters on the first axis, each of the shape of a value, before they are bounded.

    Of a map of feature vectors, (H, W, in_size), the same weights serve at every position, and a value has
    the map's axes before its own: (count, H, W, *shape).
    """
    raw = affine(linear, features).reshape(*features.shape[:-1], count, *shape)
    return jnp.moveaxis(raw, features.ndim - 1, 0)


Head = Callable[[Array], Distribution]
"""A vector of features, or a map of them, to a distribution."""

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

    def __call__(self, features: Float[Array, "*map in_size"]) -> tuple[Array, Array]:
        raw = raw_parameters(self.linear, features, 1 + (self.scale == "input"), self.shape)
        if isinstance(self.scale, str):
            log_scale = raw[1] if self.log_scale is None else self.log_scale.reshape(self.shape)
            scale = bounded_exp(log_scale, *LOG_SCALE_BOUNDS)
        else:
            scale = jnp.asarray(self.scale, raw.dtype)
        return raw[0], jnp.broadcast_to(scale, raw[0].shape)

    def eased(self, ramp: Float[Array, ""]) -> "LocationScale":
        """The same, its scale depending on the features by the part `ramp`: at 0 it is shared, e^bias."""
        if self.scale != "input":
            return self
        rows = jnp.arange(self.linear.out_features) < math.prod(self.shape)
        weight = jnp.where(rows[:, None], self.linear.weight, ramp * self.linear.weight)
        return eqx.tree_at(lambda head: head.linear.weight, self, weight)
