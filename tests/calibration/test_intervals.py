import numpy as np
import pytest
from scipy.stats import beta, binom

from condvae.calibration import (
    central_interval,
    conformal_level,
    conformal_score,
    coverage,
    covers,
    mean_stderr,
    pit,
)


def test_the_central_interval_holds_an_exchangeable_value_as_often_as_its_ranks_say():
    # Ranks 2 and 18 of 19 draws: (18 - 2) / 20 of all values lie between them.
    rng, n = np.random.default_rng(3), 50_000
    draws = rng.standard_t(3, size=(n, 20))
    low, high = central_interval(draws[:, 1:], 0.8)
    mean, stderr = coverage(low, high, draws[:, 0])
    assert stderr < 0.002
    assert abs(mean - 0.8) < 4 * stderr
    ordered = np.sort(draws[:, 1:], axis=1)
    np.testing.assert_array_equal(low, ordered[:, 1])
    np.testing.assert_array_equal(high, ordered[:, 17])


def test_few_draws_give_their_range_and_no_coverage_their_middle():
    draws = np.array([[3.0, 1.0, 2.0]])
    assert [float(end[0]) for end in central_interval(draws, 0.95)] == [1.0, 3.0]
    assert [float(end[0]) for end in central_interval(draws, 0.0)] == [2.0, 2.0]
    # An even number has two middle draws.
    assert [float(end[0]) for end in central_interval(np.arange(4.0)[None], 0.0)] == [1.0, 2.0]


def test_coverage_leaves_missing_values_out_and_is_never_certain():
    low, high, y = np.zeros(5), np.ones(5), np.array([0.0, 1.0, 0.5, np.nan, np.nan])
    assert covers(low, high, y).tolist() == [True, True, True, False, False]
    mean, stderr = coverage(low, high, y)
    assert mean == 1.0
    assert stderr == pytest.approx(np.sqrt(5 / 7 * 2 / 7 / 7))


@pytest.mark.parametrize("scale", [0.4, 2.5])
@pytest.mark.parametrize("m", [30, 200])
def test_a_conformal_interval_covers_although_the_predictive_distribution_is_wrong(scale, m):
    # Draws biased, and too narrow or too wide by `scale`; 199 of them, 400 calibration sets, 50 rows each.
    # The mean coverage of a set is Beta(k, m + 1 - k) with k = ceil(0.9 (m + 1)), of mean >= 0.9.
    rng, nominal = np.random.default_rng(4), 0.9
    held, adjusted = [], []
    for _ in range(400):
        y = rng.normal(size=m + 50)
        draws = 0.3 * scale + scale * rng.normal(size=(m + 50, 199))
        h = conformal_level(pit(draws[:m], y[:m], rng), nominal)
        held.append(covers(*central_interval(draws[m:], nominal), y[m:]).mean())
        u = pit(draws[m:], y[m:], rng)
        adjusted.append((np.abs(u - 0.5) <= h).mean())
        if h < 0.5 - 1 / 200:  # the draws reach as far as h asks: the interval in y holds no less
            assert covers(*central_interval(draws[m:], 2 * h), y[m:]).mean() >= adjusted[-1]
    k = np.ceil(nominal * (m + 1))
    mean, stderr = mean_stderr(np.array(adjusted))
    assert stderr < 0.005
    assert abs(mean - beta(k, m + 1 - k).mean()) < 4 * stderr
    unadjusted, stderr = mean_stderr(np.array(held))
    assert abs(unadjusted - nominal) > 10 * stderr


def counts(rng, n):
    """Poisson counts, and the distribution function at 0, 1, ... of what they are said to be: too few."""
    rate = np.exp(rng.normal(size=n)).clip(max=15)
    return rng.poisson(1.3 * rate), binom(40, (rate / 40).clip(max=1)[:, None]).cdf(np.arange(60))


def zero_or_one(rng, n):
    p = rng.beta(1, 1, n)
    return (rng.random(n) < p).astype(int), np.stack([1 - p**2, np.ones(n)], axis=1)


def one_scale(rng, n):
    """All rows alike: scores tie, and an interval covers more than asked, but no less."""
    return rng.choice(4, n, p=[0.1, 0.2, 0.3, 0.4]), np.tile([0.2, 0.4, 0.7, 1.0], (n, 1))


@pytest.mark.parametrize("nominal", [0.5, 0.9])
@pytest.mark.parametrize(("make", "most"), [(counts, 0.01), (zero_or_one, 0.01), (one_scale, 0.5)])
def test_a_conformal_interval_of_a_discrete_quantity_covers_and_is_of_its_values(make, most, nominal):
    shares, narrowest, m = [], [], 99
    for seed in range(150):
        rng = np.random.default_rng(seed)
        y, cdf = make(rng, m + 300)
        below = np.hstack([np.zeros((m + 300, 1)), cdf[:, :-1]])
        observed = np.arange(m + 300), y
        h = conformal_level(np.stack([below[observed], cdf[observed]], axis=1)[:m], nominal)
        inside = conformal_score(below, cdf)[m:] <= h
        assert inside.any(axis=1).all()  # the median is always one of its values
        assert (np.diff(inside.astype(int), axis=1) != 0).sum(axis=1).max() <= 2  # without a gap
        low, high = inside.argmax(axis=1), inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
        # From the least y with F(y) >= 1/2 - h to the greatest with F(y-) <= 1/2 + h.
        np.testing.assert_array_equal(low, (cdf[m:] >= 0.5 - h).argmax(axis=1))
        np.testing.assert_array_equal(high, (below[m:] <= 0.5 + h).sum(axis=1) - 1)
        shares.append(covers(low, high, y[m:]).mean())
        narrowest.append(covers(*2 * [(cdf < 0.5).sum(axis=1)], y).mean())  # the median alone
    mean, stderr = mean_stderr(np.array(shares))
    assert nominal - 4 * stderr < mean
    assert mean < max(nominal + 1 / (m + 1), np.mean(narrowest)) + most + 4 * stderr
    assert h < 0.5


def test_the_score_of_a_continuous_quantity_is_its_distance_from_the_middle():
    u = np.random.default_rng(0).random(99)
    np.testing.assert_array_equal(conformal_score(u, u), np.abs(u - 0.5))
    assert conformal_level(u, 0.9) == conformal_level(np.stack([u, u], axis=1), 0.9)


def test_a_conformal_level_needs_rows_enough():
    assert conformal_level(np.full(8, 0.5), 0.9) == 0.5
    assert conformal_level(np.full(9, 0.5), 0.9) == 0.0
    assert conformal_level(np.zeros(0), 0.5) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: central_interval(np.zeros((3, 4)), 90), "coverage is 90"),
        (lambda: conformal_level(np.array([0.5]), 1.0), "coverage is 1.0"),
        (lambda: conformal_level(np.array([0.5, np.nan]), 0.9), "mask missing values"),
        (lambda: coverage(np.zeros(1), np.ones(1), np.array([np.nan])), "no value is observed"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
