"""Which rows are for what, what is measured at the end, and intervals that cover whatever the model is."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from condvae import ConditionalVAE, Observed
from condvae.table_models.fitting import fit_table
from condvae.training import TrainingError
from condvae.training.history import Entry
from condvae.vectorise import content_hashes
from estimator.mixed import BARE

N = 100
X = np.arange(float(N))[:, None]
Y = np.random.default_rng(0).normal(size=N)
PARTS = {"validation_fraction": 0.2, "test_fraction": 0.1, "calibration_fraction": 0.2}


def places(m, c):
    """The rows of X that encoded conditions are."""
    column = m.schema_.given[0]
    return np.rint(c["numeric"].value[:, 0] * column.sd + column.mean).astype(int)


@pytest.fixture
def scored(monkeypatch):
    """Which rows were for calibration and for testing."""
    from condvae.table_models import fitting

    seen = {}

    def spy(name, result):
        def record(model, rows, *_):
            seen[name] = rows[1]
            return result

        return record

    monkeypatch.setattr(fitting, "calibrate", spy("calibration", {}))
    monkeypatch.setattr(fitting, "measure_test", spy("test", None))
    return seen


def parts(m, untrained, scored):
    call = untrained.calls[-1]
    return (
        places(m, call["c"]),
        places(m, scored["test"]),
        places(m, scored["calibration"]),
        call["validation"],
    )


def test_no_member_sees_a_row_for_testing_or_calibration(untrained, scored):
    m = ConditionalVAE(**BARE | PARTS).fit(X, Y)
    trained, test, calibration, masks = parts(m, untrained, scored)
    assert (len(trained), len(test), len(calibration)) == (72, 10, 18)
    assert_array_equal(np.sort(np.concatenate([trained, test, calibration])), np.arange(N))
    assert masks.shape == (2, 72)
    assert (masks.sum(axis=1) == 14).all()
    assert (masks[0] != masks[1]).any()  # each member holds out its own
    assert m.num_rows_ == 72
    known = m.table_.training_rows
    for rows, expected in ((untrained.calls[-1], True), ({"x": None, "c": scored["test"]}, False)):
        if expected:
            assert np.isin(content_hashes((rows["x"], rows["c"])), known).all()
    assert len(known) == 72
    assert len(m.table_.support.reference) == 72


def test_groups_are_held_out_whole(untrained, scored):
    groups = np.array([f"group {i // 5}" for i in range(N)])
    m = ConditionalVAE(**BARE | PARTS).fit(X, Y, groups=groups)
    trained, test, calibration, masks = parts(m, untrained, scored)
    sets = [set(groups[part]) for part in (trained, test, calibration)]
    assert [len(s) for s in sets] == [14, 2, 4]
    assert sum(map(len, sets)) == 20  # so none is in two
    for mask in masks:
        assert mask.any()
        assert not set(groups[trained[mask]]) & set(groups[trained[~mask]])


def test_the_latest_are_held_out(untrained, scored):
    time = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.random.default_rng(1).permutation(N), unit="D")
    m = ConditionalVAE(**BARE | PARTS).fit(X, Y, time=time)
    trained, test, calibration, masks = parts(m, untrained, scored)
    held = [trained[~masks[0]], trained[masks[0]], calibration, test]  # in time, one after the other
    for earlier, later in pairwise(held):
        assert time[earlier].max() < time[later].min()
    assert_array_equal(masks[0], masks[1])


@pytest.mark.parametrize("kind", ["rows", "weights"])
@pytest.mark.parametrize("by", ["chance", "time"])
def test_copies_of_a_row_go_to_one_side(untrained, scored, kind, by):
    five = np.repeat(np.arange(N), 5)
    rows = (X[five], Y[five]) if kind == "rows" else (X, Y, np.full(N, 5))
    time = {"time": np.arange(N)[five] if kind == "rows" else np.arange(N)} if by == "time" else {}
    m = ConditionalVAE(**BARE | PARTS).fit(*rows, **time)
    trained, test, calibration, masks = parts(m, untrained, scored)
    sets = [*map(set, (trained, test, calibration))]
    assert [len(s) for s in sets] == [72, 10, 18]
    assert sum(map(len, (trained, test, calibration))) == 5 * N
    for mask in masks:
        assert len(set(trained[mask])) == 14
        assert not set(trained[mask]) & set(trained[~mask])
    assert len(m.table_.support.reference) == 72  # a copy is no neighbour


def test_rows_that_are_equal_by_chance_are_held_out_one_by_one(untrained):
    pair = np.resize(np.arange(3), 450)
    ConditionalVAE(**BARE | {"validation_fraction": 0.2}).fit(None, pd.DataFrame({"a": pair, "b": pair**2}))
    call = untrained.calls[-1]
    numbers = call["x"]["numeric"].value[:, 0]
    for mask in call["validation"]:
        assert set(numbers[mask]) == set(numbers[~mask])
        assert mask.sum() == 90


def test_weights_groups_and_times_go_with_their_rows(untrained):
    y = Y.copy()
    y[:5] = np.nan
    m = ConditionalVAE(**BARE | {"validation_fraction": 0.1}).fit(
        X, y, np.arange(N) + 0.5, time=np.arange(N)
    )
    call = untrained.calls[-1]
    trained = places(m, call["c"])
    assert_array_equal(np.sort(trained), np.arange(5, N))
    weight = call["sample_weight"]  # of which only the ratios matter
    assert_allclose(weight / weight.sum(), (trained + 0.5) / (trained + 0.5).sum(), rtol=1e-6)
    assert trained[call["validation"][0]].min() > trained[~call["validation"][0]].max()


def test_notes_say_what_an_analyst_should_know(untrained):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=30), "same": 1.0, "always": True})
    table.loc[[10, 11], "x"] = np.nan
    y = pd.DataFrame({"count": pd.array(rng.poisson(3, 30), dtype="Int64")})
    y.loc[:2, "count"] = pd.NA
    model = ConditionalVAE(**BARE, likelihood="student_t").fit(table, y)
    assert model.notes_ == [
        "3 of 30 rows have no observed target and were left out",
        "condition 'same' is constant and tells the model nothing",
        "condition 'always' is constant and tells the model nothing",
        "2 of 30 rows have missing conditions, which are values of their own",
        "whole numbers in target 'count': modelled as continuous, draws are rounded",
        "27 rows are few: expect a rough model",
    ]


def test_few_rows_to_adjust_intervals_by_are_told(untrained):
    model = ConditionalVAE(**BARE, calibration_fraction=0.25).fit(X, Y)
    assert len(model.history_.notes) == 1
    assert model.history_.notes[0].startswith("25 rows are few to calibrate intervals by")
    assert "uncertain by ± 6 points" in model.history_.notes[0]


# --- what goes wrong in training


@pytest.mark.parametrize(("side", "column"), [("x", "y1"), ("c", "b")])
def test_a_fault_is_named_as_it_is_in_the_table(monkeypatch, side, column):
    seen = []
    entry = Entry((side, "numeric", "value"), (7, 1), 9.0, "")

    def fails(model, x, c, **_):
        seen.append(x["numeric"].value[7, 1])
        raise TrainingError("no", problem="it fails", row=7, entry=entry)

    monkeypatch.setattr("condvae.table_models.fitting.fit", fails)
    given = pd.DataFrame({"a": X[:, 0], "kind": np.resize(["u", "v"], N), "b": -(X[:, 0] ** 2)})
    target = pd.DataFrame({"y0": Y, "y1": Y[::-1]})
    with pytest.raises(TrainingError) as caught:
        ConditionalVAE(**BARE, test_fraction=0.2).fit(given, target)
    standard = (target["y1"] - target["y1"].mean()) / target["y1"].std(ddof=0)
    row = int(np.argmin(np.abs(standard - seen[0]))) + 1
    assert str(caught.value).startswith(
        f"it fails; look at row {row} of the table, column '{column}' first"
    )


@pytest.mark.slow
def test_hard_tables_are_fitted_all_the_same():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = pd.DataFrame(
        {"outlier": x[:, 0], "tied": x[:, 0], "near": x[:, 0] + 1e-7 * x[:, 1], "tiny": 1e-25 * x[:, 1]}
    )
    y.loc[3, "outlier"] = 1e30
    model = ConditionalVAE(num_members=1, num_steps=200, width=16, latent_size=1).fit(x, y)
    assert np.isfinite(model.log_prob(x, y).value).all()
    assert np.isfinite(model.sample(x[:3], 8)).all()


# --- conformal intervals


@pytest.mark.parametrize(
    "offset",
    [
        pytest.param(0.9, id="near", marks=pytest.mark.slow),
        pytest.param(1.5, id="beyond all draws"),
    ],
)
@pytest.mark.slow
def test_adjusted_intervals_cover_whatever_the_model_is(known, monkeypatch, offset):
    """The members are as they are; rows come from elsewhere, skewed, and off on average.

    On average over calibration sets an interval covers ceil((m + 1) 0.8) / (m + 1) of new rows, 26/32
    here, whatever the model. Of 5 sets, each tried on 128 new rows.
    """
    from condvae.table_models import fitting

    model, shares, plain = known.estimator.table_, [], []
    u, sd = known.estimator.schema_.given[0], model.schema.target[0]

    def rows(rng, n):
        c = rng.normal(size=(n, 1)).astype(np.float32)
        x = (offset + 0.6 * rng.gamma(2.0, 1.0, (n, 2)) - 0.3 * c).astype(np.float32)
        codes = np.zeros((n, 1), np.int32)
        seen = np.ones((n, 1), bool)
        numeric = Observed(x, np.ones((n, 2), bool))
        return {"numeric": numeric, "categorical": Observed(codes, seen)}, {"numeric": Observed(c, seen)}

    for seed in range(5):
        rng = np.random.default_rng(seed)
        pits = fitting.calibrate(model, rows(rng, 31))
        monkeypatch.setattr(model, "calibration", pits)
        x, c = rows(rng, 128)
        frame = pd.DataFrame({"u": c["numeric"].value[:, 0] * u.sd + u.mean})
        own = x["numeric"].value[:, 0] * sd.sd + sd.mean
        for conformal, found in ((True, shares), (False, plain)):
            ends = known.estimator.interval(frame, 0.8, conformal=conformal, num_samples=200)
            found.append(((ends["x0_low"] <= own) & (own <= ends["x0_high"])).mean())
    stderr = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - 26 / 32) < 4 * stderr
    assert stderr < 0.04
    assert np.mean(plain) < 0.6  # which is what there was to mend


def test_it_is_a_function_of_its_key(untrained):
    m = ConditionalVAE(**BARE | PARTS)
    masks = []
    for seed in (0, 0, 1):
        m.set_params(random_state=seed).fit(X, Y)
        masks.append(untrained.calls[-1]["validation"])
    assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert callable(fit_table)


def test_steps_within_a_small_part_of_a_skewed_condition_are_learned():
    """y jumps by 2 at each of ten quantiles of a log-normal c: nine of them within a tenth of its range."""
    rng = np.random.default_rng(0)
    c = rng.lognormal(0, 1.5, 2000)
    edges = np.quantile(c, np.linspace(0.1, 0.9, 9))
    y = 2.0 * (np.searchsorted(edges, c) % 2) + 0.1 * rng.normal(size=len(c))
    small = {"num_members": 1, "width": 32, "latent_size": 0, "num_steps": 1500}
    model = ConditionalVAE(**small).fit(pd.DataFrame({"c": c}), pd.DataFrame({"y": y}))
    encoder = model.table_.mixture.member(0).likelihood.features.parts[1]
    column = model.schema_.given[0]
    (knots,) = encoder.knots
    assert len(knots) == 33
    assert_allclose(np.interp(0.5, np.linspace(0, 1, 33), knots) * column.sd + column.mean, 1.0, atol=0.1)
    middles = np.sqrt(edges[:-1] * edges[1:])
    predicted = model.predict(pd.DataFrame({"c": middles}))["y"].to_numpy()
    assert_allclose(predicted, 2.0 * (np.arange(1, 9) % 2), atol=0.4)
