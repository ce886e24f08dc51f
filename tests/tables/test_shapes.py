"""Where cells lie in a column as a whole: probabilities that add up to 1, scores that are N(0, 1)."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from condvae.tables.shapes import place, scores_of
from condvae.tables.supports import support_of

sys.path.append(str(Path(__file__).parent))
from test_supports import COLUMNS, LEVELS, column


def mass(placed):
    """exp log p of cells that stand for intervals."""
    return np.exp(placed.log_factor) * (ndtr(placed.high) - ndtr(placed.low))


@pytest.mark.parametrize("name", ["counts", "counts, over-dispersed", "counts, zero-inflated", "percent"])
def test_probabilities_of_a_grid_add_up_to_one(name):
    values, _ = column(name)
    support = support_of(values)
    placed = place(support, scores_of(values, support), np.arange(2000.0 if support.high is None else 101))
    assert mass(placed).sum() == pytest.approx(1.0, abs=0.005)


def test_probabilities_of_levels_are_their_shares():
    support = support_of(column("levels")[0])
    placed = place(support, None, np.array(LEVELS))
    assert mass(placed) == pytest.approx(support.point_shares)


DENSE = ["gaussian", "uniform", "amounts", "amounts with zeros", "shares with ones"]


@pytest.mark.parametrize("name", DENSE)
def test_densities_and_piles_add_up_to_one(name):
    values, _ = column(name)
    support = support_of(values)
    scores = scores_of(values, support)
    low = values.min() - 3 * values.std() if support.low is None else support.low
    high = values.max() + 3 * values.std() if support.high is None else support.high
    at = np.unique(np.r_[np.linspace(low, high, 200_000), np.quantile(values, np.linspace(0, 1, 20_000))])
    at = at[~np.isin(at, support.points)]
    placed = place(support, scores, at)
    np.testing.assert_array_equal(placed.low, placed.high)
    density = np.exp(placed.log_factor - 0.5 * placed.value**2) / np.sqrt(2 * np.pi)
    piles = mass(place(support, scores, np.array(support.points))) if support.points else 0.0
    assert np.trapezoid(density, at) + np.sum(piles) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_as_a_whole_is_standard_normal(name):
    values, _ = column(name)
    support = support_of(values)
    placed = place(support, None if support.closed else scores_of(values, support), values)
    assert np.isfinite(placed.value).all()
    assert (placed.low <= placed.value).all() and (placed.value <= placed.high).all()
    assert abs(placed.value.mean()) < 0.05
    assert placed.value.std() < 1.05  # of an interval it is the mean in it
    order = np.argsort(values, kind="stable")
    assert (np.diff(placed.value[order]) >= -1e-9).all() or len(support.steps) > 1
