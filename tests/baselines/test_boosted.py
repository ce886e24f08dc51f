from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from condvae import Observed
from condvae.baselines import fit_baseline, fit_boosted_trees
from condvae.calibration import mean_stderr, paired_difference


def numeric(*columns, mask=None):
    value = np.column_stack(columns).astype(np.float32)
    return {"numeric": Observed(value, np.ones(value.shape, bool) if mask is None else mask)}


def categorical(*columns):
    codes = np.column_stack(columns).astype(np.int32)
    return {"categorical": Observed(codes, np.ones(codes.shape, bool))}


def made(seed, n):
    """A sign, a number whose scale is steep in c, and another that follows both."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, n)
    sd = np.where(c > 0, 0.5, 0.1)
    sign = rng.random(n) < 0.8
    first = np.where(sign, 1.0, -1.0) + sd * rng.normal(size=n)
    second = np.abs(first) + 0.2 * rng.normal(size=n)
    exact = np.where(sign, np.log(0.8), np.log(0.2))
    exact = (
        exact + norm.logpdf(first, np.where(sign, 1.0, -1.0), sd) + norm.logpdf(second, np.abs(first), 0.2)
    )
    return numeric(c), numeric(first, second) | categorical(sign), exact


NAMED = {"x_levels": (2,), "c_levels": ()}


def test_a_chain_is_nearly_learned_where_regression_is_not():
    c, x, _ = made(0, 4000)
    chain, regression = (fit(x, c, **NAMED) for fit in (fit_boosted_trees, fit_baseline))
    c, x, exact = made(1, 4000)
    loss, stderr = paired_difference(exact, chain.log_prob(x, c))
    assert -3 * stderr < loss < 0.1
    assert mean_stderr(exact - regression.log_prob(x, c))[0] > 0.4


def test_nothing_to_learn_costs_little():
    rng = np.random.default_rng(2)
    c, x = numeric(rng.normal(size=500)), numeric(rng.normal(size=500))
    trees = fit_boosted_trees(x, c, x_levels=(), c_levels=())
    x = numeric(rng.normal(size=2000))
    c = numeric(rng.normal(size=2000))
    loss = norm.logpdf(x["numeric"].value[:, 0]) - trees.log_prob(x, c)
    assert mean_stderr(loss)[0] < 0.01


def test_without_conditions_and_with_few_rows_it_is_the_marginal():
    x = numeric([0.0, 1.0, 2.0, 3.0])
    trees = fit_boosted_trees(x, None, x_levels=(), c_levels=())
    np.testing.assert_allclose(
        trees.log_prob(x, None), norm.logpdf([0, 1, 2, 3], 1.5, np.std([0, 1, 2, 3]))
    )


def test_missing_targets_are_left_out_and_densities_are_of_cells():
    c, x, _ = made(0, 600)
    chain = fit_boosted_trees(x, c, **NAMED)
    none = {name: Observed(block.value, np.zeros_like(block.mask)) for name, block in x.items()}
    assert (chain.log_prob(none, c) == 0).all()
    only = none | categorical(x["categorical"].value[:, 0])
    shares = [chain.log_prob(only | categorical(np.full(600, code)), c) for code in (0, 1)]
    np.testing.assert_allclose(np.exp(shares).sum(axis=0), 1.0)


def test_intervals_have_probabilities():
    c, x, _ = made(0, 600)
    chain = fit_boosted_trees(x, c, **NAMED)
    some = x | {"numeric": Observed(x["numeric"].value, np.tile([True, False], (600, 1)))}
    edges = np.array([-np.inf, -0.5, 0.4, 1.1, np.inf])
    parts = []
    for low, high in pairwise(edges):
        ends = np.full((600, 2), low), np.full((600, 2), high)
        parts.append(
            chain.log_prob(some, c, ends)
            - chain.log_prob(
                categorical(x["categorical"].value)
                | {"numeric": Observed(some["numeric"].value, np.zeros((600, 2), bool))},
                c,
            )
        )
    np.testing.assert_allclose(np.exp(parts).sum(axis=0), 1.0, atol=1e-9)


@pytest.mark.parametrize("levels", [3, 300])
def test_a_level_that_was_not_seen_has_a_probability(levels):
    rng = np.random.default_rng(3)
    x = categorical(np.zeros(200, int))
    trees = fit_boosted_trees(x, numeric(rng.normal(size=200)), x_levels=(levels,), c_levels=())
    new = categorical([0, levels - 1])
    value = np.exp(trees.log_prob(new, numeric([0.0, 0.0])))
    np.testing.assert_allclose(value, np.array([200.5, 0.5]) / (200 + 0.5 * levels))


@pytest.mark.filterwarnings("error")
def test_a_target_that_is_constant_and_one_that_is_never_observed():
    x = numeric(np.zeros(200), np.arange(200.0), mask=np.tile([True, False], (200, 1)))
    for dependence in ("in_turn", "copula"):
        trees = fit_boosted_trees(x, None, x_levels=(), c_levels=(), dependence=dependence)
        value = trees.log_prob(x, None)
        assert np.isfinite(value).all() and (value > 5).all()
