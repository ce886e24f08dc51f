"""Which likelihood a target column gets, chosen from its cells, and why.

The choice is by what values there can be (counts, levels, numbers above 0, between limits, on a grid)
and, where several families could have given them, by how well each fits the column by itself: a hint, as
what a model needs is the distribution given z and c. So a family is preferred to the Student-t, which
stands for any continuous column, only where it is better by `GAIN`.
"""

import numpy as np
from scipy import stats
from scipy.special import logit

from condvae.tables.likelihoods import POSITIVE, Likelihood
from condvae.tables.marginals import (
    grid_of,
    half_gaussian,
    is_whole,
    log_density,
    nb_fit,
    nb_log_mass,
    spread,
    start_of,
    t_log_mass,
    t_mass_beyond,
)
from condvae.tables.supports import Support, described

GAIN = 0.02
"""Nats a cell by which another family must be better than a Student-t."""

COARSE = 0.02
"""A step, in standard deviations, at which a column counts as rounded: below it, it is as good as none."""

MOST_LEVELS = 12
"""Of whole numbers that may be levels of a scale."""

END = 0.01
"""The share of cells at the last level of a scale: counts thin out, and scales end."""

BY_CHANCE = 0.1
"""The chance that no cell is beyond the ends, where it is too small for a column without ends."""

PILE = 0.02
"""The share of cells at one value that is more than chance in a continuous column."""

LARGEST_COUNT = 1e6
"""Beyond it single precision cannot tell a count from the next one."""

NEAR_ZERO = 3.5
"""Standard deviations from 0 within which a mean is one of counts near 0."""


def universal(support: Support) -> Likelihood:
    """The likelihood that suits a column of any kind, from what values it can hold.

    Example:
        >>> universal(Support((), (), (0.5,), (1.0,), 0.0, 0.0, None, False)).reason
        'numbers from 0, recorded to 0.5'
    """
    step = support.steps[-1] if support.steps else None
    return Likelihood("universal", described(support), step, support.origin, support.low, support.high)


def choose(values: np.ndarray) -> Likelihood:
    """The likelihood of a numeric target, from its observed cells in any order.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> choose(rng.negative_binomial(2, 0.2, 1000).astype(float)).family
        'negative_binomial'
        >>> choose(np.round(rng.normal(20, 3, 1000))).family
        'rounded_student_t'
    """
    grid = grid_of(np.sort(np.asarray(values, np.float64)))
    values = spread(values)
    whole = grid is not None and is_whole(grid[0]) and is_whole(grid[1])
    found = None
    if whole and values[0] >= 0:
        found = _whole_numbers(values)
    elif not whole:
        found = _piled(values) or _continuous(values)
    if found is None and grid is not None and grid[0] >= COARSE * values.std():
        found = Likelihood("rounded_student_t", f"recorded to {grid[0]:g}", grid[0], grid[1])
    if found is not None:
        return found
    return Likelihood("student_t", _tails(values))


def _whole_numbers(values: np.ndarray) -> Likelihood | None:
    """Counts, or levels of a scale; None where they are neither."""
    low, high = values[0], values[-1]
    if low == 0 and high == 1:
        return Likelihood("bernoulli", "0 or 1", 1.0, 0.0, 0.0, 1.0)
    mean, variance = float(values.mean()), float(values.var())
    if mean == 0 or high > LARGEST_COUNT:
        return None
    fits = {"negative_binomial": nb_log_mass(values), "t": t_log_mass(values)}
    count = max(fits, key=lambda name: fits[name])
    if high - low < MOST_LEVELS and _ends_abruptly(values, count, fits[count]):
        reason = f"whole numbers from {low:g} to {high:g}, a scale"
        return Likelihood("ordinal", reason, 1.0, 0.0, float(low), float(high))
    near_zero = low == 0 or mean < NEAR_ZERO * np.sqrt(variance)
    if not near_zero or fits["negative_binomial"] < fits["t"] - GAIN:
        return None
    many = f"{variance / mean:.2g} times" if variance > 1.5 * mean else "about"
    reason = f"counts, whose variance is {many} their mean"
    zeros = float((values == 0).mean())
    if zeros >= PILE and (gate := _zero_inflation(values)) is not None:
        start = (*start_of("negative_binomial", gate[1]), float(logit(gate[0])))
        return Likelihood(
            "zero_inflated_negative_binomial",
            f"counts with {zeros:.0%} zeros, more than a negative binomial has",
            1.0,
            start=start,
        )
    return Likelihood("negative_binomial", reason, 1.0, start=start_of("negative_binomial", values))


def _ends_abruptly(values: np.ndarray, fitted: str, fit: float) -> bool:
    """Whether whole numbers are levels of a scale, and not what a family without such ends would give.

    They are where free shares of the levels fit better, for as many as these are; or where a Student-t, if
    that fits better than counts, would have had cells beyond both ends.
    """
    n, low, high = len(values), values[0], values[-1]
    shares = np.unique(values, return_counts=True)[1] / n
    if shares[-1] < END:
        return False
    if 2 * n * (float(np.sum(shares * np.log(shares))) - fit) > (high - low) * np.log(n):
        return True
    return fitted == "t" and shares[0] >= END and n * t_mass_beyond(values) > -np.log(BY_CHANCE)


def _zero_inflation(values: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The share of zeros that a negative binomial lacks, and the other cells; None if it lacks none."""
    n, zeros = len(values), int((values == 0).sum())
    above = values[values > 0]
    if len(above) < 20:
        return None
    plain = nb_log_mass(values) * n
    best = (plain + 0.5 * np.log(n) + GAIN * n, None)
    for kept in np.linspace(0.0, 0.9, 10):  # of the zeros, those of the negative binomial itself
        rest = np.concatenate([np.zeros(round(kept * zeros)), above])
        r, mean = nb_fit(rest)
        gate = 1.0 - len(rest) / n
        p_zero = (r / (r + mean)) ** r
        at_zero = gate + (1 - gate) * p_zero
        score = zeros * np.log(max(at_zero, 1e-300)) + len(above) * np.log1p(-gate)
        score += stats.nbinom.logpmf(above, r, r / (r + mean)).sum()
        if gate > 0 and score > best[0]:
            best = (score, (gate, rest))
    return best[1]


def _piled(values: np.ndarray) -> Likelihood | None:
    """Zeros beside numbers above 0, or cells piled up at an end; None where there is neither."""
    low, high = values[0], values[-1]
    shares = [float((values == end).mean()) for end in (low, high)]
    rest = values[(values != low) & (values != high)]
    if len(rest) < 20:
        return None
    # What one value holds by chance: as many as the commonest of the others.
    chance = 5 * np.unique(rest, return_counts=True)[1].max() / len(values)
    piled = [share >= max(PILE, chance) for share in shares]
    if piled[0] and low == 0 and not piled[1]:
        above = values[values > 0]
        fits = {family: log_density(family, above) for family in POSITIVE}
        family = max(fits, key=lambda name: fits[name])
        if fits[family] > half_gaussian(above) - GAIN:
            start = (*start_of(family, above), float(logit(shares[0])))
            return Likelihood(f"hurdle_{family}", f"{shares[0]:.0%} zeros, else above 0", start=start)
    if any(piled):
        ends = [float(end) if at else None for end, at in zip((low, high), piled, strict=True)]
        where = " and ".join(
            f"{share:.0%} at {end:g}"
            for end, share, at in zip((low, high), shares, piled, strict=True)
            if at
        )
        return Likelihood("censored_gaussian", f"{where}, where values end", None, 0.0, ends[0], ends[1])
    return None


def _continuous(values: np.ndarray) -> Likelihood | None:
    """A family of numbers above 0, or between 0 and 1, that is clearly better than a Student-t."""
    low, high = values[0], values[-1]
    if low <= 0:
        return None
    plain = log_density("student_t", values)
    if high < 1 and log_density("beta", values) > plain + GAIN:
        return Likelihood("beta", "between 0 and 1", None, 0.0, 0.0, 1.0, start_of("beta", values))
    fits = {family: log_density(family, values) for family in POSITIVE}
    family = max(fits, key=lambda name: fits[name])
    if fits[family] > plain + GAIN and stats.skew(values) > 0:
        skew, of_log = stats.skew(values), stats.skew(np.log(values))
        return Likelihood(
            family,
            f"above 0 and skewed (skewness {skew:.1f}, of the logarithm {of_log:.1f})",
            start=start_of(family, values),
        )
    return None


def _tails(values: np.ndarray) -> str:
    kurtosis = float(stats.kurtosis(values, fisher=False))
    return f"continuous, heavy tails (kurtosis {kurtosis:.0f})" if kurtosis > 6 else "continuous"
