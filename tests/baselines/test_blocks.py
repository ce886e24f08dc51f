import numpy as np
import pytest

from condvae import Observed
from condvae.baselines import blocks, design_matrix
from condvae.baselines.blocks import categorical_block, chunks, num_rows, numeric_block, slices, take


def block(value, mask=None):
    value = np.asarray(value)
    return Observed(value, np.ones(value.shape, bool) if mask is None else np.asarray(mask, bool))


def test_the_features_of_rows_are_values_and_indicators():
    c = {
        "numeric": block([[0.5, 7.0], [2.0, 3.0]], [[1, 0], [1, 1]]),
        "categorical": block([[1, 0], [9, 2]], [[1, 1], [0, 1]]),
    }
    expected = [[0.5, 0, 0, 1, *(0, 1, 0), *(1, 0, 0, 0)], [2, 3, 0, 0, *(0, 0, 1), *(0, 0, 1, 0)]]
    np.testing.assert_array_equal(design_matrix(c, (2, 3), 2), expected)
    assert design_matrix(None, (), 4).shape == (4, 0)


def test_blocks_that_are_absent_have_no_columns_and_codes_that_are_missing_are_no_levels():
    x = {"categorical": block([[5], [1]], [[0], [1]])}
    assert num_rows(x) == 2
    assert numeric_block(x, 2).value.shape == (2, 0)
    assert categorical_block(x, (2,), 2).value.tolist() == [[0], [1]]
    assert take(x["categorical"], np.array([1, 1])).mask.tolist() == [[True], [True]]
    assert slices(np.array([2, 3])) == [slice(0, 2), slice(2, 5)]


def test_chunks_cover_the_rows_once(monkeypatch):
    monkeypatch.setattr(blocks, "CELLS", 10)
    for width in (0, 3, 100):
        rows = np.concatenate([np.arange(7)[part] for part in chunks(7, width)])
        assert rows.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: num_rows({}), "no target"),
        (lambda: design_matrix({"numeric": block(np.zeros((3, 2)))}, (), 4), "expected 4 rows"),
        (
            lambda: design_matrix({"categorical": block([[0]])}, (), 1),
            "1 categorical columns, but levels of 0",
        ),
        (
            lambda: design_matrix({"categorical": block([[2]])}, (2,), 1),
            r"a code beyond its levels, \(2,\)",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
