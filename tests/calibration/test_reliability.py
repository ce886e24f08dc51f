import numpy as np
import pytest

from condvae.calibration import reliability


def test_probabilities_that_come_true_are_reliable():
    rng, n = np.random.default_rng(0), 50_000
    p = rng.random(n)
    right = reliability(p, rng.random(n) < p)
    assert len(right.rows) == 10
    assert right.rows.sum() == n
    assert (np.abs(right.observed - right.predicted) < 4 * right.stderr).all()
    wrong = reliability(p, rng.random(n) < p**2)
    assert wrong.error == pytest.approx(1 / 6, abs=0.01)


def test_rows_of_one_probability_are_in_one_bin():
    curve = reliability(np.array([0.3] * 7 + [0.6] * 3), np.ones(10))
    assert curve.rows.tolist() == [7, 3]
    np.testing.assert_allclose(curve.predicted, [0.3, 0.6])
    assert reliability(np.full(4, 0.5), np.ones(4)).rows.tolist() == [4]


def test_bad_input_gets_one_sentence():
    with pytest.raises(ValueError, match=r"expected \[n\] of 1 row or more"):
        reliability(np.zeros(2), np.zeros(3))
