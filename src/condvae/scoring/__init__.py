"""Scoring: log p_θ(x | c), with its error."""

from condvae.scoring.importance import LogProb, log_prob

__all__ = ["LogProb", "log_prob"]
