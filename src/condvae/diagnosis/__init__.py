"""Diagnosis: where the nats go, and whether the model is right."""

from condvae.diagnosis.decomposition import Decomposition, decompose

__all__ = ["Decomposition", "decompose"]
