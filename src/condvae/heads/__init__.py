"""Heads: from a vector of features to a distribution.

A head ends a network. Each holds the linear map to its own parameters, and the shape of one value. One of
independent cells takes a map of feature vectors too, (H, W, in_size), as `ConvDecoder` and `PatchDecoder`
make them: its weights are then shared by all positions, and its `shape` is that of one position, () of a
grey image, (3,) of one in colour.
Scales are positive by a log-scale that is bounded smoothly: a per-example scale with nothing under it
makes the likelihood unbounded on constant or rounded cells.

- `GaussianHead`, `StudentTHead` and `BernoulliHead` are independent cells, of which most data are made.
- `FamilyHead` is independent cells of any family in `FAMILIES`, by name: counts, positive and bounded
  numbers, limits, rounded values.
- `MixtureHead` is several components of one family in each cell; `PixelHead` pixels of 8 bits.
- `CategoricalHead`, `OrdinalHead` and `EmbeddingHead` are categories, in an order, or very many;
  `RelaxedCategoricalHead` is what a latent of many is made of.
- `FullGaussianHead` and `LowRankGaussianHead` are cells that hang together given the features;
  `GaussianMixtureHead` and `FlowHead` are of any shape.
- `UniversalHead` is columns of any kind: single values, grids, and numbers of any distribution.
- `ColumnsHead` is a row of numbers, each of a family of its own; `CodesHead` of categories, of which some
  are in an order.
- `ProductHead` is a row of mixed kinds.
"""

from condvae.heads.categories import CategoricalHead, EmbeddingHead, OrdinalHead, RelaxedCategoricalHead
from condvae.heads.cellwise import cellwise, owners
from condvae.heads.families import FAMILIES, Family, FamilyHead, MixtureHead, PixelHead
from condvae.heads.flows import FlowHead, FlowKind
from condvae.heads.independent import BernoulliHead, GaussianHead, StudentTHead
from condvae.heads.joint import (
    FullGaussianHead,
    GaussianMixtureHead,
    LowRankGaussianHead,
    ProductHead,
)
from condvae.heads.mixed import Cell, CodesHead, ColumnsHead
from condvae.heads.scales import LOG_SCALE_BOUNDS, Head, LocationScale, Scale, bounded_exp
from condvae.heads.universal import UniversalCell, UniversalHead

__all__ = [
    "FAMILIES",
    "LOG_SCALE_BOUNDS",
    "BernoulliHead",
    "CategoricalHead",
    "Cell",
    "CodesHead",
    "ColumnsHead",
    "EmbeddingHead",
    "Family",
    "FamilyHead",
    "FlowHead",
    "FlowKind",
    "FullGaussianHead",
    "GaussianHead",
    "GaussianMixtureHead",
    "Head",
    "LocationScale",
    "LowRankGaussianHead",
    "MixtureHead",
    "OrdinalHead",
    "PixelHead",
    "ProductHead",
    "RelaxedCategoricalHead",
    "Scale",
    "StudentTHead",
    "UniversalCell",
    "UniversalHead",
    "bounded_exp",
    "cellwise",
    "owners",
]
