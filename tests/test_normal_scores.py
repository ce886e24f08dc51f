"""The monotone map to normal scores: its inverse, its slope, and that a column's scores are N(0, 1)."""

import jax.numpy as jnp
import numpy as np
import pytest

from condvae.normal_scores import NormalScores, from_scores, to_scores
from condvae.tables.shapes import scores_of
from condvae.tables.supports import support_of

RNG = np.random.default_rng(0)
COLUMNS = {
    "no limit": RNG.normal(3.0, 2.0, 2000),
    "no limit, heavy tails": RNG.standard_t(2, 2000),
    "above 0": RNG.lognormal(1.0, 1.0, 2000),
    "far above 0": 150 + RNG.normal(0, 8.0, 2000),
    "below 0": -RNG.gamma(2.0, 3.0, 2000),
    "between limits": RNG.uniform(-1, 1, 2000),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_scores_are_standard_normal_and_come_back(name):
    values = COLUMNS[name]
    scores = scores_of(values, support_of(values))
    u, _ = to_scores(scores, values)
    # Of 2,000 cells: the standard errors are 0.022 and 0.016; the spline has five knots.
    assert abs(u.mean()) < 0.07 and abs(u.std() - 1) < 0.07
    np.testing.assert_allclose(from_scores(scores, u), values, rtol=1e-9, atol=1e-9 * values.std())


@pytest.mark.parametrize("name", COLUMNS)
def test_the_slope_is_that_of_finite_differences(name):
    scores = scores_of(COLUMNS[name], support_of(COLUMNS[name]))
    u = np.linspace(-4, 4, 81)
    values = from_scores(scores, u)
    step = 1e-6 * np.abs(np.gradient(values))
    above, below = (to_scores(scores, values + side * step)[0] for side in (1, -1))
    slope = np.exp(to_scores(scores, values)[1])
    np.testing.assert_allclose((above - below) / (2 * step), slope, rtol=1e-4)


@pytest.mark.parametrize("name", COLUMNS)
def test_values_beyond_the_cells_keep_to_the_limits_and_to_the_order(name):
    values = COLUMNS[name]
    scores = scores_of(values, support_of(values))
    far = from_scores(scores, np.linspace(-12, 12, 400))
    assert (np.diff(far) >= 0).all()
    assert (far >= scores.low).all() and (far <= scores.high).all()


@pytest.mark.parametrize("unit", [1e-12, 1e15])
@pytest.mark.parametrize("name", COLUMNS)
def test_another_unit_gives_the_same_scores(name, unit):
    plain, scaled = COLUMNS[name], COLUMNS[name] * unit
    one = to_scores(scores_of(plain, support_of(plain)), plain)[0]
    other = to_scores(scores_of(scaled, support_of(scaled)), scaled)[0]
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_jax_and_numpy_agree():
    values = COLUMNS["above 0"]
    scores = scores_of(values, support_of(values))
    arrays = NormalScores(*(jnp.asarray(np.asarray(part), jnp.float32) for part in scores))
    for ours, expected in zip(
        to_scores(arrays, jnp.asarray(values, jnp.float32), jnp), to_scores(scores, values), strict=True
    ):
        np.testing.assert_allclose(ours, expected, atol=2e-4)
