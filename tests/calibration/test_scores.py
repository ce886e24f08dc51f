import numpy as np
import pytest
from scipy.stats import norm

from condvae.calibration import (
    checks,
    crps,
    energy_score,
    mean_stderr,
    paired_difference,
    variogram_score,
)


def test_crps_is_the_closed_form_of_a_gaussian_without_bias():
    # Gneiting and Raftery (2007), eq. after 21. Four draws: a biased score would be off by sigma / 8.
    rng, n = np.random.default_rng(0), 400_000
    for y in (-1.3, 0.0, 2.5):
        exact = 2.0 * (y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi))
        mean, stderr = mean_stderr(crps(1e4 + 2 * rng.normal(size=(n, 4)), np.full(n, 1e4 + 2 * y)))
        assert stderr < 0.004
        assert abs(mean - exact) < 4 * stderr


def test_crps_is_the_sum_over_pairs_whatever_the_chunks(monkeypatch):
    rng = np.random.default_rng(1)
    samples, y = rng.normal(size=(50, 7)), rng.normal(size=50)
    y[3] = np.nan
    pairs = np.abs(samples[:, :, None] - samples[:, None, :]).sum(axis=(1, 2)) / (7 * 6)
    expected = np.abs(samples - y[:, None]).mean(axis=1) - pairs / 2
    np.testing.assert_allclose(crps(samples, y), expected, rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(checks, "CELLS", 20)
    np.testing.assert_allclose(crps(samples, y), expected, rtol=1e-12, atol=1e-12)


def test_the_energy_score_of_one_column_is_crps_whatever_the_chunks(monkeypatch):
    rng = np.random.default_rng(6)
    samples, y = rng.normal(size=(40, 9)), rng.normal(size=40)
    y[5] = np.nan
    np.testing.assert_allclose(energy_score(samples[..., None], y[:, None]), crps(samples, y), atol=1e-7)
    monkeypatch.setattr(checks, "CELLS", 200)
    np.testing.assert_allclose(energy_score(samples[..., None], y[:, None]), crps(samples, y), atol=1e-7)


def test_missing_cells_are_left_out_of_the_norms_and_pairs():
    rng = np.random.default_rng(7)
    samples, y = rng.normal(size=(30, 8, 3)), rng.normal(size=(30, 3))
    y[:, 1] = np.nan
    for score in (energy_score, variogram_score):
        np.testing.assert_allclose(score(samples, y), score(samples[..., [0, 2]], y[:, [0, 2]]), atol=1e-12)
    assert np.isnan(energy_score(samples, np.full((30, 3), np.nan))).all()
    assert np.isnan(variogram_score(samples, np.where([True, False, False], y, np.nan))).all()


@pytest.mark.parametrize("score", [energy_score, variogram_score])
def test_the_truth_scores_best_and_dependence_is_seen(score):
    rng, n = np.random.default_rng(8), 2000
    factor = np.linalg.cholesky(np.array([[1.0, 0.9], [0.9, 1.0]]))
    y, right = (rng.normal(size=(n, *k, 2)) @ factor.T for k in ((), (50,)))
    truth = score(right, y)
    for wrong in (rng.normal(size=(n, 50, 2)), 2 * right):
        worse, stderr = paired_difference(score(wrong, y), truth)
        assert worse > 4 * stderr


def test_the_error_of_a_mean_counts_groups_and_weights():
    """Of 40 groups of 1 to 5 equal values, the error is that of the mean over many samples of groups."""
    rng = np.random.default_rng(0)
    size = rng.integers(1, 6, 40)
    groups = np.repeat(np.arange(40), size)
    means, errors = np.transpose(
        [mean_stderr(rng.normal(size=40)[groups], groups=groups) for _ in range(2000)]
    )
    assert abs(np.sqrt(np.mean(errors**2)) / np.std(means) - 1) < 0.06
    # Weights say the same as copies.
    values = rng.normal(size=40)
    np.testing.assert_allclose(mean_stderr(values, weight=size), mean_stderr(values[groups], groups=groups))
    np.testing.assert_allclose(mean_stderr(values, weight=np.full(40, 3.0)), mean_stderr(values))


def test_a_paired_difference_cancels_what_rows_share():
    rng = np.random.default_rng(5)
    rows, gain = 100 * rng.normal(size=400), 0.1 + 0.2 * rng.normal(size=400)
    mean, stderr = paired_difference(rows + gain, rows)
    assert mean == pytest.approx(gain.mean())
    assert stderr == pytest.approx(gain.std(ddof=1) / 20)
    assert np.isnan(mean_stderr(np.array([1.0]))[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crps(np.zeros((3, 1)), np.zeros(3)), "1 draws a row, expected at least 2"),
        (lambda: crps(np.zeros((3, 4)), np.zeros(4)), r"observed has shape \(4,\), expected \(3,\)"),
        (
            lambda: energy_score(np.zeros((3, 4)), np.zeros(3)),
            r"samples has shape \(3, 4\), expected \[rows",
        ),
        (lambda: energy_score(np.zeros((3, 4, 2)), np.zeros((3, 1))), r"expected \(3, 2\): one vector"),
        (lambda: variogram_score(np.zeros((3, 4, 1)), np.zeros((3, 1))), "no pairs of columns"),
        (lambda: mean_stderr(np.zeros(0)), "no values"),
        (lambda: paired_difference(np.zeros(2), np.zeros(3)), "score the same rows by both"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
