import numpy as np
import pytest

ROWS = 128


@pytest.fixture(scope="module")
def rows():
    """x and c that have nothing to do with each other."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, 3)).astype(np.float32), rng.normal(size=(ROWS, 2)).astype(np.float32)
