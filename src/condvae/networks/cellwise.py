"""A small network for each of several cells, side by side, of inputs that all share and of its own."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from condvae.networks.perceptrons import ACTIVATIONS, Activation, affine


class CellwiseLinear(eqx.Module):
    """The linear map of a head whose cells have a feature vector each: y_j = w_j · h_{cell(j)} + b_j.

    Takes the place of the `eqx.nn.Linear` of a head for independent cells, which are then each a function
    of their own features alone.

    Args:
        weight: [out_size, in_size].
        bias: [out_size].
        cells: the cell to which each output belongs.
        num_cells: feature vectors; the input is these, end to end.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.networks import CellwiseLinear
        >>> linear = CellwiseLinear(jnp.ones((3, 2)), jnp.zeros(3), cells=(0, 1, 1), num_cells=2)
        >>> linear(jnp.array([1.0, 2.0, 10.0, 20.0])).tolist()
        [3.0, 30.0, 30.0]
    """

    weight: Float[Array, "out_size in_size"]
    bias: Float[Array, " out_size"]
    cells: tuple[int, ...] = eqx.field(static=True)
    num_cells: int = eqx.field(static=True)

    @property
    def out_features(self) -> int:
        """The length of the output, by the name that `eqx.nn.Linear` has for it."""
        return len(self.cells)

    def __call__(self, features: Float[Array, " num_cells*in_size"]) -> Float[Array, " out_size"]:
        own = features.reshape(self.num_cells, -1)
        cells = np.array(self.cells)
        present, counts = np.unique(cells, return_counts=True)
        # The rows of each cell as one block, of the size of the largest, so that there is one product.
        blocks = np.zeros((len(present), counts.max()), int)
        back = np.empty(len(cells), int)
        for block, cell in enumerate(present):
            rows = np.flatnonzero(cells == cell)
            blocks[block, : len(rows)] = rows
            back[rows] = block * counts.max() + np.arange(len(rows))
        found = jnp.einsum("ci,cri->cr", own[present], self.weight[blocks])
        return found.reshape(-1)[back] + self.bias


class CellwiseMLP(eqx.Module):
    """A perceptron for each cell, of a vector that all share and a vector of its own.

        h_i = a(V_i u + W_i v_i + b_i), and from there layer by layer,

    for shared inputs u, own inputs v_i and an activation a.

    Args:
        num_cells: how many perceptrons.
        shared_size: the length of u.
        own_size: the length of each v_i.
        width: of every layer.
        depth: hidden layers, at least 1.
        activation: by name.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import CellwiseMLP
        >>> networks = CellwiseMLP(3, 2, 5, width=8, depth=2, key=jax.random.key(0))
        >>> networks(networks.of_shared(jnp.zeros(2)), jnp.zeros((3, 5))).shape
        (3, 8)
    """

    shared: eqx.nn.Linear
    own: Float[Array, "cells own_size width"]
    weights: tuple[Float[Array, "cells width width"], ...]
    biases: tuple[Float[Array, " cells*width"], ...]
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        num_cells: int,
        shared_size: int,
        own_size: int,
        *,
        width: int,
        depth: int,
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        shared_key, own_key, *keys = jax.random.split(key, depth + 1)
        # As the first layer of one perceptron of all inputs would begin.
        reach = 1.0 / math.sqrt(max(shared_size + own_size, 1))
        self.shared = eqx.nn.Linear(shared_size, num_cells * width, key=shared_key)
        self.shared = jax.tree.map(
            lambda leaf: leaf * (reach * math.sqrt(max(shared_size, 1))), self.shared
        )
        self.own = jax.random.uniform(own_key, (num_cells, own_size, width), minval=-reach, maxval=reach)
        bound = 1.0 / math.sqrt(width)
        self.weights = tuple(
            jax.random.uniform(k, (num_cells, width, width), minval=-bound, maxval=bound) for k in keys
        )
        self.biases = tuple(jnp.zeros(num_cells * width) for _ in keys)
        self.activation = activation

    @property
    def out_size(self) -> int:
        """The length of the features of each cell."""
        return self.own.shape[-1]

    def of_shared(self, shared: Float[Array, " shared_size"]) -> Float[Array, "cells width"]:
        """V_i u + b_i: the part of the first layers that the own inputs do not change."""
        return affine(self.shared, shared).reshape(self.own.shape[0], -1)

    def __call__(
        self, first: Float[Array, "cells width"], own: Float[Array, "cells own_size"]
    ) -> Float[Array, "cells width"]:
        """The features of each cell.

        Args:
            first: what `of_shared` gives.
            own: the inputs of each cell's own.
        """
        activation, cells = ACTIVATIONS[self.activation], self.own.shape[0]
        h = activation(first + jnp.einsum("ci,cio->co", own, self.own))
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = activation(jnp.einsum("ci,cio->co", h, weight) + bias.reshape(cells, -1))
        return h

    def only(
        self, cell: Int[Array, ""], first: Float[Array, "cells width"], own: Float[Array, " own_size"]
    ) -> Float[Array, " width"]:
        """The features of one cell, from the inputs of its own."""
        activation, cells = ACTIVATIONS[self.activation], self.own.shape[0]
        h = activation(first[cell] + own @ self.own[cell])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = activation(h @ weight[cell] + bias.reshape(cells, -1)[cell])
        return h
