"""Where observed values lie among the draws of their rows."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from condvae.calibration.checks import check, chunks

POINTS, SIMULATIONS = 100, 2000
"""Where a distribution function is held to a line, and how often that is done to numbers known uniform."""

TAILS = (0.001, 0.002, 0.005)
"""Further such points in each tail, for samples large enough: 99 even points miss a few outliers."""

EXACT = 200
"""From so many numbers on, the band of nearly as many is taken: within a tenth."""


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
    samples, observed = check(samples, observed)
    below, ties = np.empty(len(observed)), np.empty(len(observed))
    for rows in chunks(samples.shape):
        below[rows] = (samples[rows] < observed[rows, None]).sum(axis=1)
        ties[rows] = (samples[rows] == observed[rows, None]).sum(axis=1)
    share = 0.5 if rng is None else rng.random(len(observed))
    u = (below + share * (1 + ties)) / (samples.shape[1] + 1)
    return np.where(np.isnan(observed), np.nan, u)


def class_pit(probability: np.ndarray, code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The randomised transform of observed categories: where each lies, most probable level first.

        u = P(levels more probable than the observed one) + v P(the observed one),   v ~ U(0, 1)

    uniform on (0, 1) if the probabilities are right; towards 1 where they are too sure of themselves,
    towards 0 where they are not sure enough. Levels of equal probability are in their own order.

    Args:
        probability: [n, levels], rows of sum 1.
        code: [n], the level that was observed; below 0 where missing.
        rng: draws v.

    Returns:
        float64 [n]; NaN where `code` is missing.

    Source: Czado, Gneiting and Held (2009), Biometrics 65, of levels in the order of their probabilities.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import class_pit
        >>> u = class_pit(np.array([[0.1, 0.9]] * 2), np.array([1, 0]), np.random.default_rng(0))
        >>> (u < 0.9).tolist()
        [True, False]
    """
    probability, code = np.asarray(probability, np.float64), np.asarray(code, np.int64)
    n = np.arange(len(code))
    order = np.argsort(-probability, axis=1, kind="stable")
    rank = np.argmax(order == np.maximum(code, 0)[:, None], axis=1)
    sums = np.cumsum(np.take_along_axis(probability, order, axis=1), axis=1)
    mass = probability[n, np.maximum(code, 0)]
    u = sums[n, rank] - mass + rng.random(len(code)) * mass
    return np.where(code < 0, np.nan, np.clip(u, 0.0, 1.0))


class Uniformity(NamedTuple):
    """The distribution function of numbers in (0, 1), beside the band in which it lies if they are uniform.

    Attributes:
        points: where it is looked at, [K].
        share: the share of the numbers that are no greater, [K].
        low, high: the band, [K]: of uniform numbers all points lie in it at once with probability `level`.
        level: of the band.
        p_value: how often uniform numbers would be as far off.
        size: how many numbers there are.
    """

    points: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    p_value: float
    size: int

    @property
    def inside(self) -> bool:
        """Whether all points lie in the band."""
        return bool(((self.low <= self.share) & (self.share <= self.high)).all())

    @property
    def shape(self) -> str:
        """What kind of predictions have such ranks: too "low", "high", "narrow" or "wide"; or "off".

        Low: observed values lie above what was predicted. Narrow: they lie far out too often.
        """
        off = self.share - self.points
        if len(off) < 2:
            return "off"
        left, right = off[: len(off) // 2].mean(), off[len(off) // 2 :].mean()
        if left * right > 0 and min(abs(left), abs(right)) > 0.2 * max(abs(left), abs(right)):
            return "high" if left > 0 else "low"
        if left * right < 0:
            return "narrow" if left > 0 else "wide"
        return "off"


def uniformity(u: np.ndarray, level: float = 0.95) -> Uniformity:
    """Whether numbers, such as probability integral transforms, are uniform on (0, 1).

    Their distribution function is held to binomial intervals at 99 points (one less than their count, if
    they are few) and, of 200 numbers or more, at three in each tail, down to 0.001. All hold at once with
    probability `level`: the size that they have in common
    is found by simulation, with a seed of its own. Where no simulation is as far off, the p-value
    is Bonferroni's bound over the points.

    Args:
        u: numbers in [0, 1], any shape; NaN are left out.
        level: of the simultaneous band.

    Raises:
        ValueError: if fewer than 2 numbers are left, or they are not in [0, 1].

    Source: Säilynoja, Bürkner and Vehtari (2022), Statistics and Computing 32.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import uniformity
        >>> rng = np.random.default_rng(0)
        >>> uniformity(rng.random(500)).inside, uniformity(rng.beta(2, 2, 500)).shape
        (True, 'wide')
    """
    u = np.asarray(u, np.float64).ravel()
    u = u[~np.isnan(u)]
    if len(u) < 2 or not ((u >= 0) & (u <= 1)).all():
        raise ValueError(f"{len(u)} numbers, expected 2 or more, all between 0 and 1")
    n, cells = len(u), min(POINTS, len(u))
    points, size, simulated = _band(_like(n), cells, level)
    counts = np.searchsorted(np.sort(u), points, side="right")
    off = _farthest(counts[None], n, points)[0]
    # Of simulations as far off; and never more than the bound over all points.
    p_value = min((1 + int((simulated <= off).sum())) / (1 + len(simulated)), len(points) * off)
    return Uniformity(
        points,
        counts / n,
        binom.ppf(size / 2, n, points) / n,
        binom.ppf(1 - size / 2, n, points) / n,
        level,
        float(p_value),
        n,
    )


def _like(n: int) -> int:
    """How many numbers are simulated for n of them: the same for many n, where it hardly matters."""
    return n if n < EXACT else round(2 ** (round(4 * np.log2(n)) / 4))


@lru_cache(maxsize=256)
def _band(n: int, cells: int, level: float) -> tuple[np.ndarray, float, np.ndarray]:
    """The points; the size of each one's interval by which all hold at once; simulated sizes."""
    points = np.arange(1, cells) / cells
    if n >= EXACT:
        points = np.sort(np.concatenate([points, TAILS, 1.0 - np.array(TAILS)]))
    between = np.diff(points, prepend=0.0, append=1.0)
    counts = np.random.default_rng(n).multinomial(n, between, size=SIMULATIONS)
    simulated = _farthest(counts.cumsum(axis=1)[:, :-1], n, points)
    return points, float(np.quantile(simulated, 1 - level, method="lower")), simulated


def _farthest(counts: np.ndarray, n: int, points: np.ndarray) -> np.ndarray:
    """Of each row of counts [M, K], the least two-sided binomial probability over the points."""
    below, above = binom.cdf(counts, n, points), binom.sf(counts - 1, n, points)
    return 2 * np.minimum(below, above).min(axis=1)
