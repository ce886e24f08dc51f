"""How far a condition lies outside of what a model was trained on, jointly.

Every column of a row can be ordinary and the row unheard of: 2 m tall is, 40 kg is, both at once are not.
A row's distance to its nearest training rows tells, and the same distance of training rows that were not
among those compared with tells how large is large.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from scipy.spatial import KDTree

from condvae.declared import Shape
from condvae.storage import Arrays

# The mean over several neighbours: a single odd training row (or a doubled one) does not vouch for all that
# is near it. The alarms for a broken correlation are as sure as with one neighbour.
NEIGHBOURS = 5
# Added to the variances of features before they are whitened: a direction in which training rows hardly
# differ counts about three times as much as a standardised feature. With less, indicators of rare levels
# drown numeric columns; with more, broken correlations are missed.
VARIANCE_FLOOR = 0.1
WIDEST = 500  # features that are whitened jointly; more are only scaled, each by itself
FOLDS = 10
MAX_REFERENCE = 2000
CALIBRATION_ROWS = 10_000
CELLS = 1 << 22
DECIMALS = 9  # of a whitened row, when its nearest rows are looked up


def reference_rows(n: int, max_reference: int = MAX_REFERENCE, seed: int = 0) -> np.ndarray:
    """Which of n training rows `Support.fit` keeps, with the same arguments, in the order it keeps them.

    Who stores more about these rows (their targets, say) finds them by the place that `Support.nearest`
    gives. The order is random: the first few are a random sample themselves.

    Returns:
        int64 [min(n, max_reference)].

    Example:
        >>> import numpy as np
        >>> from condvae.baselines.region import Support, reference_rows
        >>> features = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
        >>> bool((Support.fit(features).reference == features[reference_rows(5000)]).all())
        True
    """
    return _order(n, seed)[:max_reference]


def _order(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


@dataclass(frozen=True, eq=False)
class Support(Arrays):
    """Training rows to compare with, and how far from them other training rows lie.

    Distances are Euclidean after whitening by the covariance C of the reference rows,

        d(f) = mean over the 5 nearest r of ||(C + 0.1 I)^(-1/2) (f - r)|| / sqrt(p),

    because one broken correlation among twenty features adds next to nothing to the plain distance, and
    stands out in the whitened one.

    Attributes:
        reference: float32 [r, p], a random subset of the training rows.
        transform: float64 [p, p], the symmetric square root above ([p], where p > 500: the scales alone).
        distances: float64, sorted: of training rows to reference rows of which they are none.

    Sources: Angiulli and Pizzuti (2002), PKDD, for the score; Laxhammar and Falkman (2015), Ann. Math.
    Artif. Intell. 74, and Bates et al. (2023), Ann. Statist. 51, for its calibration.

    Example:
        >>> import numpy as np
        >>> from condvae.baselines.region import Support
        >>> rng = np.random.default_rng(0)
        >>> height = rng.normal(size=1000)
        >>> weight = 0.9 * height + 0.4 * rng.normal(size=1000)
        >>> support = Support.fit(np.column_stack([height, weight]))
        >>> support.outside(np.array([[2.0, 2.0], [2.0, -1.5]]))
        array([False,  True])
    """

    reference: Annotated[np.ndarray, Shape("r p")]
    transform: Annotated[np.ndarray, Shape("...")]
    distances: Annotated[np.ndarray, Shape("_")]

    @classmethod
    def fit(cls, features: np.ndarray, max_reference: int = MAX_REFERENCE, seed: int = 0) -> Self:
        """Keep a random subset of the training rows, and measure how far others lie from it.

        With many more rows than `max_reference`, the distances are those of (at most 10,000) rows outside
        of the subset. With fewer, they are from ten folds, each row's to the rows of the other folds,
        whitened by those alone. Either way no row is its own neighbour, and none helped to shape the
        space in which it is measured, so that a new row's distance is comparable.

        Args:
            features: [n, p], finite, each of a scale of about 1, as `condvae.baselines.design_matrix`
                makes them; p = 0 where there are no conditions.
            max_reference: rows to keep at most, at least 2.
            seed: decides which.

        Raises:
            ValueError: if there are fewer than two rows, or numbers that are not finite.
        """
        features = _check(features, None)
        n, p = features.shape
        if n < 2 or max_reference < 2:
            raise ValueError(f"{n} rows and max_reference={max_reference}: expected at least two of both")
        rows, others = reference_rows(n, max_reference, seed), _order(n, seed)[max_reference:]
        reference = features[rows]
        transform = _whitening(reference)
        if not p:
            return cls(reference, transform, np.zeros(len(reference)))
        if 2 * len(others) >= len(reference):
            tree = KDTree(_apply(reference, transform))
            distances = _nearest(tree, features[others[:CALIBRATION_ROWS]], transform)
        else:
            distances = np.empty(len(reference))
            fold = np.arange(len(reference)) % FOLDS
            for k in range(min(FOLDS, len(reference))):
                rest = reference[fold != k]
                own_transform = _whitening(rest)
                tree = KDTree(_apply(rest, own_transform))
                distances[fold == k] = _nearest(tree, reference[fold == k], own_transform)
        return cls(reference, transform, np.sort(distances))

    def distance(self, features: np.ndarray) -> np.ndarray:
        """The mean distance of each row to its nearest reference rows, per feature: float64 [m].

        About as large as the noise of one standardised feature where training rows are dense; 0 for a row
        of which there are copies enough, and where there are no features at all.

        Raises:
            ValueError: if `features` is not [m, p], or not finite.
        """
        features = _check(features, self.reference.shape[1])
        if not features.shape[1]:
            return np.zeros(len(features))
        return _nearest(self._tree, features, self.transform)

    def nearest(self, features: np.ndarray, k: int) -> np.ndarray:
        """The places in `reference` of the k rows nearest to each row, the nearest first: int64 [m, k].

        Of rows at one distance it is arbitrary which come first, but always the same ones.

        Raises:
            ValueError: if `features` is not [m, p], or not finite, or there are no k reference rows.
        """
        features = _check(features, self.reference.shape[1])
        if not 1 <= k <= len(self.reference):
            raise ValueError(f"k is {k}, expected 1 to {len(self.reference)}, the number of reference rows")
        if not features.shape[1]:
            return np.tile(np.arange(k), (len(features), 1))
        places = np.empty((len(features), k), np.int64)
        for rows in _chunks(features):
            # A product of matrices rounds otherwise for one row than for many: of copies of a reference row
            # other ones would be nearest.
            points = np.round(_apply(features[rows], self.transform), DECIMALS)
            places[rows] = np.reshape(self._tree.query(points, k)[1], (-1, k))
        return places

    def percentile(self, features: np.ndarray) -> np.ndarray:
        """The fraction of training rows that lie closer to the others than this row does, [m] in [0, 1].

        1 means further out than any training row that was measured.
        """
        below = np.searchsorted(self.distances, self.distance(features), side="left")
        return below / len(self.distances)

    def outside(self, features: np.ndarray, level: float = 0.99) -> np.ndarray:
        """Which rows lie further out than a fraction `level` of training rows would: bool [m].

        Of rows that come from where the training rows came from, at most the fraction 1 - level is flagged
        (on average over training sets; fewer where distances tie). Too few training rows cannot tell so
        fine: with m distances the fraction is never set below 1 / (m + 1), and what lies further out than
        all of them is always flagged.

        Raises:
            ValueError: if `level` is not in (0, 1), or the features are not as `distance` wants them.
        """
        if not 0 < level < 1:
            raise ValueError(f"the level is {level}, expected a fraction such as 0.99")
        m = len(self.distances)
        below = np.searchsorted(self.distances, self.distance(features), side="left")
        return below >= min(int(np.ceil(level * (m + 1) - 1e-9)), m)

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(_apply(self.reference, self.transform))


def _whitening(features: np.ndarray) -> np.ndarray:
    """(C + 0.1 I)^(-1/2), divided by sqrt(p); or, of very many features, of the diagonal alone."""
    n, p = features.shape
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if p > WIDEST:
        return 1 / np.sqrt(p * ((centred**2).sum(axis=0) / max(n - 1, 1) + VARIANCE_FLOOR))
    variance, axes = np.linalg.eigh(centred.T @ centred / max(n - 1, 1))
    return (axes / np.sqrt(p * (np.maximum(variance, 0) + VARIANCE_FLOOR))) @ axes.T


def _apply(features: np.ndarray, transform: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return features * transform if transform.ndim == 1 else features @ transform


def _nearest(tree: KDTree, features: np.ndarray, transform: np.ndarray) -> np.ndarray:
    k = min(NEIGHBOURS, tree.n)
    distances = np.empty(len(features))
    for part in _chunks(features):
        rows = _apply(features[part], transform)
        near = np.asarray(tree.query(rows, k, workers=-1)[0]).reshape(len(rows), k)
        # Copies of a row, multiplied in another order, differ in the last bits: their distance is 0.
        size = 1 + np.linalg.norm(rows, axis=1, keepdims=True)
        distances[part] = np.where(near < 1e-10 * size, 0.0, near).mean(axis=1)
    return distances


def _chunks(features: np.ndarray) -> Iterator[slice]:
    step = max(1, CELLS // features.shape[1])
    return (slice(start, start + step) for start in range(0, len(features), step))


def _check(features: np.ndarray, p: int | None) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2 or (p is not None and features.shape[1] != p):
        expected = "[rows, features]" if p is None else f"[rows, {p}]"
        raise ValueError(f"features has shape {features.shape}, expected {expected}")
    with np.errstate(over="ignore"):
        features = features.astype(np.float32)  # as reference rows are kept, so that copies are equal
    if not np.isfinite(features).all():
        raise ValueError("features are not all finite; pass them as design_matrix makes them")
    return features
