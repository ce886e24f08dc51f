"""`Observed`: a value of which some cells may be missing.

Missing cells become (value, mask) at the edge, where data enter, and never reach a network as NaN.
This file knows nothing of JAX or of data frames, so that both sides of the house can speak of it.
"""

from typing import Any, NamedTuple


class Observed(NamedTuple):
    """A value and the cells of it that are observed.

    Serves for x and for c. A `NamedTuple`, hence a pytree: `jax.vmap` and `jax.jit` see two arrays.

    Attributes:
        value: the cells, of any shape; what stands in a missing cell is never used, but must be
            finite (by convention 0), because a NaN poisons gradients even behind `where`.
        mask: the shape of `value`, boolean; true where the cell is observed.

    Example:
        >>> import numpy as np
        >>> Observed(np.array([1.5, 0.0]), np.array([True, False])).mask.sum()
        np.int64(1)
    """

    value: Any
    mask: Any
