import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed, vectorise
from condvae.vectorise import chunk_size, map_rows, num_rows, require_finite


def double(model, row, key):
    return model * row, jax.random.normal(key)


def test_chunks_do_not_change_the_result(monkeypatch):
    x, key = np.arange(23.0).reshape(23, 1), jax.random.key(0)
    whole = map_rows(double, jnp.asarray(2.0), x, key)
    monkeypatch.setattr(vectorise, "MAX_ROWS", 4)
    pieces = map_rows(double, jnp.asarray(2.0), x, key)
    np.testing.assert_array_equal(whole[0], 2 * x)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(np.unique(whole[1])) == 23  # every row has noise of its own


def test_programs_are_kept_of_the_last_few_models():
    traced = []

    @vectorise.compiled(2)
    def scaled(factor, x, *, more=0):
        traced.append(factor)
        return factor * x + more

    x = np.ones(3)
    for factor in (2, 3, 2, 5, 2, 3):  # 3 was used least recently when 5 came
        np.testing.assert_array_equal(scaled(factor, x, more=1), factor * x + 1)
    assert traced == [2, 3, 5, 3]
    assert scaled(3, np.ones(2)).shape == (2,)
    assert len(scaled.kept) == 2


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
    assert chunk_size(10**6, draws=1, row=wide) * 10_000 <= vectorise.MAX_CELLS
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


def test_lengths_are_bucketed_and_little_is_wasted():
    lengths = np.unique(np.geomspace(1, 10**7, 400).astype(int))
    padded = np.array([vectorise.bucket(int(n)) for n in lengths])
    small = lengths <= vectorise.MAX_ROWS
    assert (padded >= lengths).all()
    assert (padded[small] < 2 * lengths[small]).all()
    assert (padded[~small] <= 1.125 * lengths[~small]).all()
    assert [vectorise.bucket(int(n)) for n in padded] == padded.tolist()
    assert len(np.unique(padded)) < 100


def test_a_seed_tells_of_a_rows_content_and_of_nothing_else():
    rng = np.random.default_rng(0)
    x = {
        "numeric": Observed(rng.normal(size=(500, 2)).astype(np.float32), rng.random((500, 2)) < 0.5),
        "codes": rng.integers(0, 3, (500, 4)),
        "half": rng.random((500, 1)).astype(np.float16),
    }
    seeds = vectorise.content_seeds(x)
    assert seeds.shape == (500,)
    assert seeds.dtype == np.uint32
    assert len(np.unique(seeds)) == 500
    order = rng.permutation(500)[:123]
    picked = jax.tree.map(lambda leaf: leaf[order], x)
    np.testing.assert_array_equal(vectorise.content_seeds(picked), seeds[order])
    np.testing.assert_array_equal(
        vectorise.content_seeds(jax.tree.map(jnp.asarray, picked)),
        vectorise.content_seeds(jax.tree.map(jnp.asarray, x))[order],
    )
    for change in (
        lambda x: x["numeric"].value.__setitem__((7, 1), 0.25),
        lambda x: x["numeric"].mask.__setitem__((7, 1), ~x["numeric"].mask[7, 1]),
        lambda x: x["codes"].__setitem__((7, 3), 5),
        lambda x: x["half"].__setitem__((7, 0), x["half"][7, 0] + 0.01),
    ):
        other = jax.tree.map(np.copy, x)
        change(other)
        assert np.flatnonzero(vectorise.content_seeds(other) != seeds).tolist() == [7]


def test_the_two_zeros_are_one_content():
    np.testing.assert_array_equal(*(vectorise.content_seeds(np.array([[zero]])) for zero in (0.0, -0.0)))


def test_there_is_a_seed_for_each_row():
    with pytest.raises(ValueError, match=r"seeds has shape \(2,\), expected \(3,\): give one for each row"):
        vectorise.map_rows(
            lambda model, row, key: row, None, np.zeros(3), jax.random.key(0), seeds=np.zeros(2)
        )


def test_seeds_take_the_place_of_rows_in_the_key():
    x, key = np.zeros((5, 1)), jax.random.key(0)
    _, noise = map_rows(double, jnp.asarray(2.0), x, key)
    _, seeded = map_rows(double, jnp.asarray(2.0), x, key, seeds=np.array([4, 4, 0, 2, 1]))
    np.testing.assert_array_equal(seeded, noise[[4, 4, 0, 2, 1]])
