"""Numbers above 0, and between 0 and 1, whose draws are inside.

In floating point a draw of a gamma or a beta of small concentration may come out as 0 itself, where its
density is infinite: here it is the nearest number inside.
"""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, PRNGKeyArray


def _above_zero(value: Any) -> Array:
    limits = jnp.finfo(value.dtype)
    return jnp.clip(value, limits.tiny, limits.max)


class Gamma(npd.Gamma):
    """numpyro's gamma, by its concentration and rate."""

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        return _above_zero(super().sample(key, sample_shape))


class LogNormal(npd.LogNormal):
    """numpyro's log-normal: log x ~ Normal(loc, scale²)."""

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        return _above_zero(super().sample(key, sample_shape))


class Beta(npd.Beta):
    """numpyro's beta, by its two concentrations."""

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        value: Any = super().sample(key, sample_shape)
        limits = jnp.finfo(value.dtype)
        return jnp.clip(value, limits.tiny, 1.0 - limits.epsneg)
