import numpy as np
import pytest

from condvae.calibration import two_sample


@pytest.mark.parametrize(("pairs", "sets"), [(50, 60), pytest.param(200, 300, marks=pytest.mark.slow)])
def test_of_sets_that_are_alike_the_p_value_is_exact(pairs, sets):
    """P(p ≤ a) is at most a, and the wins vary as coins do, within three standard errors."""
    tests = []
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        c = rng.normal(size=(pairs, 1))
        x, y = (np.hstack([c + rng.normal(size=(pairs, 1)), c]) for _ in range(2))
        tests.append(two_sample(x, y, seed=seed))
    p_values, shares = np.array([(one.p_value, one.share) for one in tests]).T
    for level in (0.01, 0.1, 0.3):
        stderr = np.sqrt(level * (1 - level) / len(tests))
        assert np.mean(p_values <= level) < level + 3 * stderr
    judged = tests[0].pairs
    assert judged == pairs - pairs // 4
    assert abs(shares.mean() - 0.5) < 3 * np.sqrt(0.25 / judged / len(tests))
    assert abs(shares.var() * judged / 0.25 - 1) < 3 * np.sqrt(2 / len(tests))


def test_few_pairs_that_lie_far_apart_are_told():
    test = two_sample(np.zeros((50, 1)) + np.arange(50)[:, None], np.full((50, 1), 500.0))
    assert test.p_value < 1e-6


def test_what_goes_with_the_condition_is_seen_and_the_bound_is_below_the_divergence():
    rng, n = np.random.default_rng(0), 3000
    c = rng.normal(size=(n, 1))
    x, y = np.hstack([c + rng.normal(size=(n, 1)), c]), np.hstack([rng.normal(size=(n, 1)), c])
    test = two_sample(x, y)
    assert test.p_value < 1e-6
    assert test.share > 0.6
    # KL(N(c, 1) || N(0, 1)) is c² / 2, 0.5 on average.
    assert 0.2 < test.nats < 0.5 + 2 * test.nats_stderr
    assert test.pairs == n - n // 4


def test_categories_and_missing_cells():
    rng, n = np.random.default_rng(1), 800
    a, b = rng.integers(4, size=(2, n)).astype(float)
    b[rng.random(n) < 0.3] = np.nan
    test = two_sample(a[:, None], b[:, None], categorical=np.array([True]))
    assert test.p_value < 1e-6
    many = two_sample(*rng.integers(2000, size=(2, 300, 1)), categorical=np.array([True]))
    assert 0.3 < many.share < 0.7
    same = two_sample(np.zeros((60, 1)), np.zeros((60, 1)))
    assert (same.share, same.p_value) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: two_sample(np.zeros((30, 1)), np.zeros((31, 1))), r"expected \[n, d\] of both"),
        (lambda: two_sample(np.zeros((49, 1)), np.zeros((49, 1))), "49 pairs of rows, too few"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
