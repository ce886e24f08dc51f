"""Sets of levels, whatever the probabilities that they are made of."""

import numpy as np
import pytest

from condvae.calibration import level_set, mass_above

RNG = np.random.default_rng(0)


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def observed(probability, rng):
    return (probability.cumsum(axis=1) < rng.random((len(probability), 1))).sum(axis=1)


def test_the_mass_above_is_that_of_more_probable_levels():
    probability = softmax(RNG.normal(size=(50, 6)))
    expected = [[row[row > share].sum() for share in row] for row in probability]
    np.testing.assert_allclose(mass_above(probability), expected, atol=1e-12)
    assert mass_above(np.full(4, 0.25)).tolist() == [0.0, 0.25, 0.5, 0.75]  # the first of equals first


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_without_calibration_it_is_the_smallest_set_with_that_probability(coverage):
    probability = softmax(2 * RNG.normal(size=(200, 5)))
    inside = level_set(probability, coverage)
    mass = np.where(inside, probability, 0).sum(axis=1)
    assert (mass >= coverage - 1e-6).all()
    least = np.where(inside, probability, np.inf).min(axis=1)
    assert (mass - least < coverage).all()  # without its least probable level it is not enough
    assert (np.where(inside, np.inf, probability).min(axis=1) <= least).any()


@pytest.mark.parametrize("sharper", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_an_adjusted_set_covers_whatever_the_probabilities_are(sharper, coverage):
    """As often as is asked and hardly more, of 100 calibration sets, be p too sure or too vague."""
    shares, m = [], 99
    for seed in range(100):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(m + 400, 6))
        codes = observed(softmax(logits), rng)
        said = softmax(sharper * logits)
        above = np.take_along_axis(mass_above(said[:m]), codes[:m, None], 1)[:, 0]
        inside = level_set(said[m:], coverage, above)
        assert inside.any(axis=1).all()
        shares.append(inside[np.arange(400), codes[m:]].mean())
    stderr = np.std(shares, ddof=1) / 10
    assert abs(np.mean(shares) - coverage) < 4 * stderr + 0.01
    assert stderr < 0.01


def test_levels_that_tie_are_in_together_and_no_set_is_empty():
    same = np.tile([0.6, 0.3, 0.1], (1000, 1))
    codes = observed(same, np.random.default_rng(1))
    above = np.take_along_axis(mass_above(same), codes[:, None], 1)[:, 0]
    np.testing.assert_array_equal(level_set(same[:1], 0.8, above[:500]), [[True, True, False]])
    np.testing.assert_array_equal(level_set(same[:1], 0.3, above[:500]), [[True, False, False]])
    assert level_set(same[:1], 0.9, above[:8]).all()  # too few rows to tell


def test_a_coverage_that_is_none():
    with pytest.raises(ValueError, match="the coverage is 1, expected"):
        level_set(np.ones((1, 1)), 1)
