"""How well predictive distributions, given as draws, fit what was observed: arrays in, arrays out.

A row is one example, and its draws are from the predictive distribution of one real quantity. An observed
value of NaN is a missing one: its score is NaN, and no interval covers it.
"""

from collections.abc import Iterator

import numpy as np

CELLS = 1 << 22  # draws sorted at a time: 32 MiB of float64


def crps(samples: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The continuous ranked probability score of each row, estimated without bias from S draws.

        CRPS(F, y) = E|X - y| - E|X - X'| / 2 = integral of (F(t) - 1{y <= t})^2 dt,   X, X' ~ F

    The second expectation is over pairs of *different* draws, so that few draws are not punished for
    being few (the "fair" score); a single row's estimate can therefore be negative. Lower is better;
    in the units of the quantity. For a point forecast it is the absolute error.

    Args:
        samples: [n, S], S >= 2.
        observed: [n]; NaN where missing.

    Returns:
        float64 [n]; NaN where `observed` is.

    Raises:
        ValueError: if the shapes do not belong together, or there is a single draw.

    Sources: Gneiting and Raftery (2007), J. Amer. Statist. Assoc. 102, eq. 21; Ferro (2014), Q. J. R.
    Meteorol. Soc. 140, for the unbiased form.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import crps
        >>> crps(np.array([[0.0, 1.0, 2.0]]), np.array([1.0]))
        array([0.])
        >>> crps(np.array([[3.0, 3.0]]), np.array([5.0]))
        array([2.])
    """
    samples, observed = _check(samples, observed)
    draws = samples.shape[1]
    if draws < 2:
        raise ValueError(f"samples has {draws} draws a row, expected at least 2")
    # The sum over pairs of |x_i - x_j| is a weighted sum of the sorted draws.
    rank_weight = (2 * np.arange(1, draws + 1) - draws - 1) / (draws * (draws - 1.0))
    score = np.empty(len(observed))
    for rows in _chunks(samples.shape):
        # Relative to y, so that draws far from 0 lose no digits in the difference of two large terms.
        distance = np.sort(samples[rows] - observed[rows, None], axis=1)
        score[rows] = np.abs(distance).mean(axis=1) - distance @ rank_weight
    return score


def pit(samples: np.ndarray, observed: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """The probability integral transform of each observed value, by its rank among the draws.

        u = (#{draws < y} + v (1 + #{draws = y})) / (S + 1),   v ~ U(0, 1)

    If y is distributed as the draws are, u is uniform on (0, 1): exactly, for any S, and for discrete
    quantities too, whose ties v breaks at random. Without `rng`, v = 1/2: reproducible, with the same
    mean, but a little short of uniform, and not uniform at all where ties are many.

    Args:
        samples: [n, S].
        observed: [n]; NaN where missing.
        rng: draws v.

    Returns:
        float64 [n], in (0, 1); NaN where `observed` is.

    Raises:
        ValueError: if the shapes do not belong together.

    Sources: Czado, Gneiting and Held (2009), Biometrics 65, for the randomised transform of discrete
    quantities; Gneiting and Raftery (2007).

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import pit
        >>> pit(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 5.0]]), np.array([2.5, 4.0]))
        array([0.625, 0.375])
    """
    samples, observed = _check(samples, observed)
    below, ties = np.empty(len(observed)), np.empty(len(observed))
    for rows in _chunks(samples.shape):
        below[rows] = (samples[rows] < observed[rows, None]).sum(axis=1)
        ties[rows] = (samples[rows] == observed[rows, None]).sum(axis=1)
    share = 0.5 if rng is None else rng.random(len(observed))
    u = (below + share * (1 + ties)) / (samples.shape[1] + 1)
    return np.where(np.isnan(observed), np.nan, u)


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
    samples = _check_samples(samples)
    draws = samples.shape[1]
    # Not thrown to the next rank by the rounding of, say, 1 - 0.9.
    low_rank = np.floor((1 - coverage) / 2 * (draws + 1) + 1e-9)
    first = int(np.clip(low_rank, 1, draws)) - 1
    last = int(np.clip(draws + 1 - low_rank, 1, draws)) - 1
    first, last = min(first, last), max(first, last)
    low, high = np.empty(len(samples)), np.empty(len(samples))
    for rows in _chunks(samples.shape):
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


def conformal_level(calibration_pit: np.ndarray, coverage: float) -> float:
    """The half-width h of the PIT interval [1/2 - h, 1/2 + h] that holds new rows as often as is asked.

    h is the ceil((m + 1) coverage)-th smallest of |u_i - 1/2|, over m rows that had no part in training.
    For a new row, exchangeable with them, P(|u - 1/2| <= h) >= coverage whatever is wrong with the
    predictive distributions: on average over rows, not for each condition. In the units of the quantity
    the interval is `central_interval(samples, 2 * h)`.

    Two limits. Where m < coverage / (1 - coverage) no h will do, and 1/2 is returned: the whole range of
    the draws. And that range is also the widest interval that draws can give: what lies beyond all of S
    draws is not covered, though it counts in h; draw more where h > 1/2 - 1 / (S + 1).

    Args:
        calibration_pit: [m], from `pit`.
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
    if u.ndim != 1 or not ((u >= 0) & (u <= 1)).all():
        raise ValueError("calibration_pit must be numbers between 0 and 1, one a row; mask missing values")
    rank = int(np.ceil((len(u) + 1) * coverage - 1e-9))
    if rank > len(u):
        return 0.5
    return float(np.partition(np.abs(u - 0.5), rank - 1)[rank - 1])


def mean_stderr(values: np.ndarray) -> tuple[float, float]:
    """The mean of independent values and its standard error, NaN for a single value.

    Raises:
        ValueError: if there are none.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import mean_stderr
        >>> mean_stderr(np.array([1.0, 3.0]))
        (2.0, 1.0)
    """
    values = np.asarray(values, np.float64).ravel()
    if not len(values):
        raise ValueError("there are no values to take the mean of")
    stderr = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return float(values.mean()), stderr


def paired_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean of a - b over the same rows and its standard error: which of two scores is better.

    What makes rows hard for both cancels, so it is far more exact than the difference of two means.

    Raises:
        ValueError: if the shapes differ, or there are no rows.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import paired_difference
        >>> paired_difference(np.array([1.0, 11.0]), np.array([0.0, 10.0]))
        (1.0, 0.0)
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"a has shape {np.shape(a)} and b {np.shape(b)}; score the same rows by both")
    return mean_stderr(np.asarray(a, np.float64) - np.asarray(b, np.float64))


def _check(samples: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    samples, observed = _check_samples(samples), np.asarray(observed, np.float64)
    if observed.shape != samples.shape[:1]:
        raise ValueError(
            f"observed has shape {observed.shape}, expected {samples.shape[:1]}: one value for each row "
            "of samples"
        )
    return samples, observed


def _check_samples(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples)
    if samples.ndim != 2 or not samples.shape[1]:
        raise ValueError(f"samples has shape {samples.shape}, expected [rows, draws]")
    return samples


def _check_coverage(coverage: float, low: float, high: float = 1.0) -> None:
    if not low <= coverage <= high:
        raise ValueError(f"the coverage is {coverage}, expected a probability such as 0.9")


def _chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, CELLS // shape[1])
    for start in range(0, shape[0], step):
        yield slice(start, start + step)
