"""The default optimiser: AdamW with clipping, its numbers given at each step.

Learning rate and weight decay are applied by the training loop, from numbers that are arguments of the
compiled round: other values, or another length of training, compile nothing anew; and each member of a
mixture may have its own.
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
def adam(clip: float | None) -> optax.GradientTransformation:
    """Clipping, then Adam; rate and decay are left to the caller.

    Cached, so that the same number gives the same object, and a second fit compiles nothing.
    """
    clipping = optax.identity() if clip is None else optax.clip_by_global_norm(clip)
    return optax.chain(clipping, optax.scale_by_adam())


def descend(updates: PyTree, parameters: PyTree, rate: Array, decay: Array) -> PyTree:
    """−rate (update + decay · parameter): decoupled decay of matrices, none of biases and scales.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.optimisers import descend
        >>> parameters = {"matrix": jnp.ones((1, 1)), "bias": jnp.ones(1)}
        >>> new = descend({"matrix": jnp.ones((1, 1)), "bias": jnp.ones(1)}, parameters, 0.5, 0.1)
        >>> float(new["matrix"][0, 0]), float(new["bias"][0])
        (-0.55..., -0.5)
    """

    def step(update: Array, parameter: Array) -> Array:
        decayed = update + decay * parameter if jnp.ndim(parameter) >= 2 else update
        return (-rate * decayed).astype(update.dtype)

    return jax.tree.map(step, updates, parameters)


def cosine(peak: Array, step: Array, num_steps: Array) -> Array:
    """A linear warm-up over the first 2% of the steps, then half a cosine down to 0.

    Example:
        >>> from condvae.optimisers import cosine
        >>> [round(float(cosine(1.0, step, 100)), 2) for step in (0, 1, 50, 99)]
        [0.5, 1.0, 0.5, 0.0]
    """
    ramp = jnp.minimum(1.0, (step + 1) / jnp.maximum(WARM_UP * num_steps, 1.0))
    return peak * ramp * 0.5 * (1.0 + jnp.cos(jnp.pi * step / num_steps))
