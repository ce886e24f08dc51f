"""Networks of patches: images cut into squares, which then look at one another."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.networks.attention import AttentionBlock, blocks
from condvae.networks.encoders import Encoder
from condvae.networks.perceptrons import Activation, affine, require_size
from condvae.networks.pixels import Pixels


class PatchEncoder(Encoder):
    """An image to a vector: patches → linear layer, plus position → self-attention → mean.

    Args:
        like: an image (H, W) or (H, W, C), or an `Observed` one, for its shape alone.
        patch: the side of a patch; both sides of the image are multiples of it.
        width: of a patch's vector, and of the result.
        depth: how many blocks of self-attention.
        num_heads: of each block.
        limits: the range of brightness, such as (0, 255), which is brought to −1 ... 1.
        activation: by name.
        key: for the initial weights.

    Raises:
        ValueError: as `Pixels`, and if the patches do not fit.

    Source: Dosovitskiy et al. 2021.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import PatchEncoder
        >>> image = jnp.zeros((8, 8))
        >>> PatchEncoder(image, patch=4, width=16, depth=1, key=jax.random.key(0))(image).shape
        (16,)
    """

    pixels: Pixels
    embed: eqx.nn.Linear
    positions: Float[Array, "patches width"]
    blocks: tuple[AttentionBlock, ...]
    norm: eqx.nn.LayerNorm
    patch: int = eqx.field(static=True)

    def __init__(
        self,
        like: Any,
        *,
        patch: int = 4,
        width: int = 64,
        depth: int = 2,
        num_heads: int = 4,
        limits: tuple[float, float] = (-1.0, 1.0),
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        self.pixels = Pixels(like, limits)
        self.patch = patch
        grid = _grid(self.pixels.shape[:2], (patch, patch))
        embed_key, position_key, block_key = jax.random.split(key, 3)
        self.embed = eqx.nn.Linear(patch * patch * self.pixels.channels, width, key=embed_key)
        self.positions = 0.5 * jax.random.normal(position_key, (math.prod(grid), width))
        self.blocks = blocks(width, depth, num_heads, activation, block_key)
        self.norm = eqx.nn.LayerNorm(width)

    def __call__(self, inputs: PyTree) -> Float[Array, " width"]:
        image = self.pixels(inputs)
        side, (rows, columns, channels) = self.patch, image.shape
        cut = image.reshape(rows // side, side, columns // side, side, channels)
        patches = jnp.moveaxis(cut, 2, 1).reshape(-1, side * side * channels)
        h = affine(self.embed, patches) + self.positions
        for block in self.blocks:
            h = block(h)
        return jax.vmap(self.norm)(h).mean(axis=0)


class PatchDecoder(eqx.Module):
    """A vector to a map of features, patch by patch: the network before a head of images or sequences.

    Each patch begins as W v plus its position; the patches look at one another, and a linear layer that
    they share turns each into the features of its cells.

    Args:
        in_size: the length of the input vector.
        shape: the lengths of the map: (H, W) of an image, (T,) of a sequence.
        patch: the lengths of a patch, likewise, or one for all of them; they divide `shape`.
        width: of a patch's vector.
        out_size: the features of a cell, the head's `in_size`.
        depth: how many blocks of self-attention.
        num_heads: of each block.
        activation: by name.
        key: for the initial weights.

    Raises:
        ValueError: if the patches do not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import PatchDecoder
        >>> image = PatchDecoder(5, (8, 8), patch=4, width=16, out_size=6, key=jax.random.key(0))
        >>> series = PatchDecoder(5, (20,), patch=1, width=16, out_size=6, key=jax.random.key(0))
        >>> image(jnp.zeros(5)).shape, series(jnp.zeros(5)).shape
        ((8, 8, 6), (20, 6))
    """

    embed: eqx.nn.Linear
    positions: Float[Array, "patches width"]
    blocks: tuple[AttentionBlock, ...]
    norm: eqx.nn.LayerNorm
    out: eqx.nn.Linear
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    patch: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        shape: Sequence[int],
        *,
        patch: int | Sequence[int] = 4,
        width: int = 64,
        out_size: int = 16,
        depth: int = 2,
        num_heads: int = 4,
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        self.shape = tuple(shape)
        self.patch = (patch,) * len(self.shape) if isinstance(patch, int) else tuple(patch)
        grid = _grid(self.shape, self.patch)
        self.in_size, self.out_size = in_size, out_size
        embed_key, position_key, block_key, out_key = jax.random.split(key, 4)
        self.embed = eqx.nn.Linear(in_size, width, key=embed_key)
        self.positions = 0.5 * jax.random.normal(position_key, (math.prod(grid), width))
        self.blocks = blocks(width, depth, num_heads, activation, block_key)
        self.norm = eqx.nn.LayerNorm(width)
        self.out = eqx.nn.Linear(width, math.prod(self.patch) * out_size, key=out_key)

    def __call__(self, x: Float[Array, " in_size"]) -> Float[Array, "..."]:
        require_size(x.shape, self.in_size)
        h = affine(self.embed, x) + self.positions
        for block in self.blocks:
            h = block(h)
        flat = affine(self.out, jax.vmap(self.norm)(h))
        axes = len(self.shape)
        laid = flat.reshape(*_grid(self.shape, self.patch), *self.patch, self.out_size)
        # (rows, columns, side, side, features) to (rows, side, columns, side, features).
        order = [axis for i in range(axes) for axis in (i, axes + i)]
        return laid.transpose(*order, 2 * axes).reshape(*self.shape, self.out_size)


def _grid(shape: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """How many patches there are along each axis."""
    fits = len(shape) == len(patch) and all(
        p >= 1 and side % p == 0 for side, p in zip(shape, patch, strict=True)
    )
    if not fits:
        raise ValueError(
            f"patches of {tuple(patch)} do not fit into {tuple(shape)}: let patch divide each length"
        )
    return tuple(side // p for side, p in zip(shape, patch, strict=True))
