"""Which parameters are kept: those of the step that is best on held-out rows, for each part by itself."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from condvae.conditionals import ConditionalInTurn, StandardNormal
from condvae.model import CVAE

NOTABLE = 0.01
"""Nats a row by which the objective over held-out rows must rise to restart the count of patience."""


def num_parts(model: CVAE) -> int:
    """Into how many parts the objective over held-out rows falls: see `State.best_parts`.

    Each cell of targets that are decoded in turn without a latent has parameters of its own, and its own
    term of log p(x | c): it keeps those of the step that is best for it.
    """
    decoder, prior = model.likelihood, model.prior
    alone = isinstance(prior, StandardNormal) and prior.shape == (0,)
    return np.shape(decoder.order)[-1] + 1 if alone and isinstance(decoder, ConditionalInTurn) else 1


def terms(model: CVAE, x: PyTree, c: PyTree) -> Float[Array, "rows parts"]:
    """log p of each cell of each row given the cells before it; then that of the row."""
    cells = jax.vmap(lambda x, c: model.likelihood(jnp.zeros(0), c).terms(x))(x, c)
    return jnp.concatenate([cells, jnp.sum(cells, axis=1, keepdims=True)], axis=1)


def kept(better: Bool[Array, " parts"], new: PyTree, old: PyTree, static: PyTree) -> PyTree:
    """New parameters of the parts that are better, old ones of the others."""
    if better.size == 1:
        return jax.tree.map(lambda new, old: jnp.where(better[0], new, old), new, old)
    whole = jax.tree.map(lambda leaf: jnp.full(leaf.shape[:1], better.size - 1), new)
    decoder = eqx.combine(new, static).likelihood.owners()
    owners = eqx.filter(decoder, jax.tree.map(lambda leaf: leaf is not None, new.likelihood, is_leaf=_none))
    owners = eqx.tree_at(lambda model: model.likelihood, whole, owners)

    def pick(owner: Array, new: Array, old: Array) -> Array:
        chosen = better[owner]
        return jnp.where(chosen.reshape(chosen.shape + (1,) * (new.ndim - chosen.ndim)), new, old)

    return jax.tree.map(pick, owners, new, old)


def _none(node: Any) -> bool:
    return node is None
