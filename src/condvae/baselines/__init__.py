"""What is simpler than a conditional VAE: the marginal, and regression on the conditions."""

from condvae.baselines.blocks import design_matrix
from condvae.baselines.linear import VARIANCE_FLOOR, Baseline, fit_baseline

__all__ = ["VARIANCE_FLOOR", "Baseline", "design_matrix", "fit_baseline"]
