"""Judging a fitted model by the rows of a table: what it is worth there, and whether it is right."""

from condvae.judging.diagnosing import Diagnosis, diagnose, evaluate

__all__ = ["Diagnosis", "diagnose", "evaluate"]
