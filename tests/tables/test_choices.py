"""Which likelihood a column gets: thirty columns of known kinds, and some that are hard to tell."""

import numpy as np
import pytest
from kinds import kinds

from condvae.tables.choices import choose

CONDITION, KINDS = kinds(2000, 0)
MORE = {n: kinds(n, seed)[1] for n, seed in ((500, 1), (6000, 2))}


@pytest.mark.parametrize("name", KINDS)
def test_thirty_columns_of_known_kinds(name):
    for columns in (KINDS, *MORE.values()):
        cells, right = columns[name]
        assert choose(cells).family in right


def test_there_are_thirty():
    assert len(KINDS) == 30


def test_the_order_of_the_rows_does_not_matter():
    for cells, _ in KINDS.values():
        assert choose(cells[::-1]) == choose(cells)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("over-dispersed", "counts, whose variance is"),
        ("zeros, poisson", "zeros, more than a negative binomial has"),
        ("rating", "whole numbers from 1 to 5, a scale"),
        ("to a quarter", "recorded to 0.25"),
        ("heavier", "continuous, heavy tails"),
        ("log-normal", "above 0 and skewed"),
        ("cut off above", "at 40, where values end"),
    ],
)
def test_the_reason_is_in_words(name, reason):
    assert reason in choose(KINDS[name][0]).reason


def test_the_start_is_that_of_the_column():
    found = choose(KINDS["wide log-normal"][0])
    logs = np.log(KINDS["wide log-normal"][0])
    np.testing.assert_allclose(found.start, [logs.mean(), np.log(logs.std())])


def test_decimals_that_went_through_single_precision_are_on_their_grid():
    cells = np.round(np.random.default_rng(0).normal(size=300), 1).astype(np.float32).astype(float)
    assert choose(cells).step == 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_scale_like_a_bell_ends_where_it_does(seed):
    # A Student-t has its shape, and would go on beyond both ends.
    found = choose(1.0 + np.random.default_rng(seed).binomial(4, 0.5, 300))
    assert (found.family, found.low, found.high) == ("ordinal", 1.0, 5.0)


@pytest.mark.parametrize("seed", range(3))
def test_rounded_numbers_that_thin_out_are_no_scale(seed):
    cells = np.round(np.random.default_rng(seed).normal(20.3, 1.0, 2000))
    assert choose(cells).family == "rounded_student_t"


def test_one_cell_of_many_that_is_off_the_grid_counts():
    cells = np.round(np.random.default_rng(0).normal(60, 10, 30_000))
    cells[7] = 60.37
    assert choose(cells).on_grid(cells).all()
