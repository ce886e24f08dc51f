"""Sequences: elements in an order, of any length up to a greatest one."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.networks.attention import AttentionBlock, blocks
from condvae.networks.encoders import Encoder, is_there, leaves_of, mean_of, shape_of
from condvae.networks.features import Features
from condvae.networks.perceptrons import Activation, affine


class SequenceEncoder(Encoder):
    """A sequence to a vector: steps → linear layer, plus position → self-attention → mean.

    The steps are on the leading axis of an array, or of every array of a pytree; with an `Observed`, a
    step is there if anything of it is observed. Steps that are not there, at the end or in between,
    are looked at by none and are not in the mean: what pads a short sequence does not matter. Of an
    empty sequence the result is 0.

    Args:
        like: a sequence of the greatest length, for its shape alone.
        width: of a step's vector, and of the result.
        depth: how many blocks of self-attention.
        num_heads: of each block.
        levels: the number of categories of each integer cell of a step.
        activation: by name.
        key: for the initial weights.

    Raises:
        ValueError: for a sequence that is longer, or whose arrays are not equally long.

    Source: Vaswani et al. 2017.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import Observed
        >>> from condvae.networks import SequenceEncoder
        >>> series = Observed(jnp.zeros((20, 3)), jnp.arange(20) < 12)  # 12 steps, and room for 8 more
        >>> SequenceEncoder(series, width=16, depth=1, key=jax.random.key(0))(series).shape
        (16,)
    """

    elements: Features
    embed: eqx.nn.Linear
    positions: Float[Array, "steps width"]
    blocks: tuple[AttentionBlock, ...]
    norm: eqx.nn.LayerNorm

    def __init__(
        self,
        like: Any,
        *,
        width: int = 64,
        depth: int = 2,
        num_heads: int = 4,
        levels: Sequence[int] = (),
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        is_there(like)
        self.elements = Features(tuple(levels))
        size = self.elements.size(jax.tree.map(lambda leaf: leaf[0], like))
        embed_key, position_key, block_key = jax.random.split(key, 3)
        self.embed = eqx.nn.Linear(size, width, key=embed_key)
        steps = shape_of(leaves_of(like)[0])[0]
        self.positions = 0.5 * jax.random.normal(position_key, (steps, width))
        self.blocks = blocks(width, depth, num_heads, activation, block_key)
        self.norm = eqx.nn.LayerNorm(width)

    def __call__(self, inputs: PyTree) -> Float[Array, " width"]:
        there = is_there(inputs)
        if there.size > len(self.positions):
            raise ValueError(
                f"the sequence has {there.size} steps, expected at most {len(self.positions)}: cut it, or "
                "build the model for sequences of this length"
            )
        h = affine(self.embed, jax.vmap(self.elements)(inputs)) + self.positions[: there.size]
        for block in self.blocks:
            h = block(h, there)
        return mean_of(jax.vmap(self.norm)(h), there)
