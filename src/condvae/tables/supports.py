"""What values a numeric column can hold: single values, grids, limits; and its normal scores.

Everything is relative to the column's own spread, so that a column in other units is the same column.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from condvae.tables.grids import BY_CHANCE, Grids, grids_of

MOST_VALUES = 50_000
"""Cells that are looked at, evenly spread over the sorted column."""

MOST_POINTS = 24
"""Single values that have a probability of their own, at most."""

FEWEST_PER_LEVEL = 4
"""Cells for each different value, on average, from which a few different values are levels."""

FEWEST_AT_LEVEL = 5
THINNING = 0.25
LAST_LEVEL = 0.01
"""The share of cells at the first and the last level of a scale: counts thin out, and scales end."""

CELLS_AT_AN_END = (40, 150, 0.05)
"""Cells by which it is told whether they thin out at an end: at least, if there are enough, and a share."""

WINDOWS = ((1, ((1.0, 1.0), (0.5, 2.0))), (2, ((1.0, 2.0),)), (4, ((1.0, 8.0),)))
"""All of these cells, their outer half and quarter are looked at. For each, powers a of the tails that a
limit competes with, and what the evidence against them is multiplied by. A narrow mode ends as abruptly as
a limit does, until one looks at its outermost cells alone."""

CLEARLY, CLEARLY_TOO = 8.0, 3.0
"""Nats of log-likelihood by which a limit must be the better account: at one end, then at the other."""

LIMIT_SHARE = 0.02
"""The share of cells at the last value from which it is a limit, however far away the other cells are."""

CIRCLE = 360.0
"""Degrees."""

CLOSE = 5.0
"""Mean distances between cells at an end within which a round number is taken for the limit."""


class Support(NamedTuple):
    """The values that a numeric column can hold.

    Attributes:
        points: values with a probability of their own, in order.
        point_shares: the share of cells at each.
        steps: the grids of all other cells, coarsest first; () where they are on none.
        step_shares: the share of cells of each; one number, for all, where there is none.
        origin: a value on the finest grid.
        low: the least value of the other cells, None where there is no limit.
        high: the greatest.
        closed: whether there are no other cells: the points are levels.
    """

    points: tuple[float, ...]
    point_shares: tuple[float, ...]
    steps: tuple[float, ...]
    step_shares: tuple[float, ...]
    origin: float
    low: float | None
    high: float | None
    closed: bool


def support_of(values: np.ndarray) -> Support:
    """The support of a column, from its observed cells in any order; two different ones at least.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> support_of(rng.choice([0.0, 25, 50, 100], 200)).points
        (0.0, 25.0, 50.0, 100.0)
        >>> support_of(rng.integers(1, 32, 1000)).low, support_of(rng.integers(1, 32, 1000)).high
        (1.0, 31.0)
        >>> rain = np.where(rng.random(1000) < 0.6, 0.0, rng.gamma(0.7, 8.0, 1000))
        >>> support_of(rain).points, support_of(rain).low, support_of(rain).high
        ((0.0,), 0.0, None)
    """
    values = spread_over(values)
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if (levels := _levels(distinct, counts)) is not None:
        return levels
    apart = np.isin(values, _end_piles(distinct, counts))
    grids = grids_of(values[~apart] if len(np.unique(values[~apart])) > 1 else values)
    at = _piles(distinct, counts, grids)
    rest = values[~np.isin(values, distinct[at])]
    if len(rest) < 2 or rest[0] == rest[-1]:  # two values are needed for a spread
        at, rest = np.zeros(len(distinct), bool), values
    elif at.any():  # whose cells are on grids too
        grids = grids_of(rest)
    low, high = _limits(values, rest, distinct[at], counts[at] / n, grids)
    shares = tuple(len(rest) / n * share for share in grids.shares or (1.0,))
    return Support(
        tuple(map(float, distinct[at])),
        tuple(map(float, counts[at] / n)),
        grids.steps,
        shares,
        grids.origin,
        low,
        high,
        False,
    )


def holds(support: Support, values: np.ndarray) -> np.ndarray:
    """Which values the column can hold; one between two steps stands for its step.

    Example:
        >>> rain = Support((0.0,), (0.5,), (0.1,), (0.5,), 0.0, 0.0, None, False)
        >>> holds(rain, np.array([-0.1, 0.0, 7.3])).tolist()
        [False, True, True]
    """
    values = np.asarray(values, np.float64)
    scale = np.ptp(support.points) if support.closed else 0.0
    at = np.zeros(values.shape, bool)
    for point in support.points:
        at |= np.abs(values - point) <= 1e-6 * max(scale, abs(point))
    if support.closed:
        return at
    low = -np.inf if support.low is None else support.low
    high = np.inf if support.high is None else support.high
    return at | ((values >= low) & (values <= high))


def recorded_as(support: Support, values: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The values that the column holds, of values with an error from single precision.

    Example:
        >>> ages = Support((), (), (1.0, 0.5), (0.9, 0.1), 0.0, 0.0, None, False)
        >>> recorded_as(ages, np.array([29.0001, 0.4999]), np.array([1e-3, 1e-3])).tolist()
        [29.0, 0.5]
    """
    if support.closed:
        points = np.array(support.points)
        nearest = np.searchsorted(0.5 * (points[1:] + points[:-1]), values)
        return points[nearest]
    result, settled = values, np.zeros(np.shape(values), bool)
    for point in support.points:
        at = ~settled & (np.abs(values - point) <= error)
        result, settled = np.where(at, point, result), settled | at
    for step in support.steps:
        on = support.origin + np.rint((values - support.origin) / step) * step
        finest = step == support.steps[-1]
        at = ~settled & (finest | (np.abs(values - on) <= np.maximum(0.3 * support.steps[-1], error)))
        result, settled = np.where(at, as_written(on, step, support.origin), result), settled | at
    return result


def as_written(values: np.ndarray, step: float, origin: float = 0.0) -> np.ndarray:
    """Multiples of a step with as many decimals as it has: 0.1 · 3 is 0.30000000000000004.

    Example:
        >>> as_written(np.array([0.1 * 3]), 0.1).tolist()
        [0.3]
    """
    grid = np.array([step, origin])
    for digits in range(24):
        scaled = grid * 10.0**digits
        if (np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(np.abs(scaled), 1.0)).all() and scaled[
            0
        ] > 0.5:
            return np.round(values, digits)
    return values


def described(support: Support) -> str:
    """The values that a column can hold, in words.

    Example:
        >>> described(Support((0.0,), (0.6,), (0.1,), (0.4,), 0.0, 0.0, None, False))
        'numbers from 0, recorded to 0.1; 60% are 0'
    """
    if support.closed:
        shown = [f"{point:g}" for point in support.points]
        shown = shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]]
        return f"one of {len(support.points)} values: {', '.join(shown)}"
    low, high = support.low, support.high
    ends = [f"{word} {end:g}" for word, end in (("from", low), ("to", high)) if end is not None]
    text = " ".join(["numbers", *ends])
    if support.steps == (1.0,) and support.origin == 0:
        text = " ".join(["whole numbers", *ends])
    elif len(support.steps) == 1:
        text += f", recorded to {support.steps[0]:g}"
    elif support.steps:
        shares = [
            f"{share:.0%} to {step:g}"
            for step, share in zip(support.steps, support.step_shares, strict=True)
        ]
        text += f", recorded {', '.join(shares)}"
    if support.points:
        order = np.argsort(support.point_shares)[::-1][:3]
        piles = [f"{_percent(support.point_shares[i])} are {support.points[i]:g}" for i in order]
        text += f"; {', '.join(piles)}"
    return text


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}" if share >= 0.001 else f"{100 * share:.1g}%"


def spread_over(values: np.ndarray) -> np.ndarray:
    """Sorted, and of very many some, evenly."""
    values = np.sort(np.asarray(values, np.float64))
    if len(values) <= MOST_VALUES:
        return values
    return values[np.linspace(0, len(values) - 1, MOST_VALUES).astype(int)]


def _levels(distinct: np.ndarray, counts: np.ndarray) -> Support | None:
    """The support of a column of a few values, none of which is rare at an end; None for any other."""
    n = counts.sum()
    few = len(distinct) <= MOST_POINTS and n >= FEWEST_PER_LEVEL * len(distinct)
    if not few and len(distinct) > 2:
        return None
    # Counts begin at 0 and thin out: where the last level is rare, the next one may come.
    ends = counts[[0, -1]] >= np.maximum(FEWEST_AT_LEVEL, LAST_LEVEL * n)
    ends &= (counts[[0, -1]] >= THINNING * counts[[1, -2]]) | (counts[[0, -1]] >= 0.1 * n)
    if len(distinct) > 2 and not (ends[1] and (ends[0] or distinct[0] == 0)):
        return None
    return Support(
        tuple(map(float, distinct)), tuple(map(float, counts / n)), (), (), 0.0, None, None, True
    )


def _end_piles(distinct: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The least and the greatest value, if they hold far more cells than the value next to them."""
    n = counts.sum()
    ends, next_to = distinct[[0, -1]], counts[[1, -2]]
    return ends[(counts[[0, -1]] >= np.maximum(3, 0.01 * n)) & (counts[[0, -1]] > 3 * next_to)]


def _piles(distinct: np.ndarray, counts: np.ndarray, grids: Grids) -> np.ndarray:
    """Which values hold more cells than the density about them and the grids account for."""
    n, size = int(counts.sum()), len(distinct)
    held = np.zeros(size)
    for step, share in zip(grids.steps, grids.shares, strict=True):
        number = np.rint((distinct - grids.origin) / step)
        off = np.abs(distinct - grids.origin - number * step)
        held += np.where(off <= 0.3 * grids.steps[-1], share * step, 0.0)
    # Cells in a window about each value, without its own, over the window's length.
    below = np.concatenate([[0], np.cumsum(counts)])
    reach = max(1, min(size // 2, int(np.ceil(0.03 * size)) + 1))
    first, last = np.arange(size) - reach, np.arange(size) + reach
    first, last = np.clip(first, 0, size - 1), np.clip(last, 0, size - 1)
    step = grids.steps[-1] if grids.steps else 0.0
    length = np.maximum(distinct[last] - distinct[first], np.finfo(float).tiny)
    density = (below[last + 1] - below[first] - counts) / length
    expected = density * held
    usual = np.quantile(counts, 0.9)  # rows that are repeated as a whole repeat every value
    if not step:
        expected = np.full(size, 1e-3 * n / max(size, 1)) + (usual - 1)
    surprise = stats.poisson.sf(counts - 1, expected)
    few = counts >= (np.maximum(3, 0.002 * n) if step else 2)
    ends = np.isin(np.arange(size), (0, size - 1))  # where values beyond are put, as by clipping
    at = (
        (surprise < BY_CHANCE / np.where(ends, 2, size))
        & (counts > 2.5 * expected + 1)
        & (few | (distinct == 0))
    )
    if not step:  # a round number among numbers of many digits
        at |= ends & (distinct == 0)
        at |= ends & (distinct == 1) & (distinct[0] >= 0) & (np.arange(size) == size - 1)
    if at.sum() > MOST_POINTS:
        at &= counts >= np.sort(counts[at])[-MOST_POINTS]
        at &= np.cumsum(at) <= MOST_POINTS
    return at


def _limits(
    values: np.ndarray, rest: np.ndarray, points: np.ndarray, shares: np.ndarray, grids: Grids
) -> tuple[float | None, float | None]:
    """Where the values end, on either side; None where they do not."""
    ends, step = [], grids.steps[-1] if grids.steps else 0.0
    gains = [_abruptness(np.sort(sign * rest), step) for sign in (-1.0, 1.0)]
    # Where one end is cut off, the other is likely to be.
    needed = CLEARLY_TOO if max(gains) > CLEARLY else CLEARLY
    for sign, gain in zip((-1.0, 1.0), gains, strict=True):
        last, ordered = float((sign * values).max()), np.sort(sign * rest)
        mine = sign * points
        reach = CLOSE * _distance(ordered)
        piled = bool(len(points)) and mine.max() == last
        piled &= piled and (shares[int(np.argmax(mine))] >= LIMIT_SHARE or _cut_off(mine, ordered, reach))
        end: float | None = last if piled else None
        # Amounts are not below 0: of a column that comes near it, no other limit is looked for.
        near = last <= 0 and -last <= max(reach, last - ordered[-min(_window(len(ordered)), len(ordered))])
        if end is None and not (near and not step) and gain > needed and not last <= 0 <= last + reach:
            end = _round_beyond(last, reach, step)
        if end is None and last <= 0:
            end = 0.0
        if end is None and sign > 0 and values[0] >= 0 and 0.8 <= last <= 1 and step < 0.1:
            end = 1.0  # shares are not above 1
        ends.append(None if end is None else sign * end + 0.0)
    return _counterpart(ends[0], ends[1], rest, gains, step)


def _cut_off(points: np.ndarray, ordered: np.ndarray, reach: float) -> bool:
    """Whether the greatest point is where values beyond it were put, as by clipping.

    The other cells come near it, which they do not to a code for missing cells; and among them there is no
    other such point, or round numbers are repeated and the last of them is one of those.
    """
    outer = ordered[-1] - ordered[-max(2, int(0.1 * len(ordered)))]
    near = points.max() - ordered[-1] <= max(reach, 0.25 * outer)
    return bool(near and not ((points > ordered[0]) & (points < ordered[-1])).any())


def _counterpart(
    low: float | None, high: float | None, rest: np.ndarray, gains: list[float], step: float
) -> tuple[float | None, float | None]:
    """Where one end is a limit, the other: at −1 times it, or at 360 above 0, if that is within reach.

    Only of a column whose outer tenth of cells lies within a quarter of its range, which has no long tail.
    """
    if low is not None and high is None and gains[0] > CLEARLY:
        mirrored, ordered = (CIRCLE if low == 0 else -low), np.sort(rest)
    elif high is not None and low is None and gains[1] > CLEARLY:
        mirrored, ordered = high, np.sort(-rest)
    else:
        return low, high
    beyond, distance = mirrored - ordered[-1], _distance(ordered)
    compact = 0.1 * len(ordered) * distance <= 0.25 * (ordered[-1] - ordered[0])
    on_grid = not step or abs(beyond / step - round(beyond / step)) <= 1e-3
    if not (compact and on_grid and 0 <= beyond <= CLOSE * distance):
        return low, high
    return (low, mirrored) if high is None else (-mirrored, high)


def _window(n: int) -> int:
    """How many cells at an end are looked at."""
    least, most, share = CELLS_AT_AN_END
    return max(least, min(most, int(0.4 * n)), int(share * n))


def _abruptness(ordered: np.ndarray, step: float) -> float:
    """Nats by which cells are rather cut off at their greatest than thinning out.

    The k spacings d₁ ... d_k from the greatest cell inwards are exponential: of one mean where the density
    ends at a limit, and of means in proportion to 1/iᵃ where it thins out: a = 1 for a tail that falls as
    an exponential does (Rényi 1953), a = 1/2 for a density that falls to 0 in a straight line. The
    difference of the maximal log-likelihoods is k log(mean of iᵃ dᵢ / mean of dᵢ) − a Σ log i.
    """
    n = len(ordered)
    if n < CELLS_AT_AN_END[0]:
        return -np.inf
    window = min(_window(n), n - 1)
    if step:  # cells of one step are spread evenly over it
        ordered = ordered[np.searchsorted(ordered, ordered[-window - 1] - 0.5 * step) :]
        number, place, counts = np.unique(
            np.rint((ordered - ordered[-1]) / step), return_inverse=True, return_counts=True
        )
        rank = np.arange(len(ordered)) - (np.cumsum(counts) - counts)[place]
        ordered = step * (number[place] + (rank + 0.5) / counts[place])
    spacings = np.diff(ordered[-window - 1 :])[::-1]
    number = np.arange(1, len(spacings) + 1)
    gains = []
    for part, factors in WINDOWS:
        d, i = spacings[: window // part], number[: window // part]
        if not d.any():
            return -np.inf
        gains += [
            factor * float(len(d) * np.log((i**power * d).mean() / d.mean()) - power * np.log(i).sum())
            for power, factor in factors
        ]
    return min(gains)


def _distance(ordered: np.ndarray) -> float:
    """The mean distance between cells at the greatest."""
    some = max(2, int(0.1 * len(ordered)))
    return float(ordered[-1] - ordered[-some]) / some


def _round_beyond(last: float, reach: float, step: float) -> float:
    """The roundest number within reach of an end, not inside of it, and on the grid."""
    if reach < max(step, 1e-300):
        return last
    top = max(abs(last), abs(last + reach))
    for digits in range(1, 6):
        power = digits - 1 - int(np.floor(np.log10(top)))
        unit = 10.0**-power
        candidate = float(np.round(np.ceil(last / unit - 1e-9) * unit, max(power, 0)))
        steps = (candidate - last) / step if step else 0.0
        if last - 1e-9 * unit <= candidate <= last + reach and abs(steps - round(steps)) < 1e-3:
            return max(candidate, last)
    return last + (step * round(0.5 * reach / step) if step else 0.5 * reach)
