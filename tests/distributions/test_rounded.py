from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy import stats

from condvae.distributions.rounded import Censored, Rounded, Truncated, log_cdf, log_survival
from helpers import compiled

KEY = jax.random.key(0)
VALUES = np.array([-8.0, -3.0, -1.0, 0.0, 0.3, 2.0, 7.0])
BASES = {
    "normal": (npd.Normal(0.3, 1.0), stats.norm(0.3, 1.0)),
    "student": (npd.StudentT(4.0, 0.3, 1.0), stats.t(4.0, 0.3, 1.0)),
    "laplace": (npd.Laplace(0.3, 1.0), stats.laplace(0.3, 1.0)),
    "logistic": (npd.Logistic(0.3, 1.0), stats.logistic(0.3, 1.0)),
}


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(
    "width",
    [1e-3, 1.1, 1000.0, *(pytest.param(width, marks=pytest.mark.slow) for width in (0.1, 0.9, 3.0, 30.0))],
)
def test_the_mass_of_an_interval_is_scipys(name, width):
    base, exact = BASES[name]
    low, high = VALUES - width / 2, VALUES + width / 2
    mass = np.where(VALUES > 0.3, exact.sf(low) - exact.sf(high), exact.cdf(high) - exact.cdf(low))
    log_mass = compiled(Rounded(base, jnp.array(width)), "log_prob", jnp.array(VALUES))
    np.testing.assert_allclose(log_mass, np.log(mass), rtol=1e-6, atol=1e-5)


def test_values_on_a_grid_add_up_to_one_however_narrow_the_base():
    for scale in (1e-3, 0.3, 5.0):
        steps = 0.1 + 0.5 * jnp.arange(-400, 401)
        rounded = Rounded(npd.StudentT(4.0, 0.27, jnp.array(scale)), 0.5, 0.1)
        np.testing.assert_allclose(np.exp(compiled(rounded, "log_prob", steps)).sum(), 1.0, atol=1e-4)
    drawn = np.asarray(compiled(Rounded(npd.Normal(0.0, 3.0), 0.5, 0.1), "sample", KEY, (1000,)))
    np.testing.assert_allclose((drawn - 0.1) / 0.5, np.rint((drawn - 0.1) / 0.5), atol=1e-4)


def test_a_narrow_scale_gains_nothing_beyond_certainty():
    def score(scale):
        return Rounded(npd.StudentT(4.0, 1.0, scale), 0.5).log_prob(1.0)

    value, slope = jax.jit(jax.value_and_grad(score))(1e-6)
    assert -1e-4 < value <= 0.0
    assert abs(slope) < 1.0


@pytest.mark.parametrize(
    "limits",
    [
        (-1, 2),
        (-np.inf, -6),
        *(
            pytest.param(limits, marks=pytest.mark.slow)
            for limits in [(20, 21), (0, np.inf), (5, np.inf), (8, 8.01), (-np.inf, np.inf)]
        ),
    ],
)
def test_truncated_gaussians_are_scipys_however_far_out(limits):
    truncated, exact = Truncated(npd.Normal(0.0, 1.0), *limits), stats.truncnorm(*limits)
    drawn = np.asarray(compiled(truncated, "sample", KEY, (20_000,)), float)
    assert ((drawn >= limits[0] - 1e-6) & (drawn <= limits[1] + 1e-6)).all()
    assert stats.kstest(drawn, exact.cdf).pvalue > 1e-4
    some = drawn[:100]
    np.testing.assert_allclose(compiled(truncated, "log_prob", some), exact.logpdf(some), atol=1e-3)
    np.testing.assert_allclose(compiled(truncated, "cdf", some), exact.cdf(some), atol=1e-3)
    np.testing.assert_allclose(compiled(truncated, "mean"), exact.mean(), atol=1e-3)


@pytest.mark.parametrize(
    ("base", "exact"),
    [
        (npd.Normal, stats.norm),
        (lambda loc, scale: npd.StudentT(3.0, loc, scale), stats.t(3)),
        (npd.Logistic, stats.logistic),
        (npd.Laplace, stats.laplace),
    ],
    ids=["Normal", "StudentT", "Logistic", "Laplace"],
)
def test_the_mean_of_rounded_values_at_every_scale(base, exact):
    """By the whole sum, for scales of 0.05 to 100 steps, to a thousandth of a step."""
    k = np.arange(-200_000, 200_001)
    for scale in np.geomspace(0.05, 100.0, 12):
        for loc in (-0.5, -0.3, 0.0, 0.2, 0.45):
            mass = np.diff(exact.cdf((np.append(k, k[-1] + 1) - 0.5 - loc) / scale))
            mean = compiled(Rounded(base(jnp.array(loc), jnp.array(scale)), 1.0), "mean")
            assert abs(float(mean) - (mass * k).sum() / mass.sum()) < 1e-3


@pytest.mark.parametrize("width", [0.05, 0.9, 3.0, 100.0, 1000.0])
@pytest.mark.parametrize("df", [2.5, 30.0, 1000.0])
def test_the_mass_of_a_student_t_however_far_out(df, width):
    exact = stats.t(df)
    lows = np.append(0.0, np.geomspace(0.1, 200.0, 25))
    rounded = Rounded(npd.StudentT(jnp.array(df), 0.0, 1.0), jnp.array(width))
    log_mass = np.asarray(compiled(rounded, "log_prob", lows + width / 2))
    compared = exact.logsf(lows) > -50
    low, high = exact.logsf(lows[compared]), exact.logsf(lows[compared] + width)
    np.testing.assert_allclose(log_mass[compared], low + np.log1p(-np.exp(high - low)), atol=2e-3)


def test_censored_values_have_the_mass_beyond_the_limit():
    censored, exact = Censored(npd.Normal(0.5, 2.0), -1.0, 3.0), stats.norm(0.5, 2.0)
    log_mass = compiled(censored, "log_prob", jnp.array([-1.0, 0.0, 3.0, 4.0]))
    expected = [exact.logcdf(-1.0), exact.logpdf(0.0), exact.logsf(3.0), -np.inf]
    np.testing.assert_allclose(log_mass, expected, rtol=1e-5)
    drawn = np.clip(exact.rvs(400_000, random_state=0), -1.0, 3.0)
    assert abs(float(compiled(censored, "mean")) - drawn.mean()) < 5 * drawn.std() / np.sqrt(len(drawn))
    below = compiled(censored, "cdf", jnp.array([-2.0, 0.0, 3.0]))
    np.testing.assert_allclose(below, [0.0, exact.cdf(0.0), 1.0])


@pytest.mark.parametrize(
    "limits",
    [
        (0.0, np.inf),
        *(pytest.param(ends, marks=pytest.mark.slow) for ends in [(-np.inf, 0.5), (-np.inf, np.inf)]),
    ],
)
@pytest.mark.parametrize("kind", [pytest.param(Truncated, marks=pytest.mark.slow), Censored])
@pytest.mark.parametrize("bits", [32, pytest.param(64, marks=pytest.mark.slow)])
def test_gradients_are_those_of_finite_differences_where_an_end_is_infinite(kind, limits, bits):
    @jax.jit
    def score(loc):
        limited = kind(npd.Normal(loc, 1.7), *limits)
        at = jnp.array([0.0, 0.2, 0.5])
        return jnp.sum(limited.log_prob(at)) + jnp.sum(limited.cdf(at)) + limited.mean

    step = 1e-5 if bits == 64 else 1e-2
    with jax.enable_x64(bits == 64):
        at = jnp.array(0.27)
        expected = (score(at + step) - score(at - step)) / (2 * step)
        np.testing.assert_allclose(jax.jit(jax.grad(score))(at), expected, rtol=1e-3, atol=step)


def test_tails_are_logarithms():
    for name in ("normal", "laplace", "logistic"):
        base, exact = BASES[name]
        at = np.array([-30.0, 0.0, 12.0])
        np.testing.assert_allclose(
            jax.jit(partial(log_cdf, base))(at), exact.logcdf(at), rtol=1e-5, atol=1e-7
        )
        np.testing.assert_allclose(
            jax.jit(partial(log_survival, base))(at), exact.logsf(at), rtol=1e-5, atol=1e-7
        )


def test_what_cannot_be_is_refused():
    with pytest.raises(TypeError, match="Gamma has no loc, so values of it cannot be rounded"):
        Rounded(npd.Gamma(1.0, 1.0), 0.5)
    with pytest.raises(TypeError, match="StudentT cannot be cut off here"):
        Truncated(npd.StudentT(3.0, 0.0, 1.0), 0.0)
    with pytest.raises(ValueError, match="low is 2 and high 1"):
        Censored(npd.Normal(0.0, 1.0), 2, 1)
    with pytest.raises(TypeError, match="the tails of StudentT are not known"):
        log_cdf(BASES["student"][0], jnp.zeros(()))
