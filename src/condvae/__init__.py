"""Conditional variational autoencoders: the whole distribution of x given c, and how far to trust it."""

from condvae.distributions import Distribution
from condvae.model import CVAE, Draws, encode, reconstruct, sample
from condvae.objectives import elbo, iwae, sticking_the_landing
from condvae.observed import Observed
from condvae.scoring import LogProb, log_prob
from condvae.training import Fit, History, fit

__version__ = "0.1.0"

__all__ = [
    "CVAE",
    "Distribution",
    "Draws",
    "Fit",
    "History",
    "LogProb",
    "Observed",
    "elbo",
    "encode",
    "fit",
    "iwae",
    "log_prob",
    "reconstruct",
    "sample",
    "sticking_the_landing",
]
