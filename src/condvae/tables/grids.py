"""The grids that the cells of a column are on: recorded to a tenth, mostly to the thousand, or to nothing.

A column is often a mixture: ages in years with a few halves, prices mostly round. Where the density is
smooth, the likelihood of a grid of step g is proportional to g at its values, and 0 elsewhere.
So the shares of the grids follow by maximum likelihood (EM), whatever the density.
"""

from typing import NamedTuple

import numpy as np

DIGITS = 11
"""Significant digits up to which a column counts as recorded; measured numbers have 15 or more."""

BY_CHANCE = 1e-6
"""The chance at which a regularity of the cells is no accident."""

MOST_POWER = 300
"""Of ten, by which a number is multiplied at once."""

MULTIPLES = (1.0, 2.0, 2.5, 5.0)
"""Steps that people record to, times a power of ten."""

MOST = 3
"""Grids of a column."""

FEWEST = 0.01
"""The share of cells that a grid is worth its place for."""

WORTH = 8.0
"""Nats of log-likelihood, over all cells, that it must be worth."""

PILE = 1.5
"""Times as many cells as most values hold: more at one value say nothing of a grid."""

FEWEST_VALUES = 4
"""Different values that it must hold, none of them most of its cells: else they are piles, and no grid."""

FINE = 6
"""Digits of the standard deviation to which cells on no grid are taken, where others are on one."""


class Grids(NamedTuple):
    """The grids of a column.

    Attributes:
        steps: coarsest first; () for cells that are on none.
        shares: of each.
        origin: a value on the finest grid; 0 where there are several.
    """

    steps: tuple[float, ...]
    shares: tuple[float, ...]
    origin: float


def grids_of(values: np.ndarray) -> Grids:
    """The grids of a column.

    Args:
        values: its observed cells, sorted, at least two different ones.

    Example:
        >>> grids_of(np.arange(20.0)).steps
        (1.0,)
        >>> rng = np.random.default_rng(0)
        >>> ages = np.sort(np.r_[rng.integers(1, 80, 900), rng.integers(2, 160, 90) / 2])
        >>> grids_of(ages).steps
        (1.0, 0.5)
        >>> grids_of(np.sort(rng.normal(size=100))).steps
        ()
    """
    distinct, counts = np.unique(values, return_counts=True)
    finest = finest_grid(distinct)
    counts = np.where(distinct == 0, 0, counts)  # which is on every grid
    spread = deviation(values)
    if finest is None:
        # Some cells may be on a grid all the same; the others then have one that is as good as none.
        top = int(np.floor(np.log10(spread)))
        coarser = _candidates(float(_shifted(1.0, top - 3)), float(np.ptp(distinct)))
        mixture = _mixture(distinct, counts, float(_shifted(1.0, top - FINE)), coarser)
        return mixture if len(mixture.steps) > 1 else Grids((), (), 0.0)
    step, origin = finest
    if origin != 0.0:
        return Grids((step,), (1.0,), origin)
    return _mixture(distinct, counts, step, _candidates(1.5 * step, np.ptp(distinct)))


def finest_grid(distinct: np.ndarray) -> tuple[float, float] | None:
    """Step and origin of the coarsest grid that holds all values; None where they have too many digits.

    Example:
        >>> finest_grid(np.arange(0.5, 30.0))
        (1.0, 0.5)
    """
    largest = float(np.abs(distinct).max())
    top = int(np.floor(np.log10(largest)))
    for digits in range(1, DIGITS + 1):
        power = digits - 1 - top
        scaled = _shifted(distinct, power)
        size = np.abs(scaled)
        off = np.abs(scaled - np.rint(scaled))
        single = size.max() < 1e5 and len(distinct) >= 8  # decimals that went through single precision
        if not (off <= 1e-9 + 1e-14 * size).all() and not (single and (off <= 2e-7 * (1 + size)).all()):
            continue
        numbers = np.rint(scaled).astype(np.int64)
        step = int(np.gcd.reduce(numbers - numbers[0]))
        if step > 1 and float(step) ** (1 - len(distinct)) > BY_CHANCE:
            step = 1  # few values share a divisor by chance
        return float(_shifted(float(step), -power)), float(_shifted(float(numbers[0] % step), -power))
    return None


def deviation(values: np.ndarray) -> float:
    """The standard deviation, scaled before squaring so that squares of tiny numbers do not underflow.

    Example:
        >>> deviation(np.array([1e-300, 3e-300]))
        1e-300
    """
    apart = values - values.mean()
    largest = float(np.abs(apart).max())
    return largest * float(np.sqrt(np.mean((apart / largest) ** 2))) if largest else 0.0


def _shifted(value: np.ndarray | float, power: int) -> np.ndarray | float:
    """value · 10^power, without the error that a negative power of ten has itself."""
    if abs(power) > MOST_POWER:  # in two steps, as 10^309 is no number
        rest = power - MOST_POWER if power > 0 else power + MOST_POWER
        return _shifted(_shifted(value, power - rest), rest)
    return value * 10.0**power if power >= 0 else value / 10.0**-power


def _candidates(least: float, most: float) -> list[float]:
    """Steps that people record to, between two sizes, coarsest first."""
    powers = range(int(np.floor(np.log10(least))) - 1, int(np.ceil(np.log10(most))) + 1)
    steps = [float(_shifted(multiple, power)) for power in powers for multiple in MULTIPLES]
    return sorted((step for step in steps if least <= step <= 0.5 * most), reverse=True)


def _mixture(distinct: np.ndarray, counts: np.ndarray, finest: float, coarser: list[float]) -> Grids:
    """The grids that are worth their place beside the finest, and the shares of all."""
    numbers = np.rint(distinct / finest)
    held = {step: numbers % np.rint(step / finest) == 0 for step in coarser if _multiple(step, finest)}
    held = {step: inside for step, inside in held.items() if _is_spread(counts[inside])}
    inside = np.stack([*held.values(), np.ones(len(distinct), bool)])
    steps = np.array([*held, finest])
    kept = np.arange(len(steps))
    everything, counts = counts, np.minimum(counts, PILE * max(1.0, np.quantile(counts, 0.9)))
    while True:
        shares, log_likelihood = _shares(steps[kept], inside[kept], counts)
        if (few := (shares < FEWEST)[:-1]).any():
            kept = np.delete(kept, np.flatnonzero(few))
            continue
        worth = []
        for i in range(len(kept) - 1):
            rest = np.delete(kept, i)
            worth.append(log_likelihood - _shares(steps[rest], inside[rest], counts)[1])
        if not worth or (min(worth) >= WORTH and len(kept) <= MOST):
            break
        kept = np.delete(kept, int(np.argmin(worth)))
    shares, _ = _shares(steps[kept], inside[kept], everything)
    return Grids(tuple(map(float, steps[kept])), tuple(map(float, shares)), 0.0)


def _is_spread(counts: np.ndarray) -> bool:
    """Whether cells are at several values, and not most of them at one."""
    return (counts > 0).sum() >= FEWEST_VALUES and 2 * counts.max() <= counts.sum()


def _multiple(step: float, finest: float) -> bool:
    ratio = step / finest
    return ratio > 1.5 and abs(ratio - round(ratio)) <= 1e-6 * ratio


def _shares(steps: np.ndarray, inside: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, float]:
    """Shares of grids by EM, and the log-likelihood of the cells, but for what the density adds."""
    likelihood = inside * (steps / steps[-1])[:, None]
    shares = np.full(len(steps), 1.0 / len(steps))
    for _ in range(60):
        joint = shares[:, None] * likelihood
        total = joint.sum(axis=0)
        shares = (joint / total) @ counts / counts.sum()
    return shares, float(counts @ np.log(shares @ likelihood))
