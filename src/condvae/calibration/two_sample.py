"""Whether a classifier can tell two sets of rows apart."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import binomtest

FEWEST_PAIRS = 50
"""Pairs: of fewer, trees have too few rows to learn from and to be judged by."""

START, GROWTH = 0.25, 1.5
"""The share of the pairs that is learned from at first, and how it grows from one block to the next."""

LEAF = 20
"""Rows in a leaf, at least; a fifth of the pairs where these are few."""

CODES = 255
"""Categories that the trees can tell apart."""

SMALL = 100_000
"""Up to so many cells are learned from by one thread."""


class TwoSample(NamedTuple):
    """How well pairs are told apart.

    Attributes:
        share: the share of pairs in which the classifier tells which row is of the first set; by chance,
            0.5.
        stderr: the standard error of `share`.
        p_value: how often chance alone does as well.
        nats: a lower bound of KL(first || second) in nats, from the classifier's log-odds.
        nats_stderr: the standard error of `nats`.
        pairs: how many pairs were judged.
    """

    share: float
    stderr: float
    p_value: float
    nats: float
    nats_stderr: float
    pairs: int


def two_sample(
    first: np.ndarray, second: np.ndarray, *, categorical: np.ndarray | None = None, seed: int = 0
) -> TwoSample:
    """A classifier two-sample test on pairs of rows: gradient-boosted trees that learn from earlier pairs.

    Row i of `first` and of `second` are a pair: they share what they are given (put the conditions into
    both), and under the hypothesis that rows given the same are distributed alike, which of the two is
    which is a fair coin. Pairs come in a random order and in blocks: a block is judged by a classifier
    that was fitted to all pairs before it, the first quarter is learned from alone. Whatever was learned,
    the coins of a block are fair and independent of it, so that the binomial test of all that were judged
    is exact; it is one-sided, and ties count half. (Cross-validation is not: each pair is then judged by
    a classifier that has seen those by which others are judged.)

        KL(first || second) ≥ E_first[T] − log E_second[exp T],   T the held-out log-odds

    Args:
        first: [n, d]; NaN where missing.
        second: [n, d].
        categorical: [d], which columns are codes of categories, from 0; none by default. Where there are
            more than 255 of them, codes are taken as numbers.
        seed: of the order and the classifier.

    Raises:
        ValueError: if the shapes differ, or there are fewer than 50 pairs.

    Sources: Lopez-Paz and Oquab (2017), ICLR; Donsker and Varadhan (1983), for the bound.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import two_sample
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(2, 400, 2))
        >>> two_sample(a, b).p_value > 0.05, two_sample(a, b + [0, 1]).p_value < 1e-6
        (True, True)
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    first, second = (np.asarray(rows, np.float64) for rows in (first, second))
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"the sets have shapes {first.shape} and {second.shape}, expected [n, d] of both")
    if (n := len(first)) < FEWEST_PAIRS:
        raise ValueError(
            f"there are {n} pairs of rows, too few to learn to tell them apart; {FEWEST_PAIRS} at least"
        )
    told = ~np.isnan(np.concatenate([first, second])).all(axis=0)  # a column without a value tells nothing
    first, second = first[:, told], second[:, told]
    options: dict[str, Any] = {
        "max_iter": 100,
        "max_leaf_nodes": 15,
        "l2_regularization": 1.0,
        "early_stopping": False,
    }
    if categorical is not None:
        most = np.nanmax(np.concatenate([first, second]), axis=0, initial=0)
        options["categorical_features"] = np.asarray(categorical, bool)[told] & (most < CODES)
    order = np.random.default_rng(seed).permutation(n)
    first, second = first[order], second[order]
    odds = []
    # Threads cost more than they bring where rows are few.
    with threadpool_limits(None if first.size > SMALL else 1):
        for start, end in _blocks(n):
            leaf = max(2, min(LEAF, start // 5))
            classifier = HistGradientBoostingClassifier(**options, min_samples_leaf=leaf, random_state=seed)
            classifier.fit(np.concatenate([first[:start], second[:start]]), np.repeat([1, 0], start))
            odds.append([classifier.decision_function(rows[start:end]) for rows in (first, second)])
    odds = np.concatenate(odds, axis=1)
    n = odds.shape[1]
    wins, losses = int((odds[0] > odds[1]).sum()), int((odds[0] < odds[1]).sum())
    told = np.where(odds[0] == odds[1], 0.5, odds[0] > odds[1])
    chance = binomtest(wins, wins + losses, 0.5, "greater").pvalue if wins + losses else 1.0
    # The mean of exp T by its logarithm, and what is left of it as terms of the rows, for the error.
    level = logsumexp(odds[1]) - np.log(n)
    terms = odds[0] - level - (np.exp(odds[1] - level) - 1)
    return TwoSample(
        share=float(told.mean()),
        stderr=float(told.std(ddof=1) / np.sqrt(n)),
        p_value=float(chance),
        nats=float(terms.mean()),
        nats_stderr=float(terms.std(ddof=1) / np.sqrt(n)),
        pairs=n,
    )


def _blocks(n: int) -> list[tuple[int, int]]:
    """Where each block of pairs starts and ends: those before its start are learned from."""
    ends = [int(START * n)]
    while ends[-1] < n:
        ends.append(min(n, int(GROWTH * ends[-1]) + 1))
    return list(pairwise(ends))
