"""Normal scores: a monotone map from a column's values to a scale on which the column is N(0, 1).

    u = S(T(v))

T is a smooth curve with one degree of freedom, chosen by what values there are. With w the distance from
a limit, or from the centre, it is log(w / (R - w)) between two limits R apart, log(exp(w / s) - 1) above
one (mirrored, below one), and asinh(w / s) where there is none; s decides how much it is like a logarithm.
S is a monotone rational quadratic spline through the column's quantiles, and linear beyond them: the tails
are those of a Gaussian on the scale of T.

One implementation serves NumPy and JAX: `xp` is the module of arrays.

Sources: Durkan et al. 2019 (the spline and its inverse); Fritsch and Carlson 1980 (slopes that keep it
monotone).
"""

from typing import Any, NamedTuple

import numpy as np

LEAST = 1e-12
"""The least distance from a limit that is told from 0, in units of the curve's softness."""

FARTHEST = 40.0
"""The largest score. Beyond it single precision knows no probability."""


class NormalScores(NamedTuple):
    """The map of one column, or of several whose fields are stacked on leading axes.

    Attributes:
        low: the lower limit, -inf where there is none.
        high: the upper limit, inf where there is none.
        centre: where the curve without limits is steepest.
        softness: s above, in units of the values; above 0.
        curve: where T(v) has its knots, [..., k], increasing.
        score: u at the knots, [..., k], increasing.
        slope: du / dT at the knots, [..., k], above 0.
    """

    low: Any
    high: Any
    centre: Any
    softness: Any
    curve: Any
    score: Any
    slope: Any


def to_scores(scores: NormalScores, values: Any, xp: Any = np) -> tuple[Any, Any]:
    """Normal scores of values, and log du/dv.

    Args:
        scores: the map.
        values: of the shape of `scores.low`, or one that broadcasts with it.
        xp: numpy, or jax.numpy.

    Returns:
        u and log du/dv, of the shape of the values. Values at a limit or beyond it count as next to it.

    Example:
        >>> knots = np.array([[-1e-6, 1e-6], [-1.0, 1.0], [1e6, 1e6]])
        >>> plain = NormalScores(-np.inf, np.inf, 0.0, 1e6, *knots)
        >>> u, log_slope = to_scores(plain, np.array([0.5, 3.0]))
        >>> u.round(3).tolist(), log_slope.round(3).tolist()
        ([0.5, 3.0], [-0.0, -0.0])
    """
    bent, log_bend = bend(scores, values, xp)
    first, last = scores.curve[..., 0], scores.curve[..., -1]
    inside = xp.clip(bent, first, last)
    (y0, u0, d0), (y1, u1, d1) = _interval(scores, scores.curve, inside, xp)
    width, height = y1 - y0, u1 - u0
    s = height / width
    part = xp.clip((inside - y0) / width, 0.0, 1.0)
    mixed = part * (1.0 - part)
    bottom = s + (d0 + d1 - 2.0 * s) * mixed
    score = u0 + height * (s * part**2 + d0 * mixed) / bottom
    steep = s**2 * (d1 * part**2 + 2.0 * s * mixed + d0 * (1.0 - part) ** 2) / bottom**2
    ends = scores.slope[..., 0], scores.slope[..., -1]
    steep = xp.where(bent < first, ends[0], xp.where(bent > last, ends[1], steep))
    score = score + (xp.minimum(bent, first) - first) * ends[0] + (xp.maximum(bent, last) - last) * ends[1]
    return xp.clip(score, -FARTHEST, FARTHEST), log_bend + xp.log(steep)


def from_scores(scores: NormalScores, u: Any, xp: Any = np) -> Any:
    """The values that have these normal scores: the inverse of `to_scores`.

    Example:
        >>> plain = NormalScores(0.0, np.inf, 0.0, 1.0, *np.array([[-1.0, 1.0], [-1.0, 1.0], [1.0, 1.0]]))
        >>> round(float(from_scores(plain, to_scores(plain, np.array(0.7))[0])), 6)
        0.7
    """
    first, last = scores.score[..., 0], scores.score[..., -1]
    inside = xp.clip(u, first, last)
    (y0, u0, d0), (y1, u1, d1) = _interval(scores, scores.score, inside, xp)
    width, height = y1 - y0, u1 - u0
    s = height / width
    above = inside - u0
    bend = d0 + d1 - 2.0 * s
    a, b, c = height * (s - d0) + above * bend, height * d0 - above * bend, -s * above
    root = xp.sqrt(xp.maximum(b**2 - 4.0 * a * c, 0.0))
    part = xp.clip(2.0 * c / xp.minimum(-b - root, -1e-30), 0.0, 1.0)
    curve = y0 + width * part
    below, beyond = xp.minimum(u, first) - first, xp.maximum(u, last) - last
    return _unbend(scores, curve + below / scores.slope[..., 0] + beyond / scores.slope[..., -1], xp)


def _interval(scores: NormalScores, knots: Any, at: Any, xp: Any) -> tuple[Any, Any]:
    """The knots on both sides of a point: curve, score and slope of each."""
    place = xp.sum(xp.asarray(knots[..., 1:-1]) <= at[..., None], axis=-1)
    shape = (*place.shape, knots.shape[-1])
    knots_of = [xp.broadcast_to(part, shape) for part in (scores.curve, scores.score, scores.slope)]
    ends = []
    for i in (place, place + 1):
        ends.append(tuple(xp.take_along_axis(part, i[..., None], axis=-1)[..., 0] for part in knots_of))
    return ends[0], ends[1]


def bend(scores: NormalScores, values: Any, xp: Any) -> tuple[Any, Any]:
    """T(v), and log dT/dv."""
    has_low, has_high = xp.isfinite(scores.low), xp.isfinite(scores.high)
    low, high = xp.where(has_low, scores.low, 0.0), xp.where(has_high, scores.high, 0.0)
    s = scores.softness
    above = xp.maximum((values - low) / s, LEAST)
    below = xp.maximum((high - values) / s, LEAST)
    free = (values - scores.centre) / s
    near = xp.where(has_low, above, below)
    shrunk = -xp.expm1(-near)
    soft = near + xp.log(shrunk)
    bent = xp.where(has_low, soft, xp.where(has_high, -soft, xp.arcsinh(free)))
    log_bend = xp.where(has_low | has_high, -xp.log(shrunk), -0.5 * xp.log1p(free**2))
    both = has_low & has_high
    bent = xp.where(both, xp.log(above) - xp.log(below), bent)
    log_bend = xp.where(both, xp.log(1.0 / above + 1.0 / below), log_bend)
    return bent, log_bend - xp.log(s)


def _unbend(scores: NormalScores, bent: Any, xp: Any) -> Any:
    has_low, has_high = xp.isfinite(scores.low), xp.isfinite(scores.high)
    low, high = xp.where(has_low, scores.low, 0.0), xp.where(has_high, scores.high, 0.0)
    s = scores.softness
    soft = xp.logaddexp(xp.where(has_low, bent, -bent), 0.0) * s
    free = scores.centre + s * xp.sinh(xp.clip(bent, -FARTHEST, FARTHEST))
    one = xp.where(has_low, low + soft, xp.where(has_high, high - soft, free))
    share = 1.0 / (1.0 + xp.exp(-xp.clip(bent, -FARTHEST, FARTHEST)))
    return xp.where(has_low & has_high, low + (high - low) * share, one)
