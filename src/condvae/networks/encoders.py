"""Encoders: any pytree of inputs to one vector; and how parts of inputs get encoders of their own."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from condvae.observed import Observed


class Encoder(eqx.Module):
    """Inputs of one example to one vector of features.

    The inputs are what a module is called with: `(c,)`, `(z, c)` or `(x, c)`, or a part of it where
    `ByPart` hands it on. An encoder of one array takes any pytree that holds just one.
    """

    @abc.abstractmethod
    def __call__(self, inputs: PyTree) -> Float[Array, " features"]:
        """The features of one example, without a batch axis."""

    def size(self, inputs: PyTree) -> int:
        """How long the vector is for inputs of these shapes."""
        return eqx.filter_eval_shape(self, inputs).shape[0]


class ByPart(Encoder):
    """Each part of the inputs by an encoder of its own, and the results end to end.

    A tuple of encoders is for a tuple of inputs, as (x, c) and (z, c) are; a dictionary for a dictionary
    with the same names. Both nest.

    Args:
        parts: the encoders.

    Raises:
        ValueError: when called on inputs that have other parts.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import ByPart, ConvEncoder, Features
        >>> image = jnp.zeros((8, 8))
        >>> scan = ConvEncoder(image, width=4, depth=1, out_size=16, key=jax.random.key(0))
        >>> encoder = ByPart((Features(), ByPart({"age": Features(), "scan": scan})))
        >>> z, c = jnp.zeros(2), {"age": jnp.array([0.3]), "scan": image}
        >>> encoder((z, c)).shape
        (19,)
    """

    parts: tuple[Encoder, ...] | dict[str, Encoder]

    def __init__(self, parts: Sequence[Encoder] | Mapping[str, Encoder]):
        self.parts = dict(parts) if isinstance(parts, Mapping) else tuple(parts)

    def __call__(self, inputs: PyTree) -> Float[Array, " features"]:
        if isinstance(self.parts, dict):
            if not isinstance(inputs, Mapping) or set(inputs) != set(self.parts):
                got = ", ".join(sorted(inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
                raise ValueError(
                    f"there are encoders for {', '.join(sorted(self.parts))}, the inputs are {got}: give "
                    "a dictionary with these names, what is missing as an Observed whose mask is false"
                )
            features = [self.parts[name](inputs[name]) for name in sorted(self.parts)]
        else:
            is_tuple = isinstance(inputs, tuple) and not isinstance(inputs, Observed)
            if not is_tuple or len(inputs) != len(self.parts):
                got = f"a tuple of {len(inputs)}" if is_tuple else type(inputs).__name__
                raise ValueError(
                    f"there are {len(self.parts)} encoders in a tuple, the inputs are {got}: give an "
                    "encoder for each input, (x, c), (z, c) or (c,)"
                )
            features = [part(entry) for part, entry in zip(self.parts, inputs, strict=True)]
        return jnp.concatenate(features) if features else jnp.zeros((0,))


def leaves_of(inputs: PyTree) -> list[Any]:
    """The arrays of a pytree, an `Observed` counting as one."""
    return jax.tree.leaves(inputs, is_leaf=lambda leaf: isinstance(leaf, Observed))


def only_array(inputs: PyTree, owner: str) -> Any:
    """The one array, or `Observed`, that the inputs consist of.

    Raises:
        ValueError: if they are none, or several.
    """
    leaves = leaves_of(inputs)
    if len(leaves) != 1:
        raise ValueError(
            f"{owner} encodes one array, got {len(leaves)}: give each an encoder of its own, with ByPart"
        )
    return leaves[0]


def shape_of(leaf: Any) -> tuple[int, ...]:
    """Of an array's value, or of an `Observed`'s."""
    return tuple((leaf.value if isinstance(leaf, Observed) else leaf).shape)


def is_there(elements: PyTree) -> Bool[Array, " elements"]:
    """Which elements, on the leading axis of every array, have anything observed.

    Raises:
        ValueError: if the arrays have not equally many.
    """
    leaves = leaves_of(elements)
    sizes = {shape_of(leaf)[:1] for leaf in leaves}
    if len(sizes) != 1 or () in sizes:
        shapes = ", ".join(str(shape_of(leaf)) for leaf in leaves) or "none"
        raise ValueError(
            f"the elements are on the leading axis of every array, which here have shapes {shapes}: make "
            "them equally long"
        )
    ((count,),) = sizes
    there = jnp.zeros(count, bool)
    for leaf in leaves:
        if not isinstance(leaf, Observed):
            return jnp.ones(count, bool)
        there = there | jnp.asarray(leaf.mask).reshape(count, -1).any(axis=1)
    return there


def mean_of(
    vectors: Float[Array, "elements size"], there: Bool[Array, " elements"]
) -> Float[Array, " size"]:
    """The mean of those that are there; of none 0."""
    kept = jnp.where(there[:, None], vectors, 0.0)
    return kept.sum(axis=0) / jnp.maximum(there.sum(), 1)
