import numpy as np
import pytest
from scipy.stats import kstest

from condvae.calibration import class_pit, pit, uniformity


@pytest.mark.parametrize("discrete", [False, True])
def test_pit_is_uniform_for_any_number_of_draws(discrete):
    rng, n = np.random.default_rng(2), 100_000
    draws = rng.poisson(0.7, size=(n, 6)) if discrete else rng.normal(size=(n, 6))
    u = np.sort(pit(draws[:, 1:], draws[:, 0], rng))
    # Kolmogorov-Smirnov: exceeded with probability 2e-4.
    assert np.abs(u - (np.arange(n) + 0.5) / n).max() < 2.15 / np.sqrt(n)


def test_pit_without_a_generator_is_the_middle_of_the_ties():
    u = pit(np.array([[0.0, 1.0, 1.0, 2.0]] * 4), np.array([1.0, -5.0, 9.0, np.nan]))
    np.testing.assert_allclose(u, [0.5, 0.1, 0.9, np.nan])


def test_probabilities_that_are_right_have_uniform_ranks_and_too_sure_ones_high_ones():
    rng, n = np.random.default_rng(3), 20_000
    p = rng.dirichlet([0.5, 1.0, 2.0], size=n)
    code = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    assert kstest(class_pit(p, code, rng), "uniform").pvalue > 1e-3
    sharper, softer = (p**power / (p**power).sum(axis=1, keepdims=True) for power in (2.0, 0.5))
    assert class_pit(sharper, code, rng).mean() > 0.52
    assert class_pit(softer, code, rng).mean() < 0.48
    assert np.isnan(class_pit(p[:2], np.array([-1, 0]), rng)).tolist() == [True, False]


@pytest.mark.parametrize("n", [20, 300, 5000])
def test_uniform_numbers_lie_in_the_band_as_often_as_it_says(n):
    rng, times = np.random.default_rng(4), 1000
    tests = [uniformity(rng.random(n), level=0.9) for _ in range(times)]
    inside = np.mean([one.inside for one in tests])
    assert (
        abs(inside - 0.9) < 4 * np.sqrt(0.09 / times) + 0.015
    )  # the size is itself simulated; counts are few
    small = np.mean([one.p_value <= 0.1 for one in tests])
    assert abs(small - 0.1) < 4 * np.sqrt(0.09 / times) + 0.015


@pytest.mark.parametrize(
    ("numbers", "shape"),
    [
        (lambda rng: rng.beta(0.7, 0.7, 2000), "narrow"),
        (lambda rng: rng.beta(1.4, 1.4, 2000), "wide"),
        (lambda rng: rng.beta(1.3, 1.0, 2000), "low"),
        (lambda rng: rng.beta(1.0, 1.3, 2000), "high"),
    ],
)
def test_what_is_wrong_is_seen_and_named(numbers, shape):
    uniform = uniformity(numbers(np.random.default_rng(5)))
    assert not uniform.inside
    assert uniform.p_value < 1e-3
    assert uniform.shape == shape


def test_p_values_go_as_low_as_they_need():
    assert uniformity(np.full(1000, 0.5)).p_value < 1e-100
    assert uniformity(np.array([0.2, np.nan, 0.7])).size == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pit(np.zeros(3), np.zeros(3)), r"samples has shape \(3,\)"),
        (lambda: pit(np.zeros((3, 0)), np.zeros(3)), r"samples has shape \(3, 0\)"),
        (lambda: uniformity(np.array([0.5, np.nan])), "1 numbers, expected 2 or more"),
        (lambda: uniformity(np.array([0.5, 1.5])), "all between 0 and 1"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_few_values_far_out_are_told_apart_where_all_others_are_right():
    rng = np.random.default_rng(0)
    u = rng.random(2000)
    assert uniformity(u).inside
    for end in (1e-5, 1 - 1e-5):
        uniform = uniformity(np.concatenate([u[:-12], np.full(12, end)]))
        assert not uniform.inside
        assert uniform.p_value < 0.001
