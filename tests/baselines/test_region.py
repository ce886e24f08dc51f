import numpy as np
import pytest
from safetensors.numpy import load, save

from condvae.baselines.region import Support, reference_rows


def correlated(rng, n, p):
    """Standardised features, of which the first two have correlation 0.98."""
    features = rng.normal(size=(n, p))
    if p > 1:
        features[:, 1] = 0.98 * features[:, 0] + np.sqrt(1 - 0.98**2) * features[:, 1]
    return features


@pytest.mark.parametrize("p", [1, 5, 20])
@pytest.mark.parametrize("n", [500, 4000])
def test_false_alarms_are_as_frequent_as_stated(p, n):
    # Over training sets the rate is a Beta variable of mean 1 - level and, with m distances, of variance
    # about level (1 - level) / m; twelve sets, 1000 new rows each.
    m, sets, level, rows = min(n, 2000), 12, 0.95, 1000
    rates = []
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        support = Support.fit(correlated(rng, n, p), seed=seed)
        rates.append(support.outside(correlated(rng, rows, p), level).mean())
    stderr = np.sqrt(level * (1 - level) * (1 / m + 1 / rows) / sets)
    assert stderr < 0.004
    # Of few rows, distances are measured to the nine tenths of other folds, and are a little longer.
    assert abs(np.mean(rates) - (1 - level)) < 4 * stderr + (0.005 if n < 2000 else 0)


def test_false_alarms_stay_few_where_features_are_nearly_as_many_as_rows():
    # Measured in a space shaped by themselves, training rows would look nearer than new ones do.
    rates = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        support = Support.fit(rng.normal(size=(120, 60)))
        rates.append(support.outside(rng.normal(size=(500, 60)), 0.9).mean())
    stderr = np.sqrt(0.1 * 0.9 * (1 / 120 + 1 / 500) / 12)
    assert stderr < 0.01
    assert 0.03 < np.mean(rates) < 0.1 + 4 * stderr


@pytest.mark.parametrize("p", [2, 5, 20])
@pytest.mark.parametrize("n", [500, 4000])
def test_broken_correlations_are_found_within_the_marginal_ranges(p, n):
    rng = np.random.default_rng(0)
    support = Support.fit(correlated(rng, n, p))
    broken = correlated(rng, 500, p)
    broken[:, 0], broken[:, 1] = 1.2, -1.2
    assert support.outside(broken).mean() > 0.99
    broken[:, 1] = 1.2
    assert support.outside(broken).mean() < 0.05


@pytest.mark.parametrize(("p", "shift"), [(1, 5.0), (5, 3.0), (20, 2.0)])
def test_shifted_rows_are_found(p, shift):
    rng = np.random.default_rng(0)
    support = Support.fit(rng.normal(size=(4000, p)))
    assert support.outside(rng.normal(size=(1000, p)) + shift).mean() > 0.95
    assert support.percentile(np.full((1, p), 50.0)) == 1.0


def test_distances_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 3)).astype(np.float32)
    support, new = Support.fit(features), rng.normal(size=(4, 3)).astype(np.float32)
    inverse = np.linalg.inv(np.cov(features.T.astype(float)) + 0.1 * np.eye(3)) / 3
    gap = new[:, None].astype(float) - features
    exact = np.sqrt(np.einsum("mni,ij,mnj->mn", gap, inverse, gap))
    np.testing.assert_allclose(support.distance(new), np.sort(exact)[:, :5].mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize(("n", "seed"), [(50, 0), (700, 0), (700, 3)])
def test_the_nearest_reference_rows_are_training_rows_that_can_be_named(n, seed):
    rng = np.random.default_rng(1)
    features, new = rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(9, 3)).astype(np.float32)
    support, rows = Support.fit(features, 100, seed), reference_rows(n, 100, seed)
    np.testing.assert_array_equal(features[rows], support.reference)
    gap = (new[:, None].astype(float) - features[rows]) @ support.transform
    exact = np.argsort(np.linalg.norm(gap, axis=2), axis=1)
    for k in (1, 2, len(rows)):
        np.testing.assert_array_equal(support.nearest(new, k), exact[:, :k])
    assert support.nearest(new[:0], 2).shape == (0, 2)


def test_of_copies_always_the_same_ones_are_nearest(monkeypatch):
    features = np.repeat(np.random.default_rng(9).normal(size=(40, 17)), 30, axis=0)
    support = Support.fit(features)
    together = support.nearest(features[::30], 4)
    assert (support.reference[together] == features[::30, None].astype(np.float32)).all()
    for i, row in enumerate(features[::30]):
        np.testing.assert_array_equal(support.nearest(row[None], 4)[0], together[i])
    monkeypatch.setattr("condvae.baselines.region.CELLS", 50)
    np.testing.assert_array_equal(support.nearest(features[::30], 4), together)


def test_no_training_row_is_its_own_neighbour():
    rng = np.random.default_rng(2)
    for n in (100, 3000):
        features = rng.normal(size=(n, 4))
        support = Support.fit(features, max_reference=1000)
        assert support.distances.min() > 0
        # Measured against themselves, the reference rows are nearer by a neighbour of distance 0.
        assert np.median(support.distance(support.reference)) < 0.9 * np.median(support.distances)


@pytest.mark.parametrize("n", [300, 5000])
def test_copies_lie_at_distance_zero_and_new_combinations_outside(n):
    # Treatment and sex, and nobody of level 2 is ever treated.
    rng = np.random.default_rng(3)
    treated = rng.integers(0, 2, n)
    level = np.where(treated == 1, rng.integers(0, 2, n), rng.integers(0, 3, n))
    features = np.column_stack([treated, np.eye(3)[level], np.zeros(n)])
    support = Support.fit(features)
    assert (support.distances == 0).all()
    assert (support.distance(features) == 0).all()
    assert (support.percentile(features) == 0).all()
    assert not support.outside(features).any()
    assert support.outside(np.array([[1.0, 0, 0, 1, 0]])).all()
    # Nor is a cell ever missing.
    assert support.outside(np.array([[1.0, 1, 0, 0, 1]])).all()


def test_copies_of_numbers_lie_at_distance_zero_one_by_one_too():
    # A product of matrices rounds otherwise for one row than for many.
    features = np.repeat(np.random.default_rng(9).normal(size=(100, 17)), 5, axis=0)
    support = Support.fit(features)
    assert all(support.distance(row[None]) == 0 for row in features)


def test_rare_levels_do_not_drown_numeric_columns():
    # Four numeric columns and a category of ten levels, the rarest in one row of a hundred.
    rng = np.random.default_rng(8)
    share = np.array([30, 20, 15, 12, 8, 6, 4, 2, 2, 1]) / 100

    def draw(n):
        return np.column_stack([rng.normal(size=(n, 4)), np.eye(10)[rng.choice(10, n, p=share)]])

    support, new = Support.fit(draw(2000)), draw(500)
    assert support.outside(new).mean() < 0.03
    new[:, :4] += 3
    assert support.outside(new).mean() > 0.9


def test_one_odd_training_row_does_not_vouch_for_its_neighbours():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(500, 2))
    features[0] = 9.0
    assert Support.fit(features).outside(np.array([[9.1, 9.0]])).all()


def test_few_rows_can_tell_only_what_is_beyond_all_of_them():
    rng = np.random.default_rng(5)
    support = Support.fit(rng.normal(size=(20, 2)))
    assert support.outside(np.array([[30.0, 0.0], [0.0, 0.0]])).tolist() == [True, False]
    # Two rows are two neighbours, at 0 and at 1, in units of their standard deviation.
    distance = Support.fit(np.array([[0.0], [1.0]])).distance(np.array([[0.0]]))
    np.testing.assert_allclose(distance, 0.5 / np.sqrt(0.6), rtol=1e-6)


def test_without_conditions_nothing_lies_outside():
    support = Support.fit(np.zeros((10, 0)))
    new = np.zeros((3, 0))
    assert support.distance(new).tolist() == [0, 0, 0] == support.percentile(new).tolist()
    assert not support.outside(new).any()
    assert support.nearest(new, 2).tolist() == [[0, 1]] * 3


def test_more_features_than_are_whitened_are_scaled():
    rng = np.random.default_rng(6)
    support = Support.fit(rng.normal(size=(300, 600)))
    assert support.transform.shape == (600,)
    assert support.outside(rng.normal(size=(200, 600))).mean() < 0.05
    assert support.outside(2 * rng.normal(size=(200, 600))).all()


def test_arrays_come_back_exactly_and_by_seed():
    rng = np.random.default_rng(7)
    features, new = rng.normal(size=(300, 4)), rng.normal(size=(50, 4))
    support = Support.fit(features, max_reference=100)
    back = Support.from_arrays(load(save(support.to_arrays())))
    np.testing.assert_array_equal(back.distance(new), support.distance(new))
    np.testing.assert_array_equal(back.percentile(new), support.percentile(new))
    np.testing.assert_array_equal(Support.fit(features, 100).reference, support.reference)
    assert (Support.fit(features, 100, seed=1).reference != support.reference).any()
    with pytest.raises(ValueError, match="lack transform, distances"):
        Support.from_arrays({"reference": features})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Support.fit(np.zeros((1, 2))), "expected at least two"),
        (lambda: Support.fit(np.full((3, 2), np.nan)), "not all finite"),
        (lambda: Support.fit(np.zeros((3, 2))).distance(np.zeros((3, 1))), r"expected \[rows, 2\]"),
        (lambda: Support.fit(np.zeros((3, 2))).outside(np.zeros((3, 2)), 99), "level is 99"),
        (lambda: Support.fit(np.zeros((3, 2))).nearest(np.zeros((3, 2)), 4), "k is 4, expected 1 to 3"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
