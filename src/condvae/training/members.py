"""The members of a run: their models stacked, and the numbers that each has of its own."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from condvae.mixture import Mixture
from condvae.model import CVAE


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
