"""Columns by themselves: the parameters of the family that a user named, where training begins."""

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import digamma, logit, polygamma

from condvae.tables.likelihoods import COUNTS


def is_whole(value: float) -> bool:
    """Whether a number is an integer."""
    return float(value) == round(value)


def nb_fit(values: np.ndarray) -> tuple[float, float]:
    """Concentration and mean."""
    mean = float(values.mean())
    unique, counts = np.unique(values, return_counts=True)

    def score(log_r: float) -> float:
        r = np.exp(log_r)
        return float(counts @ stats.nbinom.logpmf(unique, r, r / (r + mean)))

    return float(np.exp(_largest(score, -4.0, 9.0))), mean


def _gamma_shape(values: np.ndarray) -> float:
    s = np.log(values.mean()) - np.log(values).mean()
    if s <= 1e-9:
        return 1e6
    k = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)
    for _ in range(5):  # Newton's method, from Minka's approximation
        k = max(k - (np.log(k) - digamma(k) - s) / (1 / k - polygamma(1, k)), 1e-3)
    return float(k)


def _beta_shapes(values: np.ndarray) -> tuple[float, float]:
    mean, variance = values.mean(), max(values.var(), 1e-12)
    total = max(mean * (1 - mean) / variance - 1, 0.05)
    return float(mean * total), float((1 - mean) * total)


def _largest(score: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one peak is largest, by golden sections."""
    ratio = (np.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = score(left), score(right)
    for _ in range(30):
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = score(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = score(right)
    return 0.5 * (low + high)


def start_of(family: str, values: np.ndarray) -> tuple[float, ...]:
    """The parameters of a family's head for the column by itself."""
    mean = max(float(values.mean()), 1e-3)
    if family in ("poisson", "zero_inflated_poisson", "hurdle_poisson"):
        start: tuple[float, ...] = (float(np.log(mean)),)
    elif family in COUNTS:
        r, _ = nb_fit(values)
        start = (float(np.log(mean)), float(np.clip(np.log(r), -2.0, 5.0)))
    elif family in ("log_normal", "hurdle_log_normal"):
        logs = np.log(values[values > 0])
        start = (float(logs.mean()), float(np.log(max(logs.std(), 1e-3))))
    elif family in ("gamma", "hurdle_gamma"):
        above = values[values > 0]
        shape = float(np.clip(np.log(_gamma_shape(above)), -2.0, 5.0))
        start = (float(np.log(above.mean())), shape)
    elif family == "beta":
        inside = np.clip(values, 1e-6, 1 - 1e-6)
        a, b = _beta_shapes(inside)
        start = (float(logit(a / (a + b))), float(np.clip(np.log(a + b), -2.0, 5.0)))
    else:
        start = (float(logit(np.clip(mean, 0.02, 0.98))),)
    if family.startswith(("zero_inflated", "hurdle")):
        share = float(np.clip((values == 0).mean(), 0.01, 0.99))
        start = (*start, float(logit(share if family.startswith("hurdle") else 0.5 * share)))
    return start
