"""Steps, piled-up values, and what they mean for densities."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from condvae.observed import Observed
from condvae.tables import (
    Column,
    Likelihood,
    Schema,
    decode,
    density_units,
    encode,
    far_points,
    intervals,
    log_scale,
    reach,
    recorded,
)
from condvae.tables.supports import support_of

TENTHS = Column(
    "a",
    "target",
    "numeric",
    "double",
    mean=1.0,
    sd=2.0,
    likelihood=Likelihood("rounded_student_t", step=0.1),
)
RAIN = Column("b", "target", "numeric", "double", mean=1.0, sd=4.0, likelihood=Likelihood("hurdle_gamma"))
CUT = replace(RAIN, name="c", likelihood=Likelihood("censored_gaussian", low=-3.0, high=5.0))
PLAIN = replace(RAIN, name="d", likelihood=Likelihood("student_t"))


def block(*columns):
    value = np.array(columns, np.float32).T
    return Observed(value, np.ones(value.shape, bool))


def test_draws_are_within_limits_to_the_last_digit():
    """Standardised in single precision, a share of 0 came back as -4e-9."""
    shares = np.random.default_rng(0).beta(0.6, 0.6, 1000)
    support = support_of(shares)
    column = replace(PLAIN, likelihood=Likelihood.universal(support), support=support)
    assert recorded(column, np.array([-4e-9, 1.00000003])).tolist() == [0.0, 1.0]
    assert recorded(column, np.array([-0.1, 1.1])).tolist() == [-0.1, 1.1]


def test_draws_are_recorded_as_the_cells_were():
    assert recorded(TENTHS, np.array([0.3000001, 0.26, -1.14])).tolist() == [0.3, 0.3, -1.1]
    assert recorded(RAIN, np.array([1e-7, -1e-7, 0.1])).tolist() == [0.0, 0.0, 0.1]
    assert recorded(PLAIN, np.array([1e-7])).tolist() == [1e-7]
    odd = replace(TENTHS, likelihood=Likelihood("rounded_student_t", step=1 / 3, origin=0.1))
    assert recorded(odd, np.array([0.45])) == pytest.approx(0.1 + 1 / 3)
    halves = replace(TENTHS, likelihood=Likelihood("rounded_student_t", step=1.0, origin=0.5))
    assert recorded(halves, np.array([1.4, 2.6])).tolist() == [1.5, 2.5]


def test_what_a_cell_reaches_from_and_to():
    assert [end.tolist() for end in reach(TENTHS, np.array([0.3]))] == [
        pytest.approx([0.25]),
        pytest.approx([0.35]),
    ]
    low, high = reach(RAIN, np.array([0.0]))
    assert low < 0 < high < 1e-4
    assert reach(PLAIN, np.array([0.3]))[0] == 0.3


def test_intervals_are_steps_and_all_that_lies_beyond_an_end():
    zero, low, high = (0 - 1) / 4, (-3 - 1) / 4, (5 - 1) / 4
    ends = intervals([TENTHS, RAIN, CUT, PLAIN], block([0.5, 0.5], [zero, 0.5], [low, high], [0.0, 0.0]))
    np.testing.assert_allclose(ends[0], [[0.475, -np.inf, -np.inf, 0], [0.475, 0.5, 1, 0]])
    np.testing.assert_allclose(ends[1], [[0.525, zero, low, 0], [0.525, 0.5, np.inf, 0]])
    assert intervals([PLAIN], block([0.5])) is None


def test_units_of_densities_steps_and_atoms():
    zero = (0 - 1) / 4
    observed = block([0.5, 0.5], [zero, 0.5], [0.5, 1.0], [0.0, 0.0])
    expected = [np.log(0.1) + 0 + np.log(4) + np.log(4), np.log(0.1) + np.log(4) + 0 + np.log(4)]
    np.testing.assert_allclose(log_scale([TENTHS, RAIN, CUT, PLAIN], observed), expected)


@pytest.mark.parametrize("name", [None, "rounded_student_t"])
def test_cells_come_back_to_the_digit(name):
    cells = np.round(np.random.default_rng(0).normal(3, 1, 200), 1)
    frame = pa.table({"a": cells})
    schema = Schema.infer(frame, target=["a"]).with_likelihoods(frame, {"a": name})
    assert schema.target[0].likelihood.step == 0.1
    value = encode(schema.target, frame)["numeric"].value
    np.testing.assert_array_equal(decode(schema.target, {"numeric": value}, "pyarrow")["a"], cells)


def test_it_is_said_of_what_a_log_density_is():
    said = density_units([TENTHS, RAIN, PLAIN, replace(PLAIN, name="e")])
    assert said == (
        "of the probability of a step of 0.1, over the step, in a; of a density, and at 0 a "
        "probability, in b; of a density in d, e"
    )


def test_single_values_far_from_the_others_are_told():
    rng = np.random.default_rng(0)
    columns = {
        "glucose": np.where(rng.random(800) < 0.02, 0, np.round(rng.normal(120, 30, 800))),
        "code": np.where(rng.random(800) < 0.05, 999, np.round(rng.normal(30, 5, 800))),
        "rain": np.where(rng.random(800) < 0.1, 0, rng.gamma(1.0, 8, 800)),
        "rating": rng.integers(1, 6, 800),
    }
    frame = pa.table(columns)
    schema = Schema.infer(frame, target=list(columns)).with_likelihoods(frame)
    assert {c.name: [point for point, _ in far_points(c)] for c in schema.target} == {
        "glucose": [0.0],
        "code": [999.0],
        "rain": [],
        "rating": [],
    }
