"""What is simpler than a conditional VAE: the marginal, chains of regressions or of trees, similar rows."""

from condvae.baselines.blocks import design_matrix
from condvae.baselines.boosted import BoostedTrees, fit_boosted_trees
from condvae.baselines.linear import VARIANCE_FLOOR, Baseline, fit_baseline
from condvae.baselines.neighbours import Neighbours, fit_neighbours

__all__ = [
    "VARIANCE_FLOOR",
    "Baseline",
    "BoostedTrees",
    "Neighbours",
    "design_matrix",
    "fit_baseline",
    "fit_boosted_trees",
    "fit_neighbours",
]
