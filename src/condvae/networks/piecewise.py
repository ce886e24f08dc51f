"""Numbers by the quantiles that they lie between: what lets a perceptron see steps and bends."""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from condvae.networks.encoders import Encoder, leaves_of
from condvae.networks.features import Features
from condvae.observed import Observed

PIECES = 32
"""The most pieces of one column."""

MOST_PIECES = 2048
"""The most pieces of all columns together: the more columns, the fewer pieces each has."""

ROWS = 20
"""The fewest rows of a piece: with finer pieces, networks memorise tables of a few hundred rows."""

LEAST_PIECE = 1e-6
"""The least width of a piece, in standard deviations: single precision divides by it."""


class PiecewiseLinear(Encoder):
    """A piecewise-linear encoding of numbers, beside what `Features` makes of them.

    A cell with value v and knots b₀ < ... < b_T adds T features, for t = 1 ... T

        e_t = min(max((v - b_{t-1}) / (b_t - b_{t-1}), 0), 1) - 1/2,

    all 0 for a missing cell. A linear function of them is any piecewise-linear function of v with bends at
    the knots, so that one layer follows what changes fast in v; with quantiles as knots, it does so
    wherever there are rows, however skewed a column is.

    Args:
        features: of all inputs; the new features come after these.
        knots: of each floating-point cell in the order of the pytree, increasing; () for a cell without.

    Raises:
        ValueError: for knots that do not increase; when called on more or fewer floating-point cells than
            there are entries in `knots`.

    Source:
        Gorishniy, Rubachev, Babenko 2022, section 3.2 (whose first and last pieces go on beyond the knots;
        here the value itself does).

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.networks import Features, PiecewiseLinear
        >>> PiecewiseLinear(Features(), [(0.0, 1.0, 4.0)])(jnp.array([2.5])).tolist()
        [2.5, 0.5, 0.0]
    """

    features: Features
    knots: tuple[tuple[float, ...], ...] = eqx.field(static=True)

    def __init__(self, features: Features, knots: Sequence[Sequence[float]]):
        self.features = features
        self.knots = tuple(tuple(map(float, column)) for column in knots)
        if any(np.any(np.diff(column) <= 0) for column in self.knots):
            raise ValueError("knots do not increase: give each cell's in order, without repeats")

    def __call__(self, inputs: PyTree) -> Float[Array, " features"]:
        values, masks = _numbers(inputs)
        if len(values) != len(self.knots):
            raise ValueError(
                f"knots has {len(self.knots)} entries for {len(values)} floating-point cells: give one for "
                "each, () for a cell without knots"
            )
        pieces = [(i, *ends) for i, column in enumerate(self.knots) for ends in pairwise(column)]
        if not pieces:
            return self.features(inputs)
        cell, low, high = (np.array(part) for part in zip(*pieces, strict=True))
        low, high = (jnp.asarray(part, values.dtype) for part in (low, high))
        part = jnp.clip((values[cell] - low) / (high - low), 0.0, 1.0) - 0.5
        return jnp.concatenate([self.features(inputs), jnp.where(masks[cell], part, 0.0)])


def quantile_knots(
    block: Observed | Array, pieces: int = PIECES, rows: int = ROWS
) -> tuple[tuple[float, ...], ...]:
    """Knots of each column of numbers, for `PiecewiseLinear`: its quantiles, least and greatest included.

    Args:
        block: rows of numbers, [n, d], in standardised units.
        pieces: of each column at most; all columns together have at most `MOST_PIECES`.
        rows: observed in each piece, at least; it may be fewer where values repeat.

    Returns:
        For each column at most `pieces` + 1 increasing numbers, all observed; () for a column of fewer than
        three different ones, which are told apart by the value itself.

    Example:
        >>> import numpy as np
        >>> from condvae.networks import quantile_knots
        >>> block = np.array([[0.0, 1.0], [1.0, 1.0], [5.0, 1.0], [9.0, 1.0]], np.float32)
        >>> quantile_knots(block, rows=2)
        ((0.0, 1.0, 9.0), ())
    """
    value, mask = (np.asarray(part) for part in _whole(block))
    pieces = min(pieces, MOST_PIECES // max(value.shape[1], 1))
    knots = []
    for column, there in zip(value.T, mask.T, strict=True):
        cells = column[there].astype(np.float64)
        chosen: list[float] = []
        if (count := min(pieces, len(cells) // rows)) > 1:
            for knot in np.quantile(cells, np.linspace(0, 1, count + 1), method="lower"):
                if not chosen or knot - chosen[-1] > LEAST_PIECE * max(1.0, abs(knot)):
                    chosen.append(float(knot))
        knots.append(tuple(chosen) if len(chosen) > 2 else ())
    return tuple(knots)


def _numbers(inputs: PyTree) -> tuple[Array, Array]:
    """All floating-point cells end to end, and which are there."""
    leaves = [_whole(leaf) for leaf in leaves_of(inputs)]
    leaves = [part for part in leaves if not jnp.issubdtype(part.value.dtype, jnp.integer)]
    if not leaves:
        return jnp.zeros(0), jnp.zeros(0, bool)
    value, mask = (
        jnp.concatenate([jnp.ravel(part) for part in parts]) for parts in zip(*leaves, strict=True)
    )
    return jnp.where(mask, value, 0.0), mask


def _whole(leaf: Observed | Array) -> Observed:
    if isinstance(leaf, Observed):
        return Observed(leaf.value, jnp.broadcast_to(jnp.asarray(leaf.mask), jnp.shape(leaf.value)))
    value = jnp.asarray(leaf)
    return Observed(value, jnp.ones(value.shape, bool))
