"""Categories made continuous, so that draws of them carry gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions.adapters import Spread
from condvae.distributions.protocol import Distribution, Scalar


class RelaxedCategorical(Distribution):
    """Independent relaxed categories (Concrete, Gumbel-softmax), as log-ratios to the last category.

    With Gumbel noise G_i, the relaxed one-hot vector is s = softmax((logits + G) / λ). A value is

        y_i = log s_i − log s_n = (logits_i + G_i − logits_n − G_n) / λ,    i = 1 ... n − 1,

    any real numbers, instead of s, which float32 rounds to 0 and 1 long before its density is flat. With
    a_i = logits_i − λ y_i and y_n = 0,

        log p(y) = log Γ(n) + (n − 1) log λ + Σ_i a_i − n log Σ_i exp(a_i),

    the density of s but for the change of variables, Π_i s_i. `relaxed_one_hot(y)` is s.

    Args:
        logits: (cells, n).
        temperature: λ; at 0 s would be a category, and its gradient's variance infinite.

    Source: Maddison, Mnih and Teh 2017; Jang, Gu and Poole 2017.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.distributions import RelaxedCategorical, relaxed_one_hot
        >>> relaxed = RelaxedCategorical(jnp.zeros((1, 3)), temperature=0.5)
        >>> y = relaxed.sample(jax.random.key(0))
        >>> y.shape, relaxed_one_hot(y).shape
        ((1, 2), (1, 3))
    """

    logits: Float[Array, "cells n"]
    temperature: float = eqx.field(static=True)

    @property
    def reparameterised(self) -> bool:
        return True

    def sample(self, key: PRNGKeyArray) -> Float[Array, "cells _"]:
        noisy = self.logits + jax.random.gumbel(key, self.logits.shape, self.logits.dtype)
        return (noisy[..., :-1] - noisy[..., -1:]) / self.temperature

    def log_prob(self, value: Float[Array, "cells _"]) -> Scalar:
        return jnp.sum(self.terms(value))

    def terms(self, value: Float[Array, "cells _"]) -> Float[Array, " cells"]:
        *cells, n = self.logits.shape
        if jnp.shape(value) != (*cells, n - 1):
            raise ValueError(
                f"RelaxedCategorical expected a value of shape {(*cells, n - 1)}, got {jnp.shape(value)}"
            )
        away = self.logits - self.temperature * _with_last(value)
        constant = jax.lax.lgamma(jnp.asarray(n, away.dtype)) + (n - 1) * jnp.log(self.temperature)
        return (constant + away.sum(axis=-1) - n * jax.nn.logsumexp(away, axis=-1)).reshape(-1)

    def mean(self) -> Float[Array, "cells _"]:
        return (self.logits[..., :-1] - self.logits[..., -1:]) / self.temperature

    def widened(self, factor: float | Array) -> Distribution:
        return Spread(self, self.mean(), factor)


def relaxed_one_hot(value: Float[Array, "*cells _"]) -> Float[Array, "*cells n"]:
    """The relaxed one-hot vectors of log-ratios to the last category: softmax((y, 0)), cell by cell."""
    return jax.nn.softmax(_with_last(value), axis=-1)


def _with_last(value: Array) -> Array:
    return jnp.concatenate([value, jnp.zeros((*value.shape[:-1], 1), value.dtype)], axis=-1)
