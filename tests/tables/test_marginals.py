"""Fits of columns by themselves, against SciPy."""

import numpy as np
import pytest
from scipy import stats

from condvae.tables.marginals import (
    grid_of,
    half_gaussian,
    log_density,
    nb_fit,
    nb_log_mass,
    spread,
    t_log_mass,
)

RNG = np.random.default_rng(0)


def test_densities_are_those_of_scipys_best_fits():
    cells = np.sort(RNG.gamma(2.0, 3.0, 2000))
    a, _, scale = stats.gamma.fit(cells, floc=0)
    assert log_density("gamma", cells) == pytest.approx(
        stats.gamma(a, scale=scale).logpdf(cells).mean(), abs=1e-6
    )
    s, _, scale = stats.lognorm.fit(cells, floc=0)
    expected = stats.lognorm(s, scale=scale).logpdf(cells).mean()
    assert log_density("log_normal", cells) == pytest.approx(expected, abs=1e-6)
    heavy = np.sort(RNG.standard_t(3, 2000))
    best = stats.t(*stats.t.fit(heavy)).logpdf(heavy).mean()
    assert best - 0.003 < log_density("student_t", heavy) <= best + 1e-6


def test_a_negative_binomial_is_found():
    cells = np.sort(RNG.negative_binomial(2.0, 0.2, 20_000)).astype(float)
    r, mean = nb_fit(cells)
    assert r == pytest.approx(2.0, rel=0.05)
    assert mean == cells.mean()
    assert nb_log_mass(cells) >= stats.nbinom(2.0, 0.2).logpmf(cells).mean() - 1e-6


def test_the_mass_of_whole_numbers_is_below_one():
    cells = np.round(RNG.normal(0, 0.2, 1000))
    assert t_log_mass(np.sort(cells)) <= 0


def test_half_a_gaussian_fits_half_a_gaussian():
    cells = np.sort(np.abs(RNG.normal(size=3000)))
    assert half_gaussian(cells) == pytest.approx(stats.halfnorm().logpdf(cells).mean(), abs=0.01)


@pytest.mark.parametrize(
    ("cells", "grid"),
    [
        ([1.0, 3.0, 7.0, 3.0], (2.0, 1.0)),
        ([0.25, 0.5, 0.5, 1.5], (0.25, 0.0)),
        ([0.1, 0.3, 0.7, 0.7], (0.2, 0.1)),
        ([-5.0, 10.0, 10.0], (15.0, 10.0)),
        (list(RNG.normal(size=20)), None),
        ([1e14 + 0.5, 3e15], None),
    ],
)
def test_the_coarsest_grid(cells, grid):
    found = grid_of(np.sort(np.array(cells)))
    assert found == (None if grid is None else pytest.approx(grid))


def test_of_many_cells_some_are_looked_at():
    cells = np.arange(50_000.0)[::-1]
    found = spread(cells)
    assert len(found) == 20_000
    assert (found[0], found[-1]) == (0.0, 49_999.0)
