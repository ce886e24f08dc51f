"""The value of an objective for each row: a bound of log p_θ(x | c), such as the ELBO."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt

from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.objectives import elbo
from condvae.objectives.declaration import declaration_of
from condvae.objectives.draws import evaluate
from condvae.sentences import InputError
from condvae.vectorise import map_rows, num_rows


def bound(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    objective: Callable[..., Array] = elbo,
    num_samples: int = 100,
    seeds: UInt[np.ndarray, " n"] | None = None,
    progress: bool = False,
) -> Float[np.ndarray, " n"]:
    """The objective of each row, from `num_samples` draws of z: by default the ELBO.

    Of a mixture of K members it is, for any shares π that sum to 1,

        Σ_k π_k (L_k − log K π_k) <= log 1/K Σ_k exp E[L_k] <= log 1/K Σ_k p_k(x | c)   in expectation,

    where the π_k do not depend on the draws in L_k. The first is an equality at π_k ∝ exp E[L_k]: π is
    found by other draws, and the two sets of draws change places, and the mean of both is taken. (The
    log-mean-exp of the L_k is no bound: their noise lifts it.)

    Args:
        model: a `CVAE`, or a `Mixture`.
        x: n rows on the leading axis.
        c: their conditions, or None.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        objective: a module-level function of `Draws`, of one row each.
        num_samples: draws for each row (and twice that of each member: an IWAE bound is of num_samples).
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
        raise InputError("{argument} is {n}, expected at least 1", argument="num_samples", n=num_samples)
    if declaration_of(objective).of_batches:
        raise ValueError("the objective is of whole batches, and bounds no row's log p: use elbo or iwae")
    if isinstance(model, Mixture):
        keys = jax.random.split(key, (model.num_members, 2))
        values = np.array(
            [
                [
                    bound(
                        member,
                        x,
                        c,
                        key=half_key,
                        objective=objective,
                        num_samples=num_samples,
                        seeds=seeds,
                        progress=progress,
                    )
                    for half_key in pair
                ]
                for member, pair in zip(model, keys, strict=True)
            ]
        )
        first, second = np.moveaxis(values, 1, 0)
        return 0.5 * (_of_mixture(first, second) + _of_mixture(second, first))
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


def _of_mixture(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Σ_k π_k (L_k − log K π_k) of values L_k, [members, n], with π_k ∝ exp of `others`."""
    others = np.maximum(others, -1e30)
    log_share = others - np.logaddexp.reduce(others, axis=0)
    share = np.exp(log_share)
    terms = values - log_share - np.log(len(values)).astype(values.dtype)
    return np.sum(np.where(share > 0, share * terms, 0.0), axis=0)


def _bound_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, objective: Callable[..., Array], num_samples: int
) -> Array:
    return jnp.asarray(evaluate(objective, model, *row, key=key, num_samples=num_samples))
