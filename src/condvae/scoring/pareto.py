"""Pareto k̂: how heavy the tail of importance weights is, and so whether their error can be believed."""

import numpy as np
from jaxtyping import Float, Num


def tail_size(num_draws: int) -> int:
    """How many of the largest weights are taken for the tail: min(S / 5, 3 √S)."""
    return int(np.ceil(min(0.2 * num_draws, 3.0 * np.sqrt(num_draws))))


def threshold(num_draws: Num[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The k̂ above which S draws do not suffice for a normal error: min(1 − 1 / log₁₀ S, 0.5).

    Above 1/2 weights have no variance, and the error that they show means nothing. (Vehtari et al. allow
    0.7 after smoothing the largest weights, which is not done here: a smoothed mean is biased.)

    Source:
        Vehtari et al. 2024, equation 11.
    """
    return np.minimum(1.0 - 1.0 / np.log10(np.maximum(num_draws, 2)), 0.5)


def pareto_k(
    largest: Float[np.ndarray, "n tail"], eps: float = float(np.finfo(np.float32).eps)
) -> Float[np.ndarray, " n"]:
    """k̂ of each row: the shape of a generalised Pareto distribution fitted to the largest weights.

    Weights have finite moments of every order below 1/k: at k < 1/2 a variance, at k ≥ 1 not even a mean.
    The fit is Zhang and Stephens', drawn a little towards 1/2 where there are few weights.

    Args:
        largest: the largest log-weights of each row, in any order, shape (n, M + 1): the smallest of them
            is the threshold that the tail begins at. −inf are weights of 0.
        eps: the precision that the log-weights were computed in; a tail no wider than its rounding counts
            as constant.

    Returns:
        Shape (n,): −inf where the tail is constant, +inf where fewer than M + 1 weights are above 0, NaN
        where there are fewer than 5 weights.

    Source:
        Zhang and Stephens 2009; Vehtari, Simpson, Gelman, Yao and Gabry 2024.

    Example:
        >>> import numpy as np
        >>> from condvae.scoring.pareto import pareto_k
        >>> rng = np.random.default_rng(0)
        >>> log_weights = 0.4 * rng.exponential(size=(1, 100_000))  # Pareto weights with k = 0.4
        >>> print(np.round(pareto_k(np.sort(log_weights)[:, -950:]), 1), pareto_k(np.zeros((1, 20))))
        [0.4] [-inf]
    """
    ordered = np.sort(np.asarray(largest, np.float64), axis=1)
    n, size = ordered.shape
    if size < 5:
        return np.full(n, np.nan)
    top, floor = ordered[:, -1], ordered[:, 0]
    shapes = np.full(n, np.inf)
    fits = np.isfinite(floor) & np.isfinite(top)
    rounding = 32.0 * eps * np.maximum(np.abs(np.where(fits, top, 0.0)), 1.0)
    constant = fits & (np.where(fits, top, 0.0) - np.where(fits, floor, 0.0) <= rounding)
    shapes[constant] = -np.inf
    heavy = fits & ~constant
    if heavy.any():
        weights = np.exp(ordered[heavy] - top[heavy, None])
        shapes[heavy] = _shape(weights[:, 1:] - weights[:, :1])
    return shapes


def _shape(excess: np.ndarray) -> np.ndarray:
    """The shape of a generalised Pareto distribution, for excesses (n, M), each row in ascending order."""
    n, size = excess.shape
    # θ = −k/σ by the mean of its posterior on a grid that adapts to the data.
    grid = 30 + int(np.sqrt(size))
    quartile = np.maximum(excess[:, int(size / 4 + 0.5) - 1], 1e-30 * excess[:, -1])
    theta = (1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3.0 * quartile[:, None])
    theta = theta + 1.0 / excess[:, -1:]
    profile = np.empty((n, grid))
    for i in range(grid):
        k = np.mean(np.log1p(-theta[:, i, None] * excess), axis=1)
        profile[:, i] = size * (np.log(-theta[:, i] / k) - k - 1.0)
    share = np.exp(profile - profile.max(axis=1, keepdims=True))
    mean = np.sum(theta * share, axis=1) / share.sum(axis=1)
    k = np.mean(np.log1p(-mean[:, None] * excess), axis=1)
    return (size * k + 5.0) / (size + 10.0)
