import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed, rows
from condvae.rows import chunk_size, map_rows, num_rows, require_finite


def double(model, row, key):
    return model * row, jax.random.normal(key)


def test_chunks_do_not_change_the_result(monkeypatch):
    x, key = np.arange(23.0).reshape(23, 1), jax.random.key(0)
    whole = map_rows(double, jnp.asarray(2.0), x, key)
    monkeypatch.setattr(rows, "MAX_ROWS", 4)
    pieces = map_rows(double, jnp.asarray(2.0), x, key)
    np.testing.assert_array_equal(whole[0], 2 * x)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(np.unique(whole[1])) == 23  # every row has noise of its own


def test_no_rows_give_no_rows():
    value, noise = map_rows(double, jnp.asarray(2.0), np.zeros((0, 3)), jax.random.key(0))
    assert value.shape == (0, 3)
    assert noise.shape == (0,)


def test_one_shape_is_compiled_once():
    traces = []

    def counted(model, row, key):
        traces.append(1)
        return model + row

    for n in (900, 1000, 1024, 513):  # all in chunks of 1024 rows
        map_rows(counted, jnp.zeros(2), np.zeros((n, 2)), jax.random.key(0))
    assert len(traces) == 1


def test_chunks_are_bounded_by_memory():
    wide = np.zeros((1, 10_000))
    assert chunk_size(10**6, draws=1, row=wide) * 10_000 <= rows.MAX_CELLS
    assert chunk_size(10**6, draws=10**6, row=wide) == 1
    assert chunk_size(5, draws=1, row=np.zeros((1, 2))) == 8


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"x": np.zeros(3), "c": np.zeros(4)}, "x has 3 rows but c has 4"),
        ({"x": {"a": np.zeros(3), "b": np.zeros(2)}}, "the arrays in x have 3 and 2 rows"),
        ({"x": np.float32(1.0)}, "x is a scalar, expected rows"),
        ({"x": None}, "no arrays in x"),
    ],
)
def test_rows_that_do_not_match_are_refused(named, message):
    with pytest.raises(ValueError, match=message):
        num_rows(**named)


def test_a_nan_is_named_with_its_row():
    x = np.zeros((5, 2))
    require_finite(x=x, c=Observed(np.zeros(3, int), np.ones(3, bool)))
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="x has a NaN or an infinity in row 3"):
        require_finite(x=x)
    with pytest.raises(ValueError, match="c has a NaN or an infinity in row 0"):
        require_finite(c={"a": np.array([np.inf])})
