"""Diagnosis: where the nats go, and whether the model is right."""

from condvae.diagnosis.decomposition import Decomposition, decompose
from condvae.diagnosis.gaps import Gaps, gaps

__all__ = ["Decomposition", "Gaps", "decompose", "gaps"]
