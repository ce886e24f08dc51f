"""The members of a run: their models stacked, the rows that each holds out, its own numbers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from condvae.holdout import held_out
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.rounds import Own
from condvae.rows import bucket


def stack(model: Any, num_members: int | None, key: PRNGKeyArray) -> tuple[CVAE, PRNGKeyArray, bool]:
    """The members, stacked; a key for each to train with; and whether there is but the one model."""
    if isinstance(model, CVAE | Mixture):
        found = model.num_members if isinstance(model, Mixture) else 1
        if num_members not in (None, found):
            raise ValueError(
                f"num_members is {num_members}, but the model given is of {found}: give a function that "
                "builds a model from a key, and as many members are built"
            )
        if isinstance(model, Mixture):
            return model.stacked, _split(key, found), False
        return Mixture.of([model]).stacked, _only(key), True
    if not callable(model):
        raise ValueError(
            f"model is {type(model).__name__}, expected a CVAE, a Mixture, or a function that builds a "
            "CVAE from a key"
        )
    count = 1 if num_members is None else num_members
    if count < 1:
        raise ValueError(f"num_members is {count}, expected at least 1")
    build_keys, fit_keys = _build_keys(key, count)
    built: list[Any] = [model(build) for build in build_keys]
    if not isinstance(built[0], CVAE):
        raise ValueError(
            f"the function that builds a model returned {type(built[0]).__name__}, expected a CVAE"
        )
    return Mixture.of(built).stacked, fit_keys, num_members is None


_split = jax.jit(jax.random.split, static_argnums=1)


@jax.jit
def _only(key: PRNGKeyArray) -> PRNGKeyArray:
    return key[None]


@partial(jax.jit, static_argnums=1)
def _build_keys(key: PRNGKeyArray, count: int) -> tuple[list[PRNGKeyArray], PRNGKeyArray]:
    """For each member a key to build it with, and one to train it with."""
    pairs = jax.vmap(jax.random.split)(jax.random.split(key, count))
    return list(pairs[:, 0]), pairs[:, 1]


@jax.jit
def _own_keys(keys: PRNGKeyArray) -> tuple[list[PRNGKeyArray], PRNGKeyArray]:
    """For each member a key to hold rows out by, and one to run with."""
    pairs = jax.vmap(jax.random.split)(keys)
    return list(pairs[:, 0]), pairs[:, 1]


def own_rows(
    n: int,
    keys: PRNGKeyArray,
    validation: float | np.ndarray,
    groups: np.ndarray | None,
    time: np.ndarray | None,
    sample_weight: np.ndarray | None,
) -> Own:
    """Which rows each member holds out, and what the weights are divided by."""
    split_keys, run_keys = _own_keys(keys)
    masks = _validation_masks(n, validation, split_keys, groups, time)
    weights = _weights(n, sample_weight)
    held = [np.flatnonzero(mask) for mask in masks]
    longest = max(map(len, held))
    padded = np.zeros((len(masks), bucket(longest) if longest else 0), np.int32)
    for row, places in zip(padded, held, strict=True):
        row[: len(places)] = places
    scales = [_mean_weights(weights, mask) for mask in masks]
    return Own(
        train=[np.flatnonzero(~mask) for mask in masks],
        validation=jax.device_put(padded),
        num_validation=jax.device_put(np.array([len(places) for places in held], np.int32)),
        weight_scale=jax.device_put(np.array(scales)),
        peak=jax.device_put(np.zeros(0)),
        decay=jax.device_put(np.zeros(0)),
        key=run_keys,
    )


def for_each(name: str, value: Any, size: int) -> jax.Array:
    """A number for each member, from one for all or one for each.

    Raises:
        ValueError: naming the argument.
    """
    array = np.asarray(value, float)
    if array.shape not in ((), (size,)) or not np.isfinite(array).all() or (array < 0).any():
        one_each = "" if size == 1 else f", or {size} of them, one for each member"
        raise ValueError(f"{name} is {value}, expected a number not below 0{one_each}")
    return jax.device_put(np.broadcast_to(array, (size,)))


def _validation_masks(
    n: int,
    validation: float | np.ndarray,
    keys: Sequence[PRNGKeyArray],
    groups: np.ndarray | None,
    time: np.ndarray | None,
) -> np.ndarray:
    """Which rows each member holds out, shape (K, n)."""
    if np.ndim(validation) == 0:
        fraction = float(validation)
        return np.stack([held_out(n, fraction, key=key, groups=groups, time=time) for key in keys])
    mask = np.asarray(validation)
    if mask.shape not in ((n,), (len(keys), n)) or mask.dtype != bool:
        each = "" if len(keys) == 1 else f", or ({len(keys)}, {n}), one for each member"
        raise ValueError(
            f"validation has shape {mask.shape} and type {mask.dtype}, expected a fraction or a boolean "
            f"mask of shape ({n},){each}"
        )
    if mask.all(axis=-1).any():
        raise ValueError("validation holds out every row: leave some to train on")
    if mask.any() and not mask.any(axis=-1).all():
        member = int(np.argmin(mask.any(axis=-1)))
        raise ValueError(
            f"validation holds out no row of member {member}, but some of others: hold out rows of each, "
            "or of none"
        )
    return np.broadcast_to(mask, (len(keys), n))


def _weights(n: int, sample_weight: np.ndarray | None) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected ({n},): one finite, non-negative number "
            "for each row"
        )
    return weights


def _mean_weights(weights: np.ndarray, held: np.ndarray) -> list[float]:
    """The mean weight of the training rows, and of the validation rows."""
    means = [float(weights[part].mean()) if part.any() else 1.0 for part in (~held, held)]
    if min(means) == 0:
        raise ValueError("sample_weight is 0 on all training or all validation rows: weigh some")
    return means
