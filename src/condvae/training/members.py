"""The members of a run: their models stacked, their keys, and the numbers that each has of its own."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray

from condvae.mixture import Mixture
from condvae.model import CVAE


class Keys(NamedTuple):
    """The keys of a run, for each member its own.

    Attributes:
        build: to build it with, where it is built.
        order: of its rows.
        noise: two, of its steps and of its held-out rows: shape (K, 2).
        permutation: a random permutation of the rows or groups, of which it holds some out; shape (K, n).
        hold: what decides which rows are held out of a stream.
    """

    build: list[PRNGKeyArray]
    order: list[PRNGKeyArray]
    noise: PRNGKeyArray
    permutation: Array
    hold: list[PRNGKeyArray]


Model = CVAE | Mixture | Callable[[PRNGKeyArray], CVAE]
"""What is trained: a model, a mixture of models, or a function that builds a model from a key."""


def count_members(model: Model, num_members: int | None) -> int:
    """How many members a run has.

    Raises:
        ValueError: for what is no model, and no function that could build one.
    """
    if isinstance(model, CVAE | Mixture):
        given = model.num_members if isinstance(model, Mixture) else 1
        if num_members not in (None, given):
            raise ValueError(
                f"num_members is {num_members}, but the model given is of {given}: give a function that "
                "builds a model from a key, and as many members are built"
            )
        return given
    if not callable(model):
        raise ValueError(
            f"model is {type(model).__name__}, expected a CVAE, a Mixture, or a function that builds a "
            "CVAE from a key"
        )
    count = 1 if num_members is None else num_members
    if count < 1:
        raise ValueError(f"num_members is {count}, expected at least 1")
    return count


def draw_keys(model: Model, size: int, key: PRNGKeyArray, permuted: int) -> Keys:
    """The keys of `size` members, and permutations of `permuted` rows or groups: one small program."""
    source = "one" if isinstance(model, CVAE) else "mixture" if isinstance(model, Mixture) else "built"
    return Keys(*_draw_keys(key, size, source, permuted))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _draw_keys(key: PRNGKeyArray, size: int, source: str, permuted: int) -> tuple:
    build = []
    fit = key[None] if source == "one" else jax.random.split(key, size)
    if source == "built":
        pairs = jax.vmap(jax.random.split)(fit)
        build, fit = list(pairs[:, 0]), pairs[:, 1]
    pairs = jax.vmap(jax.random.split)(fit)
    hold, run = pairs[:, 0], pairs[:, 1]
    three = jax.vmap(lambda key: jax.random.split(key, 3))(run)
    permutation = jax.vmap(lambda key: jax.random.permutation(key, permuted))(hold)
    return build, list(three[:, 0]), three[:, 1:], permutation, list(hold)


def stack(model: Model, keys: Keys) -> CVAE:
    """The members, stacked.

    Raises:
        ValueError: if a function builds no model, or models of several structures.
    """
    if isinstance(model, Mixture):
        return model.stacked
    if isinstance(model, CVAE):
        return Mixture.of([model]).stacked
    built: list[Any] = [model(build) for build in keys.build]
    if not isinstance(built[0], CVAE):
        raise ValueError(
            f"the function that builds a model returned {type(built[0]).__name__}, expected a CVAE"
        )
    return Mixture.of(built).stacked


def for_each(name: str, value: ArrayLike, size: int) -> np.ndarray:
    """A number for each member, from one for all or one for each.

    Raises:
        ValueError: naming the argument.
    """
    array = np.asarray(value, float)
    if array.shape not in ((), (size,)) or not np.isfinite(array).all() or (array < 0).any():
        one_each = "" if size == 1 else f", or {size} of them, one for each member"
        raise ValueError(f"{name} is {value}, expected a number not below 0{one_each}")
    return np.broadcast_to(array, (size,)).copy()
