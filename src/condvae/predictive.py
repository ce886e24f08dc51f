"""Exact expectations given z, averaged over z: what draws of x would give, with less noise.

    E[s(x) | c] = E_{z ~ p_θ(z | c)} [ E[s(x) | z, c] ]

The inner expectation is known for means, probabilities and distribution functions of most likelihoods
(Rao and Blackwell), so that only the latent is drawn.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.distributions import Distribution, InTurn
from condvae.mixture import Mixture, members
from condvae.model import CVAE
from condvae.rows import map_rows, num_rows

Statistic = Callable[[Distribution, PyTree], PyTree]
"""From p_θ(x | z, c) of one example, and what else belongs to its row, to arrays."""

DRAWS_AT_ONCE = 256
"""Draws of one row that are averaged side by side."""


def expect(
    statistic: Statistic,
    model: CVAE | Mixture,
    c: PyTree = None,
    extra: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1000,
    seeds: np.ndarray | None = None,
    progress: bool = False,
) -> PyTree:
    """The mean of `statistic(p_θ(x | z, c), extra)` over z ~ p_θ(z | c), for each row.

    Args:
        statistic: a module-level function of a `Distribution` over x and of the row's `extra`.
        model: a `CVAE`, or a `Mixture`, whose members share out the draws.
        c: conditions, n rows on the leading axis; None for a plain VAE.
        extra: what else the statistic takes, n rows; without conditions its rows are all there are.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        num_samples: draws of z for each row.
        seeds: row i uses `fold_in(key, seeds[i])` instead, shape (n,).
        progress: whether to show a progress bar.

    Returns:
        Arrays of shape (n, ...); n is 1 where there are neither conditions nor `extra`.

    Raises:
        ValueError: if rows do not match, or there is no draw.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> from condvae.predictive import expect
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> def mean(likelihood, _):
        ...     return likelihood.mean()
        >>> expect(mean, model, jnp.zeros((5, 1)), key=jax.random.key(1)).shape
        (5, 3)
    """
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}, expected at least 1")
    n = 1 if c is None and extra is None else num_rows(c=c, extra=extra)
    found = members(model)
    each = -(-num_samples // len(found))
    at_once = min(each, DRAWS_AT_ONCE)
    results = [
        map_rows(
            _expect_row,
            member,
            (np.zeros((n, 0), np.float32), c, extra),
            member_key,
            seeds=seeds,
            draws=at_once,
            progress=progress,
            statistic=statistic,
            num_samples=each,
            at_once=at_once,
        )
        for member, member_key in zip(found, jax.random.split(key, len(found)), strict=True)
    ]
    return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *results)


def _expect_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, statistic: Statistic, num_samples: int, at_once: int
) -> PyTree:
    _, c, extra = row
    prior = model.p_z(c)

    def one(draw_key: PRNGKeyArray) -> PyTree:
        z_key, x_key = jax.random.split(draw_key)
        likelihood = model.p_x(prior.sample(z_key), c)
        if isinstance(likelihood, InTurn):  # each cell given those drawn before it
            likelihood, _ = likelihood.unrolled(x_key)
        return statistic(likelihood, extra)

    def block(total: PyTree, i: jax.Array) -> tuple[PyTree, None]:
        keys = jax.random.split(jax.random.fold_in(key, i), at_once)
        counted = i * at_once + jnp.arange(at_once) < num_samples
        values = jax.vmap(one)(keys)

        def add(total: jax.Array, value: jax.Array) -> jax.Array:
            keep = counted.reshape(-1, *[1] * (value.ndim - 1))
            return total + jnp.sum(jnp.where(keep, value, 0.0), axis=0)

        return jax.tree.map(add, total, values), None

    shapes = jax.eval_shape(one, key)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, jnp.result_type(float, s.dtype)), shapes)
    total, _ = jax.lax.scan(block, zeros, jnp.arange(-(-num_samples // at_once)))
    return jax.tree.map(lambda leaf: leaf / num_samples, total)
