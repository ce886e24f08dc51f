"""A likelihood that decodes the cells of a row one after another."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from condvae.distributions import Distribution, InTurn, as_distribution
from condvae.heads import Head, owners
from condvae.networks import CellwiseMLP, Encoder
from condvae.observed import Observed


class Limit(NamedTuple):
    """A cell of x that is never below, or never above, another cell: x_cell ≥ scale · v + shift, or ≤.

    Attributes:
        cell: which cell of x.
        source: the other one, of value v: cells of x are counted first, then those of c, each in the order
            of a pytree.
        sign: 1 for never below, -1 for never above.
        scale: of the map from the source's units to the cell's.
        shift: likewise.
        doubt: the probability that it does not hold; above 0.
    """

    cell: int
    source: int
    sign: int
    scale: float
    shift: float
    doubt: float


class ConditionalInTurn(eqx.Module):
    """p_θ(x | z, c) = Π_i p_θ(x_i | x_before, z, c): a small network for each cell of x.

    Network i sees (z, c), and of x the cells that come before cell i and are observed; the others are
    hidden from it as missing ones are, by their mask.

    Args:
        inputs: encodes (z, c), for all networks.
        targets: encodes x, as a row of `Observed` parts.
        networks: a network for each cell.
        head: of the features of all cells a distribution of independent cells (see
            `condvae.heads.cellwise`).
        order: the rank of each cell of x, 0 for the first, in the order of a pytree. It is not trained.
        linear_first: 1 where training begins with the linear paths alone, 0 where networks learn from the
            start (see `condvae.architectures.ease_scales`). It is not trained.
        limits: the fields of a `Limit` each. It holds for a row where the other cell is seen: p of the cell
            is then that between its limits (see `Distribution.between`).

    Source: Larochelle and Murray 2011 (NADE); Uria et al. 2014 (hidden cells).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.architectures import mlp_cvae
        >>> model = mlp_cvae(
        ...     jnp.zeros((1, 3)), jnp.zeros((1, 2)), latent_size=0, in_turn=True, key=jax.random.key(0)
        ... )
        >>> model.p_x(jnp.zeros(0), jnp.zeros(2)).sample(jax.random.key(1)).shape
        (3,)
    """

    inputs: Encoder
    targets: Encoder
    networks: CellwiseMLP
    head: Head
    order: Int[Array, " cells"]
    linear_first: Int[Array, ""]
    limits: tuple[tuple, ...] = eqx.field(static=True, default=())

    def owners(self) -> "ConditionalInTurn":
        """The cell that each row of each array belongs to; the number of cells for what belongs to all.

        No array of one cell has anything to do with the density of another, given z and c: each cell can
        keep its parameters of another step.
        """
        cells, networks = self.order.size, self.networks
        each, rows = jnp.arange(cells), jnp.repeat(jnp.arange(cells), networks.own.shape[-1])
        networks = eqx.tree_at(
            lambda it: (it.shared.weight, it.shared.bias, it.own, it.weights, it.biases),
            networks,
            (rows, rows, each, (each,) * len(networks.weights), (rows,) * len(networks.biases)),
        )
        return eqx.tree_at(lambda it: (it.networks, it.head), self, (networks, owners(self.head, cells)))

    def __call__(self, z: PyTree, c: PyTree = None) -> Distribution:
        # A z of no cells is the same in every draw: what depends on c alone is then computed once.
        z = jax.tree.map(lambda leaf: leaf if leaf.size else jnp.zeros(leaf.shape, leaf.dtype), z)
        first = self.networks.of_shared(self.inputs((z, c)))

        def seen_by(x: PyTree, rank: Array) -> Array:
            return self.targets(hidden(x, self.order < rank))

        def within(features: Array, x: PyTree) -> Distribution:
            distribution = as_distribution(self.head(features.reshape(-1)), "the head")
            return distribution.between(*self._between(x, c)) if self.limits else distribution

        def given(x: PyTree) -> Distribution:
            inputs = jax.vmap(lambda rank: seen_by(x, rank))(self.order)
            return within(self.networks(first, inputs), x)

        def next_given(x: PyTree, rank: Array) -> Distribution:
            cell = jnp.argmax(self.order == rank)
            features = self.networks.only(cell, first, seen_by(x, rank))
            return within(jnp.zeros((self.order.size, features.size)).at[cell].set(features), x)

        blank = jnp.zeros(self.order.size * self.networks.out_size)
        drawn = jax.eval_shape(lambda: self.head(blank).sample(jax.random.key(0)))
        like = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), drawn)
        return InTurn(given, self.order, like, next_given)

    def _between(self, x: PyTree, c: PyTree) -> tuple[PyTree, PyTree, PyTree]:
        """For each cell of x its least and greatest value given those before it, and the doubt of that."""
        cells, sources, signs, scales, shifts, doubts = (
            np.array(field) for field in zip(*self.limits, strict=True)
        )
        value, mask = (jnp.concatenate(pair) for pair in zip(_flat(x), _flat(c), strict=True))
        rank = jnp.concatenate([self.order, jnp.full(value.size - self.order.size, -1)])
        seen = mask[sources] & (rank[sources] < self.order[cells])
        ends = value[sources] * scales + shifts
        size = self.order.size
        low = jnp.full(size, -jnp.inf).at[cells].max(jnp.where(seen & (signs > 0), ends, -jnp.inf))
        high = jnp.full(size, jnp.inf).at[cells].min(jnp.where(seen & (signs < 0), ends, jnp.inf))
        doubt = jnp.full(size, 1e-6).at[cells].add(doubts)
        return _like(x, low), _like(x, high), _like(x, doubt)


def hidden(x: PyTree, seen: Array) -> PyTree:
    """The row with only those of its cells that are `seen`, [cells] in the order of a pytree."""
    is_observed = lambda leaf: isinstance(leaf, Observed)  # noqa: E731
    leaves, shape = jax.tree.flatten(x, is_leaf=is_observed)
    place, shown = 0, []
    for leaf in leaves:
        size = leaf.mask.size
        mask = leaf.mask & seen[place : place + size].reshape(leaf.mask.shape)
        shown.append(Observed(leaf.value, mask))
        place += size
    return jax.tree.unflatten(shape, shown)


def _flat(row: PyTree) -> tuple[Float[Array, " cells"], Bool[Array, " cells"]]:
    """All cells of a row as numbers, and which are observed."""
    parts = jax.tree.leaves(row, is_leaf=lambda leaf: isinstance(leaf, Observed))
    parts = [
        part if isinstance(part, Observed) else Observed(part, jnp.ones(part.shape, bool)) for part in parts
    ]
    values = [part.value.reshape(-1).astype(float) for part in parts]
    masks = [part.mask.reshape(-1) for part in parts]
    return jnp.concatenate([jnp.zeros(0), *values]), jnp.concatenate([jnp.zeros(0, bool), *masks])


def _like(row: PyTree, cells: Array) -> PyTree[Array]:
    """A number for each cell of a row, in its shape."""
    leaves, shape = jax.tree.flatten(row, is_leaf=lambda leaf: isinstance(leaf, Observed))
    sizes = [leaf.mask.size for leaf in leaves]
    parts = jnp.split(cells, np.cumsum(sizes)[:-1])
    return jax.tree.unflatten(
        shape, [part.reshape(leaf.mask.shape) for part, leaf in zip(parts, leaves, strict=True)]
    )
