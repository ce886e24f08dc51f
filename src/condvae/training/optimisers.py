"""The default optimiser: AdamW with clipping, its numbers given at each step.

Learning rate and weight decay are applied by the training loop, from numbers that are arguments of the
compiled round: other values, or another length of training, compile nothing anew; and each member of a
mixture may have its own.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

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
    return optax.chain(clipping, scale_by_adam())


class AdamState(NamedTuple):
    """Moments of the gradients, and for how many steps each row has had one.

    Attributes:
        steps: by leaf, since the first gradient that is not 0: a number for each row of its first axis.
        mean: of the gradients, decaying.
        square: of their squares, decaying.
    """

    steps: PyTree
    mean: PyTree
    square: PyTree


def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """Adam, whose corrections for moments that begin at 0 count from the first gradient that is not 0.

    Where parts of a model are switched on in the course of training (see `condvae.architectures.easing`),
    they are then as if training began there. With a count that all share, the square of the gradient is
    taken for far too small, and for some hundred steps their steps are up to ten times too long. Rows that
    have a gradient from the start have optax's `scale_by_adam`.

    Source: Kingma and Ba 2015.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.training.optimisers import scale_by_adam
        >>> adam = scale_by_adam()
        >>> state = adam.init(jnp.zeros(2))
        >>> for _ in range(500):
        ...     update, state = adam.update(jnp.array([1.0, 0.0]), state)
        >>> [round(float(step), 3) for step in adam.update(jnp.ones(2), state)[0]]
        [1.0, 1.0]
    """

    def init(params: Any) -> AdamState:
        steps = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf)[:1], jnp.int32), params)
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AdamState(steps, zeros, zeros)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, AdamState]:
        def count(steps: Array, gradient: Array) -> Array:
            there = jnp.any(gradient != 0, axis=tuple(range(1, jnp.ndim(gradient))))
            return steps + ((steps > 0) | there)

        def corrected(moment: Array, decay: float, steps: Array) -> Array:
            part = 1.0 - decay ** steps.astype(moment.dtype)
            part = jnp.where(steps > 0, part, 1.0)
            return moment / part.reshape(part.shape + (1,) * (moment.ndim - part.ndim))

        def step(mean: Array, square: Array, steps: Array) -> Array:
            return corrected(mean, b1, steps) / (jnp.sqrt(corrected(square, b2, steps)) + eps)

        steps = jax.tree.map(count, state.steps, updates)
        mean = jax.tree.map(lambda old, new: b1 * old + (1 - b1) * new, state.mean, updates)
        square = jax.tree.map(lambda old, new: b2 * old + (1 - b2) * new**2, state.square, updates)
        return jax.tree.map(step, mean, square, steps), AdamState(steps, mean, square)

    return optax.GradientTransformation(init, update)


def descend(updates: PyTree, parameters: PyTree, rate: Array, decay: Array) -> PyTree:
    """−rate (update + decay · parameter): decoupled decay of matrices, none of biases and scales.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.training.optimisers import descend
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
        >>> from condvae.training.optimisers import cosine
        >>> [round(float(cosine(1.0, step, 100)), 2) for step in (0, 1, 50, 99)]
        [0.5, 1.0, 0.5, 0.0]
    """
    ramp = jnp.minimum(1.0, (step + 1) / jnp.maximum(WARM_UP * num_steps, 1.0))
    return peak * ramp * 0.5 * (1.0 + jnp.cos(jnp.pi * step / num_steps))
