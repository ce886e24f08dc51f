"""What holds of any rows, on models fitted once: many tables each."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from condvae import ConditionalVAE, tables, vectorise
from estimator.known import LEVELS

SOME, MANY = (
    settings(max_examples=n, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    for n in (50, 200)
)
DRAWS = 8

numbers = st.one_of(st.floats(-30, 30, width=32), st.none())
texts = st.one_of(st.sampled_from(LEVELS), st.none())
tuples = st.lists(st.tuples(numbers, numbers, numbers, texts), min_size=0, max_size=8)


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    monkeypatch.setattr(vectorise, "chunk_size", lambda *_: 8)


def frames(cells):
    u, x0, x1, g = zip(*cells, strict=True) if cells else ((),) * 4
    X = pd.DataFrame({"u": pd.Series(u, dtype=float)})
    y = pd.DataFrame({"x0": pd.Series(x0, dtype=float), "x1": pd.Series(x1, dtype=float)})
    return X, y.assign(g=pd.Series(g, dtype=object))


def log_prob(estimator, X, y):
    return estimator.log_prob(X, y, num_samples=DRAWS, budget=DRAWS).value


@given(tuples, st.randoms(use_true_random=False), st.sampled_from(["polars", "pyarrow"]))
@SOME
def test_order_of_rows_and_columns_and_kind_of_frame(known, cells, random, kind):
    X, y = frames(cells)
    value = log_prob(known.estimator, X, y)
    assert value.shape == (len(X),)
    assert np.isfinite(value).all()
    turn = list(range(len(X)))
    random.shuffle(turn)
    names = list(y)
    random.shuffle(names)
    assert_array_equal(log_prob(known.estimator, X.iloc[turn], y.iloc[turn][names]), value[turn])
    convert = pl.from_pandas if kind == "polars" else pa.Table.from_pandas
    assert_array_equal(log_prob(known.estimator, convert(X), convert(y[names])), value)


@given(tuples)
@MANY
@pytest.mark.slow
def test_chunks_of_any_size(known, monkeypatch, cells):
    X, y = frames(cells)
    with monkeypatch.context() as patch:
        value = log_prob(known.estimator, X, y)
        patch.setattr(vectorise, "chunk_size", lambda *_: 2)
        assert_allclose(log_prob(known.estimator, X, y), value, rtol=1e-5, atol=1e-5)


def altered(known, change):
    """The same members under another schema."""
    twin = object.__new__(ConditionalVAE)
    twin.__dict__.update(known.estimator.__dict__)
    schema = known.estimator.schema_
    given, target = (tuple(change(column) for column in part) for part in (schema.given, schema.target))
    twin.schema_ = tables.Schema(given, target)
    twin.table_ = replace(known.estimator.table_, schema=twin.schema_)
    return twin


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6)


@given(tuples, st.lists(names, min_size=4, max_size=4, unique=True))
@MANY
@pytest.mark.slow
def test_names_of_any_letters(known, cells, chosen):
    X, y = frames(cells)
    called = dict(zip(["u", "x0", "x1", "g"], chosen, strict=True))
    twin = altered(known, lambda column: replace(column, name=called[column.name]))
    renamed = X.rename(columns=called), y.rename(columns=called)
    assert_array_equal(log_prob(twin, *renamed), log_prob(known.estimator, X, y))
    assert list(twin.sample(renamed[0], 2).columns) == chosen[1:]


@pytest.mark.slow
@given(tuples, st.integers(-20, 20))
@MANY
def test_units_shift_log_densities_by_their_logarithm(known, cells, power):
    """Powers of two, so that cells standardised, and with them the noise, are the same to the bit."""
    X, y = frames(cells)
    k = 2.0**power

    def rescale(column):
        return replace(column, mean=k * column.mean, sd=k * column.sd) if column.name == "x0" else column

    value = log_prob(known.estimator, X, y)
    found = log_prob(altered(known, rescale), X, y.assign(x0=k * y["x0"]))
    shift = np.where(y["x0"].notna(), np.log(k), 0.0)
    assert_allclose(found + shift, value, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@given(tuples, st.permutations(LEVELS))
@MANY
def test_order_in_which_categories_are_declared(known, cells, order):
    X, y = frames(cells)
    declared = y.assign(g=pd.Categorical(y["g"], order))
    assert_array_equal(log_prob(known.estimator, X, declared), log_prob(known.estimator, X, y))


@given(tuples, st.sampled_from([1, 3]))
@MANY
@pytest.mark.slow
def test_shapes_types_and_what_is_observed(known, cells, n):
    X, y = frames(cells)
    drawn = known.estimator.sample(X, n)
    assert drawn.shape == (n * len(X), 3)
    assert [str(drawn[name].dtype) for name in ("x0", "x1")] == ["float64"] * 2
    assert set(drawn["g"]) <= set(LEVELS)
    filled = known.estimator.impute(X, y)
    assert filled.notna().to_numpy().all()
    for name in y:
        seen = y[name].notna()
        assert filled[name][seen].tolist() == y[name][seen].tolist()
    below = known.estimator.cdf(X, y, num_samples=DRAWS)
    above = known.estimator.exceedance(X, y, num_samples=DRAWS)
    for name in ("x0", "x1"):
        assert_array_equal(below[name].isna(), y[name].isna())
        assert ((below[name].dropna() >= 0) & (below[name].dropna() <= 1)).all()
        assert_allclose(below[name] + above[name], np.where(y[name].isna(), np.nan, 1.0))


@given(tuples)
@MANY
@pytest.mark.slow
def test_kept_as_plain_data_and_back(known, cells):
    """What a file holds: the schema through JSON, and arrays."""
    X, y = frames(cells)
    schema = tables.Schema.from_json(known.estimator.schema_.to_json())
    twin = altered(known, lambda column: column)
    model = known.estimator.table_
    twin.schema_ = schema
    twin.table_ = type(model).from_arrays(schema, model.mixture, model.best, model.arrays())
    assert_array_equal(log_prob(twin, X, y), log_prob(known.estimator, X, y))
    pd.testing.assert_frame_equal(twin.support(X), known.estimator.support(X))
