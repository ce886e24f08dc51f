"""What pictures have in common."""

import numpy as np

from condvae.plots.style import abbreviated, edges


def test_long_names_keep_both_ends():
    assert abbreviated("a" * 24) == "a" * 24
    assert abbreviated("a" * 20 + "b" * 20) == "a" * 12 + "…" + "b" * 11
    assert [len(abbreviated("x" * 99, most)) for most in (8, 9)] == [8, 9]


def test_bins_of_whole_numbers_hold_equally_many():
    for limits in ((-0.3, 5.2), (172.0, 231.0), (0.0, 1000.0)):
        found = np.array(edges(limits, 15, whole=True))
        assert found[0] < limits[0] + 0.5
        assert found[-1] > limits[1]
        assert len(set(np.diff(found))) == 1
        assert np.all(found % 1 == 0.5)
