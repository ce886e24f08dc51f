"""Intervals of draws, how often they hold what was observed, and how wide they should have been."""

import numpy as np

from condvae.calibration.checks import check_samples, chunks


def central_interval(samples: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """The central interval of each row's draws, whose ends are two of the draws.

    With a = (1 - coverage) / 2, from the draw of rank floor(a (S + 1)) to that of rank
    ceil((1 - a) (S + 1)), and no further than the smallest and the largest. A value that is distributed as
    the draws are lies in it with at least the probability `coverage`, exactly, if S >= 2 / (1 - coverage)
    - 1; with fewer draws it is the range of the draws, which holds (S - 1) / (S + 1).

    Args:
        samples: [n, S].
        coverage: in [0, 1].

    Returns:
        (low, high), float64 [n] each.

    Raises:
        ValueError: if `coverage` is no probability, or `samples` not of shape [n, S].

    Source: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World: the ranks of
    exchangeable values.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import central_interval
        >>> central_interval(np.arange(1.0, 20.0)[None], 0.9)
        (array([1.]), array([19.]))
        >>> central_interval(np.arange(1.0, 20.0)[None], 0.5)
        (array([5.]), array([15.]))
    """
    _check_coverage(coverage, 0.0)
    samples = check_samples(samples)
    draws = samples.shape[1]
    # Not thrown to the next rank by the rounding of, say, 1 - 0.9.
    low_rank = np.floor((1 - coverage) / 2 * (draws + 1) + 1e-9)
    first = int(np.clip(low_rank, 1, draws)) - 1
    last = int(np.clip(draws + 1 - low_rank, 1, draws)) - 1
    first, last = min(first, last), max(first, last)
    low, high = np.empty(len(samples)), np.empty(len(samples))
    for rows in chunks(samples.shape):
        part = np.partition(samples[rows], sorted({first, last}), axis=1)
        low[rows], high[rows] = part[:, first], part[:, last]
    return low, high


def covers(low: np.ndarray, high: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Whether each interval, ends included, holds the observed value; false where that is NaN.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import covers
        >>> covers(np.zeros(3), np.ones(3), np.array([1.0, 1.5, np.nan]))
        array([ True, False, False])
    """
    return (np.asarray(low) <= observed) & (np.asarray(observed) <= high)


def coverage(low: np.ndarray, high: np.ndarray, observed: np.ndarray) -> tuple[float, float]:
    """The fraction of the observed values that their intervals hold, and its standard error.

    Values of NaN are left out. The standard error is sqrt(p (1 - p) / m) with two hits and two misses
    added to the m values, so that it is not 0 where every interval, or none, held its value.

    Raises:
        ValueError: if nothing is observed.

    Source: Agresti and Coull (1998), The American Statistician 52.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import coverage
        >>> mean, stderr = coverage(np.zeros(4), np.ones(4), np.array([0.2, 0.4, 1.5, np.nan]))
        >>> round(mean, 3), round(stderr, 3)
        (0.667, 0.187)
    """
    seen = int((~np.isnan(np.asarray(observed, float))).sum())
    if not seen:
        raise ValueError("no value is observed, so there is no coverage to measure")
    hits = int(covers(low, high, observed).sum())
    p = (hits + 2) / (seen + 4)
    return hits / seen, float(np.sqrt(p * (1 - p) / (seen + 4)))


def conformal_score(below: np.ndarray, up_to: np.ndarray) -> np.ndarray:
    """How far from the middle of its predictive distribution an observed value y lies, 0 to 1/2.

    max(F(y-) - 1/2, 1/2 - F(y), 0), from F(y-) = P(x < y) and F(y) = P(x <= y). It is at most h exactly
    for the values from the least y with F(y) >= 1/2 - h to the greatest with F(y-) <= 1/2 + h: an interval
    of values that there can be, of which the median is always one. Of a continuous distribution it is
    |F(y) - 1/2|.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import conformal_score
        >>> conformal_score(np.array([0.0, 0.75]), np.array([0.75, 1.0])).tolist()  # of 0 and 1
        [0.0, 0.25]
    """
    return np.maximum(np.maximum(np.asarray(below) - 0.5, 0.5 - np.asarray(up_to)), 0.0)


def conformal_level(calibration_pit: np.ndarray, coverage: float) -> float:
    """The h for which values with `conformal_score` at most h hold new rows as often as is asked.

    h is the ceil((m + 1) coverage)-th smallest score of m rows that had no part in training. For a new
    row, exchangeable with them, P(score <= h) >= coverage whatever is wrong with the predictive
    distributions: on average over rows, not for each condition. It is above coverage + 1 / (m + 1) only
    where scores are equal: where the median alone holds more rows than asked for (then h is 0), or where
    rows share one discrete distribution. Of a continuous quantity the interval is
    `central_interval(samples, 2 * h)`.

    Two limits. Where m < coverage / (1 - coverage) no h will do, and 1/2 is returned: all values that
    there can be. And the range of S draws is the widest interval that draws can give: what lies beyond all
    of them is not covered, though it counts in h; draw more where h > 1/2 - 1 / (S + 1).

    Args:
        calibration_pit: [m], F(y), from `pit`, of a continuous quantity; [m, 2], F(y-) and F(y), of any.
        coverage: in (0, 1).

    Returns:
        h, in [0, 1/2].

    Raises:
        ValueError: if a PIT is not in [0, 1] (mask missing values first), or `coverage` not in (0, 1).

    Source: Chernozhukov, Wüthrich and Zhu (2021), Distributional conformal prediction, PNAS 118.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import conformal_level
        >>> conformal_level(np.array([0.5, 0.75, 0.25, 0.125]), 0.6)
        0.25
        >>> conformal_level(np.array([0.5, 0.75, 0.25, 0.125]), 0.9)
        0.5
    """
    _check_coverage(coverage, np.finfo(float).tiny, np.nextafter(1, 0))
    u = np.asarray(calibration_pit, np.float64)
    u = np.stack([u, u], axis=1) if u.ndim == 1 else u
    if u.ndim != 2 or u.shape[1] != 2 or not ((u >= 0) & (u <= 1)).all():
        raise ValueError(
            "calibration_pit must be numbers between 0 and 1, one a row or two; mask missing values"
        )
    return min(0.5, conformal_rank(conformal_score(u[:, 0], u[:, 1]), coverage))


def conformal_rank(scores: np.ndarray, coverage: float) -> float:
    """The ceil((m + 1) coverage)-th smallest of m scores; infinite where there are fewer.

    A new score, exchangeable with them, is at most that with a probability of at least `coverage`.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration.intervals import conformal_rank
        >>> conformal_rank(np.arange(9.0), 0.9), conformal_rank(np.arange(8.0), 0.9)
        (8.0, inf)
    """
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    if rank > len(scores):
        return np.inf
    return float(np.partition(scores, rank - 1)[rank - 1])


def _check_coverage(coverage: float, low: float, high: float = 1.0) -> None:
    if not low <= coverage <= high:
        raise ValueError(f"the coverage is {coverage}, expected a probability such as 0.9")
