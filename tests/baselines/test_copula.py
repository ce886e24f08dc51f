import numpy as np
from scipy.stats import multivariate_normal, norm

from condvae import Observed
from condvae.baselines import fit_boosted_trees
from condvae.baselines.copula import GaussianCopula, fit_gaussian_copula
from condvae.calibration import mean_stderr

CORRELATION = np.array([[1.0, 0.8, -0.3], [0.8, 1.0, 0.1], [-0.3, 0.1, 1.0]])


def scores(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(3), CORRELATION, n)


def ranges(z, cuts=(), missing=()):
    """u of each cell: a point, between the cuts of the columns that have some, all where it is missing."""
    low, high = norm.cdf(z), norm.cdf(z)
    for k, at in dict(cuts).items():
        edges = norm.cdf(np.array([-np.inf, *at, np.inf]))
        group = np.searchsorted(at, z[:, k])
        low[:, k], high[:, k] = edges[group], edges[group + 1]
    for k in missing:
        low[:, k], high[:, k] = 0.0, 1.0
    return low, high


def test_numbers_have_the_density_of_the_gaussian():
    z = scores(200)
    exact = multivariate_normal(np.zeros(3), CORRELATION).logpdf(z) - norm.logpdf(z).sum(axis=1)
    np.testing.assert_allclose(GaussianCopula(CORRELATION).log_density(*ranges(z)), exact, atol=1e-9)


def test_missing_targets_are_summed_out():
    z = scores(200)
    exact = multivariate_normal(np.zeros(2), CORRELATION[:2, :2]).logpdf(z[:, :2])
    exact -= norm.logpdf(z[:, :2]).sum(axis=1)
    log_density = GaussianCopula(CORRELATION).log_density(*ranges(z, missing=[2]))
    np.testing.assert_allclose(log_density, exact, atol=1e-9)
    alone = GaussianCopula(CORRELATION).log_density(*ranges(z, missing=[0, 1]))
    np.testing.assert_allclose(alone, 0.0, atol=1e-9)


def test_boxes_have_the_probability_of_the_gaussian():
    z = scores(40)
    low, high = ranges(z, {0: (-0.5, 1.0), 1: (0.0,), 2: (-1.0, 0.2)})
    gaussian = multivariate_normal(np.zeros(3), CORRELATION)
    with np.errstate(divide="ignore"):
        ends = [norm.ppf(end) for end in (low, high)]
    exact = np.log([gaussian.cdf(up, lower_limit=down) for down, up in zip(*ends, strict=True)])
    exact -= np.log(high - low).sum(axis=1)
    log_density = GaussianCopula(CORRELATION).log_density(low, high)
    assert abs(np.mean(log_density - exact)) < 0.01
    np.testing.assert_allclose(log_density, exact, atol=0.15)  # three errors of the rarest box


def test_boxes_far_out_are_between_their_ends():
    """Two intervals of probability 1e-9 that go together: no density overflows, and the sum stays right."""
    u = np.array([[1e-9, 1e-9]]), np.array([[2e-9, 2e-9]])
    copula = GaussianCopula(np.array([[1.0, 0.8], [0.8, 1.0]]))
    z = norm.ppf(np.linspace(1e-9, 2e-9, 201))
    grid = np.stack(np.meshgrid(z, z), axis=-1)
    exact = multivariate_normal(np.zeros(2), copula.correlation).logpdf(grid) - norm.logpdf(grid).sum(
        axis=-1
    )
    np.testing.assert_allclose(copula.log_density(*u), np.log(np.exp(exact).mean()), atol=0.02)
    other = 1 - u[1], 1 - u[0]
    np.testing.assert_allclose(copula.log_density(*other), copula.log_density(*u), atol=0.02)


def test_correlations_are_learned_from_numbers_levels_and_rows_with_holes():
    z = scores(4000, seed=1)
    low, high = ranges(z, {1: (-0.3, 0.8), 2: (0.5,)})
    hidden = np.random.default_rng(2).random(len(z)) < 0.2
    low[hidden, 0], high[hidden, 0] = 0.0, 1.0
    correlation = fit_gaussian_copula(low, high).correlation
    np.testing.assert_allclose(correlation, CORRELATION, atol=0.06)  # two errors of a correlation of levels
    np.testing.assert_allclose(fit_gaussian_copula(*ranges(z)).correlation, CORRELATION, atol=0.03)


def test_boosted_trees_are_joined_by_it():
    c = np.random.default_rng(3).normal(size=(4000, 1)).astype(np.float32)
    z = scores(4000, seed=4)
    numbers = (np.abs(c) * [1, 0] + 0.5 * z[:, :2]).astype(np.float32)
    levels = (z[:, 2:] > 0).astype(np.int32)
    blocks = {"numeric": numbers, "categorical": levels}
    train, test = (
        {name: Observed(cells[rows], np.ones_like(cells[rows], bool)) for name, cells in blocks.items()}
        for rows in (slice(0, 2000), slice(2000, 4000))
    )
    known, asked = ({"numeric": Observed(part, np.ones_like(part, bool))} for part in (c[:2000], c[2000:]))
    named = {"x_levels": (2,), "c_levels": ()}
    copula, none = (fit_boosted_trees(train, known, dependence=how, **named) for how in ("copula", "none"))
    gain = copula.log_prob(test, asked) - none.log_prob(test, asked)
    exact = GaussianCopula(CORRELATION).log_density(*ranges(z[2000:], {2: (0.0,)}))
    assert abs(mean_stderr(gain - exact)[0]) < 0.05
    order = [2, 0, 1]  # categories come first
    np.testing.assert_allclose(copula.copula.correlation, CORRELATION[order][:, order], atol=0.08)
