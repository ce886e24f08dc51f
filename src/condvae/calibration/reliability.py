"""Whether probabilities of categories come true as often as they say."""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """Of a level's predicted probabilities, in bins: how often it was observed.

    Attributes:
        predicted: the mean probability in each bin, [B].
        observed: the share of rows in the bin that had the level, [B].
        stderr: of that share, were the probabilities right, [B].
        rows: how many are in each bin, [B].
    """

    predicted: np.ndarray
    observed: np.ndarray
    stderr: np.ndarray
    rows: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |observed − predicted| over rows."""
        return float(np.sum(self.rows * np.abs(self.observed - self.predicted)) / np.sum(self.rows))


def reliability(probability: np.ndarray, hit: np.ndarray, bins: int = 10) -> Reliability:
    """A reliability curve, in bins of equally many rows.

    Args:
        probability: [n], predicted.
        hit: [n], whether it came true.
        bins: at most so many; rows with equal probabilities are never parted.

    Raises:
        ValueError: if there are no rows, or shapes differ.

    Source: DeGroot and Fienberg (1983), The Statistician 32; Naeini et al. (2015) for the error.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import reliability
        >>> curve = reliability(np.array([0.2] * 5 + [0.9] * 10), np.array([1, 0, 0, 0, 0] + [1] * 9 + [0]))
        >>> curve.predicted.round(2).tolist(), curve.observed.tolist(), round(curve.error, 3)
        ([0.2, 0.9], [0.2, 0.9], 0.0)
    """
    p, hit = np.asarray(probability, np.float64), np.asarray(hit, np.float64)
    if p.shape != hit.shape or p.ndim != 1 or not len(p):
        raise ValueError(
            f"probability has shape {p.shape} and hit {hit.shape}, expected [n] of 1 row or more"
        )
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
    place = np.searchsorted(edges, p, side="right")
    _, place, count = np.unique(place, return_inverse=True, return_counts=True)
    predicted, observed, variance = (np.bincount(place, w) / count for w in (p, hit, p * (1 - p)))
    return Reliability(predicted, observed, np.sqrt(variance / count), count)
