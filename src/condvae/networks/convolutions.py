"""Convolutional networks: images to a vector, and a vector to a map of features."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.networks.encoders import Encoder
from condvae.networks.perceptrons import ACTIVATIONS, Activation, affine, require_activation, require_size
from condvae.networks.pixels import Pixels


class ConvEncoder(Encoder):
    """An image to a vector, by convolutions.

    A 3×3 convolution to `width` channels, then `depth` of stride 2, each with twice the channels and half
    the height and width; what is left is flattened and goes through a linear layer.

    Args:
        like: an image (H, W) or (H, W, C), or an `Observed` one, for its shape alone.
        width: channels at full size.
        depth: how often height and width are halved (and rounded up).
        out_size: the length of the result.
        limits: the range of brightness, such as (0, 255), which is brought to −1 ... 1.
        activation: by name.
        key: for the initial weights.

    Raises:
        ValueError: as `Pixels`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import ConvEncoder
        >>> image = jnp.zeros((28, 28, 3))
        >>> ConvEncoder(image, width=8, depth=2, out_size=32, key=jax.random.key(0))(image).shape
        (32,)
    """

    pixels: Pixels
    layers: tuple[eqx.nn.Conv2d, ...]
    out: eqx.nn.Linear
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        like: Any,
        *,
        width: int = 16,
        depth: int = 2,
        out_size: int = 64,
        limits: tuple[float, float] = (-1.0, 1.0),
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        require_activation(activation)
        self.pixels = Pixels(like, limits)
        self.activation = activation
        out_key, first_key, *keys = jax.random.split(key, depth + 2)
        first = eqx.nn.Conv2d(self.pixels.channels, width, 3, padding=1, key=first_key)
        halving = (
            eqx.nn.Conv2d(width * 2**i, width * 2 ** (i + 1), 3, stride=2, padding=1, key=k)
            for i, k in enumerate(keys)
        )
        self.layers = (first, *halving)
        rows, columns = (_halved(side, depth) for side in self.pixels.shape[:2])
        self.out = eqx.nn.Linear(width * 2**depth * rows * columns, out_size, key=out_key)

    def maps(self, inputs: PyTree) -> Float[Array, "height width channels"]:
        """The last map of features: an image moved by 2^depth pixels moves it by one, but at its edges."""
        maps = jnp.moveaxis(self.pixels(inputs), -1, 0)
        for layer in self.layers:
            maps = ACTIVATIONS[self.activation](layer(maps))
        return jnp.moveaxis(maps, 0, -1)

    def __call__(self, inputs: PyTree) -> Float[Array, " out_size"]:
        return affine(self.out, self.maps(inputs).reshape(-1))


class ConvDecoder(eqx.Module):
    """A vector to a map of features (H, W, width), by convolutions: the network before a head of images.

    A linear layer to a small map, then `depth` times: each pixel becomes 2×2, and a 3×3 convolution with
    half the channels. (Transposed convolutions, which do both at once, leave checkerboards.)

    Args:
        in_size: the length of the input vector.
        shape: the height and width; further axes, of channels, are the head's.
        width: channels at full size, the head's `in_size`.
        depth: how often height and width are doubled.
        activation: by name.
        key: for the initial weights.

    Source: Odena, Dumoulin and Olah 2016 (on checkerboards).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.conditionals import Conditional
        >>> from condvae.heads import FamilyHead
        >>> from condvae.networks import ConvDecoder, Features
        >>> k1, k2 = jax.random.split(jax.random.key(0))
        >>> network = ConvDecoder(5, (28, 28), width=8, depth=2, key=k1)
        >>> likelihood = Conditional(Features(), network, FamilyHead(8, (3,), "beta", key=k2))
        >>> likelihood(jnp.zeros(2), jnp.zeros(3)).sample(jax.random.key(1)).shape
        (28, 28, 3)
    """

    first: eqx.nn.Linear
    layers: tuple[eqx.nn.Conv2d, ...]
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        shape: tuple[int, ...],
        *,
        width: int = 16,
        depth: int = 2,
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        require_activation(activation)
        if len(shape) < 2:
            raise ValueError(f"shape is {tuple(shape)}, expected that of an image: (H, W) or (H, W, C)")
        first_key, *keys = jax.random.split(key, depth + 2)
        self.in_size, self.out_size = in_size, width
        self.shape = (shape[0], shape[1])
        self.activation = activation
        rows, columns = (_halved(side, depth) for side in self.shape)
        self.first = eqx.nn.Linear(in_size, width * 2**depth * rows * columns, key=first_key)
        widths = [width * 2**i for i in range(depth, -1, -1)] + [width]
        self.layers = tuple(
            eqx.nn.Conv2d(fan_in, fan_out, 3, padding=1, key=k)
            for fan_in, fan_out, k in zip(widths[:-1], widths[1:], keys, strict=True)
        )

    def __call__(self, x: Float[Array, " in_size"]) -> Float[Array, "height width out_size"]:
        require_size(x.shape, self.in_size)
        activation = ACTIVATIONS[self.activation]
        *doubling, last = self.layers
        rows, columns = (_halved(side, len(doubling)) for side in self.shape)
        maps = activation(affine(self.first, x)).reshape(-1, rows, columns)
        for layer in doubling:
            maps = activation(layer(jnp.repeat(jnp.repeat(maps, 2, axis=1), 2, axis=2)))
        maps = activation(last(maps[:, : self.shape[0], : self.shape[1]]))
        return jnp.moveaxis(maps, 0, -1)


def _halved(side: int, times: int) -> int:
    """A side of an image after so many halvings, each rounded up."""
    return -(-side // 2**times)
