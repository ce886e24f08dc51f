"""How near predictive distributions come, as means over rows with their standard errors."""

import numpy as np

from condvae.calibration.checks import check, check_vectors, chunks


def crps(samples: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The continuous ranked probability score of each row, estimated without bias from S draws.

        CRPS(F, y) = E|X - y| - E|X - X'| / 2 = integral of (F(t) - 1{y <= t})^2 dt,   X, X' ~ F

    The second expectation is over pairs of *different* draws, so that few draws are not punished for
    being few (the "fair" score); a single row's estimate can therefore be negative. Lower is better;
    in the units of the quantity. For a point forecast it is the absolute error.

    Args:
        samples: [n, S], S >= 2.
        observed: [n]; NaN where missing.

    Returns:
        float64 [n]; NaN where `observed` is.

    Raises:
        ValueError: if the shapes do not belong together, or there is a single draw.

    Sources: Gneiting and Raftery (2007), J. Amer. Statist. Assoc. 102, eq. 21; Ferro (2014), Q. J. R.
    Meteorol. Soc. 140, for the unbiased form.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import crps
        >>> crps(np.array([[0.0, 1.0, 2.0]]), np.array([1.0]))
        array([0.])
        >>> crps(np.array([[3.0, 3.0]]), np.array([5.0]))
        array([2.])
    """
    samples, observed = check(samples, observed)
    draws = samples.shape[1]
    if draws < 2:
        raise ValueError(f"samples has {draws} draws a row, expected at least 2")
    # The sum over pairs of |x_i - x_j| is a weighted sum of the sorted draws.
    rank_weight = (2 * np.arange(1, draws + 1) - draws - 1) / (draws * (draws - 1.0))
    score = np.empty(len(observed))
    for rows in chunks(samples.shape):
        # Relative to y, so that draws far from 0 lose no digits in the difference of two large terms.
        distance = np.sort(samples[rows] - observed[rows, None], axis=1)
        score[rows] = np.abs(distance).mean(axis=1) - distance @ rank_weight
    return score


def energy_score(samples: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The energy score of each row's vector, estimated without bias from S draws: CRPS of many columns.

        ES(F, y) = E||X - y|| - E||X - X'|| / 2,   X, X' ~ F

    with the second expectation over pairs of different draws. Lower is better. It depends on the units of
    the columns: standardise them first. Cells of y that are missing are left out of the norms.

    Args:
        samples: [n, S, d], S >= 2.
        observed: [n, d]; NaN where missing.

    Returns:
        float64 [n]; NaN where nothing of a row is observed.

    Raises:
        ValueError: if the shapes do not belong together, or there is a single draw.

    Source: Gneiting and Raftery (2007), J. Amer. Statist. Assoc. 102, eq. 22.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import energy_score
        >>> energy_score(np.array([[[3.0, 4.0], [3.0, 4.0]]]), np.zeros((1, 2)))
        array([5.])
    """
    samples, observed = check_vectors(samples, observed)
    draws = samples.shape[1]
    score = np.empty(len(observed))
    for rows in chunks((len(samples), draws, draws)):
        seen = ~np.isnan(observed[rows])
        apart = np.where(seen[:, None], samples[rows] - np.nan_to_num(observed[rows])[:, None], 0.0)
        squares = np.einsum("nsd,nsd->ns", apart, apart)
        products = np.einsum("nsd,ntd->nst", apart, apart)
        between = np.sqrt(np.maximum(squares[:, :, None] + squares[:, None, :] - 2 * products, 0.0))
        between[:, np.arange(draws), np.arange(draws)] = 0.0
        pairs = between.sum(axis=(1, 2)) / (draws * (draws - 1.0))
        score[rows] = np.where(seen.any(axis=1), np.sqrt(squares).mean(axis=1) - pairs / 2, np.nan)
    return score


def variogram_score(samples: np.ndarray, observed: np.ndarray, order: float = 0.5) -> np.ndarray:
    """The variogram score of each row's vector: whether columns belong together as the draws say.

        VS_p(F, y) = sum over pairs i < j of (|y_i - y_j|^p - E|X_i - X_j|^p)^2 / number of pairs

    Lower is better. It sees wrong dependence where the energy score hardly does. Standardise the columns
    first; pairs of which a cell is missing are left out.

    Args:
        samples: [n, S, d], S >= 2, d >= 2.
        observed: [n, d]; NaN where missing.
        order: p.

    Returns:
        float64 [n]; NaN where no pair of a row is observed.

    Raises:
        ValueError: if the shapes do not belong together, or there are no pairs of columns.

    Source: Scheuerer and Hamill (2015), Monthly Weather Review 143.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import variogram_score
        >>> variogram_score(np.array([[[0.0, 4.0], [0.0, 4.0]]]), np.array([[0.0, 9.0]]))
        array([1.])
    """
    samples, observed = check_vectors(samples, observed)
    columns = samples.shape[2]
    if columns < 2:
        raise ValueError("there is one column, so there are no pairs of columns to judge")
    total, count = np.zeros(len(observed)), np.zeros(len(observed))
    for i in range(columns - 1):
        for rows in chunks(samples.shape):
            drawn = np.abs(samples[rows, :, i + 1 :] - samples[rows, :, i, None]) ** order
            real = np.abs(observed[rows, i + 1 :] - observed[rows, i, None]) ** order
            off = (real - drawn.mean(axis=1)) ** 2
            total[rows] += np.nansum(off, axis=1)
            count[rows] += (~np.isnan(off)).sum(axis=1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def mean_stderr(
    values: np.ndarray, weight: np.ndarray | None = None, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """The mean of values and its standard error, NaN for a single value or group, or an infinite value.

        m = sum_i w_i v_i / W,   W = sum_i w_i
        stderr² = G / (G - 1) · sum_g (sum_{i in g} w_i (v_i - m))² / W²

    over G groups that are independent of each other; without groups each value is one.

    Args:
        values: [n].
        weight: of each value, [n], not negative; equal where None.
        groups: of each value, [n]: values of one group may depend on each other in any way.

    Raises:
        ValueError: if there are none.

    Source:
        Liang and Zeger (1986), "Longitudinal data analysis using generalized linear models".

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import mean_stderr
        >>> mean_stderr(np.array([1.0, 3.0]))
        (2.0, 1.0)
        >>> mean_stderr(np.array([1.0, 1.0, 3.0, 3.0]), groups=np.array([0, 0, 1, 1]))
        (2.0, 1.0)
    """
    values = np.asarray(values, np.float64).ravel()
    if not len(values):
        raise ValueError("there are no values to take the mean of")
    weight = np.ones(len(values)) if weight is None else np.asarray(weight, np.float64)
    place = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    number = int(place.max()) + 1
    with np.errstate(invalid="ignore"):  # where a value is infinite there is no error to tell
        mean = float((weight * values).sum() / weight.sum())
        off = np.bincount(place, weight * (values - mean))
        stderr = np.sqrt(number * (off @ off)) / weight.sum()
    return mean, float(stderr / np.sqrt(number - 1)) if number > 1 else float("nan")


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> tuple[float, float]:
    """The mean of a - b over the same rows and its standard error: which of two scores is better.

    What makes rows hard for both cancels, so it is far more exact than the difference of two means.
    Weights and groups are as for `mean_stderr`.

    Raises:
        ValueError: if the shapes differ, or there are no rows.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import paired_difference
        >>> paired_difference(np.array([1.0, 11.0]), np.array([0.0, 10.0]))
        (1.0, 0.0)
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"a has shape {np.shape(a)} and b {np.shape(b)}; score the same rows by both")
    return mean_stderr(np.asarray(a, np.float64) - np.asarray(b, np.float64), weight, groups)
