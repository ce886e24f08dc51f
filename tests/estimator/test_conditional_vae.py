"""`ConditionalVAE` as an estimator: scikit-learn's rules, what it learns, weights, seeds, more rows."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from condvae import ConditionalVAE, elbo
from condvae.objectives import iwae, objective
from condvae.tables import TableError
from estimator.mixed import BARE

TINY = {"latent_size": 1, "num_members": 1, "width": 4, "depth": 0, "num_steps": 4, "batch_size": 16}
ONE_SHAPE = 32  # rows scored wherever their number does not matter: compiling is what costs
SD = 2.0


LONG_CHECKS = {
    "check_estimators_dtypes",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_f_contiguous_array_estimator",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weights_pandas_series",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_list",
    "check_dtype_object",
    "check_pipeline_consistency",
    "check_fit_idempotent",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_estimators_overwrite_params",
    "check_fit2d_1feature",
}
"""They compile more programs than they tell; `test_properties` and `test_queries` ask much of the same."""


def scikit_learns_checks():
    # Without held-out rows, whose scoring would be compiled for every table; with them weights are held
    # below.
    checks = estimator_checks_generator(ConditionalVAE(**TINY, validation_fraction=0.0))
    return [
        pytest.param(estimator, check, id=name, marks=pytest.mark.slow if name in LONG_CHECKS else ())
        for estimator, check in checks
        for name in [check.func.__name__]
    ]


@pytest.mark.parametrize(("estimator", "check"), scikit_learns_checks())
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def regression(n, seed):
    """Gaussian regression with a known density: y | x ~ Normal(3 + 4 x, SD²)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1))
    return x, 3 + 4 * x[:, 0] + SD * rng.normal(size=n)


def to_the_bit(one, other, X, y):
    return np.array_equal(one.log_prob(X, y).value, other.log_prob(X, y).value)


@pytest.fixture(scope="module")
def tiny():
    x, y = regression(60, 0)
    return ConditionalVAE(**TINY).fit(x, y)


# --- scikit-learn's tools


def test_in_pipelines_and_searches():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"dose": rng.normal(size=60), "site": rng.choice(["n", "s"], 60)})
    y = 2 * X["dose"].to_numpy() + rng.normal(size=60)
    columns = ColumnTransformer([("scale", StandardScaler(), ["dose"]), ("one", OneHotEncoder(), ["site"])])
    settings = TINY | {"num_steps": 40, "validation_fraction": 0}
    pipeline = make_pipeline(columns, ConditionalVAE(**settings))
    assert pipeline.fit(X, y).predict(X.head(3)).shape == (3,)
    scores = cross_val_score(pipeline, X, y, cv=2)
    search = GridSearchCV(pipeline, {"conditionalvae__learning_rate": [1e-5, 3e-2]}, cv=2, refit=False)
    search.fit(X, y)
    assert search.best_params_ == {"conditionalvae__learning_rate": 3e-2}
    assert np.isfinite(scores).all()


def test_output_of_any_kind(tiny):
    x, _ = regression(5, 1)
    expected = tiny.transform(x)
    assert expected.dtype == np.float64
    assert list(tiny.get_feature_names_out()) == ["z0"]
    for kind, cls in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        twin = pickle.loads(pickle.dumps(tiny)).set_output(transform=kind)
        found = twin.transform(x)
        assert isinstance(found, cls)
        assert list(found.columns) == ["z0"]
        assert_array_equal(found["z0"].to_numpy(), expected[:, 0])


def test_a_copy_by_pickle_is_the_same(tiny):
    x, y = regression(ONE_SHAPE, 1)
    again = pickle.loads(pickle.dumps(tiny))
    assert to_the_bit(tiny, again, x, y)
    assert_array_equal(again.sample(x, 2), tiny.sample(x, 2))


def test_get_params_and_clone(tiny):
    twin = clone(tiny)
    assert twin.get_params() == tiny.get_params()
    assert twin.get_params().items() >= TINY.items()
    assert not hasattr(twin, "model_")
    assert clone(tiny).set_params(width=3).width == 3


# --- what it learns


@pytest.fixture(scope="module")
def gaussian():
    settings = {"width": 16, "depth": 1, "num_members": 2, "num_steps": 1200, "likelihood": "gaussian"}
    return ConditionalVAE(**settings, test_fraction=0.1).fit(*regression(2000, 0))


def test_densities_come_within_a_tenth_of_a_nat_of_the_truth(gaussian):
    x, y = regression(1000, 1)
    truth = norm.logpdf(y, 3 + 4 * x[:, 0], SD)
    assert abs(gaussian.score(x, y) - truth.mean()) < 0.1
    found = gaussian.validation_
    assert (found["how"], found["rows"]) == ("test", 200)
    assert abs(found["log_prob"] - truth.mean()) < 4 * found["stderr"] + 0.1
    # Regression is the truth here; without conditions the targets are Normal(3, SD² + 16).
    linear, marginal = found["baseline"]["linear"], found["baseline"]["marginal"]
    assert abs(linear["gain"]) < 4 * linear["gain_stderr"] + 0.1
    assert abs(marginal["gain"] - 0.5 * np.log(20 / 4)) < 4 * marginal["gain_stderr"] + 0.1


def test_every_question_comes_near_the_truth(gaussian):
    """Within a fifth of the noise's sd, and a twentieth in probability: what training leaves."""
    x = np.array([[-1.0], [0.0], [1.0]])
    mean = 3 + 4 * x[:, 0]
    assert_allclose(gaussian.predict(x), mean, atol=SD / 5)
    ends = gaussian.interval(x, 0.9)
    assert_allclose(ends, np.stack([mean - 1.645 * SD, mean + 1.645 * SD], axis=1), atol=SD / 4)
    for z in (-1.0, 0.0, 1.5):
        assert_allclose(gaussian.cdf(x, (mean + z * SD)[:, None]), norm.cdf(z), atol=0.06)
    assert_allclose(gaussian.sample(x, 4000).std(axis=1)[:, 0], SD, rtol=0.2)


def test_a_density_integrates_to_one_in_the_users_units(gaussian):
    grid = np.linspace(-45, 55, 1001)
    log_p = gaussian.log_prob(np.full((len(grid), 1), 0.5), grid).value
    assert abs(np.trapezoid(np.exp(log_p), grid) - 1) < 0.01


@pytest.fixture(scope="module")
def two_modes():
    """y ~ Normal(±3, 0.5²), + with probability 0.8 at site a, 0.3 at b; g is the sign's name."""
    rng = np.random.default_rng(0)
    n = 1500
    site = rng.choice(["a", "b"], n)
    up = rng.random(n) < np.where(site == "a", 0.8, 0.3)
    X = pd.DataFrame({"site": site})
    y = pd.DataFrame({"y": np.where(up, 3, -3) + 0.5 * rng.normal(size=n), "g": np.where(up, "up", "down")})
    # A column that is modelled by one peak needs z for its two modes, which then tells of g too.
    settings = {"width": 16, "depth": 1, "num_members": 1, "num_steps": 1500, "unknown": "other"}
    settings |= {"likelihoods": {"y": "student_t"}, "joint": "latent", "learning_rate": 0.015}
    return ConditionalVAE(**settings).fit(X, y)


def test_two_modes_and_a_category_that_goes_with_them(two_modes):
    X = pd.DataFrame({"site": ["a", "b"]})
    up = np.array([0.8, 0.3])  # and of 750 rows each: known to 0.015
    assert_allclose(two_modes.predict_proba(X, num_samples=20_000)["up"], up, atol=0.06)
    assert_allclose(two_modes.cdf(X, {"y": 0.0})["y"], 1 - up, atol=0.07)
    assert list(two_modes.predict(X)["g"]) == ["up", "down"]
    drawn = two_modes.sample(X, 2000)
    same = (drawn["y"] > 0) == (drawn["g"] == "up")
    assert same.mean() > 0.95  # given X alone the two would agree in 63 of 100
    filled = two_modes.impute(X, pd.DataFrame({"y": [-3.0, 3.0], "g": [None, None]}), 500)
    agree = filled["g"].to_numpy().reshape(2, -1) == np.array([["down"], ["up"]])
    assert (agree.mean(axis=1) > 0.95).all()


def test_the_level_for_others_is_trained(two_modes):
    """A site never seen is taken for any of those seen: 0.55 is the share of both together."""
    X = pd.DataFrame({"site": ["elsewhere"]})
    assert_allclose(two_modes.predict_proba(X)["up"], 0.55, atol=0.1)


# --- weights, seeds, order


@pytest.fixture(scope="module")
def rows():
    x, y = regression(50, 3)
    return x, y


@pytest.fixture(scope="module")
def plain(rows):
    return ConditionalVAE(**TINY).fit(*rows)


def test_the_same_seed_gives_the_same_model_whatever_the_order_of_rows(rows, plain):
    x, y = rows
    turn = np.random.default_rng(0).permutation(len(x))
    again = ConditionalVAE(**TINY).fit(x[turn], y[turn])
    assert to_the_bit(plain, again, x, y)
    assert again.validation_ == plain.validation_
    assert not to_the_bit(plain, ConditionalVAE(**TINY, random_state=1).fit(x, y), x, y)


def test_every_kind_of_seed(rows, plain):
    x, y = rows
    same = ConditionalVAE(**TINY, random_state=np.int64(0)).fit(x, y)
    assert to_the_bit(plain, same, x, y)
    drawn = [ConditionalVAE(**TINY, random_state=np.random.RandomState(3)).fit(x, y) for _ in range(2)]
    assert to_the_bit(*drawn, x, y)


def test_whole_number_weights_are_copies_to_the_bit(rows):
    """With held-out rows, and rows in any order; a weight of 0 is no row."""
    x, y = rows
    weight = np.random.default_rng(0).integers(0, 3, len(x)).astype(float)
    copied = np.random.default_rng(1).permutation(np.repeat(np.arange(len(x)), weight.astype(int)))
    weighted = ConditionalVAE(**TINY).fit(x, y, sample_weight=weight)
    repeated = ConditionalVAE(**TINY).fit(x[copied], y[copied])
    assert to_the_bit(weighted, repeated, x, y)
    assert weighted.num_rows_ == int(weight.sum())


def test_fractional_weights_weigh(untrained, rows):
    x, y = rows
    weight = np.where(np.arange(len(x)) < 10, 0.0, 0.5 + np.arange(len(x)))
    m = ConditionalVAE(**BARE).fit(x, y, weight)
    own = untrained.calls[-1]["sample_weight"]
    # Of weights only the ratios matter; rows of weight 0 are gone.
    assert_allclose(np.sort(own) / own.sum(), weight[10:] / weight.sum(), rtol=1e-6)
    kept = (
        untrained.calls[-1]["x"]["numeric"].value[:, 0] * m.schema_.target[0].sd + m.schema_.target[0].mean
    )
    assert_allclose(y[10:][np.argsort(weight[10:])], kept[np.argsort(own)], rtol=1e-4, atol=1e-5)


def test_weights_turn_the_model_to_the_rows_that_they_weigh():
    """Two groups of rows at the same condition, 0 and 10: with weights 3.5 to 0.5 the mean is 1.25."""
    rng = np.random.default_rng(0)
    high = np.arange(400) % 2 == 1
    y = np.where(high, 10.0, 0.0) + 0.1 * rng.normal(size=400)
    settings = {"num_members": 1, "width": 8, "depth": 0, "num_steps": 600, "likelihood": "gaussian"}
    m = ConditionalVAE(**settings, latent_size=0, batch_size=64, validation_fraction=0)
    found = m.fit(np.zeros((400, 1)), y, np.where(high, 0.5, 3.5)).predict(np.zeros((1, 1)))
    assert abs(found[0] - 1.25) < 0.6  # unweighted it is 5
    assert m.transform(np.zeros((3, 1))).shape == (3, 0)


# --- more rows


def test_partial_fit_goes_on_from_where_the_members_are(rows):
    x, y = rows
    m = ConditionalVAE(**TINY | {"num_steps": 400, "learning_rate": 0.02}).partial_fit(x, y)
    schema, new_x, new_y = m.schema_, *regression(50, 4)
    new_y = new_y + 3
    before = m.score(new_x, new_y)
    for _ in range(5):
        m.partial_fit(new_x, new_y)
    assert m.schema_ is schema
    assert m.score(new_x, new_y) > before
    assert m.history_.records[-1]["step"] == 40  # a tenth of the steps
    with pytest.raises(TableError, match="X has 2 features, but ConditionalVAE is expecting 1"):
        m.partial_fit(np.zeros((5, 2)), np.arange(5.0))
    with pytest.raises(TableError, match="fitted with other conditions"):
        m.partial_fit(None, np.arange(5.0))


def test_partial_fit_after_a_fit_that_was_refused(untrained):
    m = ConditionalVAE(**BARE)
    with pytest.raises(ValueError, match="leaves none to train on"):
        m.set_params(test_fraction=0.99).fit(np.zeros((5, 1)), np.arange(5.0))
    m.set_params(test_fraction=0.0).partial_fit(np.zeros((5, 1)), np.arange(5.0))
    assert hasattr(m, "model_")


# --- refused, before any training

X5, Y5 = np.arange(10.0).reshape(5, 2), np.arange(5.0)
LAZY = pl.DataFrame({"y": Y5}).lazy()
TWICE = pd.DataFrame(X5, columns=["a", "a"])


@pytest.mark.parametrize(
    "name, values",
    {
        "latent_size": [-1, 1.5, "a", np.nan, True],
        "width": [0, 2.5],
        "depth": [-1, None],
        "likelihood": ["x", None],
        "num_members": [0, "a"],
        "num_steps": [0],
        "batch_size": [0, np.inf],
        "learning_rate": ["a", -1, np.nan],
        "weight_decay": [-1, np.inf],
        "free_bits": [-0.5, np.nan],
        "objective": [3, "evidence"],
        "num_samples": [0, 1.5],
        "kl_warmup": [-1, "a"],
        "kl_cycles": [0],
        "validation_fraction": [1, -0.1, "a", None],
        "test_fraction": [1.0, np.nan],
        "calibration_fraction": [2],
        "patience": [0, 1.5],
        "unknown": ["ignore"],
        "random_state": ["a", -1, 2**70, 1.5],
    }.items(),
)
def test_bad_arguments(untrained, name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name} is .*, expected "):
            ConditionalVAE(**BARE | {name: value}).fit(X5, Y5)
    assert not untrained.calls


def test_what_training_maximises(untrained, tmp_path):
    def own(draws):
        return draws.log_weights.mean()

    cases = {
        "elbo": elbo,
        "renyi(alpha=0.25)": objective("renyi(alpha=0.25)"),
        own: own,
    }
    for chosen, function in cases.items():
        m = ConditionalVAE(**BARE, objective=chosen, num_samples=3, kl_warmup=5, kl_cycles=2).fit(X5, Y5)
        call = untrained.calls[-1]
        assert call["objective"] is function
        assert (call["num_samples"], call["kl_warmup"], call["kl_cycles"]) == (3, 5, 2)
        m.save(tmp_path / "m", overwrite=True)
        assert ConditionalVAE.load(tmp_path / "m").objective in (chosen, own.__qualname__)
    ConditionalVAE(**BARE, free_bits=0.5).fit(X5, Y5)
    assert untrained.calls[-1]["objective"].keywords == {"free_bits": 0.5}
    with pytest.raises(ValueError, match=r"free_bits=0\.5 are of the ELBO, and objective is 'iwae'"):
        ConditionalVAE(**BARE, free_bits=0.5, objective="iwae").fit(X5, Y5)


def test_a_latent_that_tells_all_is_trained_by_importance_weights(untrained):
    def trained(**options):
        ConditionalVAE(**BARE | options).fit(X5, Y5)
        call = untrained.calls[-1]
        return call["objective"], call["num_samples"]

    assert trained() == (elbo, 1)
    assert trained(joint="latent") == (iwae, 16)
    assert trained(joint="latent", num_samples=5) == (iwae, 5)
    assert trained(joint="latent", objective="elbo") == (elbo, 1)
    assert trained(joint="latent", latent_size=0) == (elbo, 1)
    assert trained(joint="latent", kl_warmup=5) == (elbo, 1)
    assert trained(joint="latent", free_bits=0.5)[1] == 1


def test_no_warm_up_again_where_members_are_trained_further(untrained):
    m = ConditionalVAE(**BARE, kl_warmup=5, kl_cycles=2).fit(X5, Y5).partial_fit(X5, Y5)
    assert (m.kl_warmup, m.kl_cycles) == (5, 2)
    assert (untrained.calls[-1]["kl_warmup"], untrained.calls[-1]["kl_cycles"]) == (0, 1)


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
        ("data.csv", Y5, "expected a pandas, polars or pyarrow table or an array, got str"),
        (None, np.array([1.0, np.nan, np.nan]), "constant|two"),
        (LAZY, Y5, r"convert it \(a lazy polars frame by `.collect\(\)`\)"),
        (X5, LAZY, r"convert it \(a lazy polars frame by `.collect\(\)`\)"),
        (TWICE, Y5, "more than one column named 'a'"),
        (X5, TWICE, "more than one column named 'a'"),
        (
            X5,
            pd.DataFrame({"t": pd.date_range("2020", periods=5)}),
            "dates or times, which can be conditions",
        ),
        (X5, np.array([0, 1, 2, 3, 1j]), "complex"),
    ],
)
def test_bad_tables(untrained, X, y, sentence):
    with pytest.raises(TableError, match=sentence):
        ConditionalVAE(**BARE).fit(X, y)
    assert not untrained.calls


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"sample_weight": np.ones(6)}, r"sample_weight has shape \(6,\), expected \(5,\)"),
        ({"sample_weight": [1, 1, -1, 1, 1]}, "sample_weight of row 3 is -1"),
        ({"sample_weight": np.zeros(5)}, "sample_weight is zero on every row"),
        ({"sample_weight": ["a"] * 5}, "sample_weight is no array of numbers"),
        ({"groups": np.arange(4)}, r"groups has shape \(4,\), expected \(5,\)"),
        ({"groups": np.zeros(5)}, "leaves none to train on: give more groups"),
        ({"groups": pd.Series(["a", pd.NA, "b", "b", "c"], dtype="string")}, "groups has missing cells"),
        ({"time": [1, 2, np.nan, 4, 5]}, "time has missing cells"),
        (
            {"time": pd.Series(pd.to_datetime(["2020", None, "2021", "2022", "2023"]))},
            "time has missing cells",
        ),
        ({"groups": np.arange(5), "time": np.arange(5)}, "by groups or by time: give one of the two"),
    ],
)
def test_bad_rows_beside_the_table(untrained, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ConditionalVAE(**BARE | {"validation_fraction": 0.2}).fit(X5, Y5, **options)
    assert not untrained.calls


def test_too_few_rows_are_left(untrained):
    with pytest.raises(ValueError, match=r"^validation_fraction=0.9: holding out 0.9 of 3 rows"):
        ConditionalVAE(**BARE | {"validation_fraction": 0.9}).fit(X5[:3], Y5[:3])
    with pytest.raises(ValueError, match="only 1 of 2 rows is left to train on; lower test_fraction"):
        ConditionalVAE(**BARE, test_fraction=0.5).fit(X5[:2], Y5[:2])
    assert not untrained.calls
