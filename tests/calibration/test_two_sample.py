import numpy as np
import pytest

from condvae.calibration import two_sample


@pytest.mark.slow
def test_sets_that_are_alike_are_told_apart_no_more_often_than_by_chance():
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        c = rng.normal(size=(60, 1))
        x, y = (np.hstack([c + rng.normal(size=(60, 1)), c]) for _ in range(2))
        found.append(two_sample(x, y, seed=seed).p_value)
    assert np.mean(np.array(found) < 0.1) < 0.1 + 4 * np.sqrt(0.09 / 40)


def test_what_goes_with_the_condition_is_seen_and_the_bound_is_below_the_divergence():
    rng, n = np.random.default_rng(0), 3000
    c = rng.normal(size=(n, 1))
    x, y = np.hstack([c + rng.normal(size=(n, 1)), c]), np.hstack([rng.normal(size=(n, 1)), c])
    found = two_sample(x, y)
    assert found.p_value < 1e-6
    assert found.share > 0.6
    # KL(N(c, 1) || N(0, 1)) is c² / 2, 0.5 on average.
    assert 0.2 < found.nats < 0.5 + 2 * found.nats_stderr
    assert found.pairs == n


def test_categories_and_missing_cells():
    rng, n = np.random.default_rng(1), 800
    a, b = rng.integers(4, size=(2, n)).astype(float)
    b[rng.random(n) < 0.3] = np.nan
    found = two_sample(a[:, None], b[:, None], categorical=np.array([True]))
    assert found.p_value < 1e-6
    many = two_sample(*rng.integers(2000, size=(2, 300, 1)), categorical=np.array([True]))
    assert 0.3 < many.share < 0.7
    same = two_sample(np.zeros((30, 1)), np.zeros((30, 1)))
    assert (same.share, same.p_value) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: two_sample(np.zeros((30, 1)), np.zeros((31, 1))), r"expected \[n, d\] of both"),
        (lambda: two_sample(np.zeros((19, 1)), np.zeros((19, 1))), "19 pairs of rows, too few"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
