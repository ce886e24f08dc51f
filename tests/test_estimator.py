"""`ConditionalVAE`: frames in and out, densities in the user's own units, and what it refuses."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

import condvae
from condvae import ConditionalVAE
from condvae.bundle import BundleError
from condvae.tables import TableError
from condvae.training import History

ROWS = 600
FAST = {"width": 16, "depth": 1, "num_steps": 400}
BARE = {"width": 4, "depth": 1, "validation_fraction": 0}  # for what needs no training
ONE_SHAPE = 32  # rows scored wherever their number does not matter: compiling is what costs
SD = 2.0


def mixed(n=ROWS, seed=0):
    """Conditions and targets of every kind, a tenth of the cells missing, with an index of names."""
    rng = np.random.default_rng(seed)
    dose, site = rng.normal(size=n), rng.choice(["north", "south"], n)
    response = 100 + 5 * dose + 10 * (site == "south") + 3 * rng.normal(size=n)
    X = pd.DataFrame({"dose": dose, "site": site})
    y = pd.DataFrame(
        {
            "response": response,
            "events": rng.poisson(np.exp(1 + 0.5 * dose)),
            "grade": rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
            "alive": rng.random(n) < 0.8,
        }
    )
    index = pd.Index([f"row {i}" for i in range(n)], name="id")
    X, y = X.set_index(index), y.set_index(index)
    X.loc[rng.random(n) < 0.1, "site"] = None
    y.loc[rng.random(n) < 0.1, "response"] = np.nan
    return X, y


def regression(n, seed):
    """Gaussian regression with a known density: y | x ~ Normal(3 + 4 x, SD²)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1))
    return x, 3 + 4 * x[:, 0] + SD * rng.normal(size=n)


@pytest.fixture(scope="module")
def tables():
    return mixed()


@pytest.fixture(scope="module")
def model(tables):
    return ConditionalVAE(**FAST).fit(*tables)


@pytest.fixture(scope="module")
def gaussian():
    return ConditionalVAE(**FAST | {"num_steps": 1500}).fit(*regression(2000, 0))


@pytest.fixture
def untrained(monkeypatch):
    """Fitting that leaves the model as it was made; what the core was asked for is kept."""
    calls = []

    def fit(model, *_, **options):
        calls.append(options)
        return model, History()

    monkeypatch.setattr("condvae.estimator.fit", fit)
    return calls


# --- frames in, the same kind out


def test_pandas_comes_back_with_its_index_and_types(model, tables):
    X, y = tables
    samples = model.sample(X.head(4), 2)
    assert isinstance(samples, pd.DataFrame)
    assert samples.index.names == ["row", "draw"]
    assert samples.index.tolist() == [(name, i) for name in X.index[:4] for i in range(2)]
    assert samples.dtypes.drop("grade").to_dict() == y.dtypes.drop("grade").to_dict()
    assert list(samples.columns) == list(y.columns)
    assert set(samples["grade"]) <= {"a", "b", "c"}


def test_polars_and_arrow_come_back_as_such(model, tables):
    X, y = (table.head(ONE_SHAPE).reset_index(drop=True) for table in tables)
    expected = model.sample(X.head(4), 2).reset_index(drop=True)
    for convert, kind in ((pl.from_pandas, pl.DataFrame), (pa.Table.from_pandas, pa.Table)):
        samples = model.sample(convert(X.head(4)), 2)
        assert isinstance(samples, kind)
        back = samples.to_pandas()
        assert back["row"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert back["draw"].tolist() == [0, 1] * 4
        assert_allclose(back["response"], expected["response"])
        assert back["grade"].tolist() == expected["grade"].tolist()
        assert back["alive"].dtype == bool
        scores = model.log_prob(convert(X), convert(y))
        assert_allclose(scores.value, model.log_prob(X, y).value)


def test_fitting_on_another_kind_of_frame_gives_the_same_model(model, tables):
    X, y = (pl.from_pandas(table) for table in tables)
    other = ConditionalVAE(**FAST).fit(X, y)
    assert other.kind_ == "polars"
    assert other.schema_.given == model.schema_.given
    scores = [m.log_prob(X.head(ONE_SHAPE), y.head(ONE_SHAPE)).value for m in (model, other)]
    assert_array_equal(*scores)  # and: the same seed gives the same model to the bit


def test_arrays_in_and_out(gaussian):
    x, y = regression(ONE_SHAPE, 1)
    samples = gaussian.sample(x[:1], 4000)
    assert samples.shape == (1, 4000, 1)
    assert samples.dtype == np.float64
    score = gaussian.log_prob(x, y)
    assert [array.shape for array in score] == [(ONE_SHAPE,)] * 3
    lists = gaussian.log_prob(x.tolist(), y.tolist())
    assert_array_equal(lists.value, score.value)


def test_a_series_as_target_keeps_its_name_and_number_names_stay_numbers(untrained):
    x, y = regression(60, 0)
    X = pd.DataFrame(x, columns=[7])
    few = ConditionalVAE(**BARE)
    samples = few.fit(X, pd.Series(y, name="yield")).sample(X.head(2))
    assert list(samples.columns) == ["yield"]
    assert list(few.fit(X, pd.Series(y, name=3)).sample(X.head(2)).columns) == [3]
    assert list(few.fit(X, pd.Series(y)).sample(X.head(2)).columns) == ["x0"]


def test_zero_and_one_row(model, tables):
    X, y = tables
    for n in (0, 1):
        assert len(model.sample(X.head(n), 2)) == 2 * n
        assert model.log_prob(X.head(n), y.head(n)).value.shape == (n,)


def test_column_order_is_free(model, tables):
    X, y = (table.head(ONE_SHAPE) for table in tables)
    turned = model.log_prob(X[X.columns[::-1]], y[y.columns[::-1]])
    assert_array_equal(turned.value, model.log_prob(X, y).value)


# --- densities


def test_scores_come_within_a_tenth_of_a_nat_of_the_truth(gaussian):
    x, y = regression(1000, 1)
    truth = -0.5 * ((y - 3 - 4 * x[:, 0]) / SD) ** 2 - np.log(SD) - 0.5 * np.log(2 * np.pi)
    assert abs(gaussian.score(x, y) - truth.mean()) < 0.1
    assert abs(gaussian.validation_["log_prob"] - truth.mean()) < 4 * gaussian.validation_["stderr"] + 0.1


def test_samples_have_the_moments_of_the_truth(gaussian):
    samples = gaussian.sample([[1.0]], 4000)[0, :, 0]
    assert abs(samples.mean() - 7) < 0.4
    assert abs(samples.std() - SD) < 0.4


def test_a_density_integrates_to_one_in_the_users_units(gaussian):
    grid = np.linspace(-45, 55, 1001)
    log_p = gaussian.log_prob(np.full((len(grid), 1), 0.5), grid).value
    assert abs(np.trapezoid(np.exp(log_p), grid) - 1) < 0.01


def test_units_shift_the_log_density_by_their_logarithm(gaussian):
    x, y = regression(2000, 0)
    k = 1024.0  # a power of two, so that standardised cells are the same to the bit
    other = ConditionalVAE(**FAST | {"num_steps": 1500}).fit(x, k * y)
    new_x, new_y = regression(ONE_SHAPE, 1)
    shift = other.log_prob(new_x, k * new_y).value - gaussian.log_prob(new_x, new_y).value
    assert_allclose(shift, -np.log(k), atol=1e-4)


def test_probabilities_of_levels_sum_to_one(model, tables):
    X, y = (table.iloc[[3] * ONE_SHAPE] for table in tables)
    grades, alive = list("aabbcc"), [True, False] * 3
    rest = [None] * (ONE_SHAPE - 6)
    log_p = model.log_prob(X, y.assign(grade=grades + rest, alive=alive + rest)).value
    assert_allclose(np.logaddexp.reduce(log_p[:6]), log_p[6:].mean(), atol=0.02)


def test_a_missing_number_is_integrated_out(model, tables):
    X, y = tables
    i = int(np.flatnonzero(y["response"].notna() & X["site"].notna())[0])
    grid = np.linspace(0, 200, 801)
    filled = y.iloc[[i] * len(grid)].assign(response=grid)
    density = np.exp(model.log_prob(X.iloc[[i] * len(grid)], filled).value)
    blank = y.iloc[[i] * ONE_SHAPE].assign(response=np.nan)
    marginal = model.log_prob(X.iloc[[i] * ONE_SHAPE], blank).value.mean()
    assert_allclose(np.log(np.trapezoid(density, grid)), marginal, atol=0.02)


def test_a_row_without_targets_has_log_density_zero(model, tables):
    X, y = tables[0].head(ONE_SHAPE), tables[1].head(ONE_SHAPE)
    nothing = y.assign(response=np.nan, events=np.nan, grade=None, alive=None)
    assert_array_equal(model.observed_rows(nothing), [False] * ONE_SHAPE)
    score = model.log_prob(X, nothing)
    assert not score.value.any()
    assert not score.stderr.any()
    with pytest.raises(TableError, match="no row has an observed target"):
        model.score(X, nothing)


def test_rows_without_a_target_are_not_averaged_in(model, tables):
    X, y = tables[0].head(ONE_SHAPE), tables[1].head(20).reindex(tables[0].index[:ONE_SHAPE])
    value = model.log_prob(X, y).value
    assert_array_equal(value[20:], 0)
    assert_allclose(model.score(X, y), value[:20].mean(), rtol=1e-6)


def test_the_error_is_of_the_size_that_it_says(model, tables):
    X, y = tables[0].head(ONE_SHAPE), tables[1].head(ONE_SHAPE)
    runs = np.stack([model.log_prob(X, y, random_state=s).value for s in range(30)])
    said = model.log_prob(X, y).stderr
    ratio = np.median(runs.std(axis=0) / said)
    assert 0.5 < ratio < 2


# --- no conditions, seeds, parameters


def test_no_conditions(tables, untrained):
    _, y = tables
    plain = ConditionalVAE(**BARE).fit(None, y)
    samples = plain.sample(n=50)
    assert samples.shape == (50, 4)
    assert samples.index.tolist() == [(0, draw) for draw in range(50)]
    assert plain.log_prob(None, y.head(5)).value.shape == (5,)
    assert plain.schema_.given == ()


def test_draws_follow_their_seed(model, tables):
    X = tables[0].head(4)
    pd.testing.assert_frame_equal(model.sample(X, 2), model.sample(X, 2))
    pd.testing.assert_frame_equal(model.sample(X, 2), model.sample(X, 2, random_state=0))
    assert not model.sample(X, 2, random_state=1)["response"].equals(model.sample(X, 2)["response"])


def test_get_params_and_clone(model):
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert twin.get_params().items() >= FAST.items()
    assert not hasattr(twin, "model_")
    assert clone(model).set_params(width=3).width == 3


def test_notes_say_what_an_analyst_should_know(untrained):
    x, y = regression(30, 0)
    X = pd.DataFrame({"x": x[:, 0], "same": 1.0})
    y[:3] = np.nan
    notes = ConditionalVAE(**BARE).fit(X, y).notes_
    assert notes == [
        "3 of 30 rows have no observed target and were left out",
        "condition 'same' is constant and tells the model nothing",
        "27 rows are few: expect a rough model",
    ]


def test_weights_of_rows_that_are_left_out_go_with_them(untrained):
    x, y = regression(60, 0)
    y[:5] = np.nan
    ConditionalVAE(**BARE).fit(x, y, sample_weight=np.arange(60.0))
    assert_array_equal(untrained[-1]["sample_weight"], np.arange(5.0, 60.0))


# --- saved and loaded


def test_save_and_load(model, tables, tmp_path):
    X, y = tables[0].head(ONE_SHAPE), tables[1].head(ONE_SHAPE)
    model.save(tmp_path / "model")
    loaded = ConditionalVAE.load(tmp_path / "model")
    assert_allclose(loaded.log_prob(X, y).value, model.log_prob(X, y).value, rtol=1e-5)
    pd.testing.assert_frame_equal(loaded.sample(X.head(4), 2), model.sample(X.head(4), 2))
    for name in (
        "schema_",
        "notes_",
        "validation_",
        "num_rows_",
        "num_parameters_",
        "provenance_",
        "kind_",
    ):
        assert getattr(loaded, name) == getattr(model, name)
    assert loaded.get_params() == model.get_params()
    assert loaded.history_.records == model.history_.records
    assert loaded.history_.best_step == model.history_.best_step


def test_parameters_of_numpy_can_be_saved(model, tmp_path):
    searched = ConditionalVAE.load(_saved(model, tmp_path)).set_params(num_steps=np.int64(7))
    searched.save(tmp_path / "again")
    assert ConditionalVAE.load(tmp_path / "again").num_steps == 7


def test_a_saved_model_that_is_not_of_a_table_or_is_of_another_version(model, tmp_path):
    condvae.save(tmp_path / "core", model.model_)
    with pytest.raises(BundleError, match=r"not of a table: use condvae\.load"):
        ConditionalVAE.load(tmp_path / "core")
    condvae.save(tmp_path / "odd", model.model_, manifest={"kind": "table", "parameters": {"hidden": 3}})
    with pytest.raises(BundleError, match="saved by another version of condvae"):
        ConditionalVAE.load(tmp_path / "odd")


def _saved(model, folder):
    model.save(folder / "model")
    return folder / "model"


# --- refused, before any training


X5, Y5 = np.arange(10.0).reshape(5, 2), np.arange(5.0)


@pytest.mark.parametrize(
    "X, y, sentence",
    [
        (X5, None, "y is None"),
        (X5, Y5[:4], "the conditions have 5 rows and the targets 4"),
        (X5, np.ones(5), "target column 'x0' is constant"),
        (X5, np.full(5, np.nan), "column 'x0' has no observed cell"),
        (X5, np.array([0, 1, 2, 3, np.inf]), "column 'x0', row 5 is infinite"),
        (X5[:1], Y5[:1], "the table has only one row"),
        (X5[:0], Y5[:0], "no observed cell|no rows"),
        (X5.reshape(5, 2, 1), Y5, r"rows and columns, got one of shape \(5, 2, 1\)"),
        (np.array([[1.0], ["a"], [2], [3], [4]], object), Y5, "make each all numbers or all text"),
        (pd.DataFrame({"a": Y5}), pd.DataFrame({"a": Y5}), "column 'a' is both given and a target"),
        ("data.csv", Y5, "expected a pandas, polars or pyarrow table, got str"),
        (None, np.array([1.0, np.nan, np.nan]), "constant|two"),
    ],
)
def test_bad_input_is_one_sentence_before_any_training(untrained, X, y, sentence):
    with pytest.raises(TableError, match=sentence):
        ConditionalVAE(**BARE).fit(X, y)
    assert not untrained


def test_weights_of_another_length_are_refused(untrained):
    with pytest.raises(ValueError, match=r"sample_weight has shape \(6,\), expected \(5,\)"):
        ConditionalVAE(**BARE).fit(X5, Y5, sample_weight=np.ones(6))
    assert not untrained


def test_bad_input_at_prediction(model, tables):
    X, y = tables[0].head(3), tables[1].head(3)
    with pytest.raises(TableError, match="no column 'site'"):
        model.sample(X[["dose"]])
    with pytest.raises(TableError, match=r"column 'site', row 1: the category 'east' was not there"):
        model.sample(X.assign(site="east"))
    with pytest.raises(TableError, match="'dose'"):
        model.log_prob(X.assign(dose="high"), y)
    with pytest.raises(TableError, match="given dose, site; pass them as X"):
        model.sample(None)
    with pytest.raises(TableError, match="y is None"):
        model.log_prob(X, None)
    with pytest.raises(ValueError, match="2 rows"):
        model.log_prob(X, y.head(2))
    with pytest.raises(ValueError, match="expected at least 1 draw"):
        model.sample(X, 0)


def test_before_fitting():
    with pytest.raises(Exception, match="not fitted yet"):
        ConditionalVAE().sample(X5)
