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


def test_it_begins_with_the_shares_of_the_column_for_all_features():
    head = UniversalHead(4, [LEVELS])
    for features in (jnp.zeros(4), jnp.arange(4.0)):
        found = [float(jnp.exp(head(features).log_prob(jnp.array([point])))) for point in LEVELS.points]
        np.testing.assert_allclose(found, LEVELS.shares, rtol=1e-5)


def test_it_begins_with_the_shape_of_the_column():
    values = jnp.linspace(-3, 3, 61)[:, None]
    found = np.array([float(UniversalHead(4, [REAL])(jnp.zeros(4)).log_prob(value)) for value in values])
    gaussian = -0.5 * np.asarray(values)[:, 0] ** 2 - 0.5 * np.log(2 * np.pi)
    mean_gap = np.sum(np.exp(gaussian) * (gaussian - found)) * 0.1
    assert 0 <= mean_gap < 0.02  # nats, by KL(column ‖ where training begins)


def test_a_value_on_several_grids_has_the_probability_of_all():
    distribution = UniversalHead(4, [GRID])(jnp.zeros(4))
    whole, half = (float(distribution.log_prob(jnp.array([value]))) for value in (1.0, 1.5))
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


@pytest.mark.parametrize("cell", [LEVELS, GRID, REAL], ids=["levels", "grid", "real"])
def test_no_value_costs_more_than_a_bound_beyond_the_column_by_itself(cell):
    head = UniversalHead(4, [cell])
    weight = 100 * jax.random.normal(jax.random.key(0), head.linear.weight.shape)
    sure = eqx.tree_at(lambda head: head.linear.weight, head, weight)
    values = jnp.array([*cell.points, *([] if cell.steps == () else [1.0, -7.0])])[:, None]
    by_itself = UniversalHead(4, [cell], components=1)
    standard = jnp.zeros_like(by_itself.places), jnp.full_like(by_itself.scales, 50.0)  # scale 1
    by_itself = eqx.tree_at(lambda head: (head.places, head.scales), by_itself, standard)
    least = np.array([float(by_itself(jnp.zeros(4)).log_prob(value)) for value in values])
    for features in jax.random.normal(jax.random.key(1), (20, 4)):
        found = np.array([float(sure(features).log_prob(value)) for value in values])
        assert (found >= least + 2 * np.log(BACKGROUND) - 1e-3).all()  # once by class, once by place
        if cell is not REAL:
            assert (found <= 0).all()
