"""A head for columns of any kind: see `condvae.distributions.universal`."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Numpyro
from condvae.distributions.universal import Universal
from condvae.heads.scales import bounded_exp
from condvae.networks import affine
from condvae.normal_scores import NormalScores

LOG_SCALE_BOUNDS = (-7.0, 0.0)
"""Of a component, in normal scores: none is wider than the column."""

FARTHEST_PLACE = 5.0
"""Of a component, in normal scores: about that of the greatest of a million cells."""

SPREAD = 1.5
"""How far apart the components begin."""


class UniversalCell(NamedTuple):
    """What one cell can hold, in the units of the values.

    Attributes:
        points: single values with a probability of their own.
        steps: the grids of other values, coarsest first; (0.0,) for numbers on no grid, () for none.
        origins: a value on each grid.
        shares: of the cells, at each point and on each grid: where training begins.
        scores: the fields of the column's `NormalScores`: numbers, None for no limit, and knots as tuples.
    """

    points: tuple[float, ...]
    steps: tuple[float, ...]
    origins: tuple[float, ...]
    shares: tuple[float, ...]
    scores: tuple


class UniversalHead(eqx.Module):
    """Independent cells of any kind, each by the classes of values that it can hold.

    It begins as the columns are by themselves: the same for all features.

    Args:
        in_size: the length of the feature vector.
        cells: what each cell can hold; a value is a vector as long.
        components: of the mixture of Gaussians.
        key: not needed; heads are made with one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import UniversalCell, UniversalHead
        >>> coin = UniversalCell((0.0, 1.0), (), (), (0.5, 0.5), (None, None, 0, 1, (0, 1), (0, 1), (1, 1)))
        >>> head = UniversalHead(8, [coin], key=jax.random.key(0))
        >>> round(float(jnp.exp(head(jnp.zeros(8)).log_prob(jnp.ones(1)))), 3)
        0.5
    """

    linear: eqx.nn.Linear
    columns: tuple[tuple, ...] = eqx.field(static=True)
    components: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        cells: Sequence[UniversalCell],
        *,
        components: int = 8,
        key: PRNGKeyArray | None = None,
    ):
        self.columns = tuple(tuple(cell) for cell in cells)  # plain, so that it can be saved
        self.components = components if any(cell.steps for cell in cells) else 0
        num_points, num_steps, width = self._sizes
        bias = np.zeros((len(self.cells), width))
        for i, cell in enumerate(self.cells):
            logits = np.log(np.maximum(cell.shares, 1e-4))
            bias[i, : len(cell.points)] = logits[: len(cell.points)]
            bias[i, num_points : num_points + len(cell.steps)] = logits[len(cell.points) :]
        if self.components:
            places = slice(num_points + num_steps + self.components, width - self.components)
            bias[:, places] = np.linspace(-SPREAD, SPREAD, self.components)
        linear = eqx.nn.Linear(in_size, bias.size, key=jax.random.key(0))
        self.linear = eqx.tree_at(
            lambda linear: (linear.weight, linear.bias),
            linear,
            (jnp.zeros_like(linear.weight), jnp.asarray(bias.reshape(-1), float)),
        )

    @property
    def cells(self) -> list[UniversalCell]:
        """What each cell can hold."""
        return [UniversalCell(*column) for column in self.columns]

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Points and grids of the cell that has most, and numbers from the network for each cell."""
        points = max(len(cell.points) for cell in self.cells)
        steps = max(len(cell.steps) for cell in self.cells)
        return points, steps, points + steps + 3 * self.components

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        num_points, num_steps, width = self._sizes
        raw = affine(self.linear, features).reshape(len(self.cells), width)
        classes = num_points + num_steps
        weights, places, scales = jnp.split(raw[:, classes:], 3, axis=1)
        dtype = raw.dtype

        def padded(name: str, size: int) -> Array:
            table = np.full((len(self.cells), size), np.nan)
            for row, cell in zip(table, self.cells, strict=True):
                row[: len(getattr(cell, name))] = getattr(cell, name)
            return jnp.asarray(table, dtype)

        return Numpyro(
            Universal(
                raw[:, :classes],
                weights,
                FARTHEST_PLACE * jnp.tanh(places / FARTHEST_PLACE),
                bounded_exp(scales, *LOG_SCALE_BOUNDS),
                padded("points", num_points),
                padded("steps", num_steps),
                padded("origins", num_steps),
                stacked([cell.scores for cell in self.cells], dtype),
            )
        )


def stacked(scores: Sequence[tuple], dtype: jnp.dtype | type = float) -> NormalScores:
    """The maps of several columns as one, the knots of each continued along its ends to as many as any has."""
    most = max(len(one[4]) for one in scores)
    rows = []
    for one in scores:
        low, high, *shape, curve, score, slope = one
        limits = (-np.inf if low is None else low, np.inf if high is None else high, *shape)
        extra = most - len(curve)
        further = np.arange(1, extra + 1) * (curve[-1] - curve[0])
        rows.append(
            (
                *limits,
                np.concatenate([curve, curve[-1] + further]),
                np.concatenate([score, score[-1] + slope[-1] * further]),
                np.concatenate([slope, np.full(extra, slope[-1])]),
            )
        )
    return NormalScores(*(jnp.asarray(np.array(field), dtype) for field in zip(*rows, strict=True)))
