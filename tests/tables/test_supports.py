"""What values a column can hold, told from its cells: in any units and order, and from another sample."""

from typing import NamedTuple

import numpy as np
import pytest

from condvae.normal_scores import to_scores
from condvae.tables.shapes import scores_of
from condvae.tables.supports import (
    Support,
    as_written,
    described,
    holds,
    recorded_as,
    support_of,
)

N = 1000
LEVELS = (0.0, 25.0, 50.0, 100.0)


class Said(NamedTuple):
    """What is to be said of a column."""

    points: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    closed: bool = False


def ages(rng):
    years, kind = rng.gamma(4, 8, N), rng.choice(3, N, p=[0.9, 0.07, 0.03])
    return np.choose(kind, [np.floor(years), np.round(2 * years) / 2, np.round(years, 2)])


def prices(rng):
    plain = rng.lognormal(3.5, 0.6, N)
    return np.where(rng.random(N) < 0.7, np.round(plain), np.round(plain, 2))


COLUMNS = {
    "counts": (lambda rng: rng.poisson(3, N), Said(steps=(1,), low=0)),
    "counts, over-dispersed": (lambda rng: rng.negative_binomial(1.5, 0.05, N), Said(steps=(1,), low=0)),
    "counts, zero-inflated": (
        lambda rng: rng.poisson(5, N) * (rng.random(N) > 0.4),
        Said((0,), (1,), low=0),
    ),
    "levels": (lambda rng: rng.choice(LEVELS, N, p=[0.4, 0.3, 0.2, 0.1]), Said(LEVELS, closed=True)),
    "zero and one": (lambda rng: rng.random(N) < 0.2, Said((0, 1), closed=True)),
    "days of a month": (lambda rng: rng.integers(1, 32, N), Said(steps=(1,), low=1, high=31)),
    "percent": (lambda rng: rng.integers(0, 101, N), Said(steps=(1,), low=0, high=100)),
    "halves": (lambda rng: rng.integers(0, 40, N) + 0.5, Said(steps=(1,), low=0.5, high=39.5)),
    "uniform": (lambda rng: rng.uniform(-1, 1, N), Said(low=-1, high=1)),
    "gaussian": (lambda rng: rng.normal(0, 1, N), Said()),
    "heavy-tailed": (lambda rng: rng.standard_t(2, N), Said()),
    "amounts": (lambda rng: rng.gamma(2, 1, N) ** 2, Said(low=0)),
    "ages": (ages, Said(steps=(1, 0.5, 0.01), low=0)),
    "prices": (prices, Said(steps=(1, 0.01), low=0)),
    "salaries": (lambda rng: 1000 * np.round(rng.lognormal(4, 0.4, N)), Said(steps=(1000,), low=0)),
    "shares with ones": (
        lambda rng: np.where(rng.random(N) < 0.1, 1.0, rng.beta(2, 2, N)),
        Said((1,), low=0, high=1),
    ),
    "amounts with zeros": (
        lambda rng: np.where(rng.random(N) < 0.3, 0.0, rng.lognormal(10, 1.5, N)),
        Said((0,), low=0),
    ),
    "populations": (lambda rng: np.round(10 ** rng.uniform(1, 7, N)), Said(steps=(1,), low=10)),
    "temperatures": (lambda rng: np.round(rng.normal(-8, 6, N), 1), Said(steps=(0.1,))),
    "below 0": (lambda rng: np.round(rng.normal(-30, 5, N), 1), Said(steps=(0.1,), high=0)),
    "score up to 100": (
        lambda rng: np.minimum(100, np.round(rng.normal(85, 12, N))),
        Said((100,), (1,), low=0, high=100),
    ),
}


def column(name, seed=0):
    cells, said = COLUMNS[name]
    return np.asarray(cells(np.random.default_rng(seed)), float), said


def assert_said(support, said, scale=1.0):
    assert support.closed == said.closed
    for name in ("points", "steps"):
        right = np.array(getattr(said, name), float) * scale
        assert np.array(getattr(support, name)) == pytest.approx(right, rel=1e-9, abs=0), name
    for name in ("low", "high"):
        right = getattr(said, name)
        right = None if right is None else pytest.approx(right * scale, abs=0)
        assert getattr(support, name) == right, name


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", COLUMNS)
def test_what_a_column_can_hold(name, seed):
    values, said = column(name, seed)
    support = support_of(values)
    assert_said(support, said)
    assert sum(support.point_shares) + sum(support.step_shares) == pytest.approx(1.0)
    assert holds(support, values).all()


@pytest.mark.parametrize("name", COLUMNS)
def test_it_is_the_same_in_any_units(name):
    values, said = column(name)
    for power in range(-12, 16):
        scale = 10.0**power
        support = support_of(values * scale)
        if said.high is None and values.min() >= 0 and 0.8 <= (values * scale).max() <= 1:
            assert support.high in (None, 1.0)  # shares may be 1, whatever their unit would otherwise say
            support = support._replace(high=None)
        assert_said(support, said, scale)


@pytest.mark.parametrize("name", COLUMNS)
def test_it_is_the_same_in_any_order(name):
    values, _ = column(name)
    assert support_of(np.random.default_rng(1).permutation(values)) == support_of(values)


SMOOTH = {
    "log-normal": lambda rng, n: rng.lognormal(0, 1, n),
    "wide log-normal": lambda rng, n: rng.lognormal(8, 1.5, n),
    "log-normal, to hundredths": lambda rng, n: np.round(rng.lognormal(3, 1, n), 2),
    "log-normal from -1": lambda rng, n: rng.lognormal(0, 1, n) - 1,
}


MODES = {
    "two": (300, lambda rng, n: rng.normal(np.where(rng.random(n) < 0.36, 15.0, 18.4), 1.1)),
    "two far apart": (60, lambda rng, n: rng.normal(10.0 * rng.integers(1, 3, n), 1.0)),
    "three": (300, lambda rng, n: rng.normal(np.array([0.0, 5.0, 9.0])[rng.integers(0, 3, n)], 1.0)),
    "five, to tenths": (
        300,
        lambda rng, n: np.round(
            rng.normal(np.array([-4.0, -1.0, 0.0, 2.0, 5.0])[rng.integers(0, 5, n)], 0.6), 1
        ),
    ),
}


@pytest.mark.parametrize("name", MODES)
def test_the_outermost_of_several_modes_does_not_end_at_a_limit(name):
    """A share of 0.003 of other cells is refused at most: a row that is refused has log p of -inf."""
    n, cells = MODES[name]
    refused = []
    for seed in range(40):
        support = support_of(cells(np.random.default_rng(seed), n))
        refused.append((~holds(support, cells(np.random.default_rng(seed + 100), 2000))).mean())
    assert np.mean(refused) <= 0.003


@pytest.mark.parametrize("n", [300, 1000])
def test_where_one_end_is_a_limit_so_is_its_mirror_image(n):
    """The cells at one end alone left the other open in 5 samples of 1,000 rows, in 13 of 300 rows."""
    ends = [support_of(np.random.default_rng(seed).uniform(-1, 1, n)) for seed in range(200)]
    assert sum(None in (support.low, support.high) for support in ends) <= 2
    angles = [support_of(np.random.default_rng(seed).uniform(0, 360, n)) for seed in range(200)]
    assert sum(None in (support.low, support.high) for support in angles) <= 2


CLIPPED = {
    "below": (lambda rng, n: np.maximum(rng.normal(2, 3, n), -5), (-5.0, None)),
    "above": (lambda rng, n: np.minimum(rng.normal(2, 3, n), 9), (None, 9.0)),
    "to tenths": (lambda rng, n: np.round(np.maximum(rng.normal(2, 3, n), -4), 1), (-4.0, None)),
    "on both sides": (lambda rng, n: np.clip(rng.standard_t(3, n), -4, 4), (-4.0, 4.0)),
}


@pytest.mark.parametrize("name", CLIPPED)
def test_what_is_clipped_ends_there(name):
    """One or two cells of a hundred were clipped; those beyond come near."""
    cells, limits = CLIPPED[name]
    supports = [support_of(cells(np.random.default_rng(seed), 1000)) for seed in range(40)]
    assert sum((support.low, support.high) == limits for support in supports) >= 37


@pytest.mark.parametrize("code", [-999.0, 30.0, 1e6])
def test_a_code_for_missing_cells_is_no_limit(code):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.where(rng.random(1000) < 0.01, code, rng.normal(2, 3, 1000))
        assert support_of(values)[-3:-1] in [(None, None)] or (values == code).sum() >= 20


def test_a_round_number_that_is_repeated_is_no_limit():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rents = rng.lognormal(7, 0.4, 1000)
        rents = np.where(rng.random(1000) < 0.3, 500 * np.round(rents / 500), np.round(rents))
        assert support_of(rents).high is None


def test_a_mirror_image_out_of_reach_is_no_limit():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        assert support_of(rng.exponential(0.5, N) - 1).high is None
        assert support_of(rng.exponential(50, N)).high is None


@pytest.mark.parametrize("name", SMOOTH)
def test_cells_of_a_smooth_density_leave_room_for_more(name):
    """Of 200,000 other cells of the same kind no more than two are refused."""
    cells, refused = SMOOTH[name], 0
    for seed in range(20):
        support = support_of(cells(np.random.default_rng(seed), N))
        refused += (~holds(support, cells(np.random.default_rng(seed + 100), 10 * N))).sum()
    assert refused <= 2


def test_rows_that_are_repeated_as_a_whole_pile_up_nothing():
    values, said = column("gaussian")
    assert_said(support_of(np.repeat(values, 3)), said)


@pytest.mark.parametrize(
    "cells", [(1, 2), (0, 1, 5), (1.5, 2.5, 3.7), (-1e-9, 1e9), (3, 3, 4), (-1, 0, 2, 9)]
)
def test_a_few_cells_are_enough(cells):
    values = np.array(cells, float)
    support = support_of(values)
    assert holds(support, values).all()
    if not support.closed:
        assert np.isfinite(to_scores(scores_of(values, support), values)[0]).all()


def test_what_it_holds():
    levels = Support(LEVELS, (0.25,) * 4, (), (), 0.0, None, None, True)
    assert holds(levels, np.array([25.0, 30.0, 100.0, 125.0])).tolist() == [True, False, True, False]
    days = Support((), (), (1.0,), (1.0,), 0.0, 1.0, 31.0, False)
    assert holds(days, np.array([0.0, 1.0, 31.0, 32.0])).tolist() == [False, True, True, False]
    free = Support((), (), (), (1.0,), 0.0, None, None, False)
    assert holds(free, np.array([-1e9, 1e9])).all()


@pytest.mark.parametrize("name", COLUMNS)
def test_cells_come_back_from_single_precision(name):
    values, _ = column(name)
    support = support_of(values)
    single = values.astype(np.float32).astype(float)
    cells_again = recorded_as(support, single, np.abs(values) * 1e-6)
    if support.steps or support.closed:
        np.testing.assert_array_equal(cells_again, values)
    else:
        at = np.isin(values, support.points)
        np.testing.assert_array_equal(cells_again[at], values[at])
        np.testing.assert_array_equal(cells_again[~at], single[~at])


def test_as_written():
    tenths = np.arange(1000) / 10
    np.testing.assert_array_equal(as_written(np.arange(1000) * 0.1, 0.1), tenths)
    assert as_written(np.array([3 * 1e-7]), 1e-7).tolist() == [3e-7]
    assert as_written(np.array([0.1, 30.1]), 10.0, 0.1).tolist() == [0.1, 30.1]


@pytest.mark.parametrize(
    ("support", "words"),
    [
        (Support((), (), (), (1.0,), 0.0, None, None, False), "numbers"),
        (Support((), (), (), (1.0,), 0.0, 0.0, None, False), "numbers from 0"),
        (Support((), (), (1.0,), (1.0,), 0.0, 1.0, 31.0, False), "whole numbers from 1 to 31"),
        (Support((), (), (0.1,), (1.0,), 0.0, None, 0.0, False), "numbers to 0, recorded to 0.1"),
        (
            Support((), (), (1.0, 0.5), (0.9, 0.1), 0.0, 0.0, None, False),
            "numbers from 0, recorded 90% to 1, 10% to 0.5",
        ),
        (
            Support((0.0, 7.0), (0.25, 0.004), (), (0.746,), 0.0, 0.0, None, False),
            "numbers from 0; 25% are 0, 0.4% are 7",
        ),
        (Support(LEVELS, (0.25,) * 4, (), (), 0.0, None, None, True), "one of 4 values: 0, 25, 50, 100"),
        (
            Support(tuple(map(float, range(12))), (1 / 12,) * 12, (), (), 0.0, None, None, True),
            "one of 12 values: 0, 1, 2, 3, ..., 10, 11",
        ),
    ],
)
def test_it_is_said_in_words(support, words):
    assert described(support) == words


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [0.01, 1.0, 5.0])
def test_a_grid_that_is_cut_off_ends_beyond_the_sample_where_it_is_fine(seed, step):
    """Of values far apart on a fine grid the greatest is not the greatest that there can be."""
    rng = np.random.default_rng(seed)
    prices = step * np.round(rng.uniform(1100, 4000, 1000) / step)
    support = support_of(prices)
    others = step * np.round(rng.uniform(1100, 4000, 1000) / step)
    assert holds(support, others).mean() > 0.998
    assert support.low >= 1050
    assert support.high <= 4050
    days = support_of(rng.integers(1, 32, 1000).astype(float))
    assert (days.low, days.high) == (1, 31)
