"""A joint density of the targets from the training rows whose conditions are most alike.

A model that does not beat it on held-out rows has learned nothing that looking up similar rows would not
have told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated

import numpy as np

from condvae.baselines.blocks import (
    categorical_block,
    chunks,
    log_between,
    num_rows,
    numeric_block,
    slices,
    take,
)
from condvae.baselines.region import Support
from condvae.declared import Shape
from condvae.observed import Observed
from condvae.storage import Arrays

# What is chosen among, by rows left out.
COUNTS = (2, 5, 10, 20, 40, 80, 160, 320)  # of neighbours, k
BANDWIDTHS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4)  # as multiples of a column's spread among neighbours
SMOOTHING = (0.01, 0.03, 0.1, 0.3, 1.0)  # e: at 1 the neighbours' categories tell nothing
MARGINAL_WEIGHTS = (0.003, 0.01, 0.03, 0.1, 0.3)  # w
LEFT_OUT = 500  # rows
SPREAD_COUNT = 10  # neighbours around whose mean a column's spread is measured
# Times the least multiple a thousandth of a column's standard deviation, about the floor of the regression.
SPREAD_FLOOR = 0.01
WIDE = 2.0  # standard deviations of the marginal that is mixed in
HALF_ROW = 0.5  # of every level (Krichevsky and Trofimov)
FEW = 10  # distinct values: fewer do not make a column one of real numbers


@dataclass(frozen=True, eq=False)
class Neighbours(Arrays):
    """A conditional density by nearest neighbours: kernels on the targets of rows with like conditions.

        p(x | c) = w prod_j N(x_j; m_j, (2 s_j)²) prod_l share_l(x_l)
                   + (1 - w) / k * sum over the k nearest rows i of
                     prod_j N(x_j; x_ij, h_j²) * prod_l [(1 - e) 1{x_l = x_il} + e share_l(x_l)]

    with j the numeric targets, m_j and s_j their means and standard deviations; l the categorical ones,
    with share_l the frequencies of their levels, half a row of each added. Near is by the whitened distance
    of the `condvae.baselines.region.Support` that holds the conditions: here are the targets of the
    same rows alone.
    A cell that neighbour i lacks is replaced by the marginal, N(m_j, s_j²) or share_l. Missing targets are
    left out exactly: every term is a product over columns. The first term keeps the density above 0.

    Attributes:
        numeric: x_ij, float32 [r, d], and
        numeric_mask: which are observed, [r, d].
        codes: x_il, int32 [r, q], and
        codes_mask: which are observed, [r, q].
        mean: m, [d].
        scale: s, [d].
        share: the share_l side by side, [sum of levels].
        x_levels: the number of levels of each categorical target, [q].
        bandwidth: h, [d].
        count: k.
        smoothing: e.
        marginal_weight: w.

    Sources: Rosenblatt (1969), Multivariate Analysis II, and Hall, Racine and Li (2004), J. Amer. Statist.
    Assoc. 99, for kernel estimates of conditional densities and their choice by rows left out; Aitchison
    and Aitken (1976), Biometrika 63, for the kernel on categories.

    Example:
        >>> import numpy as np
        >>> from condvae import Observed
        >>> from condvae.baselines import fit_baseline, fit_neighbours
        >>> from condvae.baselines.region import Support, reference_rows
        >>> rng = np.random.default_rng(0)
        >>> c = rng.uniform(-1, 1, size=(3000, 1))
        >>> x = np.cos(3 * c) + 0.2 * rng.normal(size=(3000, 1))
        >>> def block(value):
        ...     return {"numeric": Observed(value, np.ones(value.shape, bool))}
        >>> support = Support.fit(c[:2500])
        >>> rows = reference_rows(2500)
        >>> neighbours = fit_neighbours(support, block(x[rows]), x_levels=())
        >>> linear = fit_baseline(block(x[:2500]), block(c[:2500]), x_levels=(), c_levels=())
        >>> new = block(x[2500:])
        >>> gain = neighbours.log_prob(support, c[2500:], new) - linear.log_prob(new, block(c[2500:]))
        >>> bool(gain.mean() > 1)
        True
    """

    numeric: Annotated[np.ndarray, Shape("r d")]
    numeric_mask: Annotated[np.ndarray, Shape("r d", "b")]
    codes: Annotated[np.ndarray, Shape("r k", "iu")]
    codes_mask: Annotated[np.ndarray, Shape("r k", "b")]
    mean: Annotated[np.ndarray, Shape("d")]
    scale: Annotated[np.ndarray, Shape("d")]
    share: Annotated[np.ndarray, Shape("levels")]
    x_levels: Annotated[np.ndarray, Shape("k", "iu")]
    bandwidth: Annotated[np.ndarray, Shape("d")]
    count: int
    smoothing: float
    marginal_weight: float

    def log_prob(
        self,
        support: Support,
        features: np.ndarray,
        x: Mapping[str, Observed],
        intervals: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """log p(x | c) of each row, in nats and the standardised units of the blocks: float64 [n].

        Missing targets are left out exactly: the log-density is that of the cells that a row has, 0 where
        it has none.

        Args:
            support: the one fitted with.
            features: [n, p], as `condvae.baselines.design_matrix` makes them.
            x: the targets, blocks as `condvae.tables.encode` makes them.
            intervals: low and high, [n, d] each, of what numeric cells stand for: the probability of a cell
                whose ends differ counts.

        Raises:
            ValueError: if the blocks, the features or the support are not those of the table fitted to.
        """
        _same_rows(support, len(self.numeric))
        n = num_rows(x)
        if len(features) != n:
            raise ValueError(f"features has {len(features)} rows, x has {n}")
        numeric, categorical = numeric_block(x, n), categorical_block(x, self.x_levels, n)
        if numeric.value.shape[1] != self.numeric.shape[1]:
            raise ValueError(f"x has {numeric.value.shape[1]} numeric columns, not {self.numeric.shape[1]}")
        log_prob = np.zeros(n)
        for rows in chunks(n, self.count):
            near = support.nearest(features[rows], self.count)
            part = take(numeric, rows), take(categorical, rows)
            ends = None if intervals is None else (intervals[0][rows], intervals[1][rows])
            squares, _, rest = self._numbers(part[0], near, ends)
            kernels = rest - 0.5 * squares + self._categories(part[1], near)
            mean = np.logaddexp.reduce(kernels, axis=1) - np.log(self.count)
            log_prob[rows] = _mixed(mean, self._marginal(*part, ends), self.marginal_weight)
        seen = numeric.mask.any(axis=1) | categorical.mask.any(axis=1)
        return np.where(seen, log_prob, 0.0)

    def _numbers(
        self, block: Observed, near: np.ndarray, ends: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What log N of the numeric cells of rows [n] at their neighbours [n, k] is made of.

        It is rest - squares / 2; with b times the bandwidths, where no cell has ends, rest - pairs * log b
        - squares / (2 b²).
        """
        squares, pairs, rest = (np.zeros(near.shape) for _ in range(3))
        for j, h in enumerate(self.bandwidth):  # by columns: [n, k, d] would be large
            value, mask = block.value[:, j, None], block.mask[:, j, None]
            value = np.where(mask, value, 0.0).astype(np.float64)
            both = mask & self.numeric_mask[near, j]
            squares += np.where(both, (value - self.numeric[near, j]) / h, 0.0) ** 2
            pairs += both
            marginal = _normal(value, self.mean[j], self.scale[j])
            kernel = -0.5 * np.log(2 * np.pi) - np.log(h)
            if ends is not None:
                low, high = (end[:, j, None] for end in ends)
                wide, middle = low < high, self.numeric[near, j]
                square = ((value - middle) / h) ** 2  # taken off again: a probability has none
                kernel = np.where(
                    wide, log_between((low - middle) / h, (high - middle) / h) + 0.5 * square, kernel
                )
                ends_own = ((end - self.mean[j]) / self.scale[j] for end in (low, high))
                marginal = np.where(wide, log_between(*ends_own), marginal)
            rest += np.where(both, kernel, np.where(mask, marginal, 0.0))
        return squares, pairs, rest

    def _categories(self, block: Observed, near: np.ndarray) -> np.ndarray:
        """The log-probability of the categorical cells of rows [n] at their neighbours [n, k]: [n, k]."""
        log_prob = np.zeros(near.shape)
        for column, levels in enumerate(slices(self.x_levels)):
            codes, mask = block.value[:, column, None], block.mask[:, column, None]
            share = self.share[levels][codes]
            agree, told = codes == self.codes[near, column], self.codes_mask[near, column]
            smoothed = np.where(
                agree, np.log1p(self.smoothing * (share - 1)), np.log(self.smoothing * share)
            )
            log_prob += np.where(mask, np.where(told, smoothed, np.log(share)), 0.0)
        return log_prob

    def _marginal(
        self,
        numeric: Observed,
        categorical: Observed,
        ends: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """The log-density that is mixed in, [n]."""
        value = np.where(numeric.mask, numeric.value, 0.0)
        cells = _normal(value, self.mean, WIDE * self.scale)
        if ends is not None:
            low, high = ((end - self.mean) / (WIDE * self.scale) for end in ends)
            cells = np.where(low < high, log_between(low, high), cells)
        log_prob = np.where(numeric.mask, cells, 0.0).sum(axis=1)
        for column, levels in enumerate(slices(self.x_levels)):
            share = self.share[levels][categorical.value[:, column]]
            log_prob += np.where(categorical.mask[:, column], np.log(share), 0.0)
        return log_prob


def fit_neighbours(
    support: Support, x_reference: Mapping[str, Observed], *, x_levels: tuple[int, ...]
) -> Neighbours:
    """Fit p(x | c) by nearest neighbours, choosing their number and the kernels by rows left out.

    The number of neighbours k, the bandwidths h = b * spread, e and w are those of the greatest mean
    log-density, over a grid, of 500 reference rows, each without itself. A column's spread is the root
    mean square distance of its cells from the mean of ten neighbours. Where rows are copies of others (as
    in a weighted table; told by columns of real numbers, in which two rows do not agree by chance), a row
    is left out with its copies: they would all predict it exactly.

    Args:
        support: the conditions of the reference rows.
        x_reference: the targets of the same rows, in order: those of the training rows that
            `condvae.baselines.region.reference_rows` names.
        x_levels: the number of levels of each categorical target.

    Raises:
        ValueError: if rows or levels do not belong together, or a number is not finite.

    Example: see `Neighbours`.
    """
    n = num_rows(x_reference)
    _same_rows(support, n)
    numeric, categorical = numeric_block(x_reference, n), categorical_block(x_reference, x_levels, n)
    value = np.where(numeric.mask, numeric.value, 0.0).astype(np.float32)
    if not np.isfinite(value).all():
        raise ValueError("x_reference holds numbers that are not finite; pass blocks as encode makes them")
    cells = numeric.mask.sum(axis=0)
    mean = value.sum(axis=0, dtype=np.float64) / np.maximum(cells, 1)
    square = np.where(numeric.mask, value - mean, 0.0) ** 2
    # Of one cell or none there is nothing to learn from: the scale is that of a standardised column.
    scale = np.where(cells > 1, np.sqrt(square.sum(axis=0) / np.maximum(cells - 1, 1)), 1.0)
    share = [np.zeros(0)]
    for codes, mask, count in zip(categorical.value.T, categorical.mask.T, x_levels, strict=True):
        rows = np.bincount(codes[mask], minlength=count) + HALF_ROW
        share.append(rows / rows.sum())
    model = Neighbours(
        value,
        np.array(numeric.mask, bool),
        categorical.value.astype(np.int32),
        np.array(categorical.mask, bool),
        mean,
        scale := np.maximum(scale, SPREAD_FLOOR),
        np.concatenate(share),
        np.array(x_levels, np.int64),
        bandwidth=scale,
        count=1,
        smoothing=1.0,
        marginal_weight=MARGINAL_WEIGHTS[0],
    )
    return _chosen(model, support)


def _chosen(model: Neighbours, support: Support) -> Neighbours:
    """The model with the numbers that are best for rows left out."""
    seen = model.numeric_mask.any(axis=1) | model.codes_mask.any(axis=1)
    rows = np.flatnonzero(seen)[:LEFT_OUT]  # the order is random
    near = _others(model, support, rows)
    numeric = Observed(model.numeric[rows], model.numeric_mask[rows])
    categorical = Observed(model.codes[rows], model.codes_mask[rows])
    model = replace(model, bandwidth=_spread(model, numeric, near[:, :SPREAD_COUNT]))
    squares, pairs, rest = model._numbers(numeric, near)
    marginal = model._marginal(numeric, categorical)
    counts = [k for k in COUNTS if k <= near.shape[1]] or [near.shape[1]]
    best, chosen = -np.inf, model
    for e in SMOOTHING if len(model.x_levels) else SMOOTHING[:1]:
        categories = replace(model, smoothing=e)._categories(categorical, near)
        for b in BANDWIDTHS if len(model.bandwidth) else BANDWIDTHS[:1]:
            kernels = rest - pairs * np.log(b) - squares / (2 * b**2) + categories
            total = np.logaddexp.accumulate(kernels, axis=1)
            for k, w in product(counts, MARGINAL_WEIGHTS):
                score = _mixed(total[:, k - 1] - np.log(k), marginal, w).sum()
                if score > best:
                    best = score
                    chosen = replace(
                        model, bandwidth=b * model.bandwidth, count=k, smoothing=e, marginal_weight=w
                    )
    return chosen


def _others(model: Neighbours, support: Support, rows: np.ndarray) -> np.ndarray:
    """The nearest reference rows to some of them, themselves and copies of them left out: [n, k]."""
    alike = _alike(model, support)
    most = int(np.bincount(alike).max())
    k = min(COUNTS[-1], len(alike) - most)
    near = support.nearest(support.reference[rows], k + most)
    itself = alike[near] == alike[rows, None]
    order = np.argsort(itself, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(near, order, axis=1)


def _alike(model: Neighbours, support: Support) -> np.ndarray:
    """A number for each reference row, the same for copies of one row.

    Rows that agree are copies only if there is a column of real numbers, one that hardly ever repeats
    itself among the rows that differ. Otherwise they are just rows that agree.
    """
    parts = (support.reference, model.numeric, model.numeric_mask, model.codes, model.codes_mask)
    table = np.concatenate(parts, axis=1, dtype=np.float64)
    distinct, which = np.unique(table, axis=0, return_inverse=True)
    values = 1 + (np.diff(np.sort(distinct, axis=0), axis=0) != 0).sum(axis=0)
    real = values.max(initial=0) > max(len(distinct) / 2, FEW)
    return which.ravel() if real else np.arange(len(table))


def _spread(model: Neighbours, block: Observed, near: np.ndarray) -> np.ndarray:
    """Root mean square distance of each column's cells from the mean of their neighbours' cells, [d]."""
    seen = model.numeric_mask[near]
    cells = seen.sum(axis=1)
    mean = np.where(seen, model.numeric[near], 0.0).sum(axis=1, dtype=np.float64) / np.maximum(cells, 1)
    both = block.mask & (cells > 0)
    square = np.where(both, block.value - mean, 0.0) ** 2
    spread = np.sqrt(square.sum(axis=0) / np.maximum(both.sum(axis=0), 1))
    return np.maximum(np.where(both.any(axis=0), spread, model.scale), SPREAD_FLOOR)


def _mixed(log_prob: np.ndarray, marginal: np.ndarray, weight: float) -> np.ndarray:
    return np.logaddexp(np.log(weight) + marginal, np.log1p(-weight) + log_prob)


def _normal(value: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return -0.5 * ((value - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def _same_rows(support: Support, rows: int) -> None:
    if len(support.reference) != rows:
        raise ValueError(
            f"the support holds {len(support.reference)} rows and the targets are of {rows}: pass the "
            "targets of support.reference_rows"
        )
