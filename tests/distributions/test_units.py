"""Counts, levels and positive numbers that are looked at standardised."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae.distributions import Cells, Numpyro
from condvae.distributions.counts import Hurdle, NegativeBinomial, Poisson
from condvae.distributions.positive import Beta, Gamma
from condvae.distributions.units import InUnits, Levels
from condvae.observed import Observed
from helpers import compiled

SHIFT, SCALE = 3.7, 2.3


def standard(x):
    return jnp.asarray((np.asarray(x, np.float64) - SHIFT) / SCALE, jnp.float32)


def test_a_probability_stays_what_it_is():
    counts = np.array([0, 1, 7, 300, 40_000])
    base = NegativeBinomial(50.0, 0.5)
    log_mass = compiled(InUnits(base, SHIFT, SCALE), "log_prob", standard(counts))
    np.testing.assert_array_equal(log_mass, compiled(base, "log_prob", jnp.asarray(counts)))


def test_a_density_is_that_of_the_new_variable():
    base, x = Gamma(2.0, 0.5), np.array([0.1, 2.0, 30.0])
    density = InUnits(base, SHIFT, SCALE).log_prob(standard(x))
    np.testing.assert_allclose(density, base.log_prob(x) + np.log(SCALE), rtol=1e-4)


def test_at_the_zero_of_a_hurdle_it_is_a_probability():
    hurdle = InUnits(Hurdle(Gamma(2.0, 0.5), 0.3), SHIFT, SCALE)
    gate = 1 / (1 + np.exp(-0.3))
    above = np.log1p(-gate) + Gamma(2.0, 0.5).log_prob(1.5) + np.log(SCALE)
    np.testing.assert_allclose(hurdle.log_prob(standard([0.0, 1.5])), [np.log(gate), above], rtol=1e-4)
    np.testing.assert_allclose(hurdle.cdf(standard([-0.1, 0.0])), [0.0, gate], rtol=1e-5)


@pytest.mark.parametrize(
    ("base", "impossible"),
    [
        (Poisson(2.0), -1.0),
        pytest.param(Gamma(2.0, 1.0), -0.5, marks=pytest.mark.slow),
        pytest.param(Beta(2.0, 3.0), 1.5, marks=pytest.mark.slow),
        (Levels(jnp.zeros(3), 1, 3), 4.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outside_of_the_support_there_is_nothing(base, impossible):
    moved = Numpyro(InUnits(base, SHIFT, SCALE))
    assert moved.log_prob(standard(impossible)) == -jnp.inf
    inside, key = (
        jax.jit(jax.vmap(moved.sample))(jax.random.split(jax.random.key(0), 500)),
        jax.random.key(1),
    )
    assert jnp.isfinite(jax.jit(jax.vmap(moved.log_prob))(inside)).all()
    missing = Observed(moved.sample(key), jnp.array(False))
    assert moved.log_prob(missing) == 0


@pytest.mark.parametrize(
    "base",
    [
        Poisson(2.0),
        NegativeBinomial(30.0, 2.0),
        Gamma(2.0, 0.3),
        Beta(2.0, 3.0),
        Levels(jnp.arange(4.0), 1, 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_draws_have_its_distribution_function_and_mean(base):
    moved = InUnits(base, SHIFT, SCALE)
    draws = np.asarray(compiled(moved, "sample", jax.random.key(0), (20_000,)))
    for at in np.quantile(draws, [0.1, 0.5, 0.9]) + 1e-4:
        below = float(compiled(moved, "cdf", at))
        assert abs((draws <= at).mean() - below) < 4 * np.sqrt(0.25 / len(draws))
    assert abs(draws.mean() - float(compiled(moved, "mean"))) < 4 * draws.std() / np.sqrt(len(draws))


def test_distribution_functions_hold_far_out():
    for base in (Poisson(2.0), NegativeBinomial(3.0, 1.0), Gamma(2.0, 1.0), Levels(jnp.zeros(3), 0, 2)):
        shares = compiled(InUnits(base, SHIFT, SCALE), "cdf", jnp.array([-1e30, 1e30]))
        np.testing.assert_allclose(shares, [0.0, 1.0], rtol=1e-6)


def test_levels_are_counted_from_the_least():
    logits = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]]))
    levels = Levels(logits, jnp.array([3.0, 0.0]), jnp.array([5.0, 1.0]))
    np.testing.assert_allclose(levels.mean, [3 * 0.2 + 4 * 0.3 + 5 * 0.5, 0.4], rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(levels.log_prob(jnp.array([4, 0]))), [0.3, 0.6], rtol=1e-6)
    np.testing.assert_allclose(levels.cdf(jnp.array([4, 0])), [0.5, 0.6], rtol=1e-6)
    assert levels.log_prob(jnp.array([6, 2])).tolist() == [-jnp.inf, -jnp.inf]


# --- cells of several kinds


def cells():
    parts = Numpyro(npd.Normal(jnp.zeros(2), 1.0)), Numpyro(InUnits(Poisson(jnp.array([2.0])), 1.0, 1.0))
    return Cells(parts, ((0, 2), (1,)))


def test_cells_stand_where_they_belong():
    value = jnp.array([0.3, 2.0, -0.4])
    expected = [npd.Normal(0, 1).log_prob(0.3), Poisson(2.0).log_prob(3), npd.Normal(0, 1).log_prob(-0.4)]
    np.testing.assert_allclose(cells().terms(value), expected, rtol=1e-5)
    np.testing.assert_allclose(cells().log_prob(value), sum(expected), rtol=1e-5)
    np.testing.assert_allclose(cells().mean(), [0.0, 1.0, 0.0], atol=1e-6)
    both = jnp.stack([value, value + 1])
    np.testing.assert_allclose(cells().cdf(both)[0], cells().cdf(value), rtol=1e-6)
    assert cells().sample(jax.random.key(0)).shape == (3,)


def test_missing_cells_are_left_out_whatever_they_hold():
    value = Observed(jnp.array([0.3, -7.0, jnp.nan]), jnp.array([True, False, False]))
    assert cells().log_prob(value) == npd.Normal(0.0, 1.0).log_prob(0.3)


def test_a_value_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"Cells expected a value of shape \(3,\), got \(2,\)"):
        cells().log_prob(jnp.zeros(2))
