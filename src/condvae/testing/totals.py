"""What a density adds up to, found from its own draws, and whether draws follow a distribution function.

The draws are told apart from those of a *stand-in*, a density that is normalised and fitted to other draws.
If what is claimed is p and the stand-in is g, the odds that a value came from the draws are p(x) / g(x). Of
a density that adds up to Z the odds are off by that factor, which is found by maximum likelihood (Geyer
1994, reverse logistic regression). No term of it is unbounded, whatever the tails and the support.
"""

from collections.abc import Callable

import numpy as np

from condvae.testing.boxes import atoms

BINS = 64
"""Of equal mass, by which the stand-in has the shape of a cell."""

RARE = 0.01
"""The share of a cell's draws that come but once, below which they are only values not yet seen again."""

FLAT = 1e-4
"""The part of a cell's spread that others leave open, below which it follows from them."""

BISECTIONS = 60
"""By which the offset is found."""


def is_thin(draws: np.ndarray) -> bool:
    """Whether a cell follows from others by a line: draws fill no volume then, and a box has no share.

    Cells that take values again and again have probabilities, and no volume to fill.
    """
    free = draws[:, [not len(atoms(column)) for column in draws.T]]
    apart = free - free.mean(axis=0)
    apart = apart / np.maximum(apart.std(axis=0), 1e-30)
    return bool(apart.size) and bool(np.linalg.svd(apart, compute_uv=False)[-1] < FLAT * len(draws) ** 0.5)


class _Cell:
    """One cell of the stand-in, given those before it: values that come again, and a histogram."""

    def __init__(self, before: np.ndarray, cell: np.ndarray):
        self.values = atoms(cell)
        place = np.searchsorted(self.values, cell)
        known = np.isin(cell, self.values)
        counts = np.bincount(place[known], minlength=len(self.values))
        self.free = 0.0 if (~known).mean() < RARE else float((~known).mean())
        self.shares = (1.0 - self.free) * counts / max(counts.sum(), 1)
        self.slopes = np.zeros(before.shape[1])
        self.edges = np.zeros(2)
        if self.free:
            self._fit(before[~known], cell[~known])

    def _fit(self, before: np.ndarray, cell: np.ndarray) -> None:
        # A cell that goes along with those before it is looked at less what a line says of it.
        middle = before.mean(axis=0)
        self.slopes = np.linalg.lstsq(before - middle, cell - cell.mean(), rcond=1e-6)[0]
        left = cell - before @ self.slopes
        self.edges = np.unique(np.quantile(left, np.linspace(0.0, 1.0, BINS + 1)))

    @property
    def _masses(self) -> np.ndarray:
        return np.full(len(self.edges) - 1, self.free / (len(self.edges) - 1))

    def sample(self, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chances = np.concatenate([self.shares, self._masses])
        chosen = rng.choice(len(chances), size=len(before), p=chances / chances.sum())
        repeats = chosen < len(self.values)
        bin_ = np.where(repeats, 0, chosen - len(self.values))
        left = rng.uniform(self.edges[bin_], self.edges[bin_ + 1])
        known = np.append(self.values, 0.0)[np.where(repeats, chosen, len(self.values))]
        return np.where(repeats, known, left + before @ self.slopes)

    def log_prob(self, before: np.ndarray, cell: np.ndarray) -> np.ndarray:
        left = cell - before @ self.slopes
        bin_ = np.searchsorted(self.edges, left, side="right") - 1
        inside = (bin_ >= 0) & (bin_ < len(self.edges) - 1)
        bin_ = np.where(inside, bin_, 0)
        with np.errstate(divide="ignore"):
            dense = np.log(self._masses / np.maximum(np.diff(self.edges), 1e-300))[bin_]
            place = np.minimum(np.searchsorted(self.values, cell), max(len(self.values) - 1, 0))
            shares = np.log(np.append(self.shares, 0.0))[place]
        known = np.isin(cell, self.values)
        return np.where(known, shares, np.where(inside, dense, -np.inf))


def log_total(
    draws: np.ndarray, log_prob: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> tuple[float, float]:
    """log of what a density adds up to, and its standard error.

    Args:
        draws: values, flat: shape (n, cells). One half is for the stand-in.
        log_prob: of such values, shape (m, cells), the log-densities (m,).
        rng: for the draws of the stand-in.

    """
    whole = np.array([np.array_equal(column, np.rint(column)) for column in draws.T])
    # A whole number x is as good as any number within 1/2 of it.
    smeared = draws + np.where(whole, rng.uniform(-0.5, 0.5, draws.shape), 0.0)
    fitted, held_out = smeared[::2], smeared[1::2]
    cells = [_Cell(fitted[:, :i], fitted[:, i]) for i in range(draws.shape[1])]
    other = np.empty_like(held_out)
    for i, cell in enumerate(cells):
        other[:, i] = cell.sample(other[:, :i], rng)

    def log_odds(rows: np.ndarray) -> np.ndarray:
        stand_in = sum(cell.log_prob(rows[:, :i], rows[:, i]) for i, cell in enumerate(cells))
        with np.errstate(invalid="ignore"):
            odds = log_prob(np.where(whole, np.rint(rows), rows)) - stand_in
        return np.where(np.isnan(odds), -np.inf, odds)

    return _offset(log_odds(held_out), log_odds(other))


def _offset(drawn: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The c for which σ(log-odds − c) says best which is which, as many of either kind."""
    low, high = -50.0, 50.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        missed = (1.0 - _sigmoid(drawn - middle)).sum() - _sigmoid(other - middle).sum()
        low, high = (low, middle) if missed > 0 else (middle, high)
    shares = _sigmoid(np.concatenate([drawn, other]) - high)
    information = max(float((shares * (1.0 - shares)).sum()), 1e-12)
    return high, float(np.sqrt(max(1.0 / information - 2.0 / len(drawn), 0.0)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * np.clip(x, -700, 700)))


def furthest(draws: np.ndarray, below: np.ndarray) -> float:
    """How far the share of draws at or below a value is from what is claimed: √n sup |F_n(x) − F(x)|.

    Where F has jumps it is less than where it has none, so that what holds of the one holds of the other.

    Args:
        draws: of one cell, (n,).
        below: P(x ≤ draw) of each, (n,).
    """
    ordered = np.sort(draws)
    empirical = np.searchsorted(ordered, draws, side="right") / len(draws)
    return float(np.sqrt(len(draws)) * np.abs(empirical - below).max())


def summed_to(drawn: np.ndarray, listed: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """P(x ≤ draw), from a list of values and their probabilities."""
    order = np.argsort(listed)
    return np.cumsum(shares[order])[np.searchsorted(listed[order], drawn, side="right") - 1]
