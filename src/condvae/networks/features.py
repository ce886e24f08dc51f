"""Any pytree of inputs as one flat vector."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from condvae.observed import Observed


class Features(eqx.Module):
    """Any pytree of inputs, flat: one vector.

    Floating-point (and boolean) arrays are raveled. Integer arrays are categories, one-hot encoded. Of
    an `Observed`, missing cells become 0 and the mask is appended, so that "missing" is a value of its
    own. None is nothing.

    Args:
        levels: the number of categories of each integer cell, in the order of the pytree; a cell
            outside 0..levels-1 is encoded as zeros.

    Raises:
        ValueError: when called on more or fewer integer cells than `levels` has entries.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae import Observed
        >>> from condvae.networks import Features
        >>> row = {"a": jnp.array([0.5]), "b": Observed(jnp.array([2]), jnp.array([True]))}
        >>> Features(levels=(3,))(row).tolist()
        [0.5, 0.0, 0.0, 1.0, 1.0]
    """

    levels: tuple[int, ...] = eqx.field(static=True, default=())

    def __call__(self, inputs: PyTree) -> Float[Array, " features"]:
        leaves = jax.tree.leaves(inputs, is_leaf=lambda leaf: isinstance(leaf, Observed))
        levels = iter(self.levels)
        parts: list[Array] = []
        for leaf in leaves:
            value, mask = leaf if isinstance(leaf, Observed) else (leaf, None)
            value = jnp.ravel(jnp.asarray(value))
            mask = None if mask is None else jnp.ravel(jnp.asarray(mask))
            if jnp.issubdtype(value.dtype, jnp.integer):
                parts.extend(self._one_hot(value, mask, levels))
            else:
                value = value.astype(jnp.result_type(float, value.dtype))
                parts.append(value if mask is None else jnp.where(mask, value, 0.0))
            if mask is not None:
                parts.append(mask.astype(float))
        if next(levels, None) is not None:
            raise ValueError(f"levels has {len(self.levels)} entries, more than there are categories")
        return jnp.concatenate(parts) if parts else jnp.zeros((0,))

    def _one_hot(self, codes: Array, mask: Array | None, levels: Any) -> list[Array]:
        parts = []
        for i in range(codes.shape[0]):
            size = next(levels, None)
            if size is None:
                raise ValueError(
                    f"levels has {len(self.levels)} entries, fewer than there are integer cells: give "
                    "the number of categories of each, or make the array floating-point"
                )
            hot = jax.nn.one_hot(codes[i], size)
            parts.append(hot if mask is None else jnp.where(mask[i], hot, 0.0))
        return parts

    def size(self, inputs: PyTree) -> int:
        """How long the vector is for inputs of these shapes."""
        return eqx.filter_eval_shape(self, inputs).shape[0]
