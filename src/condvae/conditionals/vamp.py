"""A prior made of the posterior."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from condvae.distributions import Distribution, MixtureOf, as_distribution
from condvae.vectorise import num_rows


class VampPrior(eqx.Module):
    """The mixture of posteriors of K made-up rows: p(z | c) = 1/K Σ_k q_φ(z | u_k, c).

    It is the prior that fits the encoder best among mixtures of so many: the average of q_φ(z | x, c)
    over rows, with rows u_k that are learned along with the rest. Of the rows, numbers are learned;
    categories and masks stay as they are given.

    The model passes its posterior, which must not itself need the prior: a `PriorCorrection`, a ladder or
    `SameAsPrior` is refused.

    Args:
        rows: x of K rows to start from, on the leading axis, as a batch of the data is: take some of the
            training rows.

    Raises:
        ValueError: if rows do not match, or there is none.

    Source: Tomczak and Welling 2018.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import CVAE
        >>> from condvae.architectures import mlp_cvae
        >>> from condvae.conditionals import VampPrior
        >>> x = jax.random.normal(jax.random.key(0), (5, 3))
        >>> plain = mlp_cvae(x, latent_size=2, width=8, depth=1, key=jax.random.key(1))
        >>> model = CVAE(VampPrior(x), plain.likelihood, plain.posterior)
        >>> model.p_z().sample(jax.random.key(2)).shape
        (2,)
    """

    rows: PyTree[Array]

    needs_posterior = True

    def __init__(self, rows: PyTree):
        if num_rows(rows=rows) < 1:
            raise ValueError("rows has no row: give some training rows to start from")
        # Copies: what is learned must not be the caller's own array.
        self.rows = jax.tree.map(lambda leaf: jnp.asarray(np.array(leaf)), rows)

    def __call__(self, c: PyTree = None, *, posterior: Callable | None = None) -> Distribution:
        if posterior is None:
            raise ValueError(
                "VampPrior is made of the model's posterior: make it the prior of a CVAE, no part of one"
            )
        k = jax.tree.leaves(self.rows)[0].shape[0]
        return MixtureOf(jnp.zeros(k), _PosteriorOf(self.rows, c, posterior))


class _PosteriorOf(eqx.Module):
    """q_φ(z | u_k, c) by k."""

    rows: PyTree[Array]
    c: PyTree
    posterior: Any

    def __call__(self, k: Int[Array, ""]) -> Distribution:
        row = jax.tree.map(lambda leaf: leaf[k], self.rows)
        return as_distribution(self.posterior(row, self.c, prior=None), "the posterior")
