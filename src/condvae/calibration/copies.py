"""Whether samples are rows that a model was trained on, more or less."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import binomtest

LOWEST = 0.01
"""The share of pairs of which both ratios are low. Without copies its root, 0.1, is the share of rows."""


class Copies(NamedTuple):
    """How near samples are to training rows, beside held-out rows.

    Attributes:
        nearer: the share of pairs in which the sample is nearer to a training row than the held-out row is:
            0.5 for a model that is right. Ties count half.
        stderr: the standard error of `nearer`.
        p_value: how often a model that is right does as badly. Small also if a model is too narrow.
        distance: the median distance of a sample to the nearest training row.
        held_out_distance: the median distance of a held-out row to the nearest training row.
        copied: the estimated share of samples that are copies of training rows, at least 0.
        copied_stderr: the standard error of `copied`.
        copied_p_value: how often a model that copies nothing seems to copy as much.
        samples_below: how many samples are as near to one single training row as a copy would be.
        held_out_below: how many held-out rows are as near to one single training row as a copy would be.
        pairs: how many pairs of a sample and a held-out row were compared.
    """

    nearer: float
    stderr: float
    p_value: float
    distance: float
    held_out_distance: float
    copied: float
    copied_stderr: float
    copied_p_value: float
    samples_below: int
    held_out_below: int
    pairs: int


def copies(
    samples: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    *,
    max_training: int = 20_000,
    seed: int = 0,
) -> Copies:
    """Two tests of whether samples are nearer to training rows than held-out rows are.

    With d1 and d2 the distances of a row to the nearest training row and to the nearest other one,

        nearer = P(d1(sample) < d1(held out)),    copied = (F_s(t) - F_h(t)) / (1 - F_h(t)),

    F_s and F_h the shares of samples and of held-out rows whose ratio d1 / d2 is at most t. Sample i was
    drawn given what goes with held-out row i: of a model that is right it is a fair coin which of the two
    is which, so that both tests are exact binomial ones, one-sided, of the pairs that tell (McNemar's of
    the second). The threshold t, at least the larger ratio of a pair in 1% of them, treats both alike.

    Distances alone do not tell copying from a model that is too narrow: its samples lie where training rows
    are dense. The ratio does. Where rows are locally uniform in D dimensions, (d1 / d2)^D is uniform on 0
    to 1, however dense they are and whatever a sample was drawn from; but of a copy it is near 0. Of a
    model with 0.7 of the right scales in 5 dimensions (1000 training rows, 200 pairs) `p_value` is below
    0.05 always, `copied_p_value` in 4% of cases; with 4000 rows and 1000 pairs in 9%, in 15 dimensions in
    12%, as rows are not quite uniform between neighbours: there `copied` is 0.01 or 0.02. Of copies that
    stray from their row as far as its neighbours are, few are told, and in one dimension few others.

    What to pass: the targets of rows, without conditions, which a sample does not copy. Columns of
    categories as indicators. A value that recurs among training rows is one to be expected: a sample that
    is exactly it is not taken as a copy (so rows that are in a table twice are found only if they are
    copied with an error).

    Args:
        samples: [n, d], in the units of the other two, each column of a scale of about 1.
        held_out: [n, d], rows that the model was not trained on.
        training: [m, d], those that it was trained on.
        max_training: of more rows a random part is used; copies of others are not seen.
        seed: decides which.

    Raises:
        ValueError: if the shapes do not belong together, a number is not finite, or there are fewer than 20
            pairs or 2 training rows.

    Sources: Meehan, Chaudhuri and Dasgupta (2020), AISTATS, for the test by distances; Facco et al. (2017),
    Sci. Rep. 7, for the distribution of the ratio.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import copies
        >>> rng = np.random.default_rng(0)
        >>> training, held_out, samples = rng.normal(size=(3, 1000, 4))
        >>> copies(samples, held_out, training).copied_p_value > 0.05
        True
        >>> samples[:300] = training[:300] + 0.01
        >>> round(copies(samples, held_out, training).copied, 1)
        0.3
    """
    samples, held_out, training = (np.asarray(rows, np.float64) for rows in (samples, held_out, training))
    if samples.shape != held_out.shape or samples.ndim != 2 or training.shape[1:] != samples.shape[1:]:
        shapes = f"{samples.shape}, {held_out.shape} and {training.shape}"
        raise ValueError(f"the rows have shapes {shapes}, expected [n, d], [n, d] and [m, d]")
    if (n := len(samples)) < 20 or len(training) < 2 or not samples.shape[1]:
        raise ValueError(
            f"there are {n} pairs and {len(training)} training rows of {samples.shape[1]} columns, "
            "expected at least 20 pairs, 2 rows and 1 column"
        )
    if not all(np.isfinite(rows).all() for rows in (samples, held_out, training)):
        raise ValueError("the rows hold numbers that are not finite: fill missing cells in, alike in all")
    if len(training) > max_training:
        training = training[np.random.default_rng(seed).permutation(len(training))[:max_training]]
    distinct, counts = np.unique(training, axis=0, return_counts=True)
    tree = KDTree(distinct)
    (distance, ratio), (other, other_ratio) = (
        _near(tree, counts > 1, rows) for rows in (samples, held_out)
    )
    nearer = np.where(distance == other, 0.5, distance < other)
    threshold = np.sort(np.maximum(ratio, other_ratio))[int(np.ceil(LOWEST * n)) - 1]
    below, other_below = ratio <= threshold, other_ratio <= threshold
    excess, room = below.astype(float) - other_below, max(1 - other_below.mean(), 1 / n)
    return Copies(
        nearer=float(nearer.mean()),
        stderr=_stderr(nearer),
        p_value=_chance(distance < other, distance > other),
        distance=float(np.median(distance)),
        held_out_distance=float(np.median(other)),
        copied=max(0.0, float(excess.mean() / room)),
        copied_stderr=_stderr(excess) / room,
        copied_p_value=_chance(excess > 0, excess < 0),
        samples_below=int(below.sum()),
        held_out_below=int(other_below.sum()),
        pairs=n,
    )


def _near(tree: KDTree, recurs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each row to the nearest of the tree, and its ratio to the second, [n] each.

    The ratio is 1 of what tells nothing: a row equal to one that recurs, and where there is no second one.
    """
    distances, places = tree.query(rows, 2)
    first, second = np.transpose(distances)
    known = np.isfinite(second) & (second > 0) & ~((first == 0) & recurs[np.asarray(places)[:, 0]])
    return first, np.divide(first, second, out=np.ones(len(rows)), where=known)


def _chance(wins: np.ndarray, losses: np.ndarray) -> float:
    a, b = int(wins.sum()), int(losses.sum())
    return float(binomtest(a, a + b, 0.5, "greater").pvalue) if a + b else 1.0


def _stderr(terms: np.ndarray) -> float:
    return float(terms.std(ddof=1) / np.sqrt(len(terms)))
