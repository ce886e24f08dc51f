"""Heads whose cells have features of their own: each cell as the plain head has it, given its features."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.heads import (
    BernoulliHead,
    CategoricalHead,
    Cell,
    CodesHead,
    ColumnsHead,
    FamilyHead,
    FullGaussianHead,
    GaussianHead,
    OrdinalHead,
    ProductHead,
    StudentTHead,
    UniversalCell,
    UniversalHead,
    cellwise,
    owners,
)
from condvae.networks import CellwiseLinear

SIZE, KEY = 5, jax.random.key(0)
LINE = (None, None, 0.0, 1.0, (0.0, 1.0), (0.0, 1.0), (1.0, 1.0))
COIN = UniversalCell((0.0, 1.0), (), (), (0.5, 0.5), LINE)
WHOLE = UniversalCell((0.0,), (1.0,), (0.0,), (0.3, 0.7), LINE)
FREE = UniversalCell((), None, (), (1.0,), LINE)
CELLS = [
    Cell("universal", (("cell", WHOLE),)),
    Cell("poisson", start=(1.0,), units=(0.0, 1.0)),
    Cell("universal", (("cell", FREE),)),
    Cell("ordinal", (("low", 0.0), ("high", 3.0)), units=(0.0, 1.0)),
    Cell("poisson", start=(0.5,), units=(0.0, 1.0)),
]

HEADS = {
    "gaussian": (GaussianHead(SIZE, (3,), key=KEY), jnp.array([0.5, -1.0, 2.0])),
    "student_t": (StudentTHead(SIZE, (3,), key=KEY), jnp.array([0.5, -1.0, 2.0])),
    "bernoulli": (BernoulliHead(SIZE, (3,), key=KEY), jnp.array([0, 1, 1])),
    "family": (FamilyHead(SIZE, (3,), "negative_binomial", key=KEY), jnp.array([0.0, 2.0, 7.0])),
    "categorical": (CategoricalHead(SIZE, (2, 4, 3), key=KEY), jnp.array([1, 3, 0])),
    "ordinal": (OrdinalHead(SIZE, (5, 2, 3), key=KEY), jnp.array([4, 0, 1])),
    "codes": (CodesHead(SIZE, (3, 2, 4), ordinal=(True, False, True), key=KEY), jnp.array([2, 1, 3])),
    "points": (UniversalHead(SIZE, [COIN] * 3), jnp.array([0.0, 1.0, 1.0])),
    "columns": (ColumnsHead(SIZE, CELLS, key=KEY), jnp.array([0.0, 2.0, 0.3, 1.0, 4.0])),
}


@eqx.filter_jit
def terms_of(head, features, value):
    return head(features).terms(value)


@eqx.filter_jit
def plain_terms(head, features, value):
    """The term of each cell, of the distribution that its features give."""
    return jnp.diagonal(jax.vmap(lambda row: head(row).terms(value))(features))


@jax.jit
def shaken(head):
    """The head with weights of chance: a universal one begins without any."""
    leaves, shape = jax.tree.flatten(head)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(shape, moved)


@pytest.mark.parametrize("name", HEADS)
def test_each_cell_is_that_of_the_plain_head_given_its_features(name):
    head, value = HEADS[name]
    head = shaken(head)
    cells = len(value)
    features = jax.random.normal(jax.random.key(2), (cells, SIZE))
    terms = terms_of(cellwise(head, cells), features.reshape(-1), value)
    right = plain_terms(head, features, value)
    np.testing.assert_allclose(terms, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_direct_inputs_move_locations_and_logits_alone(name):
    head, value = HEADS[name]
    cells = len(value)
    linear = cellwise(head, cells, direct=2)
    features = jax.random.normal(jax.random.key(2), (cells, SIZE))
    direct = jax.random.normal(jax.random.key(3), (cells, 2))
    both = jnp.concatenate([features, direct], axis=1).reshape(-1)
    # All weights begin at 0.
    first = terms_of(linear, both, value)
    np.testing.assert_array_equal(terms_of(linear, jnp.zeros_like(both), value), first)
    moved = shaken([path.direct for path in paths_of(linear)])
    linear = eqx.tree_at(lambda head: [path.direct for path in paths_of(head)], linear, moved)
    terms = terms_of(linear, both, value)
    assert (terms != first).all()  # each cell has a path
    other = direct.at[0].add(1.0)
    again = terms_of(linear, jnp.concatenate([features, other], axis=1).reshape(-1), value)
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(again != terms)), [0])


@pytest.mark.parametrize("name", HEADS)
def test_rows_of_arrays_belong_to_the_cells_whose_density_they_change(name):
    head, value = HEADS[name]
    cells = len(value)
    head = shaken(cellwise(head, cells, direct=2))
    cell_of = owners(head, cells)
    features = jax.random.normal(jax.random.key(2), (cells * (SIZE + 2),))
    first, other = np.asarray(terms_of(head, features, value)), shaken(head)

    @jax.jit
    def moved(head, other, cell):
        return jax.tree.map(
            lambda leaf, other, it: jnp.where(spread(it == cell, leaf), other, leaf), head, other, cell_of
        )

    for cell in range(cells):
        changed = np.flatnonzero(terms_of(moved(head, other, cell), features, value) != first)
        np.testing.assert_array_equal(changed, [cell])


def spread(rows, leaf):
    return rows.reshape(rows.shape + (1,) * (leaf.ndim - rows.ndim))


def is_path(node):
    return isinstance(node, CellwiseLinear)


def paths_of(head):
    return [part for part in jax.tree.leaves(head, is_leaf=is_path) if is_path(part)]


def test_parts_are_counted_in_the_order_of_a_pytree():
    parts = {"b": HEADS["gaussian"], "a": HEADS["categorical"]}
    head = ProductHead({name: shaken(head) for name, (head, _) in parts.items()})
    value = {name: value for name, (_, value) in parts.items()}
    features = jax.random.normal(jax.random.key(2), (6, SIZE))
    terms = terms_of(cellwise(head, 6), features.reshape(-1), value)
    right = plain_terms(head, features, value)
    np.testing.assert_allclose(terms, right, rtol=1e-5, atol=1e-6)


def test_a_head_whose_cells_are_not_independent_is_refused():
    with pytest.raises(TypeError, match="FullGaussianHead is not a head whose cells can have features"):
        cellwise(FullGaussianHead(SIZE, 3, key=KEY), 3)
    with pytest.raises(ValueError, match="the head has 3 cells, expected 4"):
        cellwise(HEADS["gaussian"][0], 4)
