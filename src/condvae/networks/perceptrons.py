"""Perceptrons: from a vector to a vector."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Activation = Literal["silu", "relu", "gelu", "elu", "tanh", "softplus"]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
}


def require_activation(name: str) -> None:
    """Refuse a name that `ACTIVATIONS` does not have."""
    if name not in ACTIVATIONS:
        raise ValueError(f"no activation {name!r}: choose one of {', '.join(ACTIVATIONS)}")


def affine(linear: eqx.nn.Linear, x: Float[Array, "*map in_size"]) -> Float[Array, "*map out_size"]:
    """W x + b of a vector, or of each in a map of them; written so that under `vmap` a batch stays rows.

    `linear(x)` itself is W @ x, which `vmap` turns into a product with the batch last: a training step of
    a table model then takes half as long again on a CPU. A map of another kind, as `CellwiseLinear`, is
    called.
    """
    if not isinstance(linear, eqx.nn.Linear):
        return linear(x)
    out = x @ linear.weight.T
    return out if linear.bias is None else out + linear.bias


def require_size(got: tuple[int, ...], expected: int) -> None:
    """Refuse a vector of another length than the network was built for."""
    if got != (expected,):
        raise ValueError(
            f"the network expected {expected} features, got {got[0] if len(got) == 1 else got}: build the "
            "model for inputs of this shape, or pass the inputs that it was built for"
        )


class MLP(eqx.Module):
    """A multilayer perceptron with an activation after every layer: features for a head.

    Args:
        in_size: the length of the input vector.
        width: of each hidden layer, and of the output.
        depth: the number of layers; at 0 the output is the input.
        activation: by name.
        key: for the initial weights, uniform in ±1/√in as in PyTorch.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.networks import MLP
        >>> MLP(3, width=8, depth=2, key=jax.random.key(0))(jnp.zeros(3)).shape
        (8,)
    """

    layers: tuple[eqx.nn.Linear, ...]
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        *,
        width: int,
        depth: int,
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        require_activation(activation)
        sizes = [in_size] + [width] * depth
        keys = jax.random.split(key, max(depth, 1))
        self.layers = tuple(
            eqx.nn.Linear(fan_in, fan_out, key=k)
            for fan_in, fan_out, k in zip(sizes[:-1], sizes[1:], keys, strict=False)
        )
        self.in_size, self.out_size = sizes[0], sizes[-1]
        self.activation = activation

    def __call__(self, x: Float[Array, " in_size"]) -> Float[Array, " out_size"]:
        require_size(x.shape, self.in_size)
        activation = ACTIVATIONS[self.activation]
        for layer in self.layers:
            x = activation(affine(layer, x))
        return x


class ResidualMLP(eqx.Module):
    """A residual perceptron: h ← h + W₂ act(W₁ norm(h)), repeated, after a linear layer.

    Args:
        in_size: the length of the input vector.
        width: of the residual stream and of the hidden layers.
        depth: the number of residual blocks.
        activation: by name.
        key: for the initial weights.
    """

    embed: eqx.nn.Linear
    norms: tuple[eqx.nn.LayerNorm, ...]
    expand: tuple[eqx.nn.Linear, ...]
    project: tuple[eqx.nn.Linear, ...]
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        *,
        width: int,
        depth: int,
        activation: Activation = "silu",
        key: PRNGKeyArray,
    ):
        require_activation(activation)
        key, embed_key = jax.random.split(key)
        keys = jax.random.split(key, 2 * max(depth, 1))
        self.embed = eqx.nn.Linear(in_size, width, key=embed_key)
        self.norms = tuple(eqx.nn.LayerNorm(width) for _ in range(depth))
        self.expand = tuple(eqx.nn.Linear(width, width, key=keys[2 * i]) for i in range(depth))
        self.project = tuple(eqx.nn.Linear(width, width, key=keys[2 * i + 1]) for i in range(depth))
        self.in_size, self.out_size = in_size, width
        self.activation = activation

    def __call__(self, x: Float[Array, " in_size"]) -> Float[Array, " out_size"]:
        require_size(x.shape, self.in_size)
        activation = ACTIVATIONS[self.activation]
        h = affine(self.embed, x)
        for norm, expand, project in zip(self.norms, self.expand, self.project, strict=True):
            h = h + affine(project, activation(affine(expand, norm(h))))
        return h
