"""What each likelihood can give, and how it goes into JSON."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from condvae.declared import conform
from condvae.tables import Likelihood

VALUES = np.array([-1.0, 0.0, 0.5, 1.0, 3.0])


@pytest.mark.parametrize(
    ("likelihood", "possible"),
    [
        (Likelihood("student_t"), [1, 1, 1, 1, 1]),
        (Likelihood("poisson", step=1.0), [0, 1, 0, 1, 1]),
        (Likelihood("gamma"), [0, 0, 1, 1, 1]),
        (Likelihood("hurdle_gamma"), [0, 1, 1, 1, 1]),
        (Likelihood("beta", low=0.0, high=1.0), [0, 0, 1, 0, 0]),
        (Likelihood("continuous_bernoulli", low=0.0, high=1.0), [0, 1, 1, 1, 0]),
        (Likelihood("censored_gaussian", low=0.0), [0, 1, 1, 1, 1]),
        (Likelihood("rounded_gaussian", step=2.0, origin=1.0), [1, 1, 1, 1, 1]),
        (Likelihood("ordinal", step=1.0, low=0.0, high=1.0), [0, 1, 0, 1, 0]),
    ],
    ids=lambda value: getattr(value, "family", ""),
)
def test_what_it_can_give(likelihood, possible):
    np.testing.assert_array_equal(likelihood.possible(VALUES), np.array(possible, bool))


def test_a_grid_is_of_the_cells_it_was_taken_from():
    """New rows may be recorded to more digits: what is between two steps is an interval as wide."""
    likelihood = Likelihood("rounded_gaussian", step=2.0, origin=1.0)
    np.testing.assert_array_equal(likelihood.on_grid(VALUES), [True, False, False, True, True])
    assert Likelihood("poisson", step=1.0).on_grid(VALUES).all()


def test_atoms_are_where_a_value_has_a_probability():
    assert Likelihood("hurdle_gamma").atoms == (0.0,)
    assert Likelihood("censored_gaussian", low=0.0, high=9.0).atoms == (0.0, 9.0)
    assert Likelihood("truncated_gaussian", low=0.0).atoms == ()


def test_it_goes_into_json_and_back():
    likelihood = Likelihood("negative_binomial", "counts", 1.0, start=(0.1, 1 / 3))
    assert conform(Likelihood, json.loads(json.dumps(asdict(likelihood))), "it") == likelihood
