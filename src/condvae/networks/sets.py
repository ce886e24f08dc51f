"""Sets: elements in no order, of which some may not be there."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.networks.encoders import Encoder, is_there, mean_of
from condvae.networks.features import Features
from condvae.networks.perceptrons import MLP, Activation


class SetEncoder(Encoder):
    """A set to a vector: each element through one perceptron, then their mean, maximum and number.

    The elements are on the leading axis of an array, or of every array of a pytree; with an `Observed`, an
    element is there if anything of it is observed. In another order the result is the same, and elements
    that are not there change nothing, however many are stored: any number of elements will do. Of an
    empty set the result is 0.

    Args:
        like: a set, for the shapes of its elements alone.
        width: of the perceptron's layers; the result has length 2 width + 1.
        depth: how many layers it has.
        levels: the number of categories of each integer cell of an element.
        activation: by name.
        key: for the initial weights.

    Raises:
        ValueError: if the arrays have not equally many elements, or elements another shape.

    Source: Zaheer et al. 2017 (deep sets); Qi et al. 2017 (the maximum).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import Observed
        >>> from condvae.networks import SetEncoder
        >>> points = Observed(jnp.ones((5, 2)), jnp.arange(5) < 3)  # three of them, and room for two more
        >>> encoder = SetEncoder(points, width=8, key=jax.random.key(0))
        >>> encoder(points).shape
        (17,)
    """

    elements: Features
    network: MLP

    def __init__(
        self,
        like: Any,
        *,
        width: int = 64,
        depth: int = 2,
        levels: Sequence[int] = (),
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        is_there(like)
        self.elements = Features(tuple(levels))
        size = self.elements.size(jax.tree.map(lambda leaf: leaf[0], like))
        self.network = MLP(size, width=width, depth=depth, activation=activation, key=key)

    def __call__(self, inputs: PyTree) -> Float[Array, " features"]:
        there = is_there(inputs)
        h = jax.vmap(lambda element: self.network(self.elements(element)))(inputs)
        most = jnp.max(jnp.where(there[:, None], h, -jnp.inf), axis=0, initial=-jnp.inf)
        most = jnp.where(there.any(), most, 0.0)
        count = jnp.log1p(there.sum(dtype=h.dtype))
        return jnp.concatenate([mean_of(h, there), most, count[None]])


class SetDecoder(eqx.Module):
    """A vector to a set: the same features for each of its elements.

    A head shares its weights over them, so that elements are independent and alike given the vector,

        p(x | z, c) = Π_i p(x_i | z, c),

    and what they have in common is z's to tell (de Finetti). In another order the density is the same;
    elements that are not there, hidden by the mask of an `Observed`, are left out of it.

    Args:
        in_size: the length of the input vector.
        elements: how many there are at most.
        width: of the perceptron's layers: the features of an element, the head's `in_size`.
        depth: how many layers it has.
        activation: by name.
        key: for the initial weights.

    Raises:
        ValueError: if there is no element, or the vector has another length.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import SetDecoder
        >>> SetDecoder(3, 5, width=8, key=jax.random.key(0))(jnp.zeros(3)).shape
        (5, 8)
    """

    network: MLP
    elements: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        elements: int,
        *,
        width: int = 64,
        depth: int = 2,
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        if elements < 1:
            raise ValueError(f"elements is {elements}, expected at least 1")
        self.network = MLP(in_size, width=width, depth=depth, activation=activation, key=key)
        self.elements = elements

    def __call__(self, x: Float[Array, " in_size"]) -> Float[Array, "elements width"]:
        h = self.network(x)
        return jnp.broadcast_to(h, (self.elements, *h.shape))
