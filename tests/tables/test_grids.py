"""Grids that cells are on: one, none, or a mixture of a few."""

import numpy as np
import pytest

from condvae.tables.grids import finest_grid, grids_of


@pytest.mark.parametrize(
    ("values", "step", "origin"),
    [
        (np.arange(20.0), 1.0, 0.0),
        (np.arange(0.5, 30), 1.0, 0.5),
        (np.arange(20) * 0.1, 0.1, 0.0),
        ((np.arange(20) * 0.1).astype(np.float32).astype(float), 0.1, 0.0),
        (np.arange(-10, 10) * 0.25, 0.25, 0.0),
        (np.arange(10) * 7.0, 7.0, 0.0),
        (np.array([1000.0, 2000.0, 5000.0, 7000.0]), 1000.0, 0.0),
        (1e6 + np.arange(10.0), 1.0, 0.0),
        (np.arange(10) * 1e-7, 1e-7, 0.0),
        (np.array([7.0, 21.0, 35.0]), 1.0, 0.0),  # few values share a divisor by chance
    ],
)
def test_the_coarsest_grid_that_holds_all_values(values, step, origin):
    assert finest_grid(np.unique(values)) == pytest.approx((step, origin), rel=1e-12)


@pytest.mark.parametrize("values", [np.sqrt(np.arange(30) + 0.3), np.random.default_rng(0).normal(size=50)])
def test_values_of_many_digits_are_on_none(values):
    assert finest_grid(np.unique(values)) is None
    assert grids_of(np.sort(values)).steps == ()


def cells(rng, steps, shares, n=2000):
    """Log-normal cells, each recorded to one of some steps; 0 is none."""
    plain, kind = 100 * rng.lognormal(0, 0.5, n), rng.choice(len(steps), n, p=shares)
    parts = [plain if step == 0 else np.round(plain / step) * step for step in steps]
    return np.sort(np.round(np.choose(kind, parts), 12))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("steps", "shares"),
    [
        ((1.0,), (1.0,)),
        ((10.0,), (1.0,)),
        ((1.0, 0.5), (0.9, 0.1)),
        ((1.0, 0.5, 0.01), (0.8, 0.15, 0.05)),
        ((5.0, 1.0), (0.4, 0.6)),
        ((1.0, 0.01), (0.7, 0.3)),
        ((0.25, 0.01), (0.5, 0.5)),
        ((1.0, 0.0), (0.6, 0.4)),
    ],
)
def test_the_grids_of_a_mixture_and_their_shares(steps, shares, seed):
    grids = grids_of(cells(np.random.default_rng(seed), steps, shares))
    assert len(grids.steps) == len(steps)
    for step, right in zip(grids.steps, steps, strict=True):
        assert step == pytest.approx(right, rel=1e-9) if right else step < 1e-3
    # Cells of a fine step that are on a coarse one by chance are told apart by how many there are.
    assert grids.shares == pytest.approx(shares, abs=0.04)
    assert sum(grids.shares) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("step", "sd", "pile", "share"),
    [(0.01, 40.0, 500.0, 0.3), (1.0, 12.0, 40.0, 0.25), (1.0, 30.0, 40.0, 0.2), (0.1, 0.6, 37.0, 0.2)],
)
def test_piles_are_no_grid(step, sd, pile, share, seed):
    rng = np.random.default_rng(seed)
    cells = np.round(rng.normal(pile, sd, 1000) / step) * step
    values = np.round(np.where(rng.random(1000) < share, pile, cells), 2)
    assert grids_of(np.sort(values)).steps == pytest.approx((step,))


def test_zero_is_on_every_grid_and_tells_nothing():
    values = cells(np.random.default_rng(0), (1.0, 0.01), (0.5, 0.5))
    alone = grids_of(values)
    among = grids_of(np.sort(np.r_[values, np.zeros(2000)]))
    assert among.steps == alone.steps
    assert among.shares == pytest.approx(alone.shares)


def test_numbers_next_to_the_least_that_there_are_have_no_grid():
    cells = np.sort(np.random.default_rng(0).gamma(2, 1e-300, 500))
    assert grids_of(cells).steps == ()
