import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.special import log_softmax
from scipy.stats import multivariate_normal, norm
from sklearn.linear_model import Ridge

from condvae import Observed
from condvae.baselines import VARIANCE_FLOOR, Baseline, blocks, design_matrix, fit_baseline, linear
from condvae.calibration import mean_stderr, paired_difference


def numeric(value, mask=None):
    mask = np.ones(np.shape(value), bool) if mask is None else mask
    return {"numeric": Observed(np.where(mask, value, 0).astype(np.float32), mask)}


def categorical(codes, mask=None):
    codes = np.reshape(codes, (len(codes), -1))
    mask = np.ones(codes.shape, bool) if mask is None else mask
    return {"categorical": Observed(np.where(mask, codes, 0).astype(np.int32), mask)}


def fit(x, c, x_levels=(), c_levels=(), **named):
    return fit_baseline(x, c, x_levels=x_levels, c_levels=c_levels, **named)


B = np.array([[0.6, 0.0, -0.3], [0.0, 0.5, 0.3], [0.2, 0.2, 0.0], [0.0, -0.4, 0.4]])
NOISE = np.array([[0.5, 0.3, -0.2], [0.3, 0.6, 0.0], [-0.2, 0.0, 0.4]])


def linear_gaussian(rng, n):
    c = rng.normal(size=(n, 4)).astype(np.float32)
    x = (0.1 + c @ B + rng.multivariate_normal(np.zeros(3), NOISE, n)).astype(np.float32)
    return x, c, multivariate_normal(np.zeros(3), NOISE).logpdf(x - 0.1 - c @ B)


def test_the_density_of_linear_gaussian_data_is_found():
    # Maximum likelihood loses, on new rows, half a nat for each of its 21 parameters in n rows.
    rng = np.random.default_rng(0)
    x, c, _ = linear_gaussian(rng, 4000)
    baseline = fit(numeric(x), numeric(c))
    x, c, exact = linear_gaussian(rng, 40_000)
    loss, stderr = paired_difference(exact, baseline.log_prob(numeric(x), numeric(c)))
    assert stderr < 6e-4
    assert -3 * stderr < loss < 2 * 21 / (2 * 4000) + 3 * stderr
    # And what c is worth is the mutual information of x and c.
    marginal = fit(numeric(x), None)
    gain, stderr = paired_difference(
        baseline.log_prob(numeric(x), numeric(c)), marginal.log_prob(numeric(x), None)
    )
    information = 0.5 * np.log(np.linalg.det(NOISE + B.T @ B) / np.linalg.det(NOISE))
    assert stderr < 0.02
    assert abs(gain - information) < 4 * stderr + 0.005


def test_missing_targets_are_left_out_exactly():
    rng = np.random.default_rng(1)
    x, c, _ = linear_gaussian(rng, 300)
    baseline = fit(numeric(x), numeric(c))
    mean = design_matrix(numeric(c), (), 300) @ baseline.coefficients + baseline.intercept
    mask = rng.random(x.shape) < 0.6
    mask[:8] = np.array([[i & 1, i & 2, i & 4] for i in range(8)], bool)
    log_prob = baseline.log_prob(numeric(x, mask), numeric(c))
    for i in range(300):
        seen = np.flatnonzero(mask[i])
        if not len(seen):
            assert log_prob[i] == 0
            continue
        exact = multivariate_normal(mean[i, seen], baseline.covariance[np.ix_(seen, seen)]).logpdf(
            x[i, seen]
        )
        np.testing.assert_allclose(log_prob[i], exact, rtol=1e-10, atol=1e-10)
    full = baseline.log_prob(numeric(x), numeric(c))[0]
    np.testing.assert_allclose(full, multivariate_normal(mean[0], baseline.covariance).logpdf(x[0]))


def test_what_stands_in_a_missing_cell_is_never_used():
    rng = np.random.default_rng(2)
    mask = rng.random((200, 3)) < 0.7
    kinds = {**numeric(rng.normal(size=(200, 3)), mask), **categorical(rng.integers(0, 3, (200, 3)), mask)}
    spoilt = {
        name: Observed(np.where(mask, b.value, 99).astype(b.value.dtype), mask) for name, b in kinds.items()
    }
    for c in (kinds, spoilt):
        for x in (kinds, spoilt):
            log_prob = fit(x, c, (3,) * 3, (3,) * 3).log_prob(x, c)
            if c is kinds and x is kinds:
                first = log_prob
            np.testing.assert_allclose(log_prob, first, rtol=1e-10)


@pytest.mark.parametrize(("n", "p"), [(30, 4), (12, 20)])
def test_ridge_and_its_rows_left_out_are_those_of_refitting(n, p, monkeypatch):
    monkeypatch.setattr(linear, "PENALTIES", np.array([0.05]))
    rng = np.random.default_rng(3)
    c, x = rng.normal(size=(n, p)).astype(np.float32), rng.normal(size=(n, 1)).astype(np.float32)
    weight = rng.uniform(0.5, 2, n)
    weight /= weight.mean()
    baseline = fit(numeric(x), numeric(c), sample_weight=weight)

    def refit(rows):
        return Ridge(alpha=0.05 * n).fit(c[rows].astype(float), x[rows, 0].astype(float), weight[rows])

    whole = refit(np.arange(n))
    np.testing.assert_allclose(baseline.coefficients[:p, 0], whole.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(baseline.intercept, whole.intercept_, rtol=1e-6)
    error = [x[i, 0] - refit(np.arange(n) != i).predict(c[i : i + 1].astype(float))[0] for i in range(n)]
    np.testing.assert_allclose(baseline.covariance[0, 0], np.mean(weight * np.square(error)), rtol=1e-6)


@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_with_more_features_than_rows_it_is_honest(signal):
    # 80 rows, 200 features of which one matters: the errors on new rows are as large as Sigma says, and
    # the density is no worse than without c.
    ratios, gains = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        c = rng.normal(size=(1080, 200))
        x = signal * c[:, :1] * 3 + rng.normal(size=(1080, 1))
        train, new = slice(0, 80), slice(80, None)
        baseline = fit(numeric(x[train]), numeric(c[train]))
        h = design_matrix(numeric(c[new]), (), 1000)
        error = x[new] - h @ baseline.coefficients - baseline.intercept
        ratios.append(np.mean(error**2) / baseline.covariance[0, 0])
        marginal = fit(numeric(x[train]), None).log_prob(numeric(x[new]), None)
        gains.append(np.mean(baseline.log_prob(numeric(x[new]), numeric(c[new])) - marginal))
    ratio, stderr = mean_stderr(np.log(ratios))
    assert stderr < 0.06  # of a variance from 80 rows alone: sqrt(2 / 80 / 20) = 0.035
    assert abs(ratio) < 4 * stderr
    gain, stderr = mean_stderr(np.array(gains))
    assert gain > (0.15 if signal else -0.02) - 2 * stderr


def test_multinomial_regression_is_recovered():
    rng = np.random.default_rng(4)
    a = np.array([[1.0, -0.5, 0.0], [0.0, 0.8, -0.8]])

    def draw(n):
        c = rng.normal(size=(n, 2)).astype(np.float32)
        exact = log_softmax(c @ a + [0.3, 0.0, -0.3], axis=1)
        codes = (exact + rng.gumbel(size=(n, 3))).argmax(axis=1)
        return codes, c, exact

    codes, c, _ = draw(5000)
    baseline = fit(categorical(codes), numeric(c), (3,))
    marginal = fit(categorical(codes), None, (3,))
    codes, c, exact = draw(20_000)
    log_prob = np.stack(
        [baseline.log_prob(categorical(np.full(20_000, k)), numeric(c)) for k in range(3)], 1
    )
    np.testing.assert_allclose(np.exp(log_prob).sum(axis=1), 1.0, rtol=1e-10)
    # Six free parameters lose 6 / (2 n) nats in expectation: 0.0006.
    loss = (np.exp(exact) * (exact - log_prob)).sum(axis=1).mean()
    assert 0 < loss < 0.002
    gain, stderr = paired_difference(
        baseline.log_prob(categorical(codes), numeric(c)), marginal.log_prob(categorical(codes), None)
    )
    assert gain > 0.15
    assert stderr < 0.01


def test_two_levels_of_three_and_two_columns_do_not_mix():
    # Only levels 0 and 2 are seen, and tell the sign of c; the second column is unrelated to it.
    rng = np.random.default_rng(5)
    c = rng.normal(size=(2000, 1))
    codes = np.column_stack(
        [np.where(c[:, 0] + 0.3 * rng.normal(size=2000) > 0, 2, 0), rng.integers(0, 2, 2000)]
    )
    baseline = fit(categorical(codes), numeric(c), (3, 2))
    only = np.tile([True, False], (3, 1))
    log_prob = baseline.log_prob(categorical([[0, 0], [1, 0], [2, 0]], only), numeric(np.full((3, 1), 2.0)))
    assert log_prob[2] > np.log(0.99)
    np.testing.assert_allclose(np.exp(log_prob[1]), 0.5 / 2001.5)
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1.0)
    other = baseline.log_prob(categorical([[0, 0]], ~only[:1]), numeric(np.full((1, 1), 1.0)))
    assert abs(np.exp(other[0]) - 0.5) < 0.1


def test_the_marginal_is_in_closed_form():
    x = np.array([[0.0], [1.0], [3.0], [4.0]], np.float32)
    codes = np.array([0, 0, 2, 0])
    baseline = fit({**numeric(x), **categorical(codes)}, None, (3,), independent=True)
    # Each row's error from the mean of the other three: 4 / 3 of its deviation.
    np.testing.assert_allclose(baseline.covariance, [[np.mean((4 / 3 * (x - 2)) ** 2)]], rtol=1e-6)
    np.testing.assert_allclose(baseline.intercept, [2.0])
    levels = baseline.log_prob(
        categorical([0, 1, 2]) | numeric(np.zeros((3, 1)), np.zeros((3, 1), bool)), None
    )
    np.testing.assert_allclose(np.exp(levels), np.array([3.5, 0.5, 1.5]) / 5.5)
    # It looks at no condition.
    both = {**numeric(x), **categorical(codes)}
    np.testing.assert_array_equal(baseline.log_prob(both, numeric(x)), baseline.log_prob(both, None))


def test_columns_never_seen_have_a_density_all_the_same():
    rng = np.random.default_rng(6)
    mask = np.tile([True, False], (50, 1))
    mask[0, 1] = True  # a single cell
    x = numeric(rng.normal(size=(50, 2)), mask) | categorical(np.zeros(50), np.zeros((50, 1), bool))
    baseline = fit(x, numeric(rng.normal(size=(50, 3))), (4,))
    new = numeric([[0.0, 1.0]], np.array([[False, True]])) | categorical([2])
    log_prob = baseline.log_prob(new, numeric(np.zeros((1, 3))))
    gap = 1.0 - x["numeric"].value[0, 1]
    np.testing.assert_allclose(log_prob, np.log(0.25) - 0.5 * np.log(2 * np.pi) - gap**2 / 2, rtol=1e-6)


@pytest.mark.parametrize("kind", ["constant", "missing", "one level"])
def test_conditions_that_tell_nothing_change_nothing(kind):
    rng = np.random.default_rng(7)
    x = numeric(rng.normal(size=(200, 2))) | categorical(rng.integers(0, 3, 200))
    c = {
        "constant": numeric(np.full((200, 1), 0.0)),
        "missing": numeric(np.zeros((200, 1)), np.zeros((200, 1), bool)),
        "one level": categorical(np.zeros(200)),
    }[kind]
    conditional = fit(x, c, (3,), (1,) if kind == "one level" else ())
    marginal = fit(x, None, (3,))
    np.testing.assert_allclose(conditional.log_prob(x, c), marginal.log_prob(x, None), atol=1e-3)


def test_a_missing_condition_tells_by_being_missing():
    rng = np.random.default_rng(8)
    mask = rng.random((3000, 1)) < 0.5
    x = np.where(mask, 0.0, 2.0) + rng.normal(size=(3000, 1))
    c = numeric(rng.normal(size=(3000, 1)), mask)
    baseline = fit(numeric(x), c)
    mean = design_matrix(c, (), 3000) @ baseline.coefficients + baseline.intercept
    assert abs(mean[~mask].mean() - 2.0) < 4 / np.sqrt(1500)
    assert abs(baseline.covariance[0, 0] - 1) < 4 * np.sqrt(2 / 3000)


def test_exact_relations_have_a_finite_density():
    # Of the conditions in the first column; of the targets among themselves in the others.
    rng = np.random.default_rng(9)
    c = rng.normal(size=(500, 2)).astype(np.float32)
    free = rng.normal(size=500)
    x = numeric(np.column_stack([c[:, 0], free, free, np.zeros(500)]))
    baseline = fit(x, numeric(c))
    highest = 0.5 * (-np.log(2 * np.pi) - np.log(VARIANCE_FLOOR))  # of a column at the floor
    log_prob = baseline.log_prob(x, numeric(c))
    assert np.isfinite(log_prob).all()
    assert np.linalg.eigvalsh(baseline.covariance)[0] > 0
    np.testing.assert_allclose(baseline.covariance[[0, 3], [0, 3]], VARIANCE_FLOOR)
    assert highest < log_prob.mean() < 3 * highest


def test_a_far_condition_gives_a_finite_density():
    rng = np.random.default_rng(10)
    c = rng.normal(size=(500, 1))
    x = numeric(c + rng.normal(size=(500, 1))) | categorical(c[:, 0] > 0)
    baseline, far = fit(x, numeric(c), (2,)), numeric(np.full((500, 1), 1e30))
    assert np.isfinite(baseline.log_prob(x, far)).all()
    only = {**numeric(c, np.zeros((500, 1), bool)), "categorical": x["categorical"]}
    np.testing.assert_allclose(baseline.log_prob(only, far).min(), np.log(0.5 / 501))


def test_the_covariance_uses_every_pair_of_cells():
    rng = np.random.default_rng(11)
    exact = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 1.0]])
    x = rng.multivariate_normal(np.zeros(3), exact, 20_000)
    mask = rng.random(x.shape) < 0.6
    covariance = fit(numeric(x, mask), None).covariance
    # Standard errors of variances sqrt(2 / 12,000), of correlations at most sqrt(1 / 7,200).
    np.testing.assert_allclose(covariance, exact, atol=4 * 0.013)
    # Never seen together: no correlation is claimed.
    apart = np.tile([[True, False, True], [False, True, True]], (10_000, 1))
    assert fit(numeric(x, apart), None).covariance[0, 1] == 0


def test_noisy_correlations_are_shrunk():
    # 40 targets in 30 rows. Independent ones: the 780 correlations cost next to nothing. One common factor:
    # it is not lost.
    rng = np.random.default_rng(12)
    x, factor = rng.normal(size=(2030, 40)), rng.normal(size=(2030, 1))
    for value, least in ((x, -0.3), ((0.6 * x + 0.8 * factor), 10.0)):
        baseline = fit(numeric(value[:30]), None)
        apart = Baseline(**{**baseline.to_arrays(), "covariance": np.diag(np.diag(baseline.covariance))})
        new = numeric(value[30:])
        gain, stderr = paired_difference(baseline.log_prob(new, None), apart.log_prob(new, None))
        assert gain > least - 2 * stderr


def test_weights_are_numbers_of_rows():
    rng = np.random.default_rng(13)
    x, c, _ = linear_gaussian(rng, 400)
    codes = categorical(rng.integers(0, 2, 400))
    weight = np.r_[np.zeros(100), np.ones(300)]
    weighted = fit(numeric(x) | codes, numeric(c), (2,), sample_weight=weight)
    dropped = fit(
        numeric(x[100:]) | {"categorical": Observed(*(a[100:] for a in codes["categorical"]))},
        numeric(c[100:]),
        (2,),
    )
    for name, array in dropped.to_arrays().items():
        np.testing.assert_allclose(weighted.to_arrays()[name], array, rtol=1e-10, atol=1e-12)
    tripled = fit(numeric(x), None, sample_weight=np.r_[np.full(100, 3.0), np.ones(300)])
    repeated = fit(numeric(np.r_[x, x[:100], x[:100]]), None)
    np.testing.assert_allclose(tripled.intercept, repeated.intercept, rtol=1e-6)


def test_a_large_table_is_fitted_on_part_of_its_rows_and_scored_in_chunks(monkeypatch):
    rng = np.random.default_rng(14)
    x, c, _ = linear_gaussian(rng, 6000)
    whole = fit(numeric(x), numeric(c))
    log_prob = whole.log_prob(numeric(x), numeric(c))
    monkeypatch.setattr(blocks, "CELLS", 500)
    np.testing.assert_allclose(whole.log_prob(numeric(x), numeric(c)), log_prob, rtol=1e-12)
    monkeypatch.setattr(linear, "TRAINING_CELLS", 2000 * 8)
    part = fit(numeric(x), numeric(c))
    difference = part.coefficients - whole.coefficients
    assert 0 < np.abs(difference).max() < 4 * np.sqrt(0.6 / 2000)


def test_arrays_come_back_exactly():
    rng = np.random.default_rng(15)
    x = numeric(rng.normal(size=(60, 2))) | categorical(rng.integers(0, 2, 60))
    c = numeric(rng.normal(size=(60, 1))) | categorical(rng.integers(0, 3, 60))
    for given in (c, None):
        baseline = fit(x, given, (3,), (3,))
        back = Baseline.from_arrays(load(save(baseline.to_arrays())))
        np.testing.assert_array_equal(back.log_prob(x, given), baseline.log_prob(x, given))
    with pytest.raises(ValueError, match="lack intercept, covariance"):
        Baseline.from_arrays({"coefficients": np.zeros((0, 1))})


SMALL = numeric(np.arange(6.0).reshape(3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit({}, None), "no target"),
        (lambda: fit(SMALL, numeric(np.zeros((4, 1)))), "numeric block has shapes"),
        (lambda: fit(SMALL, None, (2,)), "0 categorical columns, but levels of 1"),
        (lambda: fit(categorical([0, 1, 2]), None, (2,)), r"a code beyond its levels, \(2,\)"),
        (lambda: fit(SMALL, None, sample_weight=np.zeros(3)), "sample_weight must hold 3"),
        (lambda: fit(SMALL, None).log_prob(numeric(np.zeros((1, 1))), None), "1 numeric columns, not 2"),
        (lambda: fit(SMALL, SMALL).log_prob(SMALL, None), "c has 0 features, not 4"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_cell_that_stands_for_an_interval_counts_by_its_probability():
    """The masses of all intervals of a row of two numbers, which hang together, add up to one."""
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 2000).astype(np.float32)
    marginal = fit(numeric(x), None)
    middles = np.arange(-4.25, 4.5, 0.5)
    grid = np.array([[a, b] for a in middles for b in middles])
    log_mass = marginal.log_prob(numeric(grid), None, (grid - 0.25, grid + 0.25))
    # Given the middle of the first interval, the second add up to one.
    np.testing.assert_allclose(np.exp(log_mass).sum(), 1.0, atol=1e-3)
    narrow = marginal.log_prob(numeric(grid), None, (grid - 1e-4, grid + 1e-4))
    np.testing.assert_allclose(narrow - 2 * np.log(2e-4), marginal.log_prob(numeric(grid), None), atol=1e-4)


def test_beyond_an_end_all_that_is_there_counts():
    x = np.random.default_rng(0).normal(size=(2000, 1)).astype(np.float32)
    marginal = fit(numeric(x), None)
    at = np.array([[-1.0], [1.0]])
    log_prob = marginal.log_prob(
        numeric(at), None, (np.array([[-np.inf], [1.0]]), np.array([[-1.0], [np.inf]]))
    )
    scale = np.sqrt(marginal.covariance[0, 0])
    expected = [norm.logcdf(-1, marginal.intercept[0], scale), norm.logsf(1, marginal.intercept[0], scale)]
    np.testing.assert_allclose(log_prob, expected, rtol=1e-6)
