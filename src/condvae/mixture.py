"""A mixture of models: the members of an ensemble, weighed alike.

    p(x | c) = 1/K Σ_k p_k(x | c)

Members are trained side by side in one compiled program (`fit(..., num_members=K)`), so they share one
structure, and their arrays are stacked on a leading axis.
"""

import operator
from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from condvae.model import CVAE


class Mixture(eqx.Module):
    """K conditional variational autoencoders of one structure, each with weight 1/K.

    What takes a `CVAE` to score, sample or save takes a mixture. Latents of different members do not
    compare: encode with one of them, `mixture.member(k)`.

    Args:
        stacked: a `CVAE` of which every array has a leading axis of length K.

    Example:
        >>> import jax
        >>> from condvae import Mixture
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> mixture = Mixture.of([random_linear_gaussian(key, x_size=2, z_size=1) for key in keys])
        >>> mixture.num_members, type(mixture.member(0)).__name__
        (3, 'CVAE')
    """

    stacked: CVAE

    @classmethod
    def of(cls, models: Sequence[CVAE]) -> "Mixture":
        """The mixture of some models.

        Raises:
            ValueError: if there is none, or they are not of one structure and precision.
        """
        if not models:
            raise ValueError("a mixture needs at least one member: give some models")
        first, *rest = [eqx.partition(model, eqx.is_array) for model in models]
        shapes = [
            jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), arrays) for arrays, _ in (first, *rest)
        ]
        for (_, static), shape in zip(rest, shapes[1:], strict=True):
            if shape != shapes[0] or not _alike(static, first[1]):
                raise ValueError(
                    "the members of a mixture differ in structure: build each with the same arguments, and "
                    "only another key"
                )
        return cls(eqx.combine(_stacked([arrays for arrays, _ in (first, *rest)]), first[1]))

    @property
    def num_members(self) -> int:
        """K."""
        return jax.tree.leaves(eqx.filter(self.stacked, eqx.is_array))[0].shape[0]

    def member(self, k: int) -> CVAE:
        """The k-th member."""
        arrays, static = eqx.partition(self.stacked, eqx.is_array)
        return eqx.combine(_taken(arrays, operator.index(k)), static)

    def __iter__(self) -> Iterator[CVAE]:
        return (self.member(k) for k in range(self.num_members))


def _stacked(trees: Sequence[PyTree]) -> PyTree:
    # On the host, where nothing has to be compiled; and under a transformation of JAX where it has to be.
    def stack(*leaves: Any) -> Any:
        if any(isinstance(leaf, Tracer) for leaf in leaves) or not _plain(leaves[0]):
            return jnp.stack(leaves)
        return jax.device_put(np.stack(leaves))

    return jax.tree.map(stack, *trees)


def _plain(leaf: Any) -> bool:
    return not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)


@jax.jit
def _taken(stacked: PyTree, k: int | Array) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[k], stacked)


def _alike(one: Any, other: Any) -> bool:
    """Whether two trees are the same but for functions made anew: with the same code, over the same."""
    leaves, structure = jax.tree.flatten(one)
    other_leaves, other_structure = jax.tree.flatten(other)
    if structure != other_structure:
        return False
    return all(_same_leaf(*pair) for pair in zip(leaves, other_leaves, strict=True))


def _same_leaf(one: Any, other: Any) -> bool:
    if isinstance(one, FunctionType) and isinstance(other, FunctionType) and one is not other:
        held = [
            ([cell.cell_contents for cell in f.__closure__ or ()], f.__defaults__, f.__kwdefaults__)
            for f in (one, other)
        ]
        return one.__code__ == other.__code__ and _alike(*held)
    return bool(eqx.tree_equal(one, other))


def members(model: CVAE | Mixture) -> list[CVAE]:
    """The members of a mixture; of a single model, itself."""
    return list(model) if isinstance(model, Mixture) else [model]
