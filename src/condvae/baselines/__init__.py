"""What is simpler than a conditional VAE: the marginal, regression on the conditions, and similar rows."""

from condvae.baselines.blocks import design_matrix
from condvae.baselines.linear import VARIANCE_FLOOR, Baseline, fit_baseline
from condvae.baselines.neighbours import Neighbours, fit_neighbours

__all__ = ["VARIANCE_FLOOR", "Baseline", "Neighbours", "design_matrix", "fit_baseline", "fit_neighbours"]
