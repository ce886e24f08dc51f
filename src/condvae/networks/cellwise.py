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
    of their own features alone. Feature vectors may be followed by d direct inputs, to which some of the
    outputs are linear: y_j = w_j · h_{cell(j)} + v_j · d_{cell(j)} + b_j.

    Args:
        weight: [out_size, in_size].
        bias: [out_size].
        cells: the cell to which each output belongs.
        num_cells: feature vectors; the input is these, end to end, each with its direct inputs at its end.
        leads: the outputs that have a linear path.
        direct: the v_j, a row for each of them.

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
    leads: tuple[int, ...] = eqx.field(static=True, default=())
    direct: Float[Array, "leads direct"] | None = None

    @property
    def out_features(self) -> int:
        """The length of the output, by the name that `eqx.nn.Linear` has for it."""
        return len(self.cells)

    def __call__(self, features: Float[Array, " num_cells*in_size"]) -> Float[Array, " out_size"]:
        hidden, direct = jnp.split(features.reshape(self.num_cells, -1), [self.weight.shape[1]], axis=1)
        cells = np.array(self.cells)
        present, counts = np.unique(cells, return_counts=True)
        # The rows of each cell as one block, of the size of the largest, so that there is one product.
        blocks = np.zeros((len(present), counts.max()), int)
        back = np.empty(len(cells), int)
        for block, cell in enumerate(present):
            rows = np.flatnonzero(cells == cell)
            blocks[block, : len(rows)] = rows
            back[rows] = block * counts.max() + np.arange(len(rows))
        outputs = (
            jnp.einsum("ci,cri->cr", hidden[present], self.weight[blocks]).reshape(-1)[back] + self.bias
        )
        if self.direct is None:
            return outputs
        leads = np.array(self.leads)
        return outputs.at[leads].add(jnp.sum(self.direct * direct[cells[leads]], axis=1))

    def opened(self, leads: Float[Array, ""], others: Float[Array, ""]) -> "CellwiseLinear":
        """The same, outputs that lead and others following the features by these parts.

        At 0 and 0 there are the linear paths alone.
        """
        parts = np.isin(np.arange(self.out_features), self.leads)
        weight = self.weight * jnp.where(parts, leads, others)[:, None]
        return eqx.tree_at(lambda linear: linear.weight, self, weight)


class CellwiseMLP(eqx.Module):
    """A perceptron for each cell, of a vector that all share and a vector of its own.

        h_i = a(V_i u + W_i v_i + b_i), and from there layer by layer,

    for shared inputs u, own inputs v_i and an activation a. The first of the inputs may be handed on beside
    the features, as direct inputs of what comes next.

    Args:
        num_cells: how many perceptrons.
        shared_size: the length of u.
        own_size: the length of each v_i.
        width: of every layer.
        depth: hidden layers, at least 1.
        activation: by name.
        direct: how many of the shared inputs, and of the own ones, are handed on.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import CellwiseMLP
        >>> networks = CellwiseMLP(3, 2, 5, width=8, depth=2, key=jax.random.key(0))
        >>> networks(networks.of_shared(jnp.zeros(2)), jnp.zeros((3, 5))).shape
        (3, 8)
    """

    shared: eqx.nn.Linear
    own: Float[Array, "cells own_size width"]  # W; saved models name it so
    weights: tuple[Float[Array, "cells width width"], ...]
    biases: tuple[Float[Array, " cells*width"], ...]
    activation: str = eqx.field(static=True)
    direct: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        num_cells: int,
        shared_size: int,
        own_size: int,
        *,
        width: int,
        depth: int,
        activation: Activation = "silu",
        direct: tuple[int, int] = (0, 0),
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
        self.activation, self.direct = activation, direct

    @property
    def out_size(self) -> int:
        """The length of the features of each cell, and of the direct inputs after them."""
        return self.own.shape[-1] + sum(self.direct)

    def of_shared(self, shared: Float[Array, " shared_size"]) -> Float[Array, "cells _"]:
        """V_i u + b_i, which the own inputs do not change; and the direct inputs among the shared ones."""
        cells = self.own.shape[0]
        handed_on = jnp.broadcast_to(shared[: self.direct[0]], (cells, self.direct[0]))
        return jnp.concatenate([affine(self.shared, shared).reshape(cells, -1), handed_on], axis=1)

    def __call__(
        self, first: Float[Array, "cells _"], inputs: Float[Array, "cells own_size"]
    ) -> Float[Array, "cells out_size"]:
        """The features of each cell.

        Args:
            first: what `of_shared` gives.
            inputs: v_i, of each cell.
        """
        activation, (cells, _, width) = ACTIVATIONS[self.activation], self.own.shape
        h = activation(first[:, :width] + jnp.einsum("ci,cio->co", inputs, self.own))
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = activation(jnp.einsum("ci,cio->co", h, weight) + bias.reshape(cells, -1))
        return jnp.concatenate([h, first[:, width:], inputs[:, : self.direct[1]]], axis=1)

    def only(
        self, cell: Int[Array, ""], first: Float[Array, "cells _"], inputs: Float[Array, " own_size"]
    ) -> Float[Array, " out_size"]:
        """The features of one cell, from the inputs of its own."""
        activation, (cells, _, width) = ACTIVATIONS[self.activation], self.own.shape
        h = activation(first[cell, :width] + inputs @ self.own[cell])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = activation(h @ weight[cell] + bias.reshape(cells, -1)[cell])
        return jnp.concatenate([h, first[cell, width:], inputs[: self.direct[1]]])
