"""Networks: from a pytree of inputs to one vector of features.

`Features` turns whatever x, z and c are into one flat vector, and `MLP` and `ResidualMLP` turn
vectors into vectors. Everything is for one example.
"""

from condvae.networks.features import Features
from condvae.networks.perceptrons import ACTIVATIONS, MLP, Activation, ResidualMLP, affine

__all__ = ["ACTIVATIONS", "MLP", "Activation", "Features", "ResidualMLP", "affine"]
