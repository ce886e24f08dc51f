"""The front door for people who have tables: frames in, the same kind of frame out."""

from condvae.estimator.conditional_vae import ConditionalVAE
from condvae.estimator.evaluation import evaluate

__all__ = ["ConditionalVAE", "evaluate"]
