"""Sixty columns of known kinds, each driven by one condition."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]
Holds = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A column whose distribution given the condition is known.

    Attributes:
        draw: cells for given conditions in (-1, 1), one each; nan where a cell is missing.
        families: the likelihoods that made the column, or come nearest to it.
        holds: whether the column can hold a value.
    """

    draw: Draw
    families: tuple[str, ...]
    holds: Holds


def kinds(n: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The condition, and the cells of each column in `KINDS`: independent of each other given it."""
    c = np.random.default_rng(seed).uniform(-1, 1, n)
    return c, {name: cells(name, c, seed + 1) for name in KINDS}


def cells(name: str, c: np.ndarray, seed: int) -> np.ndarray:
    """Cells of one column for the conditions c."""
    rng = np.random.default_rng([seed, list(KINDS).index(name)])
    return np.asarray(KINDS[name].draw(rng, c), float)


# What a column can hold


def anything(x: np.ndarray) -> np.ndarray:
    return np.isfinite(x)


def within(low: float, high: float = np.inf) -> Holds:
    # Of what was multiplied by a unit and divided by it again.
    low, high = low - 1e-12 * abs(low), high + 1e-12 * abs(high)
    return lambda x: (x >= low) & (x <= high)


def steps(step: float, low: float = -np.inf, high: float = np.inf) -> Holds:
    return lambda x: within(low, high)(x) & (np.abs(x / step - np.round(x / step)) < 1e-3)


def one_of(*levels: float) -> Holds:
    return lambda x: np.isclose(x[..., None], levels, rtol=1e-12, atol=0).any(-1)


# How columns are drawn


def after(draw: Draw, change: Callable[[np.ndarray], np.ndarray]) -> Draw:
    return lambda rng, c: change(draw(rng, c))


def either(share: float | Draw, one: Draw, other: Draw) -> Draw:
    """Cells of `one` with a probability, which may depend on c, and of `other` without."""

    def draw(rng: np.random.Generator, c: np.ndarray) -> np.ndarray:
        chance = share(rng, c) if callable(share) else share
        return np.where(rng.random(len(c)) < chance, one(rng, c), other(rng, c))

    return draw


def always(value: float) -> Draw:
    return lambda rng, c: np.full(len(c), value)


def normal(mean: float, slope: float, sd: float, growth: float = 0.0) -> Draw:
    return lambda rng, c: mean + slope * c + sd * np.exp(growth * c) * rng.normal(size=len(c))


def log_normal(mean: float, sd: float, slope: float = 1.0) -> Draw:
    return after(normal(mean, slope, sd), np.exp)


def gamma(shape: float, scale: float = 1.0, growth: float = 1.0) -> Draw:
    return lambda rng, c: rng.gamma(shape, scale * np.exp(growth * c))


def beta(a: float, b: float, growth: float = 1.0) -> Draw:
    return lambda rng, c: rng.beta(a * np.exp(growth * c), b)


def poisson(mean: float, growth: float = 1.0) -> Draw:
    return lambda rng, c: rng.poisson(mean * np.exp(growth * c))


def negative_binomial(shape: float, mean: float) -> Draw:
    return lambda rng, c: rng.negative_binomial(shape, shape / (shape + mean * np.exp(c)))


def levels(*values: float) -> Draw:
    """Levels of a scale: the probability to be above each moves with c."""

    def draw(rng: np.random.Generator, c: np.ndarray) -> np.ndarray:
        chance = 1 / (1 + np.exp(-2 * c - 0.5 * rng.normal(size=len(c))))
        return np.asarray(values, float)[rng.binomial(len(values) - 1, chance)]

    return draw


def rounded(draw: Draw, step: float) -> Draw:
    # By division where a step is a fraction: 3 * 0.1 is not 0.3.
    return after(
        draw, lambda x: np.round(x / step) * step if step >= 1 else np.round(x / step) / (1 / step)
    )


def clipped(draw: Draw, low: float = -np.inf, high: float = np.inf) -> Draw:
    return after(draw, lambda x: np.clip(x, low, high))


def logistic(slope: float, at: float = 0.0) -> Draw:
    return lambda rng, c: 1 / (1 + np.exp(-slope * c - at))


def blanks(share: float, draw: Draw) -> Draw:
    return either(share, always(np.nan), draw)


STUDENT, ROUNDED = ("student_t",), ("rounded_student_t",)
COUNTS, SKEWED, ORDINAL = ("negative_binomial", "poisson"), ("gamma", "log_normal"), ("ordinal",)
INFLATED = ("zero_inflated_negative_binomial",)
WITH_ZEROS = ("hurdle_gamma", "hurdle_log_normal")
ON_STEPS = ("rounded_student_t", "gamma", "log_normal")
BETWEEN = ("truncated_gaussian", "beta")

positive, fraction, count = within(0), within(0, 1), steps(1, 0)

KINDS = {
    # Any numbers
    "gaussian": Kind(normal(0, 2, 0.5), STUDENT, anything),
    "uneven": Kind(normal(1000, 50, 20, growth=1), STUDENT, anything),
    "heavy": Kind(lambda rng, c: c + 0.3 * rng.standard_t(3, len(c)), STUDENT, anything),
    "heavier": Kind(lambda rng, c: c + 0.2 * rng.standard_t(1.5, len(c)), STUDENT, anything),
    "laplace": Kind(lambda rng, c: c + rng.laplace(0, 0.4, len(c)), ("laplace", *STUDENT), anything),
    "logistic": Kind(lambda rng, c: 5 * c + rng.logistic(0, 2, len(c)), STUDENT, anything),
    "gumbel": Kind(lambda rng, c: 100 + 20 * c + rng.gumbel(0, 15, len(c)), STUDENT, anything),
    "two peaks": Kind(either(0.5, normal(-2, 1, 0.2), normal(2, 1, 0.2)), STUDENT, anything),
    "two narrow peaks": Kind(
        either(logistic(2), normal(3, 0, 0.02), normal(-3, 0, 0.02)), STUDENT, anything
    ),
    "no effect": Kind(normal(7, 0, 3), STUDENT, anything),
    # Positive numbers
    "log-normal": Kind(log_normal(1, 0.6), ("log_normal",), positive),
    "wide log-normal": Kind(log_normal(8, 1.5), ("log_normal",), positive),
    "gamma": Kind(gamma(2), SKEWED, positive),
    "exponential": Kind(gamma(1), SKEWED, positive),
    "weibull": Kind(lambda rng, c: 40 * np.exp(c) * rng.weibull(1.7, len(c)), SKEWED, positive),
    "zeros, log-normal": Kind(either(0.35, always(0), log_normal(2, 0.8)), WITH_ZEROS, positive),
    "zeros, gamma": Kind(either(0.2, always(0), gamma(3)), WITH_ZEROS, positive),
    "few zeros": Kind(either(0.01, always(0), log_normal(3, 0.5)), WITH_ZEROS, positive),
    "nearly all zeros": Kind(either(0.97, always(0), gamma(2, 30)), WITH_ZEROS, positive),
    "rain": Kind(
        rounded(either(logistic(2, 0.6), always(0), gamma(0.7, 6)), 0.1), WITH_ZEROS, steps(0.1, 0)
    ),
    # Between limits
    "uniform": Kind(lambda rng, c: rng.uniform(-1, 1, len(c)), BETWEEN[:1], within(-1, 1)),
    "flat and sloped": Kind(beta(1, 1, 0.5), ("beta",), fraction),
    "beta": Kind(lambda rng, c: rng.beta(np.exp(1 + c), 3 * np.exp(-c)), ("beta",), fraction),
    "beta at the ends": Kind(beta(0.6, 0.6), ("beta",), fraction),
    "shares, a few whole": Kind(either(0.005, always(1), beta(4, 1.5)), ("truncated_gaussian",), fraction),
    "angle": Kind(after(beta(1.2, 1.2), lambda x: 360 * x), ("truncated_gaussian",), within(0, 360)),
    "cut off above": Kind(clipped(normal(30, 10, 6), high=40), ("censored_gaussian",), within(-np.inf, 40)),
    "cut off below": Kind(clipped(normal(0, 2, 1), low=0), ("censored_gaussian",), positive),
    "top score": Kind(clipped(normal(104, 8, 12), 0, 100), ("censored_gaussian",), within(0, 100)),
    "ages from 21": Kind(after(gamma(2, 6, 0.5), lambda x: 21 + np.floor(x)), ON_STEPS, steps(1, 21)),
    # Counts
    "poisson": Kind(poisson(np.e), COUNTS, count),
    "few": Kind(poisson(0.3), COUNTS, count),
    "many": Kind(poisson(200, 0.3), (*COUNTS, *ROUNDED), count),
    "over-dispersed": Kind(negative_binomial(1.5, 5), COUNTS[:1], count),
    "very": Kind(negative_binomial(1, 500), COUNTS[:1], count),
    "zeros, poisson": Kind(either(0.4, always(0), poisson(5)), INFLATED, count),
    "zeros, over-dispersed": Kind(either(0.3, always(0), negative_binomial(3, 8)), INFLATED, count),
    "populations": Kind(rounded(log_normal(9, 2), 1), ("negative_binomial",), count),
    "amounts to millions": Kind(
        rounded(either(0.5, always(0), log_normal(9, 1.7)), 1),
        ("hurdle_negative_binomial", "zero_inflated_negative_binomial"),
        count,
    ),
    # Levels
    "rating": Kind(levels(1, 2, 3, 4, 5), ORDINAL, steps(1, 1, 5)),
    "half stars": Kind(levels(*np.arange(0.5, 5.5, 0.5)), ROUNDED, steps(0.5, 0.5, 5)),
    "yes or no": Kind(either(logistic(2), always(1), always(0)), ("bernoulli",), one_of(0, 1)),
    "rarely yes": Kind(either(logistic(1, -3), always(1), always(0)), ("bernoulli",), one_of(0, 1)),
    "minus, none, plus": Kind(levels(-1, 0, 1), ORDINAL, one_of(-1, 0, 1)),
    "doses": Kind(levels(0, 25, 50, 100), ROUNDED, one_of(0, 25, 50, 100)),
    "cigarettes": Kind(
        either(0.6, always(0), levels(5, 10, 15, 20, 40)), INFLATED, one_of(0, 5, 10, 15, 20, 40)
    ),
    "codes": Kind(lambda rng, c: np.floor(15 * rng.beta(np.exp(c), 1)), ORDINAL, steps(1, 0, 14)),
    "hours": Kind(lambda rng, c: np.floor(24 * rng.beta(2 * np.exp(c), 2)), ORDINAL, steps(1, 0, 23)),
    "days": Kind(lambda rng, c: 1 + np.floor(31 * rng.random(len(c))), ORDINAL, steps(1, 1, 31)),
    "percent": Kind(after(beta(2, 2), lambda x: np.round(100 * x)), (*ORDINAL, *ROUNDED), steps(1, 0, 100)),
    # Grids
    "to 0.1": Kind(rounded(normal(0, 1, 0.3), 0.1), ROUNDED, steps(0.1)),
    "to a quarter": Kind(rounded(normal(20, 2, 0.7), 0.25), ROUNDED, steps(0.25)),
    "whole": Kind(rounded(normal(60, 10, 4), 1), ROUNDED, steps(1)),
    "whole, below 0": Kind(rounded(normal(0, 3, 3), 1), ROUNDED, steps(1)),
    "whole, with blanks": Kind(blanks(0.37, rounded(normal(120, 25, 15), 1)), ROUNDED, steps(1)),
    "tens": Kind(rounded(gamma(3, 20, 0.5), 10), ROUNDED, steps(10, 0)),
    "thousands": Kind(rounded(log_normal(11, 0.35, 0.4), 1000), ON_STEPS, steps(1000, 0)),
    "cents": Kind(rounded(log_normal(3, 0.5), 0.01), ON_STEPS, steps(0.01, 0)),
    "ages with halves": Kind(
        either(0.9, rounded(gamma(6, 5, 0.5), 1), rounded(gamma(6, 5, 0.5), 0.5)), ROUNDED, steps(0.5, 0)
    ),
    "round prices": Kind(
        either(0.6, rounded(log_normal(6, 0.5), 50), rounded(log_normal(6, 0.5), 1)), ON_STEPS, steps(1, 0)
    ),
}
