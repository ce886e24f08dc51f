import numpy as np
import pytest
from scipy.stats import beta

from condvae.calibration import central_interval, conformal_level, coverage, covers, mean_stderr, pit


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
