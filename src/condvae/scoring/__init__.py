"""Scoring: log p_θ(x | c), its error and its bounds; missing cells; rows again from their latents."""

from condvae.scoring.annealing import Annealed, Sandwich, anneal, sandwich
from condvae.scoring.bounds import bound
from condvae.scoring.estimates import LogProb, ScoreSummary, Totals
from condvae.scoring.importance import log_prob
from condvae.scoring.imputation import Imputed, impute, imputed
from condvae.scoring.reconstruction import PosteriorMean, posterior_mean, reconstruct

__all__ = [
    "Annealed",
    "Imputed",
    "LogProb",
    "PosteriorMean",
    "Sandwich",
    "ScoreSummary",
    "Totals",
    "anneal",
    "bound",
    "impute",
    "imputed",
    "log_prob",
    "posterior_mean",
    "reconstruct",
    "sandwich",
]
