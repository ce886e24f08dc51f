"""A Gaussian copula: what independent densities of several targets have in common."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from condvae.baselines.blocks import chunks

DRAWS, FITTING_DRAWS, ROUNDS = 256, 32, 20
"""Draws of each row for its density, and while correlations are fitted; rounds in which they are."""

WIDTHS = (0.0, 0.1, 0.9)
"""Widths in u that part points, narrow intervals, wide ones and missing cells: few orders of targets."""

FITTING_ROWS = 5000
"""Rows that correlations are fitted to, at most: at random."""

PRIOR_ROWS = 3.0
"""Rows of independent targets that the correlations are shrunk by."""

EDGE = 1e-12
"""No probability is nearer to 0 or 1: its normal score is finite."""


@dataclass(frozen=True, eq=False)
class GaussianCopula:
    """The density of a row beside that of independent targets, c(u) = N(z; 0, R) / prod_i N(z_i; 0, 1).

    u_i = P(x_i <= value | c) and z_i is its normal score. A target that has an atom at its value has an
    interval of u instead: the density is then the probability of the box of z, over the product of those of
    its sides. It is estimated by drawing z one target after another, each between its ends given those
    before (Geweke, Hajivassiliou and Keane).

    Attributes:
        correlation: R, [d, d].

    Example:
        >>> import numpy as np
        >>> from condvae.baselines.copula import GaussianCopula
        >>> copula = GaussianCopula(np.array([[1.0, 0.8], [0.8, 1.0]]))
        >>> both_above = np.array([[0.5, 0.5]]), np.ones((1, 2))
        >>> exact = np.log((0.25 + np.arcsin(0.8) / (2 * np.pi)) / 0.25)  # Sheppard
        >>> bool(abs(copula.log_density(*both_above)[0] - exact) < 0.02)
        True
    """

    correlation: np.ndarray

    def log_density(self, low: np.ndarray, high: np.ndarray, seed: int = 0) -> np.ndarray:
        """log c of each row, [n], of the intervals of u, [n, d] each; 0 to 1 where a target is missing."""
        total = np.zeros(len(low))
        for rows in chunks(len(low), DRAWS * low.shape[1]):
            weight, _ = _draw(self.correlation, low[rows], high[rows], DRAWS, seed)
            total[rows] = logsumexp(weight, axis=1) - np.log(DRAWS)
        return total


def fit_gaussian_copula(low: np.ndarray, high: np.ndarray, seed: int = 0) -> GaussianCopula:
    """The correlations that are most likely, given the intervals of u of the rows, [n, d] each.

    By expectation-maximisation: E[z z'] of each row given its intervals, scaled to a unit diagonal.

    Source: Hoff (2007), Ann. Appl. Stat. 1, for a copula of mixed columns by the ranges of their scores.
    """
    n, d = low.shape
    correlation = np.eye(d)
    if n < 2 or d < 2:
        return GaussianCopula(correlation)
    if n > FITTING_ROWS:
        some = np.random.default_rng(seed).permutation(n)[:FITTING_ROWS]
        low, high, n = low[some], high[some], FITTING_ROWS
    for _ in range(ROUNDS):
        moment = PRIOR_ROWS * np.eye(d)
        for rows in chunks(n, FITTING_DRAWS * d):
            log_weight, z = _draw(correlation, low[rows], high[rows], FITTING_DRAWS, seed)
            weight = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
            moment += np.einsum("ns,nsi,nsj->ij", weight, z, z)
        scale = np.sqrt(np.diag(moment))
        correlation = moment / np.outer(scale, scale)
    return GaussianCopula(correlation)


def _draw(
    correlation: np.ndarray, low: np.ndarray, high: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log-weights [n, S] and z [n, S, d] between the ends: points first, wide intervals last."""
    n, d = low.shape
    rng = np.random.default_rng(seed)
    low, high = np.clip(low, EDGE, 1 - EDGE), np.clip(high, EDGE, 1 - EDGE)
    # What is drawn before what it must agree with would be drawn in vain.
    wide = np.digitize(high - low, WIDTHS, right=True)
    orders, which = np.unique(np.argsort(wide, axis=1, kind="stable"), axis=0, return_inverse=True)
    log_weight, z = np.zeros((n, draws)), np.zeros((n, draws, d))
    for k, order in enumerate(orders):
        rows = np.flatnonzero(which == k)
        factor = np.linalg.cholesky(correlation[np.ix_(order, order)])
        ends = low[np.ix_(rows, order)], high[np.ix_(rows, order)]
        log_weight[rows], z[np.ix_(rows, np.arange(draws), order)] = _one_after_another(
            factor, *ends, draws, rng
        )
    return log_weight, z


def _one_after_another(
    factor: np.ndarray, low: np.ndarray, high: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Log-weights and z by the Cholesky factor of their correlations, each given those before it."""
    n, d = low.shape
    ends = np.where(low <= EDGE, -np.inf, ndtri(low)), np.where(high >= 1 - EDGE, np.inf, ndtri(high))
    log_weight, z, noise = np.zeros((n, draws)), np.zeros((n, draws, d)), np.zeros((n, draws, d))
    for i in range(d):
        mean, scale = noise[:, :, :i] @ factor[i, :i], factor[i, i]
        single = (high[:, i] <= low[:, i])[:, None]
        u = rng.permuted((np.arange(draws) + rng.random((n, draws))) / draws, axis=1)
        below, above = ((end[:, i, None] - mean) / scale for end in ends)
        # On the side where tails are small: what is between the ends keeps its digits there.
        turned = below > 0
        below, above = np.where(turned, -above, below), np.where(turned, -below, above)
        within = np.maximum(ndtr(above) - ndtr(below), 1e-300)
        drawn = ndtri(np.clip(ndtr(below) + u * within, 1e-300, 1 - EDGE))
        drawn = np.where(turned, -drawn, drawn)
        point = np.where(single, ndtri(low[:, i])[:, None], 0.0)
        noise[:, :, i] = np.where(single, (point - mean) / scale, drawn)
        z[:, :, i] = mean + scale * noise[:, :, i]
        density = -0.5 * (noise[:, :, i] ** 2 - point**2) - np.log(scale)
        sides = np.log(within) - np.log(np.maximum(high - low, 1e-300))[:, i, None]
        log_weight += np.where(single, density, sides)
    return log_weight, z
