"""An image as numbers that a network can take: on one scale, with what is missing marked."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from condvae.networks.encoders import only_array, shape_of
from condvae.observed import Observed


class Pixels(eqx.Module):
    """An image (H, W) or (H, W, C) as channels: (H, W, C), or (H, W, 2C) of an `Observed` one.

    Brightness, of floating-point or whole numbers, is brought from `limits` to −1 ... 1. A missing pixel is
    0, and its mask is a channel of its own: a grey pixel and one that is not known are different things.

    Args:
        like: an image, for its shape alone, and for whether pixels may be missing.
        limits: the range of brightness, such as (0, 255).

    Raises:
        ValueError: for what is no image; when called on an image of another shape, or on one with
            missing pixels where the first had none.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae import Observed
        >>> from condvae.networks import Pixels
        >>> image = Observed(jnp.array([[0, 16], [8, 0]]), jnp.array([[True, True], [True, False]]))
        >>> Pixels(image, limits=(0, 16))(image).tolist()
        [[[-1.0, 1.0], [1.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]]]
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    masked: bool = eqx.field(static=True)
    limits: tuple[float, float] = eqx.field(static=True)

    def __init__(self, like: Any, limits: tuple[float, float] = (-1.0, 1.0)):
        leaf = only_array(like, "an image encoder")
        self.shape, self.masked = shape_of(leaf), isinstance(leaf, Observed)
        if len(self.shape) not in (2, 3):
            raise ValueError(f"an image has shape (H, W) or (H, W, C), got {self.shape}: reshape it")
        low, high = (float(limit) for limit in limits)
        if not low < high:
            raise ValueError(f"limits are {tuple(limits)}, expected the lower one first: give (low, high)")
        self.limits = (low, high)

    @property
    def channels(self) -> int:
        """How many there are, those of the mask too."""
        channels = self.shape[2] if len(self.shape) == 3 else 1
        return channels * (2 if self.masked else 1)

    def __call__(self, inputs: PyTree) -> Float[Array, "height width channels"]:
        leaf = only_array(inputs, "an image encoder")
        if shape_of(leaf) != self.shape:
            raise ValueError(
                f"the encoder is for an image of shape {self.shape}, got {shape_of(leaf)}: pass such an "
                "image, or build the model for images of this shape"
            )
        value, mask = leaf if isinstance(leaf, Observed) else (leaf, None)
        if mask is not None and not self.masked:
            raise ValueError(
                "the encoder is for an image without missing pixels, got an Observed: build the model "
                "for an Observed one"
            )
        value = jnp.asarray(value)
        low, high = self.limits
        value = value.astype(jnp.result_type(float, value.dtype))
        value = (2.0 * value - (low + high)) / (high - low)
        value = value.reshape(*self.shape[:2], -1)
        if not self.masked:
            return value
        seen = jnp.ones(self.shape, bool) if mask is None else jnp.broadcast_to(mask, self.shape)
        seen = seen.reshape(value.shape)
        return jnp.concatenate([jnp.where(seen, value, 0.0), seen.astype(value.dtype)], axis=-1)
