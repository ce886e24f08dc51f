from dataclasses import dataclass

import numpy as np
import pytest

from condvae.arrays import Arrays


@dataclass
class Kept(Arrays):
    table: np.ndarray
    share: float
    rows: int


def test_what_is_kept_comes_back_with_its_types():
    own = Kept(np.arange(6.0).reshape(2, 3).T, 0.1, 7)
    arrays = own.to_arrays()
    assert all(isinstance(array, np.ndarray) and array.flags.c_contiguous for array in arrays.values())
    found = Kept.from_arrays(arrays)
    np.testing.assert_array_equal(found.table, own.table)
    assert (found.share, found.rows) == (0.1, 7)
    assert type(found.rows) is int


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="the arrays of Kept lack table, rows"):
        Kept.from_arrays({"share": np.array(1.0)})
