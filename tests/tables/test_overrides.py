"""What a user may name for a column, and what is refused."""

import numpy as np
import pytest
from kinds import kinds

from condvae.tables import TableError
from condvae.tables.overrides import MOST_ORDERED, named, of_levels

CELLS = kinds(2000, 0)[1]


def test_a_name_is_taken_with_what_the_cells_tell():
    poisson = named("poisson", CELLS["poisson"], "a")
    assert (poisson.family, poisson.step, poisson.reason) == ("poisson", 1.0, "as asked for")
    assert named("rounded_gaussian", CELLS["to 0.1"], "a").step == 0.1
    assert named("ordinal", CELLS["rating"], "a").high == 5.0
    assert named("censored_gaussian", CELLS["cut off above"], "a").high == 40.0
    assert named("truncated_gaussian", CELLS["gamma"], "a").low == 0.0


def test_limits_and_steps_may_be_named():
    cells = CELLS["gaussian"]
    likelihood = named(" censored_gaussian( low = -9 , high=50)", cells, "a")
    assert (likelihood.low, likelihood.high) == (-9.0, 50.0)
    assert named("rounded_student_t(step=0.05)", CELLS["to 0.1"], "a").step == 0.05
    assert named("beta(low=-10, high=10)", cells, "a").high == 10.0


@pytest.mark.parametrize(
    ("name", "cells", "sentence"),
    [
        ("gumbel", [1.0, 2.0], "column 'a' is 'gumbel', expected one of universal, gaussian"),
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
        (
            "rounded_gaussian(step=1e-12)",
            [7.0, 8.0],
            "1e-12, too fine .*; name gaussian, or a step of at",
        ),
        (
            "rounded_gaussian(step=0.3)",
            [0.0, 7.0],
            "holds 7, .* steps of 0.3 away from 0; leave out step, or name",
        ),
        (
            "rounded_gaussian(step=0.3)",
            [7.0, 8.0],
            "holds 7, .* steps of 0.3 away from 0; leave out step, or name",
        ),
        ("truncated_gaussian(low=-5,high=inf)", [1.0, 2.0], "high=inf: give a finite number, or leave it"),
        ("truncated_gaussian(low=nan)", [1.0, 2.0], r"column 'a': 'truncated.*\(low=nan\)' has low=nan"),
        (
            "beta(low=0, low=1)",
            [1.5, 2.0],
            r"column 'a': 'beta\(low=0, low=1\)' has 'low' twice: give it once",
        ),
        ("beta(low=-1e308,high=1e308)", [1.0, 2.0], r"the low of column 'a' is -1e\+308, over a million"),
        (
            "truncated_gaussian(high=1e30)",
            [1.0, 2.0],
            r"the high of column 'a' is 1e\+30, .*; give one",
        ),
        ("ordinal(low=0,high=1000000)", [0.0, 5.0], "1,000,001 levels, .* 256; name .* negative_binomial"),
        ("ordinal", [-500.0, 500.0], "has 1,001 levels, and may have 256; name another, such as rounded"),
        ("ordinal(low=0.5)", [1.0, 2.0], "is of whole numbers, and a limit is 0.5; give a whole one"),
        ("ordinal(low=5, high=1)", [1.0, 2.0], "is from 5 to 1; give a low below the high"),
        (
            "bernoulli",
            [0.0, 2.0],
            "holds 2, which 'bernoulli' cannot give: it is of whole numbers from 0",
        ),
        ("categorical", [0.0, 1.0], "'categorical', and its cells are numbers; name bernoulli for 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name, cells, sentence):
    with pytest.raises(TableError, match=sentence):
        named(name, np.array(cells), "a")


def test_a_cell_is_on_a_step_as_far_as_its_digits_tell():
    tenths = np.arange(-300, 3000) * 0.1
    for cells in (tenths, np.round(tenths, 1), tenths.astype(np.float32).astype(float)):
        for step in (0.1, 0.05):
            likelihood = named(f"rounded_gaussian(step={step})", cells, "a")
            assert (likelihood.step, likelihood.origin) == (step, 0.0)
    thirds = named(f"rounded_gaussian(step={1 / 3})", np.arange(20) / 3, "a")
    assert thirds.on_grid(np.array([5 / 3, 1.5])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "column", "reason"),
    [
        ("truncated_gaussian(low=0)", "gamma", "as asked for, numbers from 0"),
        ("truncated_gaussian", "gamma", "as asked for, numbers from 0, as its cells tell"),
        ("censored_gaussian", "cut off above", "as asked for, numbers up to 40, as its cells tell"),
        ("beta", "beta", "as asked for, numbers from 0 to 1, without these, as its cells tell"),
        ("ordinal", "rating", "as asked for, whole numbers from 1 to 5, as its cells tell"),
        ("rounded_gaussian", "to 0.1", "as asked for, recorded to 0.1"),
        ("gaussian", "gaussian", "as asked for"),
    ],
)
def test_the_reason_says_what_was_taken(name, column, reason):
    assert named(name, CELLS[column], "a").reason == reason


def test_without_a_pile_the_least_is_the_limit_and_the_reason_says_so():
    cells = CELLS["gaussian"]
    likelihood = named("censored_gaussian", cells, "a")
    assert likelihood.low == cells.min()
    assert likelihood.reason == f"as asked for, numbers from {cells.min():g}, as its cells tell"


def test_the_order_of_categories_is_said():
    text = of_levels("ordinal", "size", ("l", "m", "s"), declared=False)
    assert text.reason == (
        "as asked for, in alphabetical order l < m < s; for another, give an ordered Categorical in Python"
    )
    assert of_levels("ordinal", "size", ("s", "m", "l"), declared=True).reason.endswith("order s < m < l")
    assert of_levels("ordinal", "yes", (False, True), declared=False).reason.endswith("order False < True")
    assert of_levels("ordinal", "a", [f"{i:02}" for i in range(50)], declared=True).reason.endswith(
        "00 < 01 < 02 < 03 < ... < 48 < 49"
    )


def test_an_order_is_of_so_many_categories():
    many = list(range(MOST_ORDERED + 1))
    assert of_levels(None, "a", many, declared=True).family == "categorical"
    assert of_levels(None, "a", many[1:], declared=True).family == "ordinal"
    with pytest.raises(
        TableError, match="column 'a' has 257 levels, and may have 256; name another, such as"
    ):
        of_levels("ordinal", "a", many, declared=True)
    with pytest.raises(TableError, match="'gamma', expected categorical or ordinal, as its cells are"):
        of_levels("gamma", "a", many, declared=False)
