"""A chain of boosted trees: each target given the conditions and the targets before it."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from condvae.baselines.blocks import categorical_block, log_between, num_rows, numeric_block
from condvae.baselines.linear import HALF_ROW, VARIANCE_FLOOR
from condvae.observed import Observed

RATE, MOST_TREES, FOLDS = 0.05, 300, 3
MOST_LEVELS = 255
"""Of a category that trees split by set; those of more levels are split as numbers."""


@dataclass(frozen=True, eq=False)
class BoostedChain:
    """p(x | c) = prod_k p(x_k | c, x_1 ... x_{k-1}), categories first, by gradient-boosted trees.

    A number is Gaussian; its mean is boosted, and so is the logarithm of its standard deviation where that
    is better for rows left out. A category has boosted log-odds, mixed with half a row of each level. How
    many trees there are is chosen by rows left out.

    Attributes:
        cells: for each target a function from (features, value, low, high) to log p.
        x_levels: the number of levels of each categorical target.
        c_levels: of each categorical condition.
    """

    cells: tuple[Callable[..., np.ndarray], ...]
    x_levels: tuple[int, ...]
    c_levels: tuple[int, ...]

    def log_prob(
        self,
        x: Mapping[str, Observed],
        c: Mapping[str, Observed] | None,
        intervals: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """log p(x | c) of the observed cells of each row, as `Baseline.log_prob` gives it: float64 [n]."""
        total = np.zeros(num_rows(x))
        for cell, (features, _, values, mask, place) in zip(
            self.cells, _steps(x, c, self.x_levels, self.c_levels), strict=True
        ):
            ends = [None, None]
            if place is not None:
                ends = [values if end is None else end[:, place] for end in intervals or ends]
            part = [None if own is None else own[mask] for own in ends]
            if mask.any():
                total[mask] += cell(features[mask], values[mask], *part)
        return total


def fit_boosted_chain(
    x: Mapping[str, Observed],
    c: Mapping[str, Observed] | None,
    *,
    x_levels: tuple[int, ...],
    c_levels: tuple[int, ...],
    seed: int = 0,
) -> BoostedChain:
    """Fit p(x | c) as a chain of boosted trees.

    Args:
        x: the targets, blocks as `condvae.tables.encode` makes them.
        c: the conditions, likewise, or None.
        x_levels: the number of levels of each categorical target.
        c_levels: of each categorical condition.
        seed: which rows are left out to choose the number of trees.

    Raises:
        ValueError: if the blocks do not belong together.

    Example:
        >>> import numpy as np
        >>> from condvae import Observed
        >>> from condvae.baselines import fit_boosted_chain
        >>> rng = np.random.default_rng(0)
        >>> dose, seen = rng.normal(size=(2000, 1)), np.ones((2000, 1), bool)
        >>> effect = {"numeric": Observed(np.abs(dose) + 0.1 * rng.normal(size=dose.shape), seen)}
        >>> chain = fit_boosted_chain(effect, {"numeric": Observed(dose, seen)}, x_levels=(), c_levels=())
        >>> bool(chain.log_prob(effect, {"numeric": Observed(dose, seen)}).mean() > 0.6)  # 0.88 is exact
        True
    """
    cells = []
    for features, kinds, values, mask, place in _steps(x, c, x_levels, c_levels):
        fit = _fit_number if place is not None else _fit_category
        levels = 0 if place is not None else x_levels[len(cells)]
        cells.append(fit(features[mask], values[mask], kinds, levels, seed))
    return BoostedChain(tuple(cells), tuple(x_levels), tuple(c_levels))


def _steps(
    x: Mapping[str, Observed],
    c: Mapping[str, Observed] | None,
    x_levels: tuple[int, ...],
    c_levels: tuple[int, ...],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int | None]]:
    """For each target: features, which are categories, values, mask, and its place among numbers."""
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
            own = np.array(kinds if kinds else [False])
            yield usable, own, value, mask, k if levels is None else None
            table = np.column_stack([table, np.where(mask, value, np.nan)])
            kinds.append(levels is not None and levels[k] <= MOST_LEVELS)


def _fit_number(
    features: np.ndarray, values: np.ndarray, kinds: np.ndarray, _: int, seed: int
) -> Callable[..., np.ndarray]:
    y = values.astype(float)
    mean = _boosted(features, y, kinds, seed, HistGradientBoostingRegressor, _square)
    residual = y - mean.left_out
    variance = max(float(np.mean(residual**2)) if len(y) else 1.0, VARIANCE_FLOOR)
    log_square = np.log(np.maximum(residual**2, 1e-4 * variance) / variance)
    scale = _boosted(features, log_square, kinds, seed, HistGradientBoostingRegressor, _square)
    # E[log of a squared Gaussian] is not 0: what is boosted is known up to a constant.
    shift = np.log(np.mean(residual**2 / variance * np.exp(-scale.left_out))) if len(y) else 0.0
    own = variance * np.exp(scale.left_out + shift)
    varies = np.mean(-0.5 * np.log(own) - 0.5 * residual**2 / own) > -0.5 * np.log(variance) - 0.5

    def log_prob(features: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        spread = np.full(len(values), variance)
        if varies:
            spread = np.maximum(variance * np.exp(scale(features) + shift), VARIANCE_FLOOR)
        sd, at = np.sqrt(spread), mean(features)
        density = -0.5 * ((values - at) / sd) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(sd)
        return np.where(low < high, log_between((low - at) / sd, (high - at) / sd), density)

    return log_prob


def _fit_category(
    features: np.ndarray, codes: np.ndarray, kinds: np.ndarray, levels: int, seed: int
) -> Callable[..., np.ndarray]:
    seen, place = np.unique(codes, return_inverse=True)
    rows = len(codes)
    boosted = None
    if len(seen) > 1:
        boosted = _boosted(features, place, kinds, seed, HistGradientBoostingClassifier, _log_loss)

    def log_prob(features: np.ndarray, codes: np.ndarray, *_: Any) -> np.ndarray:
        shares = np.zeros((len(codes), levels))
        if boosted is not None:
            shares[:, seen] = boosted(features)
        elif rows:
            shares[:, seen] = 1.0
        mixed = (rows * shares + HALF_ROW) / (rows + HALF_ROW * levels)
        return np.log(mixed[np.arange(len(codes)), codes])

    return log_prob


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


def _boosted(
    features: np.ndarray,
    y: np.ndarray,
    kinds: np.ndarray,
    seed: int,
    kind: Any,
    loss: Callable[[np.ndarray, np.ndarray], float],
) -> _Boosted:
    """As many trees as are best for rows left out, none at all if that is best."""
    classes = int(y.max()) + 1 if kind is HistGradientBoostingClassifier else 0
    whole = _mean(y, classes)
    nothing = _Boosted(None, whole, np.broadcast_to(whole, (len(y), *whole.shape)))
    if len(y) < 10 * FOLDS:
        return nothing
    fold = np.random.default_rng(seed).permutation(len(y)) % FOLDS

    def made(trees: int, rows: np.ndarray) -> Any:
        options: dict[str, Any] = {
            "learning_rate": RATE,
            "max_iter": trees,
            "early_stopping": False,
            "random_state": seed,
            "max_leaf_nodes": 15,
            "categorical_features": kinds,
        }
        model = kind(**options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a feature that does not vary in a fold
            return model.fit(features[rows], y[rows])

    losses, models = np.zeros(MOST_TREES + 1), []
    left_out = np.zeros((len(y), *whole.shape))
    for k in range(FOLDS):
        out = fold == k
        left_out[out] = _mean(y[~out], classes)
        apart = not classes or len(np.unique(y[~out])) > 1
        models.append(made(MOST_TREES, ~out) if apart else None)
        losses += out.sum() * loss(left_out[out], y[out])
        if apart:
            at_each = [loss(predicted, y[out]) for predicted in _staged(models[k], features[out], classes)]
            losses[1:] += out.sum() * (np.array(at_each) - loss(left_out[out], y[out]))
    best = int(np.argmin(losses))
    if not best:
        return _Boosted(None, whole, left_out)
    for k, model in enumerate(models):
        if model is not None:
            stages = _staged(model, features[fold == k], classes)
            left_out[fold == k] = next(islice(stages, best - 1, None))
    return _Boosted(made(best, np.full(len(y), True)), whole, left_out)


def _predicted(model: Any, features: np.ndarray) -> np.ndarray:
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
