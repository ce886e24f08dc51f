"""What cells can be: every family holds its own draws and refuses what is outside; what it says of that."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae.distributions import Cells, Numpyro, Product
from condvae.distributions.support import Support, support_of
from condvae.heads import FAMILIES, CategoricalHead, CodesHead, OrdinalHead, PixelHead
from condvae.heads.families import family_support

KEY = jax.random.key(0)
COUNTS = ([0.0, 1.0, 7.0], [-1.0, 0.5], "a whole number from 0")
POSITIVE = ([1e-3, 5.0], [0.0, -1.0], "a number above 0")
ANY = ([-1e6, 0.0, 0.3], [np.nan], "a number")

HELD = {
    "gaussian": ANY,
    "student_t": ANY,
    "laplace": ANY,
    "log_normal": POSITIVE,
    "gamma": POSITIVE,
    "beta": ([0.1, 0.9], [0.0, 1.0, 1.5], "a number above 0 and below 1"),
    "bernoulli": ([0.0, 1.0], [0.5, 2.0, -1.0], "0 or 1"),
    "continuous_bernoulli": ([0.0, 0.5, 1.0], [-0.1, 1.1], "a number from 0 to 1"),
    "poisson": COUNTS,
    "negative_binomial": COUNTS,
    "zero_inflated_poisson": COUNTS,
    "zero_inflated_negative_binomial": COUNTS,
    "hurdle_poisson": COUNTS,
    "hurdle_negative_binomial": COUNTS,
    "hurdle_gamma": ([0.0, 0.5], [-0.1], "a number from 0"),
    "hurdle_log_normal": ([0.0, 0.5], [-0.1], "a number from 0"),
    "truncated_gaussian": ([0.0, 3.0], [-0.1, 3.1], "a number from 0 to 3"),
    "censored_gaussian": ([0.0, 3.0], [-0.1, 3.1], "a number from 0 to 3"),
    "rounded_gaussian": ([-0.5, 0.0, 1e3], [0.3], "a multiple of 0.5"),
    "rounded_student_t": ([-0.5, 0.0, 1e3], [0.3], "a multiple of 0.5"),
}
LIMITS = {"low": 0.0, "high": 3.0}
OPTIONS = {"truncated": LIMITS, "censored": LIMITS, "rounded": {"width": 0.5}}


def test_every_family_is_here():
    assert set(HELD) == set(FAMILIES)


@pytest.mark.parametrize("name", HELD)
def test_a_family_holds_what_is_inside_and_nothing_outside(name):
    inside, outside, words = HELD[name]
    support = family_support(name, **OPTIONS.get(name.split("_")[0], {}))
    assert support.holds(np.array(inside)).all()
    assert not support.holds(np.array(outside)).any()
    assert support.words() == words


@pytest.mark.parametrize("low", [None, -2.0])
def test_limits_of_one_side(low):
    support = family_support("truncated_gaussian", low=low, high=1.0)
    assert support.words() == ("a number up to 1" if low is None else "a number from -2 to 1")


def test_steps_that_single_precision_has_not_exactly_are_held():
    support = family_support("rounded_gaussian", width=0.1, origin=0.05)
    assert support.words() == "0.05 and whole steps of 0.1 from it"
    values = (0.05 + 0.1 * np.arange(-3000, 3000)).astype(np.float32)
    assert support.holds(values).all()
    assert not support.holds(values + np.float32(0.01)).any()


@pytest.mark.parametrize(
    "head",
    [
        CategoricalHead(2, (2, 4), key=KEY),
        OrdinalHead(2, (2, 4), key=KEY),
        CodesHead(2, (2, 4), ordinal=(True, False), key=KEY),
    ],
    ids=lambda head: type(head).__name__,
)
def test_each_category_has_its_own_levels(head):
    support = head(jnp.zeros(2)).support()
    assert support.holds(np.array([[1, 3], [2, 3], [1, 4], [-1, 0]])).tolist() == [
        [True, True],
        [False, True],
        [True, False],
        [False, True],
    ]
    assert support.at((0,)).words() == "0 or 1"
    assert support.at((1,)).words() == "a whole number from 0 to 3"


def test_pixels_are_whole_numbers_below_their_levels():
    support = PixelHead(2, (1,), levels=17, key=KEY)(jnp.zeros((3, 3, 2))).support()
    assert support.words() == "a whole number from 0 to 16"
    assert support.holds(np.array([0, 16, 17, 0.5])).tolist() == [True, True, False, False]


def test_cells_of_several_kinds_are_joined_and_blocks_stay_apart():
    unknown = Numpyro(npd.Uniform(jnp.zeros(1), jnp.ones(1)))
    parts = Numpyro(npd.Normal(jnp.zeros(2), 1.0)), Numpyro(npd.Poisson(jnp.ones(1))), unknown
    vector = Cells(parts, ((0, 3), (1,), (2,)))
    support = vector.support()
    assert [str(support.at((i,)).likelihood) for i in range(4)] == [
        "Normal",
        "Poisson",
        "Uniform",
        "Normal",
    ]
    assert support.holds(np.array([[-1.5, -1.5, 0.5, -1.5]])).tolist() == [[True, False, True, True]]
    product = Product({"a": vector, "b": Numpyro(npd.Bernoulli(jnp.ones(1)))})
    assert product.support()["b"].words() == "0 or 1"


def test_what_follows_from_parameters_that_are_traced_is_not_known():
    known = []

    def look(low):
        known.append(support_of(npd.Uniform(low, low + 1.0)))
        return low

    jax.eval_shape(look, 0.0)
    assert known == [None]
    assert support_of(npd.Dirichlet(jnp.ones(3))) is None
    assert Support("Normal").words() == "a number"
