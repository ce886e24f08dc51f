"""Queries on frames of every kind: the same kind out, rows, columns and types; and what is refused."""

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from condvae import ConditionalVAE, scoring
from condvae.estimator.queries import RoughWarning
from condvae.table_models import fitting
from condvae.tables import TableError
from condvae.training import History
from estimator.known import QUERY_ROWS
from estimator.mixed import BARE, GRADES, KINDS, TYPES, convert

pytestmark = pytest.mark.usefixtures("one_shape")
N = 6

TARGETS = ["response", "events", "colour", "alive", "grade"]
NUMERIC = ["response", "events"]
LEVELS = [f"colour={c}" for c in ("black", "blue", "red")]
LEVELS += ["alive=False", "alive=True", *(f"grade={g}" for g in GRADES)]
SUPPORT = ["outside", "columns", "percentile"]
LATENTS = [f"z{i}" for i in range(5)]

# name: (the question, the columns of the answer, rows for each row asked about)
QUERIES = {
    "sample": (lambda m, X, y: m.sample(X, 2), TARGETS, 2),
    "predict": (lambda m, X, y: m.predict(X, num_samples=200), TARGETS, 1),
    "predict_with_support": (
        lambda m, X, y: m.predict(X, num_samples=200, with_support=True),
        TARGETS + [f"support_{name}" for name in SUPPORT],
        1,
    ),
    "quantile": (lambda m, X, y: m.quantile(X, num_samples=200), NUMERIC, 1),
    "quantiles": (
        lambda m, X, y: m.quantile(X, [0.1, 0.9], num_samples=200),
        ["response_q0.1", "response_q0.9", "events_q0.1", "events_q0.9"],
        1,
    ),
    "interval": (
        lambda m, X, y: m.interval(X, num_samples=200),
        ["response_low", "response_high", "events_low", "events_high"],
        1,
    ),
    "cdf": (lambda m, X, y: m.cdf(X, y, num_samples=200), NUMERIC, 1),
    "cdf_of_one": (lambda m, X, y: m.cdf(X, {"events": 2}, num_samples=200), ["events"], 1),
    "exceedance": (lambda m, X, y: m.exceedance(X, 3, num_samples=200), NUMERIC, 1),
    "predict_proba": (lambda m, X, y: m.predict_proba(X, num_samples=200), LEVELS, 1),
    "transform": (lambda m, X, y: m.transform(X), LATENTS, 1),
    "transform_y": (lambda m, X, y: m.transform(X, y), LATENTS, 1),
    "counterfactual": (lambda m, X, y: m.counterfactual(X, y, X, 2), TARGETS, 2),
    "transform_refined": (lambda m, X, y: m.transform(X, y, refine=True), LATENTS, 1),
    "counterfactual_refined": (lambda m, X, y: m.counterfactual(X, y, X, 2, refine=True), TARGETS, 2),
    "impute": (lambda m, X, y: m.impute(X, y), TARGETS, 1),
    "imputations": (lambda m, X, y: m.impute(X, y, 2), TARGETS, 2),
    "support": (lambda m, X, y: m.support(X), SUPPORT, 1),
}


def plain(frame):
    """Columns of any frame as lists, without `row` and `draw`."""
    columns = nw.from_native(frame, eager_only=True).to_dict(as_series=False)
    return {name: cells for name, cells in columns.items() if name not in ("row", "draw")}


def alike(one, other):
    assert list(one) == list(other)
    for name, cells in one.items():
        if isinstance(cells[0], float):
            assert_allclose(cells, other[name], rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert cells == list(other[name]), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", QUERIES)
def test_the_same_kind_comes_back(model, tables, name, kind):
    ask, columns, draws = QUERIES[name]
    X, y = (table.head(N) for table in tables)
    found = ask(model, convert(X, kind), convert(y, kind))
    assert isinstance(found, TYPES[kind])
    names = list(nw.from_native(found, eager_only=True).columns)
    assert names == (["row", "draw"] if draws > 1 and kind != "pandas" else []) + columns
    assert len(found) == draws * N
    if kind == "pandas":
        index = X.index
        if draws > 1:
            index = pd.MultiIndex.from_tuples(
                [(label, i) for label in index for i in range(draws)], names=["row", "draw"]
            )
        pd.testing.assert_index_equal(found.index, index, check_names=draws > 1)
        if "grade" in found:
            assert found["grade"].dtype == y["grade"].dtype
            assert found["alive"].dtype == bool
            assert found["colour"].dtype == y["colour"].dtype
    else:
        alike(plain(found), plain(ask(model, X, y)))
        if draws > 1:
            columns = nw.from_native(found, eager_only=True).to_dict(as_series=False)
            assert columns["row"] == [i for i in range(N) for _ in range(draws)]
            assert columns["draw"] == list(range(draws)) * N
        if "grade" in names and kind == "polars":
            assert found["grade"].dtype == pl.Enum(GRADES)
        if "grade" in names and kind == "pyarrow":
            assert found["grade"].type.ordered


def test_draws_are_of_the_columns_own_types(model, tables):
    X, y = (table.head(N) for table in tables)
    drawn = model.sample(X, 2)
    assert drawn.dtypes.to_dict() == y.dtypes.to_dict()
    assert set(drawn["colour"]) <= {"red", "blue", "black"}
    assert model.sample(convert(X, "polars"), 2)["events"].dtype == pl.Int64
    assert model.sample(convert(X, "pyarrow"), 2)["events"].type == pa.int64()


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("name", QUERIES)
def test_few_rows_of_a_frame(model, tables, name, n):
    ask, columns, draws = QUERIES[name]
    X, y = (table.head(n) for table in tables)
    found = ask(model, X, y)
    assert found.shape == (draws * n, len(columns))
    if "colour" in found and n:
        assert found["colour"].dtype == y["colour"].dtype


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows_of_an_array(known_arrays, n):
    m, X, y = known_arrays.estimator, known_arrays.asked[:n], known_arrays.answered[:n]
    shapes = {
        (n, 3, 2): [m.sample(X, 3), m.counterfactual(X, y, X, 3), m.impute(X, y, 3)],
        (n, 2, 2): [m.interval(X), m.quantile(X, [0.1, 0.2])],
        (n, 2): [m.predict(X), m.quantile(X), m.cdf(X, y), m.exceedance(X, 1.0), m.impute(X, y)],
        (n, 1): [m.transform(X), m.transform(X, y)],
        (n,): [m.cdf(X, {"x1": 0.0}), m.log_prob(X, y).value, m.elbo(X, y), m.score_samples(X)],
    }
    for shape, found in shapes.items():
        for array in found:
            assert array.shape == shape
            assert array.dtype.kind == "f"
    found = m.support(X)
    assert sorted(found) == sorted(SUPPORT)
    assert all(array.shape == (n,) for array in found.values())


def test_lists_are_arrays(known_arrays):
    m, X, y = known_arrays.estimator, known_arrays.asked, known_arrays.answered
    assert_array_equal(m.log_prob(X.tolist(), y.tolist()).value, m.log_prob(X, y).value)


def test_without_conditions(known_plain):
    m, y = known_plain.estimator, known_plain.y
    assert m.sample(n=5).index.tolist() == [(0, i) for i in range(5)]
    for found in (
        m.predict(),
        m.quantile(),
        m.interval(),
        m.cdf(None, 1.0),
        m.predict_proba(),
        m.support(),
    ):
        assert len(found) == 1
    assert not m.support()["outside"].any()
    assert m.transform(None).shape == (1, 1)
    assert_array_equal(m.transform(None), 0)  # the prior's mean
    by_row = m.cdf(None, y)
    pd.testing.assert_index_equal(by_row.index, y.index)
    assert by_row.shape == (QUERY_ROWS, 2)
    assert_allclose(by_row["x0"].iloc[0], m.cdf(None, {"x0": y["x0"].iloc[0]})["x0"].iloc[0], atol=0.1)
    assert m.transform(None, y).index.equals(y.index)
    assert m.log_prob(None, y).value.shape == (QUERY_ROWS,)
    filled = m.impute(None, y.assign(x1=np.nan))
    assert filled.index.equals(y.index)
    assert filled["x1"].notna().all()
    assert len(m.impute(None, y, 3)) == 3 * QUERY_ROWS
    with pytest.raises(TableError, match="fitted without conditions, so there are none to change"):
        m.counterfactual(None, y, None)


def test_thresholds_of_several_lengths(known_plain):
    with pytest.raises(
        TableError, match=r"y\['x0'\] has shape \(2,\); give one number, or one for each of 3 rows"
    ):
        known_plain.estimator.cdf(None, {"x0": [1.0, 2.0], "x1": [1.0, 2.0, 3.0]})


def test_rows_of_which_few_draws_agree_with_what_is_observed_are_counted(known, monkeypatch):
    """Of rows with a hole; the others have nothing to draw, or nothing that it must agree with."""
    imputed, y = scoring.imputed, known.y.assign(g=None)
    y.loc[y.index[0], ["x0", "x1"]] = np.nan
    monkeypatch.setattr(scoring, "imputed", lambda *a, **b: imputed(*a, **b)._replace(ess=np.ones((8, 1))))
    with pytest.warns(RoughWarning, match="missing cells of 7 of 8 rows are rough") as said:
        known.estimator.impute(known.asked, y)
    assert (said[0].message.rows, said[0].message.seen) == (7, 8)


def test_refined_latents_are_those_of_the_best_member_and_rough_ones_are_counted(known, monkeypatch):
    model, y = known.estimator, known.y
    mean = scoring.posterior_mean

    def rough(*args, **options):
        found = mean(*args, **options)
        return found._replace(value=7.0 + 0 * found.value, ess=np.where(np.arange(8) < 3, 1.0, 100.0))

    monkeypatch.setattr(scoring, "posterior_mean", rough)
    with pytest.warns(RoughWarning, match="latents of 3 of 8 rows are rough") as said:
        assert (model.transform(known.asked, y, refine=True).to_numpy() == 7.0).all()
    assert (said[0].message.rows, said[0].message.what) == (3, "latents")
    assert (model.transform(known.asked, y).to_numpy() != 7.0).any()


def test_observed_cells_stay_to_the_bit(model, tables):
    X, y = (table.head(40) for table in tables)
    filled = model.impute(X, y)
    pd.testing.assert_index_equal(filled.index, y.index, check_names=False)
    assert filled.notna().to_numpy().all()
    assert y.isna().any(axis=None)
    assert filled.dtypes.to_dict() == y.dtypes.to_dict()
    many = model.impute(X, y, 3)
    for name in y:
        seen = y[name].notna().to_numpy()
        assert filled[name][seen].tolist() == y[name][seen].tolist()
        assert many[name].to_numpy().reshape(-1, 3)[seen].tolist() == [[v] * 3 for v in y[name][seen]]
    holes = y["response"].isna().to_numpy()
    assert (np.ptp(many["response"].to_numpy().reshape(-1, 3)[holes], axis=1) > 0).all()
    arrays = y["response"].to_numpy()
    assert_array_equal(model.impute(X, y, random_state=5)["response"][~holes], arrays[~holes])


def test_every_cell_may_be_missing(model, tables):
    X, y = (table.head(N) for table in tables)
    blank_X, blank_y = (pd.DataFrame({name: [None] * N for name in t}, dtype=object) for t in (X, y))
    assert np.isfinite(model.predict(blank_X)["response"]).all()
    assert not model.log_prob(blank_X, blank_y).value.any()
    assert model.impute(blank_X, blank_y).notna().to_numpy().all()
    assert model.cdf(X, blank_y)["response"].isna().all()
    assert np.isfinite(model.transform(blank_X, blank_y)).to_numpy().all()


def test_a_category_never_seen_is_taken_as_other_and_is_outside(model, tables):
    X = tables[0].head(N).assign(site="the moon")
    assert np.isfinite(model.predict(X)["response"]).all()
    found = model.support(X)
    assert found["outside"].all()
    assert found["columns"].str.contains("site").all()


def test_support_names_the_columns_outside(model, tables):
    X = tables[0].dropna().head(N)
    far = X.assign(dose=1e3, visit=pd.Timestamp("2099-01-01"))
    found = model.support(far)
    assert found["outside"].all()
    assert (found["columns"] == "dose, visit").all()
    assert (found["percentile"] == 1).all()
    assert (model.support(X)["columns"] == "").all()
    assert (model.score_samples(far) < model.score_samples(X)).all()


def test_whole_numbers_are_whole(model, tables):
    X = tables[0].head(N)
    assert_array_equal(model.cdf(X, {"events": 2.0}), model.cdf(X, {"events": 2.9}))
    assert (model.cdf(X, {"events": 3})["events"] > model.cdf(X, {"events": 2})["events"]).all()


def test_several_draws_follow_their_seed(model, tables):
    X, y = (table.head(N) for table in tables)
    for ask in (
        lambda s: model.sample(X, 2, random_state=s),
        lambda s: model.counterfactual(X, y, X, random_state=s),
        lambda s: model.impute(X, y.assign(response=np.nan), random_state=s),
    ):
        pd.testing.assert_frame_equal(ask(None), ask(0))
        assert not ask(1)["response"].equals(ask(0)["response"])
    assert not np.array_equal(model.log_prob(X, y, random_state=1).value, model.log_prob(X, y).value)


def test_columns_may_come_in_any_order(model, tables):
    X, y = (table.head(N) for table in tables)
    turned = model.log_prob(X[X.columns[::-1]], y[y.columns[::-1]])
    assert_array_equal(turned.value, model.log_prob(X, y).value)
    assert_array_equal(model.predict(X[X.columns[::-1]])["events"], model.predict(X)["events"])


def test_fitting_on_another_kind_of_frame_gives_the_same_model(model, tables):
    X, y = tables
    other = clone(model).fit(convert(X, "polars"), convert(y, "polars"))
    assert (other.kind_, model.kind_) == ("polars", "pandas")
    assert other.schema_.target == model.schema_.target
    X, y = X.head(N), y.head(N)
    assert_array_equal(other.log_prob(X, y).value, model.log_prob(X, y).value)


def test_names_that_are_numbers_stay_numbers(known_arrays, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame({7: rng.normal(size=60)}), pd.DataFrame(rng.normal(size=(60, 2)), columns=[3, 5])
    monkeypatch.setattr(fitting, "fit", lambda *_, **__: (known_arrays.mixture, History()))
    m = ConditionalVAE(num_members=2, latent_size=1, validation_fraction=0).fit(X, y)
    X, y = X.head(2), y.head(2)
    for found in (m.sample(X, 3), m.predict(X), m.quantile(X), m.cdf(X, 0.0), m.cdf(X, y), m.impute(X, y)):
        assert list(found.columns) == [3, 5]
    assert list(m.interval(X).columns) == ["3_low", "3_high", "5_low", "5_high"]


def test_a_nameless_series_is_x0(untrained):
    y = pd.Series(np.arange(60.0))
    assert ConditionalVAE(**BARE).fit(y.to_frame("c"), y).schema_.target[0].name == "x0"
    assert ConditionalVAE(**BARE).fit(y.to_frame("c"), y.rename("yield")).schema_.target[0].name == "yield"


def test_a_category_fitted_to_arrays_and_asked_by_arrays(untrained):
    X = np.random.default_rng(0).normal(size=(60, 1))
    y = pd.DataFrame({"grade": pd.Categorical(GRADES * 20, GRADES, ordered=True)})
    m = ConditionalVAE(**BARE).fit(X, y)
    assert set(m.predict(X)) <= set(GRADES)
    assert set(m.sample(X, 2).ravel()) <= set(GRADES)
    assert m.predict_proba(X).shape == (60, 3)
    with pytest.raises(
        TableError, match="no target is numeric, so there is no interval; use predict_proba"
    ):
        m.interval(X)


def test_scores_are_means_over_rows_with_a_target(model, tables):
    X, y = tables[0].head(N), tables[1].head(N).astype(object)
    y.iloc[4:] = None
    value = model.log_prob(X, y).value
    assert_array_equal(value[4:], 0)
    assert_array_equal(model.observed_rows(y), [True] * 4 + [False] * 2)
    assert_allclose(model.score(X, y), value[:4].mean(), rtol=1e-6)
    weight = np.array([1.0, 2, 0, 0, 5, 5])
    assert_allclose(model.score(X, y, weight), (value[0] + 2 * value[1]) / 3, rtol=1e-6)
    assert_array_equal(model.score_samples(X, y), value)
    with pytest.raises(TableError, match="no row has an observed target"):
        model.score(X[4:], y[4:])


def test_the_error_is_of_the_size_that_it_says(known):
    runs = [known.estimator.log_prob(known.asked, known.y, random_state=s).value for s in range(40)]
    said = known.estimator.log_prob(known.asked, known.y).stderr
    ratio = np.median(np.std(runs, axis=0) / said)
    assert (
        0.6 < ratio < 1.5
    )  # a standard deviation of 40 runs is known to 11%, and of eight rows the median


def test_predict_proba_is_there_only_with_levels(known_arrays, known):
    assert not hasattr(known_arrays.estimator, "predict_proba")
    assert hasattr(known.estimator, "predict_proba")


def test_numbers_of_which_there_are_a_few_have_probabilities(untrained):
    X = pd.DataFrame({"dose": np.linspace(0, 1, 60)})
    y = pd.DataFrame(
        {
            "sick": [0, 1, 1] * 20,
            "grade": [1.0, 2.0, 3.0, None] * 15,
            "sign": [-1, 1] * 30,
            "size": np.linspace(0, 1, 60) ** 2,
        }
    )
    m = ConditionalVAE(**BARE, likelihoods={"grade": "ordinal", "sign": "ordinal"}).fit(X, y)
    found = m.predict_proba(X.head(3), num_samples=500)
    names = ["sick=0", "sick=1", "grade=1", "grade=2", "grade=3", "sign=-1", "sign=0", "sign=1"]
    assert found.columns.tolist() == names
    assert (found >= 0).to_numpy().all()
    below = m.cdf(X.head(3), {"grade": 2}, num_samples=500)["grade"]
    assert_allclose(below, found["grade=1"] + found["grade=2"], atol=0.05)
    for target in ("sick", "grade", "sign"):
        assert_allclose(found.filter(like=target).sum(axis=1), 1)
    alone = ConditionalVAE(**BARE).fit(X, y["sick"])
    assert alone.predict_proba(X.head(3)).columns.tolist() == ["0", "1"]
    assert ConditionalVAE(**BARE).fit(X.to_numpy(), y["sick"]).predict_proba(X.to_numpy()).shape == (60, 2)


def test_names_of_levels_do_not_clash(untrained):
    y = pd.DataFrame({"a": ["b=c", "d"] * 30, "a=b": ["c", "d"] * 30})
    found = ConditionalVAE(**BARE).fit(None, y).predict_proba(num_samples=20)
    assert found.columns.tolist() == ["a=b=c", "a=d", '"a=b"=c', '"a=b"=d']
    assert_allclose(found.sum(axis=1), 2, rtol=1e-5)


# --- refused, in one sentence


@pytest.mark.parametrize(
    "ask, error, sentence",
    [
        (lambda m, X, y: m.sample(X[["dose"]]), TableError, "no column 'site'"),
        (lambda m, X, y: m.log_prob(X.assign(dose="high"), y), TableError, "'dose'"),
        (lambda m, X, y: m.sample(None), TableError, "given dose, site, visit; pass them as X"),
        (lambda m, X, y: m.log_prob(X, None), TableError, "y is None"),
        (lambda m, X, y: m.log_prob(X, y.head(2)), TableError, "6 rows and the targets 2 rows"),
        (lambda m, X, y: m.cdf(X, y.head(2)), TableError, "6 rows and the targets 2 rows"),
        (lambda m, X, y: m.cdf(X, {"colour": 1}), TableError, "'colour' is no numeric target"),
        (
            lambda m, X, y: m.cdf(X, {"events": [1, 2]}),
            TableError,
            r"shape \(2,\); give one number, or one",
        ),
        (lambda m, X, y: m.counterfactual(X, y, X.head(2)), TableError, "6 rows"),
        (lambda m, X, y: m.sample(X, 0), ValueError, "n is 0, expected at least 1 draw"),
        (lambda m, X, y: m.sample(X, 1.5), ValueError, "n is 1.5, expected at least 1 draw"),
        (lambda m, X, y: m.impute(X, y, 0), ValueError, "n is 0, expected at least 1 draw"),
        (lambda m, X, y: m.predict(X, num_samples=0), ValueError, "num_samples is 0, expected at least 1"),
        (lambda m, X, y: m.quantile(X, num_samples=0), ValueError, "num_samples is 0, expected at least 1"),
        (lambda m, X, y: m.interval(X, num_samples=0), ValueError, "num_samples is 0, expected at least 1"),
        (lambda m, X, y: m.elbo(X, y, num_samples=0), ValueError, "num_samples is 0, expected at least 1"),
        (
            lambda m, X, y: m.log_prob(X, y, num_samples=3),
            ValueError,
            "num_samples is 3, expected at least 4",
        ),
        (lambda m, X, y: m.quantile(X, 1.5), ValueError, "expected numbers between 0 and 1"),
        (lambda m, X, y: m.quantile(X, [0.1, 0.1]), ValueError, "a number comes twice; give each once"),
        (lambda m, X, y: m.interval(X, 1.0), ValueError, "coverage is 1.0, expected a number between"),
        (lambda m, X, y: m.sample(X.to_dict()), TableError, "got dict"),
    ],
)
def test_bad_questions(model, tables, ask, error, sentence):
    X, y = (table.head(N) for table in tables)
    with pytest.raises(error, match=sentence):
        ask(model, X, y)


def test_intervals_that_cannot_be_adjusted(known, known_arrays):
    with pytest.raises(ValueError, match="there are no calibration rows; fit with calibration_fraction"):
        known.estimator.interval(known.asked, conformal=True)
    with pytest.raises(ValueError, match="pass X as one, or call support"):
        known_arrays.estimator.predict(known_arrays.asked, with_support=True)
    with pytest.raises(TableError, match="X has 2 features, but ConditionalVAE is expecting 1"):
        known_arrays.estimator.predict(np.zeros((3, 2)))


def test_an_unseen_category_without_a_level_for_it(untrained):
    X = pd.DataFrame({"site": ["north", "south"] * 30})
    m = ConditionalVAE(**BARE, unknown="error").fit(X, np.arange(60.0))
    with pytest.raises(TableError, match=r"column 'site', row 1: the level 'east' was not there"):
        m.predict(X.head(2).assign(site="east"))
    assert m.support(X.head(2).assign(site="east"))["outside"].all()  # which is what it is for


@pytest.mark.parametrize("ask", ["sample", "predict", "quantile", "interval", "support", "transform"])
def test_before_fitting(ask):
    with pytest.raises(Exception, match="not fitted yet"):
        getattr(ConditionalVAE(), ask)(np.zeros((2, 1)))
