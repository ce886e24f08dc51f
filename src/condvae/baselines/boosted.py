"""Boosted trees: each target given the conditions and the targets before it, or joined by a copula."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import ndtr
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from condvae.baselines.blocks import categorical_block, log_between, num_rows, numeric_block
from condvae.baselines.copula import GaussianCopula, fit_gaussian_copula
from condvae.baselines.linear import HALF_ROW, VARIANCE_FLOOR
from condvae.observed import Observed

Dependence = Literal["in_turn", "copula", "none"]

RATE, MOST_TREES, PATIENCE, FOLDS = 0.05, 300, 50, 3
"""Learning rate; trees at most; so many without a gain on rows left out are the last; folds of these."""

FEW_CELLS = 1_000_000
MOST_LEVELS = 255
"""Of a category that trees split by set; those of more levels are split as numbers."""


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """p(x | c) by gradient-boosted trees: one for the parameters of each target.

        p(x | c) = prod_k p_k(x_k | c, x_1 ... x_{k-1})        in turn, categories first
        p(x | c) = c(u_1, ..., u_d) prod_k p_k(x_k | c)        independent, or by a Gaussian copula

    A number is Gaussian; its mean is boosted, and so is the logarithm of its standard deviation where that
    is better for rows left out. A category has boosted log-odds, mixed with half a row of each level. How
    many trees there are is chosen by rows left out.

    Attributes:
        targets: the density of each target: categories, then numbers.
        x_levels: the number of levels of each categorical target.
        c_levels: of each categorical condition.
        in_turn: whether targets are given those before.
        copula: what independent targets have in common; None where they are in turn, or independent.
    """

    targets: tuple["_Number | _Category", ...]
    x_levels: tuple[int, ...]
    c_levels: tuple[int, ...]
    in_turn: bool = True
    copula: GaussianCopula | None = None

    def log_prob(
        self,
        x: Mapping[str, Observed],
        c: Mapping[str, Observed] | None,
        intervals: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """log p(x | c) of the observed cells of each row, as `Baseline.log_prob` gives it: float64 [n]."""
        n = num_rows(x)
        total, u = np.zeros(n), np.tile([[[0.0]], [[1.0]]], (1, n, len(self.targets)))
        steps = _steps(x, c, self.x_levels, self.c_levels, self.in_turn)
        for k, (target, step) in enumerate(zip(self.targets, steps, strict=True)):
            seen = step.mask
            cells = step.cells(intervals)
            if seen.any():
                predicted = target.predict(step.features[seen])
                total[seen] += target.log_prob(predicted, *cells)
                if self.copula is not None:
                    u[:, seen, k] = target.range(predicted, *cells)
        return total if self.copula is None else total + self.copula.log_density(*u)


def fit_boosted_trees(
    x: Mapping[str, Observed],
    c: Mapping[str, Observed] | None,
    *,
    x_levels: tuple[int, ...],
    c_levels: tuple[int, ...],
    intervals: tuple[np.ndarray, np.ndarray] | None = None,
    dependence: Dependence = "in_turn",
    seed: int = 0,
) -> BoostedTrees:
    """Fit p(x | c) by boosted trees.

    Args:
        x: the targets, blocks as `condvae.tables.encode` makes them.
        c: the conditions, likewise, or None.
        x_levels: the number of levels of each categorical target.
        c_levels: of each categorical condition.
        intervals: low and high, [n, d] each, of what numeric cells stand for; a copula is fitted to them.
        dependence: what targets have in common given c: "in_turn", each is given those before; "copula", a
            Gaussian copula of independent targets; "none", nothing.
        seed: which rows are left out to choose the number of trees.

    Raises:
        ValueError: if the blocks do not belong together.

    Example:
        >>> import numpy as np
        >>> from condvae import Observed
        >>> from condvae.baselines import fit_boosted_trees
        >>> rng = np.random.default_rng(0)
        >>> dose, seen = rng.normal(size=(2000, 1)), np.ones((2000, 1), bool)
        >>> effect = {"numeric": Observed(np.abs(dose) + 0.1 * rng.normal(size=dose.shape), seen)}
        >>> chain = fit_boosted_trees(effect, {"numeric": Observed(dose, seen)}, x_levels=(), c_levels=())
        >>> bool(chain.log_prob(effect, {"numeric": Observed(dose, seen)}).mean() > 0.6)  # 0.88 is exact
        True
    """
    targets, n = [], num_rows(x)
    u = np.tile([[[0.0]], [[1.0]]], (1, n, sum(block.mask.shape[1] for block in x.values())))
    for k, step in enumerate(_steps(x, c, x_levels, c_levels, dependence == "in_turn")):
        features, values = step.features[step.mask], step.values[step.mask]
        if step.place is None:
            target, left_out = _fit_category(features, values, step.kinds, x_levels[k], seed)
        else:
            target, left_out = _fit_number(features, values, step.kinds, seed)
        targets.append(target)
        u[:, step.mask, k] = target.range(left_out, *step.cells(intervals))
    copula = fit_gaussian_copula(*u) if dependence == "copula" else None
    return BoostedTrees(tuple(targets), tuple(x_levels), tuple(c_levels), dependence == "in_turn", copula)


class _Step(NamedTuple):
    """A target, and what it is given: its features, which of them are categories, and its cells.

    `place` is its place among the numbers, None of a category.
    """

    features: np.ndarray
    kinds: np.ndarray
    values: np.ndarray
    mask: np.ndarray
    place: int | None

    def cells(self, intervals: tuple[np.ndarray, np.ndarray] | None) -> tuple[np.ndarray, ...]:
        """The observed cells, and the ends of what they stand for."""
        values = self.values[self.mask]
        if self.place is None or intervals is None:
            return values, values, values
        return values, *(end[self.mask, self.place] for end in intervals)


def _steps(
    x: Mapping[str, Observed],
    c: Mapping[str, Observed] | None,
    x_levels: tuple[int, ...],
    c_levels: tuple[int, ...],
    in_turn: bool,
) -> Iterator[_Step]:
    """Each target, given the conditions, and in turn those before it."""
    n = num_rows(x)
    numeric, categorical = numeric_block(x, n), categorical_block(x, x_levels, n)
    given = [numeric_block(c or {}, n), categorical_block(c or {}, c_levels, n)]
    features = [np.where(block.mask, block.value, np.nan).astype(float) for block in given]
    kinds = [False] * features[0].shape[1] + [count <= MOST_LEVELS for count in c_levels]
    table = np.hstack([*features, np.zeros((n, 0))])
    for block, levels in ((categorical, x_levels), (numeric, None)):
        for k in range(block.value.shape[1]):
            value, mask = block.value[:, k], block.mask[:, k]
            # Trees must be given a feature: one that does not vary tells nothing.
            usable = table if table.shape[1] else np.zeros((n, 1))
            is_category = np.array(kinds if kinds else [False])
            yield _Step(usable, is_category, value, mask, k if levels is None else None)
            if in_turn:
                table = np.column_stack([table, np.where(mask, value, np.nan)])
                kinds.append(levels is not None and levels[k] <= MOST_LEVELS)


@dataclass(frozen=True)
class _Number:
    """A Gaussian. What is predicted are its mean and standard deviation, [n, 2]."""

    mean: "_Boosted"
    scale: "_Boosted | None"
    variance: float
    shift: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        return self.parameters(self.mean(features), None if self.scale is None else self.scale(features))

    def parameters(self, mean: np.ndarray, log_scale: np.ndarray | None) -> np.ndarray:
        spread = np.full(len(mean), self.variance)
        if log_scale is not None:
            spread = np.maximum(self.variance * np.exp(log_scale + self.shift), VARIANCE_FLOOR)
        return np.stack([mean, np.sqrt(spread)], axis=1)

    @staticmethod
    def log_prob(
        predicted: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        mean, sd = predicted.T
        density = -0.5 * ((values - mean) / sd) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(sd)
        return np.where(low < high, log_between((low - mean) / sd, (high - mean) / sd), density)

    @staticmethod
    def range(predicted: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """u at the ends of each cell, [2, n]; both at the value where it is a single number."""
        mean, sd = predicted.T
        ends = [np.where(low < high, end, values) for end in (low, high)]
        return ndtr((np.stack(ends) - mean) / sd)


def _fit_number(
    features: np.ndarray, values: np.ndarray, kinds: np.ndarray, seed: int
) -> tuple[_Number, np.ndarray]:
    """The density, and what is predicted of each row when it is left out."""
    y = values.astype(float)
    mean = _boosted(features, y, kinds, seed, HistGradientBoostingRegressor, _square)
    residual = y - mean.left_out
    variance = max(float(np.mean(residual**2)) if len(y) else 1.0, VARIANCE_FLOOR)
    if not residual.any():  # no row, or no error: there is no scale to learn
        target = _Number(mean, None, variance, 0.0)
        return target, target.parameters(mean.left_out, None)
    log_square = np.log(np.maximum(residual**2, 1e-4 * variance) / variance)
    scale = _boosted(features, log_square, kinds, seed, HistGradientBoostingRegressor, _square)
    # E[log of a squared Gaussian] is not 0: what is boosted is known up to a constant.
    shift = float(np.log(np.mean(residual**2 / variance * np.exp(-scale.left_out))))
    scaled = variance * np.exp(scale.left_out + shift)
    varies = np.mean(-0.5 * np.log(scaled) - 0.5 * residual**2 / scaled) > -0.5 * np.log(variance) - 0.5
    target = _Number(mean, scale if varies else None, variance, shift)
    return target, target.parameters(mean.left_out, scale.left_out if varies else None)


@dataclass(frozen=True)
class _Category:
    """Probabilities of levels. What is predicted are those, [n, levels]."""

    boosted: "_Boosted | None"
    seen: np.ndarray
    rows: int
    levels: int

    def predict(self, features: np.ndarray) -> np.ndarray:
        fitted = np.ones((len(features), len(self.seen)))
        return self.parameters(fitted if self.boosted is None else self.boosted(features))

    def parameters(self, fitted: np.ndarray) -> np.ndarray:
        shares = np.zeros((len(fitted), self.levels))
        shares[:, self.seen] = fitted
        return (self.rows * shares + HALF_ROW) / (self.rows + HALF_ROW * self.levels)

    @staticmethod
    def log_prob(predicted: np.ndarray, codes: np.ndarray, *_: np.ndarray) -> np.ndarray:
        return np.log(predicted[np.arange(len(codes)), codes])

    @staticmethod
    def range(predicted: np.ndarray, codes: np.ndarray, *_: np.ndarray) -> np.ndarray:
        """u below and up to the level of each cell, levels in their order: [2, n]."""
        up_to = np.cumsum(predicted, axis=1)[np.arange(len(codes)), codes]
        return np.stack([up_to - predicted[np.arange(len(codes)), codes], up_to])


def _fit_category(
    features: np.ndarray, codes: np.ndarray, kinds: np.ndarray, levels: int, seed: int
) -> tuple[_Category, np.ndarray]:
    """The density, and what is predicted of each row when it is left out."""
    seen, place = np.unique(codes, return_inverse=True)
    boosted = None
    if len(seen) > 1:
        boosted = _boosted(features, place, kinds, seed, HistGradientBoostingClassifier, _log_loss)
    target = _Category(boosted, seen, len(codes), levels)
    fitted = np.ones((len(codes), len(seen))) if boosted is None else boosted.left_out
    return target, target.parameters(fitted)


@dataclass(frozen=True)
class _Boosted:
    """What trees predict of new rows; and, of each row that they were fitted to, when it was left out."""

    model: Any
    constant: np.ndarray
    left_out: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        if self.model is None:
            return np.broadcast_to(self.constant, (len(features), *self.constant.shape))
        return _predicted(self.model, features)


def _boosted(features: np.ndarray, *arguments: Any) -> _Boosted:
    """As many trees as are best for rows left out, none at all if that is best."""
    with _threads(features):
        return _grown(features, *arguments)


def _grown(
    features: np.ndarray,
    y: np.ndarray,
    kinds: np.ndarray,
    seed: int,
    kind: Any,
    loss: Callable[[np.ndarray, np.ndarray], float],
) -> _Boosted:
    classes = int(y.max()) + 1 if kind is HistGradientBoostingClassifier else 0
    whole = _mean(y, classes)
    nothing = _Boosted(None, whole, np.broadcast_to(whole, (len(y), *whole.shape)))
    if len(y) < 10 * FOLDS:
        return nothing
    fold = np.random.default_rng(seed).permutation(len(y)) % FOLDS

    def made(trees: int) -> Any:
        options: dict[str, Any] = {
            "learning_rate": RATE,
            "max_iter": trees,
            "early_stopping": False,
            "warm_start": True,
            "random_state": seed,
            "max_leaf_nodes": 15,
            "categorical_features": kinds,
        }
        return kind(**options)

    def grown(model: Any, trees: int, rows: np.ndarray) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a feature that does not vary in a fold
            return model.set_params(max_iter=trees).fit(features[rows], y[rows])

    folds = [fold == k for k in range(FOLDS)]
    left_out = np.zeros((len(y), *whole.shape))
    for out in folds:
        left_out[out] = _mean(y[~out], classes)
    alone = sum(out.sum() * loss(left_out[out], y[out]) for out in folds)
    # Of a fold in which nothing is to be told apart, the mean stays.
    models = [made(0) if not classes or len(np.unique(y[~out])) > 1 else None for out in folds]
    losses, best = np.array([alone]), 0
    for trees in range(PATIENCE, MOST_TREES + 1, PATIENCE):
        added = np.zeros(PATIENCE)
        for out, model in zip(folds, models, strict=True):
            if model is None:
                added += out.sum() * loss(left_out[out], y[out])
                continue
            stages = _staged(grown(model, trees, ~out), features[out], classes)
            stages = islice(stages, trees - PATIENCE, None)
            added += out.sum() * np.array([loss(predicted, y[out]) for predicted in stages])
        losses = np.append(losses, added)
        best = int(np.argmin(losses))
        if best <= trees - PATIENCE:
            break
    if not best:
        return _Boosted(None, whole, left_out)
    for out, model in zip(folds, models, strict=True):
        if model is not None:
            stages = _staged(model, features[out], classes)
            left_out[out] = next(islice(stages, best - 1, None))
    return _Boosted(grown(made(best), best, np.full(len(y), True)), whole, left_out)


def _threads(features: np.ndarray) -> Any:
    """One for few cells: there threads gain little, and on a busy machine they wait for one another."""
    return threadpool_limits(1 if features.size < FEW_CELLS else None, user_api="openmp")


def _predicted(model: Any, features: np.ndarray) -> np.ndarray:
    with _threads(features):
        return model.predict_proba(features) if hasattr(model, "classes_") else model.predict(features)


def _staged(model: Any, features: np.ndarray, classes: int) -> Iterator[np.ndarray]:
    if not classes:
        yield from model.staged_predict(features)
        return
    for predicted in model.staged_predict_proba(features):
        shares = np.zeros((len(features), classes))
        shares[:, model.classes_] = predicted
        yield shares


def _mean(y: np.ndarray, classes: int) -> np.ndarray:
    if classes:
        return np.bincount(y, minlength=classes) / max(len(y), 1)
    return np.asarray(y.mean() if len(y) else 0.0)


def _square(predicted: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((y - predicted) ** 2))


def _log_loss(predicted: np.ndarray, y: np.ndarray) -> float:
    rows, levels = predicted.shape
    shares = (rows * predicted[np.arange(rows), y] + HALF_ROW) / (rows + HALF_ROW * levels)
    return float(-np.mean(np.log(shares)))
