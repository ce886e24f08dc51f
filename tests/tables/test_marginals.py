"""Where training of a named family begins, against SciPy."""

import numpy as np
import pytest
from scipy import stats

from condvae.tables.marginals import nb_fit, start_of

RNG = np.random.default_rng(0)


def test_a_negative_binomial_is_found():
    cells = np.sort(RNG.negative_binomial(2.0, 0.2, 20_000)).astype(float)
    r, mean = nb_fit(cells)
    assert r == pytest.approx(2.0, rel=0.05)
    assert mean == cells.mean()


def test_amounts_begin_where_scipy_ends():
    cells = np.sort(RNG.gamma(2.0, 3.0, 2000))
    a, _, scale = stats.gamma.fit(cells, floc=0)
    np.testing.assert_allclose(start_of("gamma", cells), [np.log(a * scale), np.log(a)], atol=1e-6)
    s, _, scale = stats.lognorm.fit(cells, floc=0)
    np.testing.assert_allclose(start_of("log_normal", cells), [np.log(scale), np.log(s)], atol=1e-6)
