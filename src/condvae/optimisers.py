"""The default optimiser: AdamW with clipping, its rate set by a schedule that compiles once.

The rate is applied by the training loop, from numbers that are arguments of the compiled round: another
rate or another length of training compiles nothing anew.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

Schedule = Callable[[Array], Array]
"""A learning rate for a step."""

WARM_UP = 0.02
"""The part of training over which the rate rises."""


@lru_cache
def adamw(clip: float | None, weight_decay: float) -> optax.GradientTransformation:
    """Clipping, Adam and decoupled weight decay of matrices; the rate is left to the caller.

    Cached, so that the same numbers give the same object, and a second fit compiles nothing.
    """
    return optax.chain(
        optax.identity() if clip is None else optax.clip_by_global_norm(clip),
        optax.scale_by_adam(),
        optax.add_decayed_weights(weight_decay, mask=_matrices) if weight_decay else optax.identity(),
    )


def _matrices(parameters: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) >= 2, parameters)


def cosine(peak: Array, step: Array, num_steps: Array) -> Array:
    """A linear warm-up over the first 2% of the steps, then half a cosine down to 0.

    Example:
        >>> from condvae.optimisers import cosine
        >>> [round(float(cosine(1.0, step, 100)), 2) for step in (0, 1, 50, 99)]
        [0.5, 1.0, 0.5, 0.0]
    """
    ramp = jnp.minimum(1.0, (step + 1) / jnp.maximum(WARM_UP * num_steps, 1.0))
    return peak * ramp * 0.5 * (1.0 + jnp.cos(jnp.pi * step / num_steps))
