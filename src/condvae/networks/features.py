"""Any pytree of inputs as one flat vector."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from condvae.networks.encoders import Encoder, leaves_of
from condvae.observed import Observed

Transform = Literal["none", "log1p"]

TRANSFORMS: dict[str, Callable[[Array], Array]] = {"none": lambda value: value, "log1p": jnp.log1p}


class Features(Encoder):
    """Any pytree of inputs, flat: one vector.

    Floating-point (and boolean) arrays are raveled. Integer arrays are categories, one-hot encoded
    (numbers like any other, with `levels=None`). Of
    an `Observed`, missing cells become 0 and the mask is appended, so that "missing" is a value of its
    own. None is nothing.

    Args:
        levels: the number of categories of each integer cell, in the order of the pytree; a cell
            outside 0..levels-1 is encoded as zeros. None where integers are counts or pixels: numbers.
        transform: what is done to floating-point cells first: "none", or "log1p", log(1 + value), for
            counts, which a network would else see over many orders of magnitude.

    Raises:
        ValueError: for a transform that there is not; when called on more or fewer integer cells than
            `levels` has entries.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae import Observed
        >>> from condvae.networks import Features
        >>> row = {"a": jnp.array([0.5]), "b": Observed(jnp.array([2]), jnp.array([True]))}
        >>> Features(levels=(3,))(row).tolist()
        [0.5, 0.0, 0.0, 1.0, 1.0]
        >>> [round(v, 2) for v in Features(transform="log1p")(jnp.array([0.0, 9.0, 999.0])).tolist()]
        [0.0, 2.3, 6.91]
    """

    levels: tuple[int, ...] | None = eqx.field(static=True, default=())
    transform: Transform = eqx.field(static=True, default="none")

    def __check_init__(self):
        if self.transform not in TRANSFORMS:
            raise ValueError(
                f"transform is {self.transform!r}, expected one of {', '.join(map(repr, TRANSFORMS))}"
            )

    def __call__(self, inputs: PyTree) -> Float[Array, " features"]:
        levels = iter(self.levels or ())
        parts: list[Array] = []
        for leaf in leaves_of(inputs):
            value, mask = leaf if isinstance(leaf, Observed) else (leaf, None)
            value = jnp.asarray(value)
            if mask is not None:
                mask = jnp.ravel(jnp.broadcast_to(jnp.asarray(mask), value.shape))
            value = jnp.ravel(value)
            if self.levels is not None and jnp.issubdtype(value.dtype, jnp.integer):
                parts.extend(self._one_hot(value, mask, levels))
            else:
                value = value.astype(jnp.result_type(float, value.dtype))
                value = value if mask is None else jnp.where(mask, value, 0.0)
                parts.append(TRANSFORMS[self.transform](value))
            if mask is not None:
                parts.append(mask.astype(float))
        if next(levels, None) is not None:
            raise ValueError(f"levels has {len(self.levels or ())} entries, more than there are categories")
        return jnp.concatenate(parts) if parts else jnp.zeros((0,))

    def _one_hot(self, codes: Array, mask: Array | None, levels: Any) -> list[Array]:
        parts = []
        for i in range(codes.shape[0]):
            size = next(levels, None)
            if size is None:
                raise ValueError(
                    f"levels has {len(self.levels or ())} entries, fewer than there are integer cells: "
                    "give the number of categories of each, or make the array floating-point"
                )
            hot = jax.nn.one_hot(codes[i], size)
            parts.append(hot if mask is None else jnp.where(mask[i], hot, 0.0))
        return parts
