"""Scoring: log p_θ(x | c), with its error; its bounds; and missing cells, by the same weights."""

from condvae.scoring.bounds import bound
from condvae.scoring.estimates import LogProb, Totals
from condvae.scoring.importance import log_prob
from condvae.scoring.imputation import impute

__all__ = ["LogProb", "Totals", "bound", "impute", "log_prob"]
