"""What a likelihood cannot hold is refused before any training, with what it takes."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.distributions.support import Support
from condvae.heads.families import FAMILIES, family_support
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.sentences import InputError

CELLS = 2**22
"""Cells that are looked at together."""


class SupportError(InputError):
    """A value of x that the likelihood cannot hold.

    Attributes:
        row: the row of the value, from 0.
        cell: where the value is in its row: names and indices.
        value: the value.
        support: what the likelihood takes there, in words.
        likelihoods: names in `condvae.heads.FAMILIES` that hold every value of that part of x.
    """

    cell: tuple[Any, ...]
    value: float
    support: str
    likelihoods: tuple[str, ...]


def binarise(key: PRNGKeyArray, batch: PyTree) -> PyTree:
    """Draw each pixel of x as 0 or 1, its brightness the probability: for `fit(batch_transform=...)`.

    Args:
        key: a PRNG key.
        batch: (x, c); the floating-point parts of x are from 0 to 1, missing cells stay missing.

    Returns:
        (x, c) with new x, of the same types.

    Source: Salakhutdinov and Murray 2008 (binarised MNIST).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.training import binarise
        >>> x, _ = binarise(jax.random.key(0), (jnp.array([[0.0, 0.5, 1.0]]), None))
        >>> bool(jnp.isin(x, jnp.array([0.0, 1.0])).all()), x.dtype.name
        (True, 'float32')
    """
    x, c = batch
    leaves, shape = jax.tree.flatten(x)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.bernoulli(k, leaf).astype(leaf.dtype)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(shape, drawn), c


def require_held(stacked: CVAE, x: PyTree, c: PyTree, transform: Callable | None = None) -> None:
    """Refuse observed values of x that the likelihood of the first of stacked models cannot hold.

    Nothing is compiled: the likelihood is traced for one row, and says what its cells can be. Nothing is
    checked of a likelihood that does not say it, or of rows that a `batch_transform` other than `binarise`
    changes.

    Raises:
        SupportError: naming the row, the cell, the value, what can be there, and likelihoods that hold it.
    """
    if transform is not None and transform is not binarise:
        return
    parts = jax.tree_util.tree_flatten_with_path(x, is_leaf=_is_observed)[0]
    supports = _supports(stacked, jax.tree.map(lambda leaf: leaf[:1], (x, c)))
    if len(supports) != len(parts):
        return
    for (path, part), support in zip(parts, supports, strict=True):
        if support is not None and transform is binarise:
            support = Support("binarise", low=0.0, high=1.0)
        if support is not None:
            _require_held(path, part, support)


def _supports(stacked: CVAE, row: tuple[PyTree, PyTree]) -> list[Support | None]:
    """What the likelihood says of each part of x, in the order of the pytree."""
    kept: list[PyTree] = []

    def look(stacked: CVAE, row: tuple[PyTree, PyTree]) -> Array:
        model, (_, c) = jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, (stacked, row))
        z = model.p_z(c).sample(jax.random.key(0))
        kept.append(model.p_x(z, c).support())
        return jnp.zeros(())

    eqx.filter_eval_shape(look, stacked, row)
    return jax.tree.leaves(kept[0], is_leaf=lambda node: node is None or isinstance(node, Support))


def _require_held(path: Any, part: Any, support: Support) -> None:
    for first, values, there in _chunks(part):
        held = support.holds(values) | ~there
        if held.all():
            continue
        place = np.unravel_index(int(np.argmin(held)), held.shape)
        row, cell = first + int(place[0]), tuple(map(int, place[1:]))
        raise _error(path, part, row, cell, float(values[place]), support.at(cell))


def _error(
    path: Any, part: Any, row: int, cell: tuple[int, ...], value: float, support: Support
) -> SupportError:
    likelihoods = () if support.likelihood == "Categorical" else _that_hold(part)
    problem = "{place} is {value:g}, and the likelihood there, {likelihood}, takes {taken}"
    if support.likelihood == "binarise":
        problem = "{place} is {value:g}, and binarise takes {taken}"
        remedy = "divide brightness by its maximum"
    elif support.likelihood == "Categorical":
        remedy = "correct the value, or build the model with more levels"
    elif support.likelihood == "Bernoulli" and "continuous_bernoulli" in likelihoods:
        remedy = (
            "draw 0 or 1 in each batch by fit(batch_transform=condvae.training.binarise), or use the "
            "likelihood continuous_bernoulli"
        )
    else:
        remedy = "correct the value, or use a likelihood that holds it: {likelihoods}"
    error = SupportError(
        problem,
        remedy=remedy,
        row=row,
        place=f"x{jax.tree_util.keystr(path)}[{', '.join(map(str, (row, *cell)))}]",
        value=value,
        likelihood=support.likelihood,
        taken=support.words(),
        likelihoods=", ".join(likelihoods),
    )
    entries = tuple(getattr(entry, "key", getattr(entry, "idx", None)) for entry in path)
    error.cell, error.value, error.support = (*entries, *cell), value, support.words()
    error.likelihoods = likelihoods
    return error


def _that_hold(part: Any) -> tuple[str, ...]:
    """The families without options that hold every observed value of a part of x."""
    names = []
    for name, family in FAMILIES.items():
        if family.options:
            continue
        support = family_support(name)
        if support is not None and all(
            (support.holds(values) | ~there).all() for _, values, there in _chunks(part)
        ):
            names.append(name)
    return tuple(names)


def _chunks(part: Any) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Rows at a time: the number of the first, the values, and which of them are observed."""
    value = part.value if _is_observed(part) else part
    mask = np.broadcast_to(part.mask, np.shape(value)) if _is_observed(part) else None
    size = max(1, CELLS // max(1, int(np.prod(np.shape(value)[1:]))))
    for first in range(0, len(value), size):
        values = np.asarray(value[first : first + size])
        there = np.ones(values.shape, bool) if mask is None else np.asarray(mask[first : first + size])
        yield first, values, there


def _is_observed(node: Any) -> bool:
    return isinstance(node, Observed)
