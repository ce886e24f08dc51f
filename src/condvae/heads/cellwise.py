"""Heads for independent cells, each of which has a feature vector of its own."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from condvae.heads.categories import CategoricalHead, OrdinalHead
from condvae.heads.families import FamilyHead
from condvae.heads.independent import BernoulliHead, GaussianHead, StudentTHead
from condvae.heads.joint import ProductHead
from condvae.heads.mixed import CodesHead, ColumnsHead
from condvae.heads.scales import Head, LocationScale
from condvae.heads.universal import UniversalHead
from condvae.networks import CellwiseLinear


def cellwise(head: Head, num_cells: int, direct: int = 0) -> Head:
    """The same head, of the feature vectors of its cells end to end: each cell depends on its own alone.

    Args:
        head: for independent cells of one vector, or a `ProductHead` of such; cells are counted in the
            order of a pytree.
        num_cells: how many there are.
        direct: inputs at the end of each feature vector, to which the location of a cell, or its classes'
            logits, are linear. All weights then begin at 0: until networks are opened (see
            `CellwiseLinear.opened`), they are silent in the model itself, too.

    Raises:
        TypeError: for a head whose cells are not independent, or which has no such form.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import GaussianHead, cellwise
        >>> head = cellwise(GaussianHead(4, (3,), key=jax.random.key(0)), 3)
        >>> head(jnp.zeros(3 * 4)).mean().shape
        (3,)
    """
    made, count = _from(head, 0, (num_cells, direct))
    if count != num_cells:
        raise ValueError(f"the head has {count} cells, expected {num_cells}")
    return made


def _from(head: Any, first: int, sizes: tuple[int, int]) -> tuple[Any, int]:
    """The head with its cells counted from `first`, and how many they are."""
    if isinstance(head, ProductHead):
        heads, count = {}, 0
        for name in sorted(head.heads):
            heads[name], used = _from(head.heads[name], first + count, sizes)
            count += used
        return ProductHead(heads), count
    if isinstance(head, ColumnsHead | CodesHead):
        parts = [
            _at(part, first + np.array(places), sizes)
            for part, places in zip(head.heads, head.places, strict=True)
        ]
        return eqx.tree_at(lambda head: head.heads, head, tuple(parts)), sum(map(len, head.places))
    count = _size(head)
    return _at(head, first + np.arange(count), sizes), count


def _size(head: Any) -> int:
    if isinstance(head, CategoricalHead | OrdinalHead):
        return len(head.levels)
    if isinstance(head, UniversalHead):
        return len(head.columns)
    if isinstance(head, FamilyHead | BernoulliHead):
        return int(np.prod(head.shape))
    if isinstance(head, GaussianHead | StudentTHead):
        return int(np.prod(head.parameters.shape))
    raise TypeError(
        f"{type(head).__name__} is not a head whose cells can have features of their own: use one for "
        "independent cells"
    )


def _at(head: Any, places: np.ndarray, sizes: tuple[int, int]) -> Any:
    """A head for cells at these places of the whole."""
    if isinstance(head, OrdinalHead | GaussianHead | StudentTHead):
        return eqx.tree_at(lambda head: head.parameters, head, _at(head.parameters, places, sizes))
    rows = head.linear.out_features
    leads = np.full(rows, True)
    if isinstance(head, CategoricalHead):
        cells = np.repeat(places, head.levels)
    elif isinstance(head, UniversalHead):
        cells, leads = np.repeat(places, rows // len(places)), head.leads
    else:  # all cells of the first parameter, the location, then all of the second
        assert isinstance(head, FamilyHead | BernoulliHead | LocationScale)
        cells, leads = np.tile(places, rows // len(places)), np.arange(rows) < len(places)
    total, direct = sizes
    weight, bias = head.linear.weight, jnp.asarray(head.linear.bias)
    linear = CellwiseLinear(weight, bias, tuple(map(int, cells)), total)
    if direct:
        leading = tuple(map(int, np.flatnonzero(leads)))
        paths = jnp.zeros((len(leading), direct), weight.dtype)
        linear = replace(linear, weight=jnp.zeros_like(weight), leads=leading, direct=paths)
    return eqx.tree_at(lambda head: head.linear, head, linear)


def owners(head: Any, num_cells: int) -> Any:
    """The cell that each row of each array of a `cellwise` head belongs to; `num_cells` for all of them.

    Returns:
        The head with an integer array [rows] in place of each array.
    """
    if isinstance(head, ProductHead):
        return ProductHead({name: owners(part, num_cells) for name, part in head.heads.items()})
    if isinstance(head, ColumnsHead | CodesHead):
        parts = tuple(owners(part, num_cells) for part in head.heads)
        return eqx.tree_at(lambda head: head.heads, head, parts)
    if isinstance(head, OrdinalHead):
        linear: Any = head.parameters.linear
        places = _places(linear)
        gap_cells = [jnp.full(gaps.shape, place) for gaps, place in zip(head.log_gaps, places, strict=True)]
        parts = owners(head.parameters, num_cells), jnp.asarray(places), tuple(gap_cells)
        return eqx.tree_at(lambda head: (head.parameters, head.first, head.log_gaps), head, parts)
    if isinstance(head, GaussianHead | StudentTHead):
        rest = _owned(eqx.tree_at(lambda head: head.parameters, head, None), (), num_cells)
        parts = owners(head.parameters, num_cells)
        return eqx.tree_at(lambda head: head.parameters, rest, parts, is_leaf=lambda node: node is None)
    linear, places = head.linear, _places(head.linear)
    cells = jnp.asarray(linear.cells)
    direct = None if linear.direct is None else cells[jnp.asarray(linear.leads)]
    rest = _owned(eqx.tree_at(lambda head: head.linear, head, None), places, num_cells)
    parts = replace(linear, weight=cells, bias=cells, direct=direct)
    return eqx.tree_at(lambda head: head.linear, rest, parts, is_leaf=lambda node: node is None)


def _places(linear: CellwiseLinear) -> tuple[int, ...]:
    """The cells of a head, in its order."""
    return tuple(dict.fromkeys(linear.cells))


def _owned(tree: Any, places: tuple[int, ...], num_cells: int) -> Any:
    """Arrays with a row for each of these cells are theirs, others are of all."""

    def of(leaf: Any) -> Any:
        rows = jnp.shape(leaf)[:1]
        return jnp.asarray(places) if rows == (len(places),) else jnp.full(rows, num_cells)

    return jax.tree.map(of, tree)
