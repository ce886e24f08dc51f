"""Scoring: log p_θ(x | c), with its error; its bounds; and missing cells, by the same weights."""

from condvae.scoring.annealing import Annealed, Sandwich, anneal, sandwich
from condvae.scoring.bounds import bound
from condvae.scoring.estimates import LogProb, Totals
from condvae.scoring.importance import log_prob
from condvae.scoring.imputation import impute

__all__ = ["Annealed", "LogProb", "Sandwich", "Totals", "anneal", "bound", "impute", "log_prob", "sandwich"]
