"""What is simpler than a conditional VAE: a joint density of the targets that is linear in the conditions.

A model that does not beat it on held-out rows has learned nothing that a regression would not. So it is
meant to be hard to beat: penalties are chosen by rows left out, the covariance is that of such rows, and
each target is given the targets before it.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from condvae.baselines.blocks import (
    categorical_block,
    chunks,
    design_matrix,
    log_between,
    num_rows,
    numeric_block,
    slices,
    take,
)
from condvae.declared import Shape
from condvae.observed import Observed
from condvae.storage import Arrays

# No scale below e^-7 of a column's standard deviation: the bound of the heads of the CVAE itself.
VARIANCE_FLOOR = float(np.exp(-14.0))
PENALTIES = np.logspace(-7, 3, 21)  # of the ridge, a row
INVERSE_PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0)  # scikit-learn's C: the prior variance of a coefficient
# Rows of an independent sample that the residuals' correlations are shrunk by; none is for exact relations.
PRIOR_ROWS = (10_000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.0)
HALF_ROW = 0.5  # of every level, added to the rows seen (Krichevsky and Trofimov)
FEWEST_PAIRS = 10  # rows that two columns must share before their correlation is believed
TRAINING_CELLS = 20_000_000  # of the design matrix; a random part of the rows is enough for the rest
FEWEST_ROWS = 1000

# Tall, thin matrices gain little from threads, and on a busy machine these wait for one another: ten times
# slower.
_one_thread = threadpool_limits.wrap(limits=1, user_api="blas")


@dataclass(frozen=True, eq=False)
class Baseline(Arrays):
    """A density of the targets that is linear in the conditions and in the targets before.

        p(x | c) = prod_k p_k(x_k | h_k) * N(x_numeric; B' h + b, Sigma)
        p_k(x_k = l | h_k) = (N_k softmax(A_k' h_k + a_k)_l + 1/2) / (N_k + L_k / 2)

    where h holds the features of c and indicators of the levels of all categorical targets, and h_k those
    of the categorical targets before k. Sigma is what numeric targets have in common given those:
    factorised, it is a chain of regressions as well. N_k are the training rows in which x_k is observed and
    L_k its levels: half a row of each level keeps the density of one that was not seen above 0. Independent
    targets have only the features of c, and a diagonal Sigma.

    Attributes:
        coefficients: B, [p, d]; p counts the features of c, and those of the categorical targets unless the
            targets are independent.
        intercept: b, [d].
        covariance: Sigma, [d, d].
        level_coefficients: the A_k side by side, [p, sum of L_k]; 0 for targets that do not come before k.
        level_intercept: the a_k, [sum of L_k]; -inf for a level that was not seen.
        level_rows: the N_k, [k].
        x_levels: the L_k, [k].
        c_levels: the number of levels of each categorical condition.
        in_turn: whether targets are given those before.

    Example:
        >>> import numpy as np
        >>> from condvae import Observed
        >>> from condvae.baselines import fit_baseline
        >>> rng = np.random.default_rng(0)
        >>> dose, seen = rng.normal(size=(9000, 1)), np.ones((9000, 1), bool)
        >>> c = {"numeric": Observed(dose, seen)}
        >>> x = {"numeric": Observed(0.8 * dose + 0.6 * rng.normal(size=(9000, 1)), seen)}
        >>> conditional = fit_baseline(x, c, x_levels=(), c_levels=())
        >>> marginal = fit_baseline(x, None, x_levels=(), c_levels=())
        >>> gain = conditional.log_prob(x, c) - marginal.log_prob(x, None)
        >>> round(float(gain.mean()), 1)  # in expectation -log 0.6
        0.5
    """

    coefficients: Annotated[np.ndarray, Shape("p d")]
    intercept: Annotated[np.ndarray, Shape("d")]
    covariance: Annotated[np.ndarray, Shape("d d")]
    level_coefficients: Annotated[np.ndarray, Shape("p levels")]
    level_intercept: Annotated[np.ndarray, Shape("levels", infinite=True)]
    level_rows: Annotated[np.ndarray, Shape("k")]
    x_levels: Annotated[np.ndarray, Shape("k", "iu")]
    c_levels: Annotated[np.ndarray, Shape("_", "iu")]
    in_turn: bool = False

    def log_prob(
        self,
        x: Mapping[str, Observed],
        c: Mapping[str, Observed] | None,
        intervals: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """log p(x | c) of each row, in nats and the standardised units of the blocks: float64 [n].

        Missing targets are left out exactly: the log-density is that of the cells that a row has, 0 where
        it has none. The marginal looks at no condition.

        Args:
            x: the targets.
            c: the conditions.
            intervals: low and high, [n, d] each, of what numeric cells stand for: the probability of a cell
                whose ends differ counts, given the row's cells before it.

        Raises:
            ValueError: if the blocks are not those of the columns that the baseline was fitted to.
        """
        n, p = num_rows(x), len(self.coefficients)
        numeric, categorical = numeric_block(x, n), categorical_block(x, self.x_levels, n)
        of_c = p - int((self.x_levels + 1).sum()) if self.in_turn else p
        if numeric.value.shape[1] != len(self.intercept):
            raise ValueError(f"x has {numeric.value.shape[1]} numeric columns, not {len(self.intercept)}")
        c_levels = tuple(int(count) for count in self.c_levels)
        residual, log_prob = np.zeros(numeric.value.shape), np.zeros(n)
        ends = [np.zeros(residual.shape) for _ in intervals or ()]
        for rows in chunks(n, p + len(self.level_intercept) + len(self.intercept)):
            length = len(log_prob[rows])
            part = {name: take(block, rows) for name, block in (c or {}).items()}
            h = design_matrix(part, c_levels, length) if of_c else np.zeros((length, 0))
            if h.shape[1] != of_c:
                raise ValueError(f"c has {h.shape[1]} features, not {of_c}: pass the columns fitted to")
            if self.in_turn:
                h = np.concatenate([h, _levels_of(take(categorical, rows), self.x_levels)], axis=1)
            mean = h @ self.coefficients + self.intercept
            residual[rows] = np.where(numeric.mask[rows], numeric.value[rows] - mean, 0.0)
            for end, whole in zip(ends, intervals or (), strict=True):
                end[rows] = whole[rows] - mean
            logits = h @ self.level_coefficients + self.level_intercept
            for k, levels in enumerate(slices(self.x_levels)):
                cells = _level_log_prob(logits[:, levels], categorical.value[rows, k], self.level_rows[k])
                log_prob[rows] += np.where(categorical.mask[rows, k], cells, 0.0)
        return log_prob + _gaussian(residual, numeric.mask, self.covariance, ends)


def fit_baseline(
    x: Mapping[str, Observed],
    c: Mapping[str, Observed] | None,
    *,
    x_levels: tuple[int, ...],
    c_levels: tuple[int, ...],
    sample_weight: np.ndarray | None = None,
    independent: bool = False,
) -> Baseline:
    """Fit p(x | c), linear in c and in the targets before; or the marginal p(x), where `c` is None.

    Each categorical target: multinomial logistic regression on c and the categorical targets before it, its
    penalty chosen by cross-validation on at most 3000 rows. Each numeric target: ridge regression on c and
    the categorical targets, in the rows in which it is observed, the penalty the one of least squared error
    of rows left out (exactly, by their leverage). Their covariance: of the residuals of rows left out,
    which pays for the coefficients that were fitted, also where they are more than the rows; by pairs of
    columns observed together, and shrunk towards the diagonal by as much as is best for the density of rows
    left out (of at most 1000), and no less than makes it positive definite.

    Very large tables are fitted on a random part of their rows (20 million cells of the design matrix), the
    same one every time.

    Args:
        x: the targets, blocks as `condvae.tables.encode` makes them.
        c: the conditions, likewise; None for the marginal.
        x_levels: the number of levels of each categorical target.
        c_levels: of each categorical condition.
        sample_weight: a non-negative weight for each row, [n].
        independent: each target given c alone, which shows what dependence between targets is worth.

    Raises:
        ValueError: if rows, levels or weights do not belong together, or no weight is above 0.

    Sources: Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, 3.4 and 7.10,
    for ridge regression and its rows left out; Hoffbeck and Landgrebe (1996), IEEE Trans. Pattern Anal.
    Mach. Intell. 18, for shrinkage chosen by rows left out; Krichevsky and Trofimov (1981), IEEE Trans.
    Inf. Theory 27, for the half rows.
    """
    n, rng = num_rows(x), np.random.default_rng(0)
    numeric, categorical = numeric_block(x, n), categorical_block(x, x_levels, n)
    rows, weight = _training_rows(sample_weight, n)
    if c is None:
        c, c_levels = {}, ()
    before = () if independent else x_levels
    width = 2 * numeric_block(c, n).value.shape[1] + sum(level + 1 for level in (*c_levels, *before))
    if len(rows) * width > TRAINING_CELLS:
        kept = np.sort(rng.permutation(len(rows))[: max(TRAINING_CELLS // width, FEWEST_ROWS)])
        rows, weight = rows[kept], weight[kept] / weight[kept].mean()
    c = {name: take(block, rows) for name, block in c.items()}
    h = design_matrix(c, c_levels, len(rows))
    numeric, categorical = take(numeric, rows), take(categorical, rows)
    of_c = h.shape[1]
    if not independent:
        h = np.concatenate([h, _levels_of(categorical, x_levels)], axis=1)
    coefficients, intercept, covariance = _fit_numeric(h, numeric, weight, independent)
    level_coefficients = np.zeros((h.shape[1], sum(x_levels)))
    level_intercept = np.zeros(sum(x_levels))
    for k, levels in enumerate(slices(np.array(x_levels, int))):
        codes, mask = categorical.value[:, k], categorical.mask[:, k]
        seen = of_c if independent else of_c + sum(level + 1 for level in x_levels[:k])
        fitted = _fit_level(h[mask, :seen], codes[mask], weight[mask], x_levels[k], rng)
        level_coefficients[:seen, levels], level_intercept[levels] = fitted
    return Baseline(
        coefficients,
        intercept,
        covariance,
        level_coefficients,
        level_intercept,
        weight @ categorical.mask,
        np.array(x_levels, np.int64),
        np.array(c_levels, np.int64),
        not independent,
    )


def _levels_of(categorical: Observed, levels: np.ndarray | tuple[int, ...]) -> np.ndarray:
    """Categorical targets as features of those that come later."""
    sizes = tuple(int(count) for count in levels)
    return design_matrix({"categorical": categorical}, sizes, len(categorical.mask))


@_one_thread
def _fit_numeric(
    h: np.ndarray, block: Observed, weight: np.ndarray, independent: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    d = block.value.shape[1]
    coefficients, intercept = np.zeros((h.shape[1], d)), np.zeros(d)
    residual, usable = np.zeros(block.value.shape), np.array(block.mask)
    patterns, which = np.unique(block.mask.T, axis=0, return_inverse=True) if d else ([], np.zeros(0))
    for i, mask in enumerate(patterns):
        columns = np.flatnonzero(which == i)  # observed in the same rows, hence with the same matrix
        if mask.sum() < 2:
            # No residual to learn from: the density is that of a standardised column.
            intercept[columns] = block.value[mask][:, columns].sum(axis=0)
            usable[:, columns] = False
            continue
        y = block.value[np.ix_(mask, columns)].astype(np.float64)
        fit = _ridge(h[mask], y, weight[mask])
        coefficients[:, columns], intercept[columns], residual[np.ix_(mask, columns)] = fit
    covariance = _covariance(residual, usable, weight)
    return coefficients, intercept, np.diag(np.diag(covariance)) if independent else covariance


def _ridge(h: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted ridge regression of [n, g] on [n, p], each column with the penalty that is best for it.

    Returns coefficients, intercepts, and sqrt(weight) times each row's error when it is left out, which is
    its residual divided by 1 - leverage.
    """
    total, root = weight.sum(), np.sqrt(weight)[:, None]
    h_mean, y_mean = weight @ h / total, weight @ y / total
    a, z = root * (h - h_mean), root * (y - y_mean)
    u, s, v = _svd(a)
    projected, u_squared = u.T @ z, u**2
    best = np.full(y.shape[1], np.inf)
    scores, errors = np.zeros((len(s), y.shape[1])), np.zeros_like(y)
    for penalty in total * PENALTIES if len(s) else [1.0]:
        kept = s**2 / (s**2 + penalty)
        leverage = weight / total + u_squared @ kept
        error = (z - u @ (kept[:, None] * projected)) / np.maximum(1 - leverage, 1e-10)[:, None]
        loss = (error**2).sum(axis=0)
        better = loss < best
        best[better], errors[:, better] = loss[better], error[:, better]
        scores[:, better] = (s / (s**2 + penalty))[:, None] * projected[:, better]
    coefficients = v @ scores
    return coefficients, y_mean - h_mean @ coefficients, errors


def _svd(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, s, V with a = U s V', without its null directions: by the smaller of a'a and a a'."""
    n, p = a.shape
    square, axes = np.linalg.eigh(a.T @ a if n >= p else a @ a.T)
    kept = square > 1e-12 * square.max(initial=0.0)
    s, axes = np.sqrt(square[kept]), axes[:, kept]
    other = (a if n >= p else a.T) @ axes / s
    return (other, s, axes) if n >= p else (axes, s, other)


def _covariance(residual: np.ndarray, mask: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of residuals times sqrt(weight), 0 where missing; shrunk as is best for rows left out."""
    if residual.shape[1] < 2:
        return _shrunk(residual, mask, weight, 0.0)
    some = np.random.default_rng(0).permutation(len(residual))[:1000]
    fold, best, prior = np.arange(len(some)) % 3, -np.inf, 0.0
    for trial in PRIOR_ROWS:
        score = 0.0
        for k in range(3):
            train, test = some[fold != k], some[fold == k]
            covariance = _shrunk(residual[train], mask[train], weight[train], trial)
            error = residual[test] / np.sqrt(weight[test])[:, None]
            score += float(weight[test] @ _gaussian(error, mask[test], covariance))
        if score > best:
            best, prior = score, trial
    return _shrunk(residual, mask, weight, prior)


def _shrunk(residual: np.ndarray, mask: np.ndarray, weight: np.ndarray, prior: float) -> np.ndarray:
    """Variances, and each pair's correlation times m / (m + prior), m the rows in which both are seen."""
    identity, seen = np.eye(residual.shape[1]), mask.astype(np.float64)
    pair_weight = seen.T @ (weight[:, None] * seen)
    rows = pair_weight**2 / np.maximum(seen.T @ (weight[:, None] ** 2 * seen), 1e-300)  # Kish's number
    square = (residual**2).T @ seen
    column_weight = np.diag(pair_weight)
    variance = np.where(column_weight > 0, np.diag(square) / np.maximum(column_weight, 1e-300), 1.0)
    variance = np.maximum(variance, VARIANCE_FLOOR)
    # Both variances from the rows that the pair shares: no correlation is beyond 1.
    scale = np.sqrt(square * square.T)
    believed = (rows >= FEWEST_PAIRS) & (scale > 0)
    correlation = np.where(believed, residual.T @ residual / np.where(scale > 0, scale, 1.0), 0.0)
    correlation *= rows / np.maximum(rows + prior, 1e-300)
    np.fill_diagonal(correlation, 1.0)
    if len(identity) and (low := np.linalg.eigvalsh(correlation)[0]) < VARIANCE_FLOOR:
        more = (VARIANCE_FLOOR - low) / (1 - low)
        correlation = (1 - more) * correlation + more * identity
    return correlation * np.sqrt(np.outer(variance, variance))


@_one_thread
def _gaussian(
    residual: np.ndarray, mask: np.ndarray, covariance: np.ndarray, ends: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """log N(residual; 0, covariance) of the observed cells of each row, one pattern of them at a time.

    With `ends`, low and high, a cell between two that differ counts by its probability.
    """
    log_prob = np.zeros(len(residual))
    if not len(residual) or not residual.shape[1]:
        return log_prob
    bits = np.packbits(mask, axis=1)
    _, first, which = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    last = np.cumsum(np.bincount(which))
    for start, rows in zip(first, np.split(order, last[:-1]), strict=True):
        seen = np.flatnonzero(mask[start])
        if len(seen):
            factor = np.linalg.cholesky(covariance[np.ix_(seen, seen)])
            z = solve_triangular(factor, residual[np.ix_(rows, seen)].T, lower=True, check_finite=False)
            scale = np.diag(factor)[:, None]
            cells = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - np.log(scale)
            if len(ends):
                # z is where a cell lies among those that the row's cells before it leave, in their sd.
                apart = [(end[np.ix_(rows, seen)] - residual[np.ix_(rows, seen)]).T / scale for end in ends]
                cells = np.where(apart[0] < apart[1], log_between(z + apart[0], z + apart[1]), cells)
            log_prob[rows] = cells.sum(axis=0)
    return log_prob


@_one_thread
def _fit_level(
    h: np.ndarray, codes: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [p, L] and intercepts [L] of one categorical target, the penalty cross-validated."""
    some = rng.permutation(len(codes))[:3000]
    c = 1.0
    if h.shape[1] and len(some) >= 20:
        fold, loss = np.arange(len(some)) % 4, dict.fromkeys(INVERSE_PENALTIES, 0.0)
        for k in range(4):
            train, test = some[fold != k], some[fold == k]
            for trial in INVERSE_PENALTIES:
                a, b = _logistic(h[train], codes[train], weight[train], count, trial)
                logits = h[test] @ a + b
                log_prob = _level_log_prob(logits, codes[test], weight[train].sum())
                loss[trial] -= float(weight[test] @ log_prob)
        c = min(loss, key=lambda trial: loss[trial])
    return _logistic(h, codes, weight, count, c)


def _logistic(
    h: np.ndarray, codes: np.ndarray, weight: np.ndarray, count: int, c: float
) -> tuple[np.ndarray, np.ndarray]:
    coefficients, intercept = np.zeros((h.shape[1], count)), np.full(count, -np.inf)
    seen = np.unique(codes)
    if not len(seen):
        return coefficients, np.zeros(count)
    if len(seen) == 1 or not h.shape[1]:  # nothing to tell apart, or nothing to tell by: frequencies
        intercept[seen] = np.log(np.bincount(codes, weight, count)[seen] / weight.sum())
        return coefficients, intercept
    with warnings.catch_warnings():
        # Penalised, an early stop is a slightly stronger penalty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings(
            "ignore", message="The number of unique classes"
        )  # levels that few rows have
        model = LogisticRegression(C=c, max_iter=200).fit(h, codes, weight)
    if len(seen) == 2:
        coefficients[:, seen[1]], intercept[seen] = model.coef_[0], [0.0, model.intercept_[0]]
    else:
        coefficients[:, seen], intercept[seen] = model.coef_.T, model.intercept_
    return coefficients, intercept


def _level_log_prob(logits: np.ndarray, codes: np.ndarray, rows: float) -> np.ndarray:
    fitted = np.take_along_axis(log_softmax(logits, axis=1), codes[:, None], axis=1)[:, 0]
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(np.log(rows) + fitted, np.log(HALF_ROW))
    return mixed - np.log(rows + HALF_ROW * logits.shape[1])


def _training_rows(sample_weight: np.ndarray | None, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of positive weight, and their weights, of mean 1."""
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight.shape != (n,) or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
        raise ValueError(f"sample_weight must hold {n} non-negative numbers that are not all 0")
    rows = np.flatnonzero(weight)
    return rows, weight[rows] / weight[rows].mean()
