"""Thirty columns of known kinds, each driven by one condition."""

import numpy as np

COUNT = {"negative_binomial", "poisson"}
SKEWED = {"gamma", "log_normal"}
INFLATED = {"zero_inflated_negative_binomial", "zero_inflated_poisson"}
WITH_ZEROS = {"hurdle_gamma", "hurdle_log_normal"}


def kinds(n: int, seed: int) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, set[str]]]]:
    """The condition, and for each column its cells and the likelihoods that are right."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, n)
    grows, share, normal = np.exp(c), rng.random(n), rng.normal(0, 1, (10, n))
    hidden = 1 / (1 + np.exp(-2 * c - 1.5 * normal[0]))
    continuous, rounded = {"student_t"}, {"rounded_student_t"}
    found = {
        "gaussian": (2 * c + 0.5 * normal[1], continuous),
        "uneven": (1000 + 50 * c + 20 * grows * normal[2], continuous),
        "heavy": (c + 0.3 * rng.standard_t(3, n), continuous),
        "heavier": (c + 0.2 * rng.standard_t(1.5, n), continuous),
        "laplace": (c + rng.laplace(0, 0.4, n), continuous),
        "two peaks": (np.where(share < 0.5, -2, 2) + c + 0.2 * normal[3], continuous),
        "log-normal": (np.exp(1 + c + 0.6 * normal[4]), {"log_normal"}),
        "wide log-normal": (np.exp(8 + c + 1.5 * normal[5]), {"log_normal"}),
        "gamma": (rng.gamma(2, grows), SKEWED),
        "exponential": (rng.exponential(grows), SKEWED),
        "beta": (rng.beta(np.e * grows, 3 / grows), {"beta"}),
        "beta at the ends": (rng.beta(0.6 * grows, 0.6), {"beta"}),
        "poisson": (rng.poisson(np.e * grows), COUNT),
        "few": (rng.poisson(0.3 * grows), COUNT),
        "many": (rng.poisson(200 * grows**0.3), COUNT | rounded),
        "over-dispersed": (rng.negative_binomial(1.5, 1.5 / (1.5 + 5 * grows)), {"negative_binomial"}),
        "very": (rng.negative_binomial(1.0, 1.0 / (1.0 + 500 * grows)), {"negative_binomial"}),
        "zeros, poisson": (rng.poisson(5 * grows) * (share > 0.4), INFLATED),
        "zeros, over-dispersed": (
            rng.negative_binomial(3, 3 / (3 + 8 * grows)) * (share > 0.3),
            {"zero_inflated_negative_binomial"},
        ),
        "rating": (1 + rng.binomial(4, hidden), {"ordinal"}),
        "yes or no": ((share < 1 / (1 + np.exp(-2 * c))) * 1, {"bernoulli"}),
        "rarely yes": ((share < 0.05 * grows) * 1, {"bernoulli"}),
        "to 0.1": (np.round(c + 0.3 * normal[6], 1), rounded),
        "to a quarter": (np.round(4 * (20 + 2 * c + 0.7 * normal[7])) / 4, rounded),
        "whole": (np.round(60 + 10 * c + 4 * normal[8]), rounded),
        "whole, below 0": (np.round(3 * c + 3 * normal[9]), rounded),
        "zeros, log-normal": (np.exp(2 + c + 0.8 * normal[1]) * (share > 0.35), WITH_ZEROS),
        "zeros, gamma": (rng.gamma(3, grows) * (share > 0.2), WITH_ZEROS),
        "cut off above": (np.minimum(30 + 10 * c + 6 * normal[2], 40), {"censored_gaussian"}),
        "cut off below": (np.maximum(2 * c + normal[3], 0), {"censored_gaussian"}),
    }
    return c, {name: (np.asarray(cells, float), right) for name, (cells, right) in found.items()}
