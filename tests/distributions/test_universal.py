"""Columns of any kind: probabilities that add up to 1, distribution functions and means against draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.distributions.between import Between
from condvae.distributions.universal import from_log_odds, logistic_mass, to_log_odds
from condvae.heads import UniversalHead
from condvae.table_models.fitting import universal_cell
from condvae.tables import Schema
from helpers import compiled

RNG = np.random.default_rng(0)
N = 1000
SHARE = RNG.random(N)
COLUMNS = {
    "levels": RNG.choice([0.0, 25, 50, 100], N),
    "counts": RNG.poisson(0.7, N),
    "zeros and tenths": np.where(SHARE < 0.6, 0, np.round(RNG.gamma(0.7, 8, N), 1)),
    "mostly whole": np.where(SHARE < 0.9, RNG.integers(1, 80, N), RNG.integers(2, 160, N) / 2),
    "days": RNG.integers(1, 32, N),
    "a score that ends": np.minimum(100, np.round(RNG.normal(103, 15, N))),
    "real": RNG.normal(size=N),
    "above 0": RNG.lognormal(0, 1.5, N),
    "between limits": RNG.uniform(-1, 1, N),
    "above 0, some zeros": np.where(SHARE < 0.02, 0, RNG.lognormal(0, 0.5, N)),
}
DRAWS = 100_000


def column_of(name):
    import pyarrow as pa

    frame = pa.table({"x": np.asarray(COLUMNS[name], float)})
    return Schema.infer(frame, target=["x"]).with_likelihoods(frame).target[0]


LIMITED = {
    "mostly whole": (0.3, 0.9),
    "real": (0.4, None),
    "above 0, some zeros": (None, 0.5),
    "days": (0.2, 0.8),
}
"""Columns that are asked for between quantiles of theirs, too."""

KINDS = [(name, (None, None)) for name in COLUMNS] + list(LIMITED.items())


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]} {kind[1]}")
def fitted(request):
    """A column, and a distribution over it that is not the column's own."""
    name, quantiles = request.param
    column = column_of(name)
    head = UniversalHead(3, [universal_cell(column)])
    noise = 0.5 * jax.random.normal(jax.random.key(3), head.linear.weight.shape)
    head = jax.tree.map(lambda leaf: leaf, head)
    object.__setattr__(head.linear, "weight", noise)
    distribution = compiled(head, "__call__", jnp.array([1.0, -0.5, 0.7]))
    if quantiles != (None, None):
        distribution = compiled(distribution, "between", *limits(column, name, quantiles))
    return column, distribution


def limits(column, name, quantiles):
    """Quantiles of the cells in standardised units, and a doubt."""
    ends = [
        far
        if q is None
        else (np.quantile(COLUMNS[name], q, method="inverted_cdf") - column.mean) / column.sd
        for q, far in zip(quantiles, (-np.inf, np.inf), strict=True)
    ]
    return jnp.array([ends[0]]), jnp.array([ends[1]]), jnp.array([0.1])


@pytest.fixture(scope="module")
def draws(fitted):
    column, distribution = fitted
    keys = jax.random.split(jax.random.key(0), DRAWS)
    standard = np.asarray(jax.jit(jax.vmap(distribution.sample))(keys), float)[:, 0]
    return standard * column.sd + column.mean


def log_prob(fitted, values):
    column, distribution = fitted
    standard = jnp.asarray((np.asarray(values) - column.mean) / column.sd, jnp.float32)[:, None]
    return np.asarray(jax.jit(jax.vmap(distribution.log_prob))(standard), float)


def test_probabilities_add_up_to_one(fitted, draws):
    column, _ = fitted
    support = column.support
    if support.closed:
        total = np.exp(log_prob(fitted, support.points)).sum()
    elif support.steps:
        step = support.steps[-1]
        first, last = np.floor(draws.min() / step) - 3, np.ceil(draws.max() / step) + 3
        total = np.exp(log_prob(fitted, np.arange(first, last + 1) * step)).sum()
    else:
        low, high = draws.min(), draws.max()
        grid = np.geomspace(low if low > 0 else 1e-5, high, 40_001) if support.low == 0 else None
        grid = np.linspace(low, high, 40_001) if grid is None else grid
        total = np.trapezoid(np.exp(log_prob(fitted, grid)) / column.sd, grid)
        total += np.exp(log_prob(fitted, support.points)).sum() if support.points else 0.0
    assert total == pytest.approx(1.0, abs=2e-3)


def test_the_distribution_function_is_that_of_draws(fitted, draws):
    column, distribution = fitted
    for share in (0.1, 0.5, 0.9, 0.99):
        value = np.quantile(draws, share, method="inverted_cdf")
        at = float(compiled(distribution, "cdf", np.float32([(value - column.mean) / column.sd]))[0])
        below = (draws <= value + 1e-6 * column.sd).mean()
        assert at == pytest.approx(below, abs=4 * 0.5 / DRAWS**0.5)


def test_the_distribution_function_of_several_values_at_once(fitted, draws):
    column, distribution = fitted
    values = np.float32((np.quantile(draws, [0.1, 0.5, 0.9]) - column.mean) / column.sd)
    together = compiled(distribution, "cdf", values[:, None])
    each = [compiled(distribution, "cdf", value[None]) for value in values]
    np.testing.assert_allclose(together, np.stack(each), rtol=1e-5)


def test_the_mean_is_that_of_draws(fitted, draws):
    column, distribution = fitted
    mean = float(compiled(distribution, "mean")[0]) * column.sd + column.mean
    # The table of means is linear in between: to 1% of the spread.
    assert abs(mean - draws.mean()) < 4 * draws.std() / DRAWS**0.5 + 0.01 * draws.std()


def test_draws_are_values_that_the_column_holds(fitted, draws):
    column, _ = fitted
    assert column.possible(np.asarray([column.minimum, column.maximum])).all()
    from condvae.tables import recorded

    assert column.possible(recorded(column, draws)).all()


@pytest.mark.parametrize("name", LIMITED)
def test_between_limits_it_is_what_it_was_over_their_probability(name):
    column = column_of(name)
    whole = compiled(UniversalHead(3, [universal_cell(column)]), "__call__", jnp.zeros(3))
    low, high, _ = limits(column, name, LIMITED[name])
    cells = np.unique(COLUMNS[name])
    standard = jnp.asarray((cells - column.mean) / column.sd, jnp.float32)[:, None]
    before, after = (
        np.asarray(jax.jit(jax.vmap(one.log_prob))(standard), float)
        for one in (whole, compiled(whole, "between", low, high, jnp.array([1e-9])))
    )
    inside = np.asarray((standard >= low - 1e-5) & (standard <= high + 1e-5))[:, 0]
    assert (after[~inside] < before[~inside] - 15).all()
    share = before[inside] - after[inside]
    assert np.ptp(share) < 1e-4
    keys = jax.random.split(jax.random.key(0), DRAWS)
    drawn = np.asarray(jax.jit(jax.vmap(whole.sample))(keys))
    expected = float(((drawn >= low - 1e-5) & (drawn <= high + 1e-5)).mean())
    assert np.exp(share[0]) == pytest.approx(expected, abs=4 * 0.5 / DRAWS**0.5)


@pytest.mark.parametrize("name", LIMITED)
def test_limits_that_nothing_is_between_are_as_good_as_unknown(name):
    column = column_of(name)
    whole = compiled(UniversalHead(3, [universal_cell(column)]), "__call__", jnp.zeros(3))
    far = jnp.array([(column.maximum - column.mean) / column.sd + 50.0])
    nothing = compiled(whole, "between", far + 1, far, jnp.array([1e-3]))
    value = jnp.asarray((COLUMNS[name][:1] - column.mean) / column.sd, jnp.float32)
    for method, arguments in (("log_prob", (value,)), ("mean", ())):
        cut, uncut = (compiled(d, method, *arguments) for d in (nothing, whole))
        np.testing.assert_allclose(cut, uncut, rtol=0, atol=1e-5)
    from condvae.tables import recorded

    drawn = np.asarray(compiled(nothing, "sample", jax.random.key(0)), float) * column.sd + column.mean
    assert column.possible(recorded(column, drawn)).all()


def test_gradients_are_finite_for_every_cell_and_far_out(fitted):
    column, distribution = fitted
    head = UniversalHead(3, [universal_cell(column)])
    cells = np.unique(COLUMNS[next(k for k in COLUMNS if column_of(k) == column)])
    standard = jnp.asarray((cells - column.mean) / column.sd, jnp.float32)[:, None]

    def loss(bias):
        import equinox as eqx

        moved = eqx.tree_at(lambda head: head.linear.bias, head, bias)
        if not isinstance(distribution.base, Between):
            return jnp.sum(jax.vmap(lambda value: moved(jnp.zeros(3)).log_prob(value))(standard))
        limits = distribution.base.low, distribution.base.high, distribution.base.doubt
        return jnp.sum(
            jax.vmap(lambda value: moved(jnp.zeros(3)).between(*limits).log_prob(value))(standard)
        )

    gradient = jax.jit(jax.grad(loss))
    for shift in (0.0, 20.0, -20.0):
        assert np.isfinite(gradient(head.linear.bias + shift)).all()


def test_no_grid_has_values_beyond_the_limits():
    column = column_of("days")
    head = UniversalHead(3, [universal_cell(column)])
    beyond = log_prob((column, head(jnp.zeros(3))), [-1.0, 0.0, 32.0, 40.0])
    assert np.isneginf(beyond).all()


def test_log_odds_are_those_of_scipy_however_far_out():
    from scipy.special import log_ndtr

    u = np.linspace(-40.0, 40.0, 4001)
    odds, log_slope = jax.jit(to_log_odds)(u)
    right = log_ndtr(u) - log_ndtr(-u)
    np.testing.assert_allclose(odds, right, rtol=1e-6, atol=1e-6)
    log_density = -0.5 * u**2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_slope, log_density - log_ndtr(u) - log_ndtr(-u), atol=1e-4)
    assert (np.diff(odds) > 0).all()


def test_log_odds_and_back():
    u = jnp.linspace(-6.0, 6.0, 49)
    np.testing.assert_allclose(jax.jit(lambda u: from_log_odds(to_log_odds(u)[0]))(u), u, atol=2e-4)


def test_the_mass_of_a_logistic_is_that_of_scipy():
    from scipy import stats

    low = np.linspace(-30, 30, 61)
    for width in (1e-3, 0.5, 20.0):
        # By the tail on the side where it is small.
        tails = [(stats.logistic.logcdf(low), stats.logistic.logcdf(low + width))]
        tails.append((stats.logistic.logsf(low + width), stats.logistic.logsf(low)))
        outer = np.where(low < -width / 2, tails[0][0], tails[1][0])
        inner = np.where(low < -width / 2, tails[0][1], tails[1][1])
        part, log_factor = jax.jit(logistic_mass)(low, low + width, width)
        log_mass = np.log(part) + log_factor
        np.testing.assert_allclose(log_mass, inner + np.log1p(-np.exp(outer - inner)), atol=2e-3)
