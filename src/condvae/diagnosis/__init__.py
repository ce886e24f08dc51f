"""Diagnosis: where the nats go, and whether the model is right."""

from condvae.diagnosis.collapse import collapse
from condvae.diagnosis.conditions import ConditionUse, condition_use
from condvae.diagnosis.decomposition import Decomposition, decompose
from condvae.diagnosis.gaps import Gaps, gaps
from condvae.diagnosis.inference import Ranks, posterior_ranks
from condvae.diagnosis.latent import LatentUse, latent_use
from condvae.diagnosis.prior_match import PriorMatch, prior_match

__all__ = [
    "ConditionUse",
    "Decomposition",
    "Gaps",
    "LatentUse",
    "PriorMatch",
    "Ranks",
    "collapse",
    "condition_use",
    "decompose",
    "gaps",
    "latent_use",
    "posterior_ranks",
    "prior_match",
]
