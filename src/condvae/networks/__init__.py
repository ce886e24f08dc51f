"""Networks: from a pytree of inputs to one vector, and from there to what a head takes.

*Encoders* turn whatever x, z and c are into one vector: `Features` by laying it out flat, `PiecewiseLinear`
numbers by the quantiles that they lie between too, `ConvEncoder` and `PatchEncoder` images, `SetEncoder`
sets, `SequenceEncoder` sequences; `ByPart` gives each part of the inputs an encoder of its own. Missing
cells are `Observed`: what is stored in them is never used.

From there `MLP` and `ResidualMLP` go to another vector, `ConvDecoder`, `PatchDecoder` and `SetDecoder` to a
map of them, one for each pixel of an image, step of a sequence or element of a set. Everything is for one
example.
"""

from condvae.networks.attention import AttentionBlock
from condvae.networks.cellwise import CellwiseLinear, CellwiseMLP
from condvae.networks.convolutions import ConvDecoder, ConvEncoder
from condvae.networks.encoders import ByPart, Encoder
from condvae.networks.features import Features, Transform
from condvae.networks.patches import PatchDecoder, PatchEncoder
from condvae.networks.perceptrons import ACTIVATIONS, MLP, Activation, ResidualMLP, affine
from condvae.networks.piecewise import PiecewiseLinear, quantile_knots
from condvae.networks.pixels import Pixels
from condvae.networks.sequences import SequenceEncoder
from condvae.networks.sets import SetDecoder, SetEncoder

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Activation",
    "AttentionBlock",
    "ByPart",
    "CellwiseLinear",
    "CellwiseMLP",
    "ConvDecoder",
    "ConvEncoder",
    "Encoder",
    "Features",
    "PatchDecoder",
    "PatchEncoder",
    "PiecewiseLinear",
    "Pixels",
    "ResidualMLP",
    "SequenceEncoder",
    "SetDecoder",
    "SetEncoder",
    "Transform",
    "affine",
    "quantile_knots",
]
