"""Blocks of encoded rows as the baselines take them: their checks, and conditions as a matrix."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.special import log_ndtr

from condvae.observed import Observed

CELLS = 4_000_000
"""Of a matrix at a time, when rows are scored."""


def design_matrix(c: Mapping[str, Observed] | None, levels: tuple[int, ...], n: int) -> np.ndarray:
    """Conditions as the features h(c) of a linear model.

    For the numeric columns their values (0 where missing), then for each an indicator of a missing cell;
    for each categorical column an indicator of each level, then one of a missing cell.

    Args:
        c: blocks, as `condvae.tables.encode` makes them; None for none.
        levels: the number of levels of each categorical column.
        n: the number of rows.

    Returns:
        float64 [n, p], p = 2 d + sum of (levels + 1); p = 0 without conditions.

    Raises:
        ValueError: if a block has not n rows, or `levels` not one number for each of its columns, or a code
            is no level.

    Example:
        >>> import numpy as np
        >>> from condvae import Observed
        >>> from condvae.baselines import design_matrix
        >>> dose = Observed(np.array([[0.5], [0.0]]), np.array([[True], [False]]))
        >>> sex = Observed(np.array([[1], [0]]), np.array([[True], [True]]))
        >>> design_matrix({"numeric": dose, "categorical": sex}, (2,), 2)
        array([[0.5, 0. , 0. , 1. , 0. ],
               [0. , 1. , 1. , 0. , 0. ]])
    """
    blocks = dict(c or {})
    numeric, categorical = numeric_block(blocks, n), categorical_block(blocks, levels, n)
    parts = [np.where(numeric.mask, numeric.value, 0.0), ~numeric.mask]
    for codes, mask, count in zip(categorical.value.T, categorical.mask.T, levels, strict=True):
        parts.append(np.arange(count + 1) == np.where(mask, codes, count)[:, None])
    return np.concatenate(parts, axis=1, dtype=np.float64)


def log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """log P(low < z < high) of a standard normal; where low is not below high it has no meaning.

    Example:
        >>> log_between(np.array([-1.0, 40.0]), np.array([1.0, np.inf])).round(2).tolist()
        [-0.38, -804.61]
    """
    # On the side where tails are small: their logarithms are exact there.
    swap = low + high > 0
    low, high = np.where(swap, -high, low), np.where(swap, -low, high)
    outer, inner = log_ndtr(low), log_ndtr(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        wide = inner + np.log(-np.expm1(np.minimum(outer - inner, -1e-300)))
        middle = 0.5 * (low + high)
        narrow = -0.5 * middle**2 - 0.5 * np.log(2 * np.pi) + np.log(high - low)
    return np.where(high - low < 1e-3, narrow, wide)


def num_rows(x: Mapping[str, Observed]) -> int:
    """How many rows the blocks of targets have; an error where there is no block."""
    if not x:
        raise ValueError("x holds no block, so there is no target")
    return len(next(iter(x.values())).mask)


def numeric_block(blocks: Mapping[str, Observed], n: int) -> Observed:
    """The numeric block, checked, [n, d]; of no columns where there is none."""
    return _block(blocks, "numeric", n, np.float32)


def categorical_block(
    blocks: Mapping[str, Observed], levels: np.ndarray | tuple[int, ...], n: int
) -> Observed:
    """The categorical block, [n, k], its codes checked; 0 where missing."""
    block = _block(blocks, "categorical", n, np.int32)
    if block.value.shape[1] != len(levels):
        raise ValueError(f"{block.value.shape[1]} categorical columns, but levels of {len(levels)}")
    value = np.where(block.mask, block.value, 0)
    if ((value < 0) | (value >= np.asarray(levels, int))).any():
        raise ValueError(f"a categorical column holds a code beyond its levels, {tuple(map(int, levels))}")
    return Observed(value, block.mask)


def _block(blocks: Mapping[str, Observed], name: str, n: int, dtype: type) -> Observed:
    if name not in blocks:
        return Observed(np.zeros((n, 0), dtype), np.zeros((n, 0), bool))
    value, mask = (np.asarray(array) for array in blocks[name])
    if value.ndim != 2 or value.shape != mask.shape or len(value) != n:
        raise ValueError(f"the {name} block has shapes {value.shape} and {mask.shape}, expected {n} rows")
    return Observed(value, mask)


def take(block: Observed, rows: np.ndarray | slice) -> Observed:
    """Some rows of a block."""
    return Observed(np.asarray(block.value)[rows], np.asarray(block.mask)[rows])


def slices(levels: np.ndarray) -> list[slice]:
    """Where each column's levels lie, of all columns' side by side."""
    ends = np.cumsum(levels)
    return [slice(int(end - count), int(end)) for end, count in zip(ends, levels, strict=True)]


def chunks(n: int, width: int) -> Iterator[slice]:
    """Slices of n rows, each of so few that `width` numbers for each row are not too many."""
    step = max(1, CELLS // max(width, 1))
    for start in range(0, n, step):
        yield slice(start, start + step)
