"""Whether c is used: what is lost when a row is scored given the conditions of another.

    E[log p_θ(x_i | c_i) − log p_θ(x_i | c_π(i))],    π a permutation that leaves no row in its place

is what the model has learned from c, in nats per row; of one column of c alone, what it has learned from
that column beyond the others, as far as they do not tell the same.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.calibration import mean_stderr
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.scoring import log_prob
from condvae.vectorise import num_rows

Swap = Callable[[PyTree, np.ndarray], PyTree]
"""From c and a permutation of the rows: c with something of it permuted."""


class ConditionUse(NamedTuple):
    """What is lost by each row when conditions are permuted, in nats.

    Attributes:
        everything: when all of c is, [n].
        columns: when one column is, by its name, [n] each.
    """

    everything: np.ndarray
    columns: dict[str, np.ndarray]

    @property
    def total(self) -> tuple[float, float]:
        """The mean loss when all of c is permuted, and its standard error."""
        return mean_stderr(self.everything)

    @property
    def by_column(self) -> dict[str, tuple[float, float]]:
        """Likewise when a column is."""
        return {name: mean_stderr(values) for name, values in self.columns.items()}


def condition_use(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree,
    *,
    key: PRNGKeyArray,
    columns: Mapping[str, Swap] | None = None,
    num_samples: int = 200,
    progress: bool = False,
) -> ConditionUse:
    """What is lost when conditions are permuted: all of c, and each column.

    Log-densities are found by importance sampling with as many draws for each row, the same noise with and
    without the permutation.

    Args:
        model: a `CVAE`, or a `Mixture`.
        x: n rows on the leading axis.
        c: their conditions.
        key: a PRNG key.
        columns: what else to permute, by name; by default each column of each array of c.
        num_samples: draws for each row.
        progress: whether to show progress bars.

    Raises:
        ValueError: without conditions, with fewer than 2 rows, or if rows do not match.

    Source: Breiman 2001 (permutation importance), of log-densities.

    Example:
        >>> import jax
        >>> from condvae import sample
        >>> from condvae.diagnosis import condition_use
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=1, c_size=2)
        >>> c = jax.random.normal(jax.random.key(1), (200, 2))
        >>> x = sample(model, c, key=jax.random.key(2))[:, 0]
        >>> use = condition_use(model, x, c, key=jax.random.key(3))
        >>> list(use.columns), use.total[0] > 0.1
        (['c[0]', 'c[1]'], True)
    """
    if c is None:
        raise ValueError("there are no conditions whose use could be measured: c is None")
    n = num_rows(x=x, c=c)
    if n < 2:
        raise ValueError("there is one row, and no other to take conditions from: give more rows")
    turn_key, key = jax.random.split(key)
    order = np.asarray(jax.random.permutation(turn_key, n))
    turned = np.empty(n, int)
    turned[order] = np.roll(order, 1)  # a single cycle: no row keeps its conditions

    def score(c: PyTree) -> np.ndarray:
        options = {"num_samples": num_samples, "budget": num_samples, "progress": progress}
        return log_prob(model, x, c, key=key, **options).value

    intact = score(c)
    swaps: Mapping[str, Swap] = _each_column(c) if columns is None else columns

    def lost(c: PyTree) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # of a row of density 0 either way it is not known
            return intact - score(c)

    return ConditionUse(
        lost(jax.tree.map(lambda leaf: np.asarray(leaf)[turned], c)),
        {name: lost(swap(c, turned)) for name, swap in swaps.items()},
    )


def _each_column(c: PyTree) -> dict[str, Swap]:
    """Each column of each array; the value and the mask of an `Observed` go together."""
    swaps: dict[str, Swap] = {}
    for path, node in jax.tree_util.tree_leaves_with_path(c, is_leaf=_is_observed):
        name = "c" + jax.tree_util.keystr(path)
        shape = np.shape(node.value if _is_observed(node) else node)[1:]
        for cell in np.ndindex(shape):
            swaps[name + "".join(f"[{i}]" for i in cell)] = partial(_swapped, path, cell)
    return swaps


def _swapped(path: tuple, cell: tuple[int, ...], c: PyTree, turned: np.ndarray) -> PyTree:
    place = (slice(None), *cell)

    def one(leaf: np.ndarray) -> np.ndarray:
        leaf = np.array(leaf)
        leaf[place] = leaf[place][turned]
        return leaf

    def look(at: tuple, node: PyTree) -> PyTree:
        return jax.tree.map(one, node) if at == path else node

    return jax.tree_util.tree_map_with_path(look, c, is_leaf=_is_observed)


def _is_observed(node: PyTree) -> bool:
    return isinstance(node, Observed)
