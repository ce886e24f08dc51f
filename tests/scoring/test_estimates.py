import numpy as np
import pytest

from condvae.scoring.estimates import LogProb, Tally
from condvae.scoring.pareto import pareto_k, tail_size


def weights(n=3, counts=(30, 50), seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return [shift + rng.normal(size=(n, count)) for count in counts]


def tally(strata):
    log_weights = np.concatenate(strata, axis=1)
    scale = log_weights.max(axis=1)
    relative = [np.exp(stratum - scale[:, None]) for stratum in strata]
    totals = np.stack([w.sum(axis=1) for w in relative], axis=1)
    squares = np.stack([(w**2).sum(axis=1) for w in relative], axis=1)
    counts = np.tile([stratum.shape[1] for stratum in strata], (len(scale), 1))
    return Tally(scale, totals, squares, counts, log_weights)


def expected(strata):
    """By the textbook, without scaling."""
    w = np.exp(np.concatenate(strata, axis=1))
    n = w.shape[1]
    variance = sum(s.shape[1] * np.exp(s).var(axis=1, ddof=1) for s in strata) / n**2
    mean = w.mean(axis=1)
    return np.log(mean), np.sqrt(variance) / mean, w.sum(axis=1) ** 2 / (w**2).sum(axis=1)


def assert_is(score, strata):
    for got, want in zip(score[:3], expected(strata), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9)
    pooled = np.concatenate(strata, axis=1)
    top = np.sort(pooled)[:, -tail_size(pooled.shape[1]) - 1 :]
    np.testing.assert_allclose(score.pareto_k, pareto_k(top), rtol=1e-9)
    assert (score.num_samples == pooled.shape[1]).all()


def test_an_estimate_is_the_mean_weight_with_the_error_of_strata():
    strata = weights()
    assert_is(tally(strata).log_prob(), strata)


def test_large_and_small_weights_do_not_overflow():
    near, far = tally(weights()).log_prob(), tally(weights(shift=-2000.0)).log_prob()
    np.testing.assert_allclose(far.value + 2000, near.value, rtol=1e-9)
    np.testing.assert_allclose(far.stderr, near.stderr, rtol=1e-9)


def test_more_draws_for_some_rows_are_as_if_they_had_been_there_at_first():
    first, more = weights(4), weights(2, seed=1, shift=3.0)
    both = tally(first)
    rows = np.array([1, 3])
    both.add(rows, tally(more))
    score = both.log_prob()
    joined = [np.concatenate([old[rows], new], axis=1) for old, new in zip(first, more, strict=True)]
    # The tail of all draws is found among the tails of the parts.
    for i, row in enumerate(rows):
        one = score.take([row])
        for got, want in zip(one[:3], expected([j[[i]] for j in joined]), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9)
        assert one.num_samples == 160
    rest = np.array([0, 2])
    assert_is(score.take(rest), [s[rest] for s in first])


def test_members_side_by_side_are_the_mean_of_their_densities():
    one, two = weights(seed=1), weights(seed=2, shift=5.0)
    assert_is(Tally.beside([tally(one), tally(two)]).log_prob(), [*one, *two])


def test_rows_of_no_density_are_minus_infinity_whatever_is_beside_them():
    dead = Tally(
        [-np.inf] * 2, np.zeros((2, 2)), np.zeros((2, 2)), np.full((2, 2), 9), np.full((2, 5), -np.inf)
    )
    score = Tally.beside([dead, dead]).log_prob()
    assert np.isneginf(score.value).all()
    assert np.isposinf(score.stderr).all()
    assert not score.trusted.any()
    alive = weights(2)
    half = Tally.beside([dead, tally(alive)]).log_prob()
    np.testing.assert_allclose(half.value, expected(alive)[0] - np.log((80 + 18) / 80), rtol=1e-9)


def score(**changes):
    fields = {"value": -3.0, "stderr": 0.05, "ess": 100.0, "pareto_k": 0.3, "num_samples": 1000} | changes
    return LogProb(**{name: np.array([value]) for name, value in fields.items()})


@pytest.mark.parametrize(
    ("changes", "trusted"),
    [
        ({}, True),
        ({"pareto_k": -np.inf, "stderr": 0.0}, True),
        ({"pareto_k": 0.45, "num_samples": 50}, False),
        ({"pareto_k": 0.45}, True),
        ({"pareto_k": 0.52}, False),
        ({"pareto_k": np.nan}, True),
        ({"stderr": 0.51}, False),
        ({"value": -np.inf, "stderr": np.inf}, False),
        ({"value": np.nan, "stderr": np.nan}, False),
    ],
)
def test_what_is_trusted(changes, trusted):
    assert score(**changes).trusted.tolist() == [trusted]


def test_an_interval_is_that_of_a_normal_error():
    low, high = score().interval(0.9)
    np.testing.assert_allclose([low[0], high[0]], [-3.0 - 1.6449 * 0.05, -3.0 + 1.6449 * 0.05], rtol=1e-5)


def test_scores_of_parts_are_joined():
    joined = LogProb.joined([score(value=1.0), score(value=2.0)])
    assert joined.value.tolist() == [1.0, 2.0]
    assert joined.method == "importance sampling"
