"""Cells of a row one after another: each given those before it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from condvae.distributions.protocol import Distribution, Scalar
from condvae.distributions.support import Support
from condvae.observed import Observed


class InTurn(Distribution):
    """p(x) = Π_i p(x_i | those of the cells before i that are seen), in a fixed order of the cells.

    Cells that are missing are neither scored nor seen: the density of what is observed is the product over
    the observed cells. That is the marginal as far as the conditionals given fewer cells are those of one
    joint distribution, which is learned from rows with missing cells.

    Args:
        given: from a row of `Observed` parts to the distribution of independent cells, in which cell i
            depends on the seen cells before it alone.
        order: the rank of each cell, 0 for the first, in the order of a pytree.
        like: a row, for its shapes.
        next_given: from such a row and a rank to a distribution that need be right for the cell of this
            rank alone, where that is cheaper; None to use `given`.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro.distributions as npd
        >>> from condvae import Observed
        >>> from condvae.distributions import InTurn, Numpyro
        >>> def given(x):  # x₁ ~ N(x₀, 1) where x₀ is seen
        ...     before = jnp.where(x.mask[0], x.value[0], 0.0)
        ...     return Numpyro(npd.Normal(jnp.stack([0.0 * before, before]), 1.0))
        >>> walk = InTurn(given, jnp.arange(2), jnp.zeros(2))
        >>> round(float(walk.log_prob(jnp.array([3.0, 3.0]))), 3)
        -6.338
    """

    given: Callable[[PyTree], Distribution]
    order: Int[Array, " cells"]
    like: PyTree[Array]
    next_given: Callable[[PyTree, Array], Distribution] | None = None

    @property
    def reparameterised(self) -> bool:
        return False

    def sample(self, key: PRNGKeyArray) -> PyTree[Array]:
        return self.unrolled(key)[1]

    def unrolled(self, key: PRNGKeyArray, observed: PyTree = None) -> tuple[Distribution, PyTree[Array]]:
        """A draw, and the distribution of each of its cells given the cells before it in the draw.

        An expectation over one cell is the mean of its expectations under these, over draws. Where some
        cells are observed, the others are drawn each given those before it, drawn or observed: the weight
        of such a draw among others is the density of the observed cells given those before them.

        Args:
            key: a PRNG key.
            observed: a row of `Observed` parts whose observed cells are kept; None for none.
        """
        start, kept = self.like, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), self.like)
        if observed is not None:
            parts = jax.tree.leaves(observed, is_leaf=lambda leaf: isinstance(leaf, Observed))
            shape = jax.tree.structure(self.like)
            kept = jax.tree.unflatten(shape, [part.mask for part in parts])
            start = jax.tree.unflatten(shape, [jnp.where(part.mask, part.value, 0) for part in parts])
        leaves, shape = jax.tree.flatten(start)
        fixed, sizes = jax.tree.leaves(kept), [leaf.size for leaf in leaves]

        def step(row: list[Array], turn: tuple[Array, PRNGKeyArray]) -> tuple[list[Array], None]:
            place, own_key = turn
            drawn = jax.tree.leaves(self._next(jax.tree.unflatten(shape, row), place).sample(own_key))
            now = jnp.split(self.order == place, list(_ends(sizes)))
            return [
                jnp.where(mask.reshape(old.shape) & ~keep, new.astype(old.dtype), old)
                for mask, keep, old, new in zip(now, fixed, row, drawn, strict=True)
            ], None

        number = sum(sizes)
        row, _ = jax.lax.scan(step, leaves, (jnp.arange(number), jax.random.split(key, number)))
        value = jax.tree.unflatten(shape, row)
        return self._given(value), value

    def support(self) -> PyTree[Support | None]:
        return self._given(self.like).support()

    def log_prob(self, value: PyTree) -> Scalar:
        return self._given(value).log_prob(value)

    def terms(self, value: PyTree) -> Array:
        return self._given(value).terms(value)

    def _given(self, value: PyTree) -> Distribution:
        return self.given(_observed(value))

    def _next(self, value: PyTree, rank: Array) -> Distribution:
        return self._given(value) if self.next_given is None else self.next_given(_observed(value), rank)


def _observed(value: PyTree) -> PyTree:
    """The row with all cells observed, but for those of parts that are `Observed` already."""

    def one(leaf: Any) -> Observed:
        return leaf if isinstance(leaf, Observed) else Observed(leaf, jnp.ones(jnp.shape(leaf), bool))

    return jax.tree.map(one, value, is_leaf=lambda leaf: isinstance(leaf, Observed))


def _ends(sizes: list[int]) -> list[int]:
    """Where each part but the last ends."""
    ends, total = [], 0
    for size in sizes[:-1]:
        total += size
        ends.append(total)
    return ends
