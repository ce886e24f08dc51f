import numpy as np
import pytest

from condvae.scoring.pareto import pareto_k, tail_size, threshold


@pytest.mark.parametrize("k", [0.1, 0.5, 0.9, 1.5])
def test_the_shape_of_a_pareto_tail_is_found(k):
    rng = np.random.default_rng(0)
    log_weights = k * rng.exponential(size=(200, 4000))  # exp of these is Pareto of shape k
    size = tail_size(4000)
    shapes = pareto_k(np.partition(log_weights, -size - 1, axis=1)[:, -size - 1 :])
    spread = (1 + k) / np.sqrt(size)
    pulled = (size * k + 5) / (size + 10)
    assert abs(shapes.mean() - pulled) < 5 * spread / np.sqrt(200) + 0.02
    assert 0.7 * spread < shapes.std() < 1.3 * spread


def test_bounded_weights_have_a_negative_shape():
    weights = np.random.default_rng(0).uniform(size=(20, 4000))
    assert (pareto_k(np.sort(np.log(weights))[:, -190:]) < 0).all()


def test_the_scale_of_the_weights_does_not_matter():
    log_weights = np.sort(np.random.default_rng(0).normal(size=(3, 1000)))[:, -96:]
    np.testing.assert_allclose(pareto_k(log_weights), pareto_k(log_weights - 5000.0), rtol=1e-6)
    np.testing.assert_allclose(pareto_k(log_weights), pareto_k(log_weights[:, ::-1]), rtol=1e-12)


def test_constant_weights_are_the_best_there_are_and_not_nan():
    noise = np.random.default_rng(0).normal(size=(4, 96))
    for constant in (np.zeros((4, 96)), -80.0 + 1e-6 * noise, 1e4 + 1e-3 * noise):
        assert np.isneginf(pareto_k(constant)).all()
    assert np.isfinite(pareto_k(1e-2 * noise)).all()


def test_ties_below_the_largest_do_not_break_the_fit():
    tied = np.zeros((1, 96))
    tied[0, -1] = 1.0
    assert pareto_k(tied) > 0.7


def test_weights_of_zero_in_the_tail_are_the_worst_there_are():
    log_weights = np.full((2, 96), -np.inf)
    log_weights[0, 0] = 3.0
    assert np.isposinf(pareto_k(log_weights)).all()
    assert np.isposinf(pareto_k(np.full((1, 96), np.nan))).all()


def test_too_few_weights_tell_nothing():
    assert np.isnan(pareto_k(np.zeros((2, 4)))).all()


def test_the_threshold_rises_with_the_draws_to_a_half():
    np.testing.assert_allclose(
        threshold(np.array([10, 40, 100, 10**6])), [0.0, 1 - 1 / np.log10(40), 0.5, 0.5]
    )
    assert [tail_size(n) for n in (25, 1000, 10_000)] == [5, 95, 300]
