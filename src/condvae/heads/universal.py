"""A head for columns of any kind: see `condvae.distributions.universal`."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Numpyro
from condvae.distributions.universal import NO_CLASS, Universal
from condvae.heads.scales import bounded_exp
from condvae.networks import affine
from condvae.normal_scores import NormalScores

LOG_SCALE_BOUNDS = (-7.0, 0.0)
"""Of a component: none is wider than the column, a standard logistic."""

FARTHEST_PLACE = 6.0
"""Of a component, in normal scores: beyond that of the greatest of a million cells."""

FARTHEST_LOG_ODDS = 15.0
"""Likewise in log-odds."""

CUBIC = (1.5976, 0.070566)
"""log Φ(u) / Φ(-u) is nearly a u + b u³ (Page 1977): from normal scores to log-odds, for places."""

MOST_STRETCH = 4.0
"""Of all components together, as a logarithm."""

SLOWER = 0.25
"""How fast width and weights follow the features, relative to the place: they overfit first."""

SLOWER_STILL = 0.4
"""Likewise of the place and the width that each component has to itself, times the above."""

SPREAD, START = 1.1, 0.65
"""How far apart the components begin, in normal scores, and their scale: nearly the column's shape."""

BACKGROUND = 0.003
"""The weight of the column's own distribution, without conditions, in every prediction.

It is mixed into the choice of a class and into the values within a class. Neither costs more than
-log(0.003) = 5.8 nats beyond what it costs without conditions, so that one row of which a network is sure
and wrong does not decide its training or its score.
"""


class UniversalCell(NamedTuple):
    """What one cell can hold, in the units of the values.

    Attributes:
        points: single values with a probability of their own.
        steps: the grids of other values, coarsest first; None for numbers on no grid, () for none.
        origins: a value on each grid.
        shares: of the cells, at each point and on each grid: where training begins.
        scores: the fields of the column's `NormalScores`: numbers, None for no limit, and knots as tuples.
    """

    points: tuple[float, ...]
    steps: tuple[float, ...] | None
    origins: tuple[float, ...]
    shares: tuple[float, ...]
    scores: tuple

    @property
    def kind(self) -> str:
        """Which other values there are: "points" for none, "grids" or "numbers"."""
        return "numbers" if self.steps is None else "grids" if self.steps else "points"


class UniversalHead(eqx.Module):
    """Independent cells of any kind, each by the classes of values that it can hold.

    It begins as the columns are by themselves: the same for all features. A part `BACKGROUND` stays so,

        p(v | features) = (1 - β) q(v | features) + β q₀(v),

    of the classes, and of the values within each: what it costs to be wrong is bounded.

    Args:
        in_size: the length of the feature vector.
        cells: what each cell can hold, all of one `kind`; a value is a vector as long.
        components: logistics in the mixture q.
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
    places: Float[Array, "cells components"]
    scales: Float[Array, "cells components"]
    columns: tuple[tuple, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        cells: Sequence[UniversalCell],
        *,
        components: int = 8,
        key: PRNGKeyArray | None = None,
    ):
        self.columns = tuple(tuple(cell) for cell in cells)  # plain, so that it can be saved
        if len({cell.kind for cell in cells}) > 1:
            raise ValueError("cells are of several kinds: give those of each kind a head of their own")
        components = 0 if cells[0].kind == "points" else components
        self.places, self.scales = _first_shape(len(cells), components)
        num_points, num_others = self._classes
        width = num_points + num_others + (2 + 3 * components if components else 0)
        bias = np.zeros((len(cells), width))
        first = self._first_logits
        bias[:, : num_points + num_others] = np.where(first > NO_CLASS, first, 0.0)
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
    def _classes(self) -> tuple[int, int]:
        """Points, and grids or other numbers, of the cell that has most."""
        points = max(len(cell.points) for cell in self.cells)
        return points, max(1 if cell.steps is None else len(cell.steps) for cell in self.cells)

    @property
    def _first_logits(self) -> np.ndarray:
        """Of the classes of each cell, with no regard to features: [cells, classes]."""
        num_points, num_others = self._classes
        first = np.full((len(self.columns), num_points + num_others), NO_CLASS)
        for row, cell in zip(first, self.cells, strict=True):
            logits = np.log(np.maximum(cell.shares, 1e-4))
            row[: len(cell.points)] = logits[: len(cell.points)]
            row[num_points : num_points + len(logits) - len(cell.points)] = logits[len(cell.points) :]
        return first

    @property
    def leads(self) -> np.ndarray:
        """Which rows of the linear map are those of classes and places: they follow the features first."""
        rows = jnp.asarray(self.linear.bias).size // len(self.columns)
        return np.tile(np.arange(rows) <= sum(self._classes), len(self.columns))

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        num_points, num_others = self._classes
        classes, dtype = num_points + num_others, features.dtype
        pace = jnp.where(self.leads, 1.0, SLOWER)[:, None]
        linear = eqx.tree_at(lambda linear: linear.weight, self.linear, self.linear.weight * pace)
        raw = affine(linear, features).reshape(len(self.columns), -1)
        places, scales, count = self.places, self.scales, self.places.shape[1]
        weights, each = jnp.split(raw[:, classes + 2 :], [count], axis=1)
        if places.size:
            place, stretch = raw[:, classes : classes + 1], raw[:, classes + 1 : classes + 2]
            places, scales = self._components(place, stretch, each)
            # The column by itself is a standard logistic.
            one = jnp.ones_like(places[:, :1])
            places, scales = (
                jnp.append(part, end * one, 1) for part, end in ((places, 0.0), (scales, 1.0))
            )
            weights = jnp.append(jax.nn.log_softmax(weights), one * _log_odds(BACKGROUND), 1)

        def padded(name: str, size: int) -> Array:
            table = np.full((len(self.cells), size), np.nan)
            for row, cell in zip(table, self.cells, strict=True):
                row[: len(getattr(cell, name))] = getattr(cell, name)
            return jnp.asarray(table, dtype)

        first = jnp.asarray(self._first_logits, dtype)
        logits = jax.nn.log_softmax(jnp.where(first > NO_CLASS, raw[:, :classes], NO_CLASS))
        logits = jnp.logaddexp(logits, jax.nn.log_softmax(first) + _log_odds(BACKGROUND))
        return Numpyro(
            Universal(
                logits,
                weights,
                places,
                scales,
                padded("points", num_points),
                None if self.cells[0].steps is None else padded("steps", num_others),
                None if self.cells[0].steps is None else padded("origins", num_others),
                stacked([cell.scores for cell in self.cells], dtype),
            )
        )

    def _components(self, place: Array, stretch: Array, each: Array) -> tuple[Array, Array]:
        """Places and scales in log-odds, [cells, components].

        The mixture has the shape of the column; its place and width follow the features, and so do from
        there those of each component. Places are normal scores, on which what is Gaussian given the
        features is as wide wherever it is.
        """
        widen = jnp.exp(MOST_STRETCH * jnp.tanh(stretch / MOST_STRETCH))
        if not each.size:  # a model that was saved when places were log-odds, and no component's its own
            places = FARTHEST_LOG_ODDS * jnp.tanh((place + widen * self.places) / FARTHEST_LOG_ODDS)
            return places, bounded_exp(self.scales + stretch, *LOG_SCALE_BOUNDS)
        own_places, own_scales = jnp.split(SLOWER_STILL * each, 2, axis=1)
        u = place + widen * (self.places + own_places)
        u, (a, b) = u / (1.0 + (u / FARTHEST_PLACE) ** 4) ** 0.25, CUBIC  # straight where cells are
        scales = bounded_exp(self.scales + own_scales + stretch, *LOG_SCALE_BOUNDS)
        scales = scales * (1.0 + 3.0 * b / a * u**2)
        return a * u + b * u**3, scales / (1.0 + scales**4) ** 0.25

    def eased(self, ramp: Float[Array, ""], shape: Float[Array, ""] | None = None) -> "UniversalHead":
        """The same, all but classes and places following the features by the part `ramp`.

        Args:
            ramp: from 0 to 1.
            shape: the part by which the shape that all rows share departs from the first one; `None`: as
                `ramp`, or else it would account for modes that a latent is to tell apart.
        """
        shape = ramp if shape is None else shape
        weight = jnp.where(self.leads[:, None], self.linear.weight, ramp * self.linear.weight)
        bias = jnp.asarray(self.linear.bias)
        rows = bias.size // len(self.columns)
        whole = jnp.tile(jnp.arange(rows) <= sum(self._classes) + 1, len(self.columns))
        first = _first_shape(*self.places.shape)
        parts = (
            weight,
            jnp.where(whole, bias, shape * bias),
            first[0] + shape * (self.places - first[0]),
            first[1] + shape * (self.scales - first[1]),
        )
        return eqx.tree_at(
            lambda head: (head.linear.weight, head.linear.bias, head.places, head.scales), self, parts
        )


def _log_odds(share: float) -> float:
    return math.log(share) - math.log1p(-share)


def _first_shape(cells: int, components: int) -> tuple[Array, Array]:
    """Places and scales of logistics whose mixture is nearly the column's own."""
    places = jnp.tile(jnp.linspace(-SPREAD, SPREAD, components), (cells, 1))
    return places, jnp.full((cells, components), math.log(START / (1 - START)), places.dtype)


def stacked(scores: Sequence[tuple], dtype: jnp.dtype | type = float) -> NormalScores:
    """The maps of several columns as one, the knots of each continued along its end to the same number."""
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
