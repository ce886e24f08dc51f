"""Linear regression with Gaussian noise, Bayesian, under the reference prior p(β, σ²) ∝ 1 / σ².

The predictive density is exact and in closed form, a Student-t: with r the rank of the design matrix (with
a constant column), s² the residual sum of squares over n − r, and h the leverage of the row,

    y | X  ~  t(n − r; mean X β, scale s √(1 + h)).

It has no setting. It is the floor: what is worse than this has learned nothing from the data's curves.
"""

import numpy as np
from scipy import stats

from uci_peers.data import Standardiser

VERSIONS = ["numpy", "scipy"]


class Linear:
    def __init__(self, X: np.ndarray, y: np.ndarray, seed: int):
        self.units, self.seed = Standardiser(X, y), seed
        u, singular, vt = np.linalg.svd(self.design(X), full_matrices=False)
        kept = singular > singular[0] * 1e-6  # the energy data have columns that are sums of others
        self.whiten = vt[kept].T / singular[kept]  # design @ whiten has orthonormal columns
        self.beta = self.whiten @ (u[:, kept].T @ y)
        self.degrees = len(y) - kept.sum()
        self.scale = np.sqrt(np.sum((y - self.design(X) @ self.beta) ** 2) / self.degrees)

    def design(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(X)), self.units.X(X).astype(float)])

    def predictive(self, X: np.ndarray):
        leverage = np.sum((self.design(X) @ self.whiten) ** 2, axis=1)
        return stats.t(self.degrees, self.mean(X), self.scale * np.sqrt(1 + leverage))

    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.predictive(X).logpdf(y)

    def mean(self, X: np.ndarray) -> np.ndarray:
        return self.design(X) @ self.beta

    def sample(self, X: np.ndarray, draws: int) -> np.ndarray:
        generator = np.random.default_rng(self.seed)
        return self.predictive(X).rvs((draws, len(X)), random_state=generator).T


fit = Linear
