"""Which likelihood a column gets: thirty columns of known kinds, and what a user may name."""

import numpy as np
import pytest
from kinds import kinds

from condvae.tables import TableError
from condvae.tables.choices import choose, named

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


def test_a_name_is_taken_with_what_the_cells_tell():
    poisson = named("poisson", KINDS["poisson"][0], "a")
    assert (poisson.family, poisson.step, poisson.reason) == ("poisson", 1.0, "as asked for")
    assert named("rounded_gaussian", KINDS["to 0.1"][0], "a").step == 0.1
    assert named("ordinal", KINDS["rating"][0], "a").high == 5.0
    assert named("censored_gaussian", KINDS["cut off above"][0], "a").high == 40.0
    assert named("truncated_gaussian", KINDS["gamma"][0], "a").low == 0.0


def test_limits_and_steps_may_be_named():
    cells = KINDS["gaussian"][0]
    found = named(" censored_gaussian( low = -9 , high=50)", cells, "a")
    assert (found.low, found.high) == (-9.0, 50.0)
    assert named("rounded_student_t(step=0.5)", cells, "a").step == 0.5
    assert named("beta(low=-10, high=10)", cells, "a").high == 10.0


@pytest.mark.parametrize(
    ("name", "cells", "sentence"),
    [
        ("gumbel", [1.0, 2.0], "the likelihood of column 'a' is 'gumbel', expected one of gaussian"),
        ("gamma(", [1.0, 2.0], r"column 'a' is 'gamma\('; write a name, such as gamma"),
        ("gamma(low=0)", [1.0, 2.0], "'gamma' of column 'a' takes no options; leave out 'low'"),
        ("censored_gaussian(low=x)", [1.0, 2.0], "write a name"),
        ("gamma", [0.0, 2.0], "column 'a' holds 0, which 'gamma' cannot give: it is of numbers above 0"),
        ("poisson", [0.0, 2.5], "column 'a' holds 2.5, which 'poisson' cannot give: it is of whole"),
        ("beta", [0.5, 1.0], "holds 1, which 'beta' cannot give: it is of numbers from 0 to 1, without"),
        ("truncated_gaussian(low=3)", [1.0, 4.0], "holds 1, .* numbers from 3"),
        ("truncated_gaussian(high=0)", [1.0, 4.0], "holds 1, .* numbers up to 0"),
        ("beta(low=1, high=0)", [0.5, 0.7], "is from 1 to 0; give a low below the high"),
        ("ordinal", [0.5, 1.5], "cells that are no whole numbers"),
        ("rounded_gaussian", list(np.random.default_rng(0).normal(size=50)), "name one, such as rounded"),
        ("rounded_gaussian(step=0)", [1.0, 2.0], "the step of column 'a' is 0; give a number above 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name, cells, sentence):
    with pytest.raises(TableError, match=sentence):
        named(name, np.array(cells), "a")
