"""Self-attention: vectors that look at one another."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from condvae.networks.perceptrons import ACTIVATIONS, Activation, affine, require_activation

HIDDEN = -1e30
"""The logit of a vector that must not be looked at: finite, so that its gradient is 0 and not NaN."""


class AttentionBlock(eqx.Module):
    """h ← h + attention(norm(h)), then h ← h + W₂ act(W₁ norm(h)), over a set of vectors.

    Vectors that are not there are looked at by none. It is equivariant: the vectors in another order give
    the results in that order.

    Args:
        width: of each vector; a multiple of `num_heads`.
        num_heads: each looks at width / num_heads numbers of its own.
        activation: by name.
        key: for the initial weights.

    Raises:
        ValueError: if the heads do not divide the width.

    Source: Vaswani et al. 2017; Xiong et al. 2020 (the norm comes first).
    """

    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]
    look: eqx.nn.Linear
    gather: eqx.nn.Linear
    expand: eqx.nn.Linear
    project: eqx.nn.Linear
    num_heads: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self, width: int, *, num_heads: int = 4, activation: Activation = "silu", key: PRNGKeyArray
    ):
        require_activation(activation)
        if num_heads < 1 or width % num_heads:
            raise ValueError(
                f"width is {width}, expected a multiple of num_heads, {num_heads}: change one of the two"
            )
        keys = jax.random.split(key, 4)
        self.norms = (eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width))
        self.look = eqx.nn.Linear(width, 3 * width, key=keys[0])
        self.gather = eqx.nn.Linear(width, width, key=keys[1])
        self.expand = eqx.nn.Linear(width, 2 * width, key=keys[2])
        self.project = eqx.nn.Linear(2 * width, width, key=keys[3])
        self.num_heads, self.activation = num_heads, activation

    def __call__(
        self, h: Float[Array, "count width"], there: Bool[Array, " count"] | None = None
    ) -> Float[Array, "count width"]:
        count, width = h.shape
        looked = affine(self.look, jax.vmap(self.norms[0])(h))
        query, keys, value = jnp.moveaxis(looked.reshape(count, 3, self.num_heads, -1), 1, 0)
        logits = jnp.einsum("ihd,jhd->hij", query, keys) * (width // self.num_heads) ** -0.5
        if there is not None:
            logits = jnp.where(there, logits, HIDDEN)
        # Not jax.nn.dot_product_attention, whose softmax is in float32 whatever its inputs are.
        seen = jnp.einsum("hij,jhd->ihd", jax.nn.softmax(logits), value)
        h = h + affine(self.gather, seen.reshape(count, width))
        inner = ACTIVATIONS[self.activation](affine(self.expand, jax.vmap(self.norms[1])(h)))
        return h + affine(self.project, inner)


def blocks(width: int, depth: int, num_heads: int, activation: Activation, key: PRNGKeyArray):
    """So many of them."""
    return tuple(
        AttentionBlock(width, num_heads=num_heads, activation=activation, key=k)
        for k in jax.random.split(key, max(depth, 1))[:depth]
    )
