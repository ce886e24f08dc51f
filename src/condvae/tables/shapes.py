"""The shape of a column: its normal scores, and where cells lie in the column as a whole."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

from condvae.normal_scores import NormalScores, bend, to_scores
from condvae.tables.grids import deviation
from condvae.tables.supports import Support, spread_over

SOFTNESS = (0.03, 0.1, 0.3, 1.0, 3.0, 30.0)
"""Of the curve, in standard deviations from a limit: what fits best is taken."""

CURVATURE = (300.0, 5.0, 2.0, 1.0, 0.5, 0.2)
"""Of the curve without limits, in quartile distances: the first is as good as straight."""

MOST_KNOTS = 25
"""Of the spline."""


def scores_of(values: np.ndarray, support: Support | None = None) -> NormalScores:
    """The normal scores of the cells of a column that are no points of its support.

    Args:
        values: the observed cells in any order; two different ones at least.
        support: of the column; None for a column whose values are taken as they are.

    Example:
        >>> from condvae.normal_scores import to_scores
        >>> from condvae.tables.supports import support_of
        >>> rng = np.random.default_rng(0)
        >>> fares = rng.lognormal(2.0, 0.7, 5000)
        >>> u, _ = to_scores(scores_of(fares, support_of(fares)), fares)
        >>> abs(u.mean()) < 0.02, abs(u.std() - 1) < 0.02
        (np.True_, np.True_)
    """
    values = spread_over(values)
    if support is not None and not support.closed:
        rest = values[~np.isin(values, support.points)]
        values = rest if len(rest) >= 2 and rest[0] < rest[-1] else values
    step = support.steps[-1] if support is not None and support.steps else 0.0
    spread = _dithered(values, step)
    low, high = -np.inf, np.inf
    if support is not None and not support.closed:
        low = -np.inf if support.low is None else support.low - 0.5 * step
        high = np.inf if support.high is None else support.high + 0.5 * step
    shape, bent = _best_curve(spread, low, high)
    return NormalScores(low, high, *shape, *_knots(bent))


def _dithered(values: np.ndarray, step: float) -> np.ndarray:
    """Cells at one value spread evenly over its step, or over half of the way to the next values."""
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    if len(distinct) == len(values):
        return values
    gap = np.diff(distinct)
    reach = np.minimum(np.append(gap, gap[-1]), np.insert(gap, 0, gap[0]))
    reach = np.minimum(reach, step) if step else reach * 1e-3
    place = (np.arange(len(values)) - np.repeat(first, counts) + 0.5) / np.repeat(counts, counts) - 0.5
    return values + np.repeat(reach, counts) * place


def _best_curve(values: np.ndarray, low: float, high: float) -> tuple[tuple[float, float], np.ndarray]:
    """Centre and softness under which the values are most nearly Gaussian, and the values on that curve."""
    centre, sd = float(np.median(values)), deviation(values)
    if np.isfinite(low) and np.isfinite(high):
        options = [(centre, high - low)]
    elif np.isfinite(low) or np.isfinite(high):
        options = [(centre, factor * sd) for factor in SOFTNESS]
    else:
        quartiles = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) or sd
        options = [(centre, factor * quartiles) for factor in CURVATURE]
    best: tuple[float, Any, Any] = (-np.inf, None, None)
    for shape in options:
        bent, log_bend = bend(NormalScores(low, high, *shape, 0, 0, 0), values, np)
        fit = float(np.mean(log_bend)) - float(np.log(max(bent.std(), 1e-300)))
        if fit > best[0] + 1e-3:
            best = (fit, shape, bent)
    return best[1], best[2]


def _knots(bent: np.ndarray) -> tuple[Any, Any, Any]:
    """Knots of the spline from a curve's sorted values to normal scores: places, scores and slopes."""
    n = len(bent)
    count = int(np.clip(n**0.4, 2, MOST_KNOTS)) if n >= 60 else 2
    end = float(-ndtri(np.clip(max(0.005, 5.0 / n), 0.005, 0.2)))
    score = np.linspace(-end, end, count)
    ranks = (np.arange(n) + 0.5) / n
    place = np.interp(stats.norm.cdf(score), ranks, bent)
    spread = max(float(bent.std()), 1e-12 * max(1.0, float(np.abs(bent).max())))
    if count == 2:  # few cells: a straight line
        place = float(bent.mean()) + spread * np.array([-1.0, 1.0])
        score = np.array([-1.0, 1.0])
        return place, score, np.full(2, 1.0 / spread)
    least = 1e-3 * spread / count
    place = np.maximum.accumulate(place + least * np.arange(count)) - least * np.arange(count)[count // 2]
    secants = np.diff(score) / np.diff(place)
    width = np.diff(place)
    # Fritsch and Carlson's weighted harmonic means, which keep the spline monotone and smooth.
    w1, w2 = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    inner = (w1 + w2) / (w1 / secants[:-1] + w2 / secants[1:])
    reach = max(2, count // 6)
    ends = [
        (score[reach] - score[0]) / (place[reach] - place[0]),
        (score[-1] - score[-1 - reach]) / (place[-1] - place[-1 - reach]),
    ]
    return place, score, np.concatenate([[ends[0]], inner, [ends[1]]])


class Placed(NamedTuple):
    """Cells on a scale on which the column as a whole is N(0, 1).

    Attributes:
        value: the score, of an interval its mean under N(0, 1), [n].
        low: the ends of the interval that a cell stands for, [n]; low = high = value for a single number.
        high: likewise.
        log_factor: log p(cell) less that of its interval, or the density of its score, [n].
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    log_factor: np.ndarray


def place(support: Support, scores: NormalScores, values: np.ndarray) -> Placed:
    """Where cells lie in a column as a whole: points as intervals, cells on a grid as those of its step.

    Example:
        >>> from condvae.tables.supports import Support
        >>> levels = Support((0.0, 1.0), (0.5, 0.5), (), (), 0.0, None, None, True)
        >>> cells = place(levels, None, np.array([0.0, 1.0]))
        >>> cells.low.tolist(), cells.high.tolist(), cells.value.round(2).tolist()
        ([-inf, 0.0], [0.0, inf], [-0.8, 0.8])
    """
    values = np.asarray(values, np.float64)
    points, shares = np.array(support.points), np.array(support.point_shares)
    rest = max(1.0 - shares.sum(), 0.0)
    before = np.array([shares[points < value].sum() for value in np.unique(values)])
    before = before[np.unique(values, return_inverse=True)[1].reshape(values.shape)]
    match = np.isin(values, points)
    share_at = np.zeros(values.shape)
    share_at[match] = shares[np.searchsorted(points, values[match])]
    log_factor = np.zeros(values.shape)
    if support.closed:
        return _between(before, share_at, 0.0, np.zeros(values.shape), np.zeros(values.shape), log_factor)
    u, log_slope = to_scores(scores, values)
    low, high, held, finer = u, u, np.zeros(values.shape), 0.0
    for step, share in zip(support.steps[::-1], support.step_shares[::-1], strict=False):
        on = support.origin + np.rint((values - support.origin) / step) * step
        at = ~match & ((np.abs(values - on) <= 0.3 * support.steps[-1]) | (step == support.steps[-1]))
        low = np.where(at, to_scores(scores, values - 0.5 * step)[0], low)
        high = np.where(at, to_scores(scores, values + 0.5 * step)[0], high)
        # The finer grids have this value too, among all that lie in the step.
        held = np.where(
            at, (held * finer / step if finer else 0.0) + share / sum(support.step_shares), held
        )
        finer = step
        log_factor = np.where(at, np.log(np.maximum(held, 1e-300)), log_factor)
    placed = _between(before, share_at, rest, low, high, log_factor)
    if support.steps:
        return placed
    density = np.log(max(rest, 1e-300)) + 0.5 * (placed.value**2 - u**2) + log_slope
    return placed._replace(log_factor=np.where(match, 0.0, density))


def _between(
    before: np.ndarray,
    at: np.ndarray,
    rest: float,
    low: np.ndarray,
    high: np.ndarray,
    log_factor: np.ndarray,
) -> Placed:
    """Cells in the column as a whole.

    Args:
        before: the share of cells at points below.
        at: the share at this very point.
        rest: the share of cells at no point.
        low: scores of the ends of a cell among the cells at no point.
        high: likewise.
        log_factor: as `Placed` has it.
    """
    after = np.maximum(1.0 - before - at - rest, 0.0)
    ends = []
    for score, upper in ((low, 0.0), (high, 1.0)):
        below = before + upper * at + rest * ndtr(score)
        above = after + (1.0 - upper) * at + rest * ndtr(-score)
        tiny = 1e-300
        end = np.where(below < 0.5, ndtri(np.clip(below, tiny, 1)), -ndtri(np.clip(above, tiny, 1)))
        end = np.where(below <= 1e-15, -np.inf, np.where(above <= 1e-15, np.inf, end)) if not rest else end
        ends.append(score if rest == 1.0 else end)
    single = ends[0] == ends[1]
    mass = np.where(single, 1.0, np.maximum(ndtr(ends[1]) - ndtr(ends[0]), 1e-300))
    mean = (np.exp(-0.5 * ends[0] ** 2) - np.exp(-0.5 * ends[1] ** 2)) / np.sqrt(2 * np.pi) / mass
    ends = [end + 0.0 for end in ends]  # no negative zeros
    inside = np.clip(mean, np.maximum(ends[0], -9.0), np.minimum(ends[1], 9.0))
    return Placed(np.where(single, ends[0], inside), ends[0], ends[1], log_factor)
