"""The value of an objective for each row: a bound of log p_θ(x | c), such as the ELBO."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.draws import evaluate, is_of_batches
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.objectives import elbo
from condvae.rows import map_rows, num_rows


def bound(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    objective: Callable[..., Any] = elbo,
    num_samples: int = 100,
    seeds: np.ndarray | None = None,
    progress: bool = False,
) -> np.ndarray:
    """The objective of each row, from `num_samples` draws of z: by default the ELBO.

    Of a mixture it is the log-mean-exp of its members'. An average of log-weights is at most the log of
    their average, so that the exp of each is at most p_k(x | c) in expectation, and by Jensen again the
    whole is at most log 1/K Σ_k p_k(x | c): a bound whatever the number of draws.

    Args:
        model: a `CVAE`, or a `Mixture`.
        x: n rows on the leading axis.
        c: their conditions, or None.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        objective: a module-level function of `Draws`, of one row each.
        num_samples: draws for each row (and each member: an IWAE bound is of that many).
        seeds: row i uses `fold_in(key, seeds[i])` instead, shape (n,).
        progress: whether to show a progress bar.

    Returns:
        Shape (n,), nats.

    Raises:
        ValueError: if rows do not match, there is no draw, or the objective is one of batches.

    Example:
        >>> import jax
        >>> from condvae.linear_gaussian import exact_log_prob, random_linear_gaussian
        >>> from condvae.scoring import bound
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> x, c = jax.random.normal(jax.random.key(1), (5, 3)), jax.numpy.ones((5, 1))
        >>> values = bound(model, x, c, key=jax.random.key(2), num_samples=1000)
        >>> bool((values < exact_log_prob(model, x, c) + 0.2).all())
        True
    """
    num_rows(x=x, c=c)
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}, expected at least 1")
    if is_of_batches(objective):
        raise ValueError("the objective is of whole batches, and bounds no row's log p: use elbo or iwae")
    if isinstance(model, Mixture):
        values = [
            bound(
                member,
                x,
                c,
                key=k,
                objective=objective,
                num_samples=num_samples,
                seeds=seeds,
                progress=progress,
            )
            for member, k in zip(model, jax.random.split(key, model.num_members), strict=True)
        ]
        return np.logaddexp.reduce(values, axis=0) - np.log(len(values)).astype(values[0].dtype)
    return map_rows(
        _bound_row,
        model,
        (x, c),
        key,
        seeds=seeds,
        draws=num_samples,
        progress=progress,
        label="scoring",
        objective=objective,
        num_samples=num_samples,
    )


def _bound_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, objective: Callable[..., Any], num_samples: int
) -> Array:
    return jnp.asarray(evaluate(objective, model, *row, key=key, num_samples=num_samples))
