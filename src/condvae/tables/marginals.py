"""Columns by themselves: the grid that they lie on, and how well each family fits them."""

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import betaln, digamma, gammaln, logit, polygamma

from condvae.tables.likelihoods import COUNTS

MOST_VALUES = 20_000
"""Of a column, evenly spread over its sorted cells, that are looked at."""


def spread(values: np.ndarray) -> np.ndarray:
    """Sorted, and of very many some, evenly."""
    values = np.sort(np.asarray(values, np.float64))
    if len(values) <= MOST_VALUES:
        return values
    return values[np.linspace(0, len(values) - 1, MOST_VALUES).astype(int)]


def is_whole(value: float) -> bool:
    """Whether a number is an integer."""
    return float(value) == round(value)


def grid_of(values: np.ndarray) -> tuple[float, float] | None:
    """Step and origin of the coarsest grid that holds all values; None if there is none of some digits."""
    largest = np.abs(values).max()
    for digits in range(7):
        scaled = values * 10.0**digits
        if largest * 10.0**digits > 2**50:
            return None
        # Also decimals that went through single precision, as long as that tells them from chance.
        error = np.abs(scaled - np.rint(scaled))
        if (error <= 1e-9 * np.maximum(1.0, np.abs(scaled))).all() or (
            largest * 10.0**digits < 1e5 and (error <= 2e-7 * np.maximum(1.0, np.abs(scaled))).all()
        ):
            numbers = np.rint(scaled).astype(np.int64)
            step = int(np.gcd.reduce(numbers - numbers[0]))
            # Few values are on some grid by chance.
            if step == 0 or (
                len(np.unique(numbers)) > 0.9 * len(numbers) and step * 1000 < np.ptp(numbers)
            ):
                return None
            return step / 10.0**digits, float(numbers[0] % step) / 10.0**digits
    return None


def log_density(family: str, values: np.ndarray) -> float:
    """The mean log-density of a family of continuous numbers that is fitted to the same cells."""
    if family == "student_t":
        return _student(values)[0]
    if family == "log_normal":
        logs = np.log(values)
        return float(np.mean(-logs - 0.5 * ((logs - logs.mean()) / logs.std()) ** 2)) - np.log(
            logs.std() * np.sqrt(2 * np.pi)
        )
    if family == "gamma":
        mean, k = values.mean(), _gamma_shape(values)
        logs = k * np.log(k / mean) - gammaln(k) + (k - 1) * np.log(values) - k * values / mean
        return float(logs.mean())
    a, b = _beta_shapes(values)
    return float(np.mean((a - 1) * np.log(values) + (b - 1) * np.log1p(-values)) - betaln(a, b))


def half_gaussian(values: np.ndarray) -> float:
    """Of a Gaussian cut off at 0, by the best of some locations."""
    sd, best = values.std(), -np.inf
    for loc in values.mean() - sd * np.linspace(0, 4, 9):
        scale = np.sqrt(np.mean((values - loc) ** 2))
        for factor in (0.6, 0.8, 1.0):
            own = factor * scale
            inside = stats.norm.logsf(0, loc, own)
            best = max(best, float(np.mean(stats.norm.logpdf(values, loc, own)) - inside))
    return best


def _student(values: np.ndarray) -> tuple[float, float, float, float]:
    """Mean log-density, degrees, location and scale of the best of some Student-t's, each by EM."""
    found = (-np.inf, 0.0, 0.0, 1.0)
    for degrees in (1.5, 3.0, 6.0, 15.0, 1000.0):
        loc, scale = float(np.median(values)), float(values.std())
        for _ in range(30):
            weight = (degrees + 1) / (degrees + ((values - loc) / scale) ** 2)
            loc = float(weight @ values / weight.sum())
            scale = max(float(np.sqrt(np.mean(weight * (values - loc) ** 2))), 1e-12)
        score = float(stats.t.logpdf(values, degrees, loc, scale).mean())
        found = max(found, (score, degrees, loc, scale))
    return found


def t_log_mass(values: np.ndarray) -> float:
    """Of whole numbers that were rounded."""
    _, degrees, loc, scale = _student(values)
    unique, counts = np.unique(values, return_counts=True)
    mass = np.diff(stats.t.cdf(np.stack([unique - 0.5, unique + 0.5]), degrees, loc, scale), axis=0)[0]
    return float(counts @ np.log(np.maximum(mass, 1e-300)) / len(values))


def t_mass_beyond(values: np.ndarray) -> float:
    """Of whole numbers that were rounded, the probability of those beyond the least and the greatest."""
    _, degrees, loc, scale = _student(values)
    below = stats.t.cdf(values[0] - 0.5, degrees, loc, scale)
    return float(below + stats.t.sf(values[-1] + 0.5, degrees, loc, scale))


def nb_fit(values: np.ndarray) -> tuple[float, float]:
    """Concentration and mean."""
    mean = float(values.mean())
    unique, counts = np.unique(values, return_counts=True)

    def score(log_r: float) -> float:
        r = np.exp(log_r)
        return float(counts @ stats.nbinom.logpmf(unique, r, r / (r + mean)))

    return float(np.exp(_largest(score, -4.0, 9.0))), mean


def nb_log_mass(values: np.ndarray) -> float:
    """The mean log-probability of counts under the negative binomial that fits them best."""
    r, mean = nb_fit(values)
    return float(stats.nbinom.logpmf(values, r, r / (r + mean)).mean())


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
        own: tuple[float, ...] = (float(np.log(mean)),)
    elif family in COUNTS:
        r, _ = nb_fit(values)
        own = (float(np.log(mean)), float(np.clip(np.log(r), -2.0, 5.0)))
    elif family in ("log_normal", "hurdle_log_normal"):
        logs = np.log(values[values > 0])
        own = (float(logs.mean()), float(np.log(max(logs.std(), 1e-3))))
    elif family in ("gamma", "hurdle_gamma"):
        above = values[values > 0]
        shape = float(np.clip(np.log(_gamma_shape(above)), -2.0, 5.0))
        own = (float(np.log(above.mean())), shape)
    elif family == "beta":
        inside = np.clip(values, 1e-6, 1 - 1e-6)
        a, b = _beta_shapes(inside)
        own = (float(logit(a / (a + b))), float(np.clip(np.log(a + b), -2.0, 5.0)))
    else:
        own = (float(logit(np.clip(mean, 0.02, 0.98))),)
    if family.startswith(("zero_inflated", "hurdle")):
        share = float(np.clip((values == 0).mean(), 0.01, 0.99))
        own = (*own, float(logit(share if family.startswith("hurdle") else 0.5 * share)))
    return own
