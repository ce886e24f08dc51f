"""What a check looks at: a module, the inputs of one example, and its draws as rows of numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.distributions import Distribution, as_distribution

AT_ONCE = 10_000
"""Of draws and of scores, what is in memory."""


def over_rows(function: Callable) -> Callable:
    """The function of every row, compiled, a part of many rows at a time."""

    def rows(values: PyTree) -> PyTree:
        if len(jax.tree.leaves(values)[0]) <= AT_ONCE:
            return jax.vmap(function)(values)
        return jax.lax.map(function, values, batch_size=AT_ONCE)

    return eqx.filter_jit(rows)


@dataclass(frozen=True)
class Subject:
    """What is checked: a module, the inputs of one example, and what makes the draws."""

    module: Any
    inputs: tuple[PyTree, ...]
    prior: Distribution | None
    key: PRNGKeyArray
    draws: int

    def called(self, module: Any = None, inputs: tuple[PyTree, ...] | None = None) -> Any:
        """What the module returns, or another in its place, or of other inputs."""
        module = self.module if module is None else module
        extra = {} if self.prior is None else {"prior": self.prior}
        return module(*(self.inputs if inputs is None else inputs), **extra)

    def at(self, module: Any = None, inputs: tuple[PyTree, ...] | None = None) -> Distribution:
        """The same as a distribution."""
        name = type(self.module if module is None else module).__name__
        return as_distribution(self.called(module, inputs), name)

    def sample(self, n: int, salt: int = 0) -> PyTree:
        """So many draws."""
        keys = jax.random.split(jax.random.fold_in(self.key, salt), n)
        return over_rows(lambda key: self.at().sample(key))(keys)

    @cached_property
    def flat(self) -> tuple[np.ndarray, Callable[[np.ndarray], PyTree]]:
        """`draws` of them as rows of numbers, and the way back."""
        return flattened(self, self.draws)

    @cached_property
    def score_of_rows(self) -> Callable[[np.ndarray], np.ndarray]:
        """The log-densities of such rows, −inf outside of the support."""
        return scores_of_rows(self, self.flat[1])

    @property
    def one(self) -> PyTree:
        """One draw."""
        return self.at().sample(self.key)


def flattened(subject: Subject, n: int) -> tuple[np.ndarray, Callable[[np.ndarray], PyTree]]:
    """Draws as rows of numbers, and the way back from them."""
    drawn = subject.sample(n)
    leaves, treedef = jax.tree.flatten(drawn)
    flat = np.concatenate([np.asarray(leaf, np.float64).reshape(n, -1) for leaf in leaves], axis=1)

    def back(rows: np.ndarray) -> PyTree:
        parts, start = [], 0
        for leaf in leaves:
            size = leaf[0].size
            part = rows[:, start : start + size].reshape(len(rows), *leaf.shape[1:])
            parts.append(jnp.asarray(part, leaf.dtype))
            start += size
        return jax.tree.unflatten(treedef, parts)

    return flat, back


def scores_of_rows(subject: Subject, back: Callable[[np.ndarray], PyTree]) -> Callable:
    """The log-densities of rows of numbers; −inf for NaN, as it may be outside of the support."""
    score = over_rows(lambda value: subject.at().log_prob(value))

    def log_prob(rows: np.ndarray) -> np.ndarray:
        scores = np.asarray(score(back(rows)), np.float64)
        return np.where(np.isnan(scores), -np.inf, scores)

    return log_prob
