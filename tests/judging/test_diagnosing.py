"""Verdicts on a model of which every answer is known: on its own rows, and on other ones."""

import json

import numpy as np
import pandas as pd
import pytest

from condvae import ConditionalVAE
from condvae.tables import TableError
from judging.json_schema import assert_valid

ROWS = 1200


@pytest.fixture(scope="module")
def table(known):
    """Conditions, and targets as the model makes them."""
    X = pd.DataFrame({"u": np.random.default_rng(0).normal(size=ROWS)})
    return X, known.estimator.sample(X).reset_index(drop=True)


def codes(diagnosis):
    return {one.code for one in diagnosis.findings}


def test_a_model_of_its_own_rows_is_right(known, table):
    diagnosis = known.estimator.diagnose(*table)
    assert len(diagnosis.rows) == len(diagnosis.looked_at) == ROWS
    assert "problem" not in {one.level for one in diagnosis.findings}
    assert {"z-used", "c-used", "calibrated", "samples-alike", "copies-unchecked"} <= codes(diagnosis)
    assert set(diagnosis.pit) == {"x0", "x1", "g"}
    assert diagnosis.words().splitlines()[-1].startswith("good: ")
    told = diagnosis.to_json()
    assert_valid(told)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert [one["code"] for one in told["findings"]] == [one.code for one in diagnosis.findings]
    assert set(told["scores"]) == {"energy", "variogram"}
    assert set(told["calibration"]) == set(diagnosis.pit)
    assert told["latents"]["active"] == 1
    assert told["conditions"]["columns"] == {}  # there is one: it is all of them
    assert {one["column"] for one in told["slices"]} == {"u"}
    assert set(told["reliability"]["g"]) == {"low", "mid", "top"}
    assert told["looked_at"] == ROWS
    assert told["refits"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y + 0.7 * y.std(), "'x0' is too low"),
        pytest.param(
            lambda y: y.mean() + 2.0 * (y - y.mean()),
            "'x0' is too narrow: too much lies far out",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda y: y.mean() + 0.5 * (y - y.mean()),
            "'x0' is too wide: too little lies far out",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_rows_that_are_otherwise_are_found_and_named(known, table, change, words):
    X, y = table
    diagnosis = known.estimator.diagnose(X, y.assign(x0=change(y["x0"])))
    assert diagnosis.findings[0].level == "problem"
    said = [one.what for one in diagnosis.findings if one.code == "miscalibrated"]
    assert any(words in sentence for sentence in said), said
    assert "samples-told" in codes(diagnosis)


def test_conditions_of_other_rows_are_not_used(known, table):
    X, y = table
    diagnosis = known.estimator.diagnose(X.sample(frac=1.0, random_state=0).reset_index(drop=True), y)
    assert "c-unused" in codes(diagnosis)


def test_missing_cells_are_left_out(known, table):
    X, y = table
    y = y.iloc[:200].copy()
    y.loc[::3, "x0"] = np.nan
    y.loc[::5, "g"] = None
    y.loc[0] = [np.nan, np.nan, None]
    diagnosis = known.estimator.diagnose(X.iloc[:200], y)
    assert len(diagnosis.rows) == 199
    assert 0 not in diagnosis.rows.number
    assert diagnosis.pit["x0"].size == y["x0"].notna().sum()
    assert "miscalibrated" not in codes(diagnosis)


def test_a_row_that_cannot_be_is_said_to_be_and_stops_nothing(known, table):
    X, y = table[0][:60], table[1][:60].copy()
    y.loc[3, "x0"] = 1e25
    diagnosis = known.estimator.diagnose(X, y)
    assert "impossible" in codes(diagnosis)
    assert "beats-simpler" not in codes(diagnosis)
    told = diagnosis.evaluation
    assert told.impossible == 1
    assert told.log_prob is None
    assert told.worst[0].row == 3
    assert_valid(told.to_json())


def test_too_few_rows_are_refused(known, table):
    X, y = table
    with pytest.raises(TableError, match="only 1 row has an observed target, too few"):
        known.estimator.diagnose(X[:1], y[:1])


@pytest.mark.slow
def test_few_rows_are_asked_what_they_can_tell(known, table):
    X, y = table
    diagnosis = known.estimator.diagnose(X[:10], y[:10])
    assert diagnosis.evaluation.samples is None
    assert diagnosis.latents.prior is None


@pytest.mark.slow
def test_a_row_that_is_far_out_is_named_with_the_reason(known, table):
    X, y = table
    X, y = X[:60], y[:60].copy()
    y.loc[17, "x1"] = y["x1"].mean() + 40 * y["x1"].std()
    worst = known.estimator.diagnose(X, y).evaluation.worst
    assert len(worst) == 10
    assert (worst[0].row, worst[0].target) == (17, "x1")
    assert worst[0].chance == 1e-3  # beyond all of a thousand draws
    assert worst[0].observed > worst[0].interval[1] > worst[0].expected
    assert [one.log_prob for one in worst] == sorted(one.log_prob for one in worst)
    assert 0 <= worst[0].distance <= 1


def test_whether_samples_copy_is_looked_at_where_training_rows_are_given(known, table):
    X, y = table
    diagnosis = known.estimator.diagnose(X[:60], y[:60], train=(X[60:], y[60:]))
    assert "no-copies" in codes(diagnosis)
    assert diagnosis.evaluation.copies.pairs == 60


def test_fitting_again_needs_the_rows_trained_on(known, table):
    with pytest.raises(ValueError, match="give them as train"):
        known.estimator.diagnose(*table, deep=True)


@pytest.mark.slow
def test_a_model_trained_on_shuffled_conditions_is_flagged():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"dose": rng.uniform(0, 1, 900), "site": rng.choice(["a", "b"], 900)})
    y = pd.DataFrame({"response": 10 * X["dose"] + rng.normal(0, 1, 900)})
    small = {"num_members": 2, "num_steps": 600, "width": 16, "depth": 1}
    shuffled = X[:600].sample(frac=1.0, random_state=0).reset_index(drop=True)
    wrong = ConditionalVAE(**small).fit(shuffled, y[:600]).diagnose(X[600:], y[600:])
    # By chance such a model may have learned a little of the right direction: then it is not "unused".
    problems = {one.code for one in wrong.findings if one.level == "problem"}
    assert problems & {"c-unused", "slice-miscalibrated", "samples-told"}, wrong.words()
    right = ConditionalVAE(**small).fit(X[:600], y[:600]).diagnose(X[600:], y[600:])
    assert "c-used" in codes(right)
    idle = [one.what for one in right.findings if one.code == "c-idle"]
    assert idle == ["given the other conditions, 'site' tells nothing that can be measured"]


@pytest.mark.slow
def test_fitting_again_tells_whether_the_latent_is_needed():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"dose": rng.uniform(0, 1, 900)})
    shared = rng.choice([-2.0, 2.0], 900)
    y = pd.DataFrame({"a": shared + 0.3 * rng.normal(size=900), "b": shared + 0.3 * rng.normal(size=900)})
    small = {"num_members": 2, "num_steps": 1500, "width": 32, "depth": 2}
    model = ConditionalVAE(**small).fit(X[:600], y[:600])
    diagnosis = model.diagnose(X[600:], y[600:], train=(X[:600], y[:600]), deep=True)
    assert "z-used" in codes(diagnosis)
    assert diagnosis.evaluation.baseline["without z"].gain > 0.5
    assert "a flow" in diagnosis.evaluation.baseline
    assert diagnosis.evaluation.refits.gaps.rows == 100
    assert_valid(diagnosis.to_json())
