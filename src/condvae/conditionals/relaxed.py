"""Relaxed categories as what follows is to see them."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import PyTree

from condvae.distributions import Distribution, relaxed_one_hot


class OneHotInput(eqx.Module):
    """A module that sees relaxed categories as one-hot vectors, nearly: around a likelihood, say.

    The latent of a `RelaxedCategoricalHead` is log-ratios; here they become softmax((y, 0)), rows of n
    numbers that add up to 1.

    Args:
        inner: the module, called with its first input so changed.
        parts: which parts of the first input are relaxed: keys of a dictionary, or places in a tuple; by
            default it is as a whole.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.conditionals import Conditional, OneHotInput
        >>> from condvae.heads import GaussianHead
        >>> from condvae.networks import MLP, Features
        >>> k1, k2 = jax.random.split(jax.random.key(0))
        >>> body = MLP(20 * 3, width=8, depth=1, key=k1)
        >>> likelihood = OneHotInput(Conditional(Features(), body, GaussianHead(8, (4,), key=k2)))
        >>> likelihood(jnp.zeros((20, 2)), None).sample(jax.random.key(1)).shape
        (4,)
    """

    inner: Callable
    parts: tuple[str | int, ...] = eqx.field(static=True, default=())

    def __call__(self, first: PyTree, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        if not self.parts:
            shown = relaxed_one_hot(first)
        elif isinstance(first, dict):
            shown = {k: relaxed_one_hot(v) if k in self.parts else v for k, v in first.items()}
        else:
            shown = tuple(relaxed_one_hot(v) if i in self.parts else v for i, v in enumerate(first))
        return self.inner(shown, *inputs)
