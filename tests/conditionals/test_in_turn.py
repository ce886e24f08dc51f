"""The decoder in turn: what each cell depends on, and a Gaussian chain that is learned."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from condvae import Observed, fit, log_prob, sample
from condvae.architectures import mlp_cvae
from condvae.conditionals.in_turn import Limit, hidden
from condvae.heads import Cell, UniversalCell
from condvae.sampling import expect
from condvae.scoring import impute

ROW = {"categorical": np.zeros((1, 2), np.int32), "numeric": np.zeros((1, 2), np.float32)}


def model_of(order, **options):
    model = mlp_cvae(
        ROW,
        np.zeros((1, 3), np.float32),
        latent_size=0,
        in_turn=True,
        x_levels=(3, 2),
        key=jax.random.key(0),
    )
    return _in_order(shaken(model, 1), order)


def shaken(model, seed):
    """The model with weights of chance: those of a head in turn begin at 0."""
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    leaves, shape = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)
    ]
    return eqx.combine(jax.tree.unflatten(shape, moved), rest)


def _in_order(model, order):
    return eqx.tree_at(lambda m: m.likelihood.order, model, jnp.asarray(order))


@eqx.filter_jit
def terms_of(likelihood, c, row):
    return likelihood(jnp.zeros(0), c).terms(row)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_a_cell_depends_on_those_before_it_and_on_nothing_else(order):
    model = model_of(order)
    c = jnp.ones(3)
    row = {"categorical": jnp.array([1, 0]), "numeric": jnp.array([0.3, -0.2])}
    others = [
        {**row, "categorical": jnp.array([2, 0])},
        {**row, "categorical": jnp.array([1, 1])},
        {**row, "numeric": jnp.array([0.9, -0.2])},
        {**row, "numeric": jnp.array([0.3, 0.5])},
    ]
    terms = np.asarray(terms_of(model.likelihood, c, row))
    for changed, other in enumerate(others):
        moved = terms_of(model.likelihood, c, other) != terms
        for cell in range(4):
            if cell != changed:
                assert moved[cell] == (order[cell] > order[changed]), (cell, changed)


def test_a_missing_cell_is_not_seen_and_not_scored():
    model = model_of((0, 1, 2, 3))
    likelihood = model.p_x(jnp.zeros(0), jnp.ones(3))

    def row(second):
        return {
            "categorical": Observed(jnp.array([1, second]), jnp.array([True, False])),
            "numeric": Observed(jnp.array([0.3, -0.2]), jnp.array([True, True])),
        }

    assert float(likelihood.log_prob(row(0))) == float(likelihood.log_prob(row(1)))
    whole = likelihood.terms(jax.tree.map(lambda leaf: leaf.value, row(0), is_leaf=_observed))
    part = likelihood.terms(row(0))
    assert part[0] == whole[0]
    assert part[1] == 0
    assert (part[2:] != whole[2:]).all()


def test_a_limit_is_another_cell_where_that_is_seen():
    """x₂ is never below 2 x₁ + 1, and x₁ never above c₃: densities integrate to 1 and end there."""
    column = ((), None, (), (1.0,), (None, None, 0.0, 1e3, (-1e-3, 1e-3), (-1.0, 1.0), (1e3, 1e3)))
    cell = Cell("universal", (("cell", UniversalCell(*column)),))
    limits = [Limit(1, 0, 1, 2.0, 1.0, 1e-6), Limit(0, 4, -1, 1.0, 0.0, 1e-6)]
    row, c = np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)
    options = {"latent_size": 0, "in_turn": True, "likelihood": [cell, cell], "limits": limits}
    model = _in_order(shaken(mlp_cvae(row, c, **options, key=jax.random.key(0)), 1), (0, 1))
    grid = np.linspace(-12, 12, 4801)

    def density(cell, first, seen, end):
        def log_p(value):
            x = Observed(jnp.array([first, 0.0]).at[cell].set(value), jnp.array([seen, True]))
            return model.p_x(jnp.zeros(0), jnp.array([0.5, -0.5, end])).terms(x)[cell]

        return np.exp(np.asarray(jax.jit(jax.vmap(log_p))(grid)))

    second = density(1, -0.2, True, 1.0)
    assert np.trapezoid(second, grid) == pytest.approx(1.0, abs=5e-3)
    assert second[grid < 0.6 - 1e-4].max() < 1e-5 < second[grid > 0.61].max()
    hidden_first = density(1, -0.2, False, 1.0)
    assert hidden_first[grid < 0.6].max() > 0.01
    first = density(0, 0.0, True, 0.3)
    assert np.trapezoid(first, grid) == pytest.approx(1.0, abs=5e-3)
    assert first[grid > 0.3 + 1e-4].max() < 1e-5 < first[grid < 0.29].max()


def _observed(leaf):
    return isinstance(leaf, Observed)


def test_hidden_cells_are_counted_in_the_order_of_a_pytree():
    x = jax.tree.map(lambda leaf: Observed(leaf[0], jnp.ones(leaf.shape[1:], bool)), ROW)
    shown = hidden(x, jnp.array([True, False, False, True]))
    assert shown["categorical"].mask.tolist() == [True, False]
    assert shown["numeric"].mask.tolist() == [False, True]


@pytest.fixture(scope="module")
def chain():
    """Rows of a Gaussian whose cells hang together, the model learned from them, and the truth."""
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.3], [0.0, 0.3, 1.0]])
    root, slope = np.linalg.cholesky(covariance), np.array([1.0, 0.0, -1.0])

    def rows(n):
        c = rng.normal(size=(n, 1)).astype(np.float32)
        return (rng.normal(size=(n, 3)) @ root.T + c * slope).astype(np.float32), c

    x, c = rows(4000)
    model, _ = fit(
        lambda key: mlp_cvae(x, c, latent_size=0, width=32, depth=1, in_turn=True, key=key),
        x=x,
        c=c,
        key=jax.random.key(0),
        num_members=2,
        num_steps=2000,
        batch_size=128,
        learning_rate=5e-3,
        averaging=0.99,
        progress=False,
    )
    return model, rows(2000), covariance, slope


def test_a_gaussian_chain_is_learned(chain):
    model, (x, c), covariance, slope = chain
    right = stats.multivariate_normal(cov=covariance).logpdf(x - c * slope)
    learned = log_prob(model, x, c, key=jax.random.key(1), num_samples=8).value
    assert 0 < (right - learned).mean() < 0.03
    product = stats.norm.logpdf(x - c * slope).sum(1).mean()
    assert learned.mean() > product + 0.8  # of 0.94 that the dependence is worth


def test_its_draws_means_and_missing_cells(chain):
    model, (x, c), covariance, slope = chain
    drawn = sample(model, c, key=jax.random.key(2), num_samples=4)
    left = (drawn - (c * slope)[:, None]).reshape(-1, 3)
    np.testing.assert_allclose(np.cov(left.T), covariance, atol=0.08)
    mean = expect(_mean, model, c[:200], key=jax.random.key(3), num_samples=200)
    np.testing.assert_allclose(mean, c[:200] * slope, atol=0.25)
    mask = np.zeros_like(x, bool)
    mask[:, [0, 2]] = True
    filled = impute(model, Observed(x, mask), c, key=jax.random.key(4), num_samples=1, num_proposals=256)
    a, b = covariance[[1]][:, [0, 2]], covariance[np.ix_([0, 2], [0, 2])]
    gain = a @ np.linalg.inv(b)
    center = ((x - c * slope)[:, [0, 2]] @ gain.T)[:, 0] + c[:, 0] * slope[1]
    residual = filled[:, 0, 1] - center
    right = np.sqrt((covariance[1, 1] - gain @ a.T).item())
    assert abs(residual.mean()) < 0.04
    assert residual.std() == pytest.approx(right, rel=0.15)


def _mean(likelihood, _):
    return likelihood.mean()


def test_arrays_belong_to_the_cells_whose_density_they_change():
    x = {"numeric": np.zeros((2, 3), np.float32), "codes": np.zeros((2, 2), int)}
    model = mlp_cvae(
        x, np.zeros((2, 2)), latent_size=0, in_turn=True, x_levels=(2, 4), width=4, key=jax.random.key(0)
    )
    first, second = (shaken(model, seed).likelihood for seed in (1, 2))
    arrays, rest = eqx.partition(first, eqx.is_inexact_array)
    owners = eqx.filter(first.owners(), jax.tree.map(eqx.is_inexact_array, first))
    row = {"numeric": jnp.array([0.5, -1.0, 2.0]), "codes": jnp.array([1, 3])}

    def terms(arrays):
        return np.asarray(terms_of(eqx.combine(arrays, rest), jnp.array([0.3, -0.4]), row))

    @jax.jit
    def moved(arrays, others, cell):
        def move(leaf, other, owner):
            rows = owner == cell
            return jnp.where(rows.reshape(rows.shape + (1,) * (leaf.ndim - rows.ndim)), other, leaf)

        return jax.tree.map(move, arrays, others, owners)

    others = eqx.filter(second, eqx.is_inexact_array)
    for cell in range(5):
        changed = np.flatnonzero(terms(moved(arrays, others, cell)) != terms(arrays))
        np.testing.assert_array_equal(changed, [cell])
