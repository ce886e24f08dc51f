"""The head of columns of any kind: where it begins, what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.heads import UniversalCell, UniversalHead
from condvae.heads.universal import BACKGROUND

PLAIN = (None, None, 0.0, 1e3, (-1e-3, 1e-3), (-1.0, 1.0), (1e3, 1e3))
LEVELS = UniversalCell((-1.0, 0.0, 2.0), (), (), (0.5, 0.3, 0.2), PLAIN)
GRID = UniversalCell((0.0,), (1.0, 0.5), (0.0, 0.0), (0.2, 0.6, 0.2), PLAIN)
REAL = UniversalCell((), None, (), (1.0,), PLAIN)


@eqx.filter_jit
def log_prob(head, features, value):
    return head(features).log_prob(value)


def test_it_begins_with_the_shares_of_the_column_for_all_features():
    head = UniversalHead(4, [LEVELS])
    for features in (jnp.zeros(4), jnp.arange(4.0)):
        shares = np.exp([log_prob(head, features, np.float32([point])) for point in LEVELS.points])
        np.testing.assert_allclose(shares, LEVELS.shares, rtol=1e-5)


def test_it_begins_with_the_shape_of_the_column():
    values = np.linspace(-3, 3, 61, dtype=np.float32)[:, None]
    head = UniversalHead(4, [REAL])
    density = np.array([float(log_prob(head, jnp.zeros(4), value)) for value in values])
    gaussian = -0.5 * values[:, 0] ** 2 - 0.5 * np.log(2 * np.pi)
    mean_gap = np.sum(np.exp(gaussian) * (gaussian - density)) * 0.1
    assert 0 <= mean_gap < 0.02  # nats, by KL(column ‖ where training begins)


def test_a_value_on_several_grids_has_the_probability_of_all():
    head = UniversalHead(4, [GRID])
    whole, half = (log_prob(head, jnp.zeros(4), np.float32([value])) for value in (1.0, 1.5))
    assert whole > half + 1.0


def test_cells_of_several_kinds_need_several_heads():
    with pytest.raises(ValueError, match="cells are of several kinds: give those of each kind a head"):
        UniversalHead(4, [GRID, REAL])


def test_easing_leaves_where_it_is_and_shares_the_rest():
    head = UniversalHead(2, [REAL])
    object.__setattr__(head.linear, "weight", jnp.ones_like(head.linear.weight))
    eased = head.eased(jnp.zeros(()))
    classes = 1
    assert (eased.linear.weight[: classes + 1] == 1).all()
    assert (eased.linear.weight[classes + 1 :] == 0).all()


def test_the_shape_that_all_rows_share_need_not_wait():
    head = UniversalHead(2, [REAL])
    moved = eqx.tree_at(lambda head: (head.places, head.scales), head, (head.places + 1, head.scales + 1))
    waits, leads = moved.eased(jnp.zeros(())), moved.eased(jnp.zeros(()), jnp.ones(()))
    np.testing.assert_allclose(waits.places, head.places, atol=1e-6)
    np.testing.assert_array_equal(leads.places, moved.places)
    np.testing.assert_array_equal(leads.scales, moved.scales)


def following(rows):
    """A head of a real column whose rows of the linear map follow features of their own."""
    head = UniversalHead(len(rows), [REAL])
    weight = np.zeros(head.linear.weight.shape, np.float32)
    for feature, (row, slope) in enumerate(rows):
        weight[row, feature] = slope
    return eqx.tree_at(lambda head: head.linear.weight, head, jnp.asarray(weight))


@eqx.filter_jit
def cdf(head, features, values):
    return jax.vmap(head(features).cdf)(values[:, None])[:, 0]


def quantiles(head, features, shares):
    grid = np.linspace(-6, 6, 4801, dtype=np.float32)
    return np.interp(shares, cdf(head, features, grid), grid)


def test_a_gaussian_that_moves_along_is_as_wide_everywhere():
    """On log-odds themselves it would be a third narrower, two standard deviations from the middle."""
    head = following([(1, 1.0), (2, 1.0)])  # place, and width at a quarter of the pace
    widths = []
    for place in (-2.0, 0.0, 2.0):
        low, middle, high = quantiles(head, jnp.array([place, -6.0]), [0.16, 0.5, 0.84])
        assert middle == pytest.approx(place, abs=0.06)
        widths.append(high - low)
    np.testing.assert_allclose(widths, widths[1], rtol=0.06)


def test_two_narrow_modes_can_be_at_any_distance():
    count = UniversalHead(1, [REAL]).places.size
    first = 3 + count  # after a class, place, stretch and the weights
    signs = [(first + k, 10.0 if k >= count // 2 else -10.0) for k in range(count)]
    widths = [(first + count + k, 1.0) for k in range(count)]
    head = following([*signs, *widths])
    gaps = []
    for apart in (0.5, 1.0, 1.5):
        lower, upper = quantiles(head, jnp.array([apart] * count + [-50.0] * count), [0.48, 0.52])
        gaps.append(upper - lower)
    np.testing.assert_allclose(np.diff(gaps), 1.0, atol=0.1)


def test_a_model_saved_before_components_had_places_of_their_own_is_what_it_was():
    head = UniversalHead(2, [REAL])
    rows = 3 + head.places.size
    linear = eqx.tree_at(
        lambda linear: (linear.weight, linear.bias),
        head.linear,
        (jnp.zeros((rows, 2)), jnp.zeros(rows).at[1].set(0.5).at[2].set(0.3)),
    )
    old = eqx.tree_at(lambda head: head.linear, head, linear)(jnp.zeros(2)).base
    places = 15 * jnp.tanh((0.5 + np.exp(4 * np.tanh(0.3 / 4)) * head.places) / 15)
    np.testing.assert_allclose(old.loc[0, :-1], places[0], rtol=1e-6)


@pytest.mark.parametrize("cell", [LEVELS, GRID, REAL], ids=["levels", "grid", "real"])
def test_no_value_costs_more_than_a_bound_beyond_the_column_by_itself(cell):
    head = UniversalHead(4, [cell])
    weight = 100 * jax.random.normal(jax.random.key(0), head.linear.weight.shape)
    sure = eqx.tree_at(lambda head: head.linear.weight, head, weight)
    values = jnp.array([*cell.points, *([] if cell.steps == () else [1.0, -7.0])])[:, None]
    by_itself = UniversalHead(4, [cell], components=1)
    standard = jnp.zeros_like(by_itself.places), jnp.full_like(by_itself.scales, 50.0)  # scale 1
    by_itself = eqx.tree_at(lambda head: (head.places, head.scales), by_itself, standard)
    least = np.array([float(log_prob(by_itself, jnp.zeros(4), value)) for value in values])
    for features in jax.random.normal(jax.random.key(1), (20, 4)):
        scores = np.array([float(log_prob(sure, features, value)) for value in values])
        assert (scores >= least + 2 * np.log(BACKGROUND) - 1e-3).all()  # once by class, once by place
        if cell is not REAL:
            assert (scores <= 0).all()
