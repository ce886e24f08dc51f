"""Sets of levels: which levels of a category hold what is observed as often as is asked."""

import numpy as np

from condvae.calibration.intervals import conformal_rank

TIE = 1e-6
"""By what sums of single-precision probabilities may differ that are equal."""


def mass_above(probability: np.ndarray) -> np.ndarray:
    """Of each level, the probability of all levels that are more probable.

    Of levels as probable as each other, the first counts as the more probable.

    Args:
        probability: [..., levels].

    Returns:
        float64, of the same shape; 0 for the most probable level.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import mass_above
        >>> mass_above(np.array([0.25, 0.5, 0.25])).tolist()
        [0.5, 0.0, 0.75]
    """
    probability = np.asarray(probability, np.float64)
    order = np.argsort(-probability, axis=-1, kind="stable")
    ordered = np.take_along_axis(probability, order, axis=-1)
    result = np.empty_like(probability)
    np.put_along_axis(result, order, np.cumsum(ordered, axis=-1) - ordered, axis=-1)
    return result


def level_set(
    probability: np.ndarray, coverage: float, calibration: np.ndarray | None = None
) -> np.ndarray:
    """The smallest set of levels whose probability is at least `coverage`; or so many that they cover.

    With calibration rows the set is that of the levels whose `mass_above` is at most the
    ceil((m + 1) coverage)-th smallest of those rows' own: it holds a new row, exchangeable with them, at
    least as often as is asked, whatever is wrong with the probabilities; on average over rows, not for each
    condition. That is more often than asked where the most probable level alone is right more often, as no
    set is empty. With too few calibration rows (8 for 0.9) all levels are in the set.

    Args:
        probability: [n, levels].
        coverage: in (0, 1).
        calibration: [m], the `mass_above` of the level that was observed, of rows that had no part in
            training; None to take the probabilities at their word.

    Returns:
        bool [n, levels].

    Raises:
        ValueError: if `coverage` is not in (0, 1).

    Source: Romano, Sesia and Candès (2020), NeurIPS, Classification with valid and adaptive coverage; here
    not randomised.

    Example:
        >>> import numpy as np
        >>> from condvae.calibration import level_set
        >>> level_set(np.array([[0.05, 0.7, 0.25], [0.0, 0.95, 0.05]]), 0.9)
        array([[False,  True,  True],
               [False,  True, False]])
    """
    if not 0 < coverage < 1:
        raise ValueError(f"the coverage is {coverage}, expected a probability such as 0.9")
    above = mass_above(probability)
    if calibration is None:
        return above < coverage - TIE
    return above <= conformal_rank(np.asarray(calibration, np.float64), coverage) + TIE
