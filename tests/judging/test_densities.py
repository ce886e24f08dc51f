from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from condvae.judging.densities import equal_by_chance, findings, sides
from condvae.judging.results import Comparison, Side, Sides
from condvae.judging.rows import Rows
from condvae.scoring.estimates import Untrusted
from judging.evaluations import COMPARISON, SIDE, evaluation


def said(**changes):
    return {one.code: one for one in findings(evaluation(**changes))}


@pytest.mark.parametrize(
    ("gain", "stderr", "code", "level"),
    [
        (0.3, 0.1, "beats-simpler", "good"),
        (0.1, 0.1, "simpler-as-good", "note"),
        (-0.3, 0.1, "simpler-better", "problem"),
    ],
)
def test_the_best_of_what_is_simpler_decides(gain, stderr, code, level):
    verdicts = said(baseline={"marginal": COMPARISON, "linear": Comparison(-2.0, gain, stderr)})
    assert set(verdicts) == {code}
    assert (verdicts[code].level, verdicts[code].nats, verdicts[code].stderr) == (level, gain, stderr)
    assert "regression" in verdicts[code].what


def test_too_few_rows_decide_nothing():
    assert said(baseline={"marginal": Comparison(-3.0, 1.0, None)}) == {}


def test_rows_trained_on_and_rows_of_another_kind():
    train, test = replace(SIDE, log_prob=-1.5), replace(SIDE, log_prob=-3.0)
    verdicts = said(sides=Sides(train, SIDE, "members", test))
    assert verdicts["overfitted"].nats == pytest.approx(0.5)
    assert verdicts["overfitted"].level == "note"
    assert verdicts["shifted"].nats == pytest.approx(1.0)
    assert verdicts["shifted"].level == "problem"
    slightly = replace(SIDE, log_prob=-2.08)
    assert "shifted" not in said(sides=Sides(SIDE, SIDE, "test", slightly))
    # Of a table that was streamed, or fitted without rows held out, there is nothing to compare with.
    assert set(said(sides=Sides(None, None, None, test))) == {"beats-simpler"}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"training_rows": 7}, "rows-trained-on", "7 of 100 rows are rows that the model was trained on"),
        ({"impossible": 2}, "impossible", "2 of 100 rows have density 0"),
        ({"unforeseen": 40}, "unforeseen", "40 of 100 rows hold a level or a number outside"),
        ({"outside": 5}, "outside", "the conditions of 5 of 100 rows lie outside"),
        ({"untrusted": Untrusted(9, [], None)}, "log-p-unsure", "9 of 100 rows is not known well"),
        ({"elbo": -2.9}, "elbo-loose", "the ELBO lies below log p"),
    ],
)
def test_what_else_is_said(change, code, words):
    assert words in said(**change)[code].what


@pytest.mark.parametrize(
    "change",
    [{"training_rows": None}, {"outside": 1}, {"untrusted": Untrusted(1, [], None)}, {"log_prob": None}],
)
def test_what_is_not_worth_a_word(change):
    assert set(said(**change)) == {"beats-simpler"}


def test_rows_of_few_values_are_equal_by_chance():
    repeated = evaluation(training_rows=60, equal_by_chance=70.0)
    (verdict,) = [one for one in findings(repeated) if one.level != "good"]
    assert (verdict.code, verdict.level) == ("rows-repeat", "note")
    what = "60 of 100 rows are equal to training rows, no more than these are to each other"
    assert what in verdict.what
    assert "rows-trained-on" in said(training_rows=60, equal_by_chance=59.5)


def test_how_many_rows_are_equal_by_chance():
    rng = np.random.default_rng(0)

    def judged(hashes, rows):
        model = SimpleNamespace(training_rows=None if hashes is None else np.sort(hashes))
        return Rows(model, {"numeric": np.zeros((rows, 1))}, None, np.arange(rows))

    for kinds in (20, 400, 10_000):
        training, new = rng.integers(kinds, size=1000), rng.integers(kinds, size=300)
        most = equal_by_chance(judged(training, 300), real=False)
        assert np.isin(new, training).sum() <= most
        again = np.isin(training[:300], training).sum()
        assert (again > most) == (kinds > 20)  # where every kind is there, nothing tells
    assert equal_by_chance(judged(np.arange(1000), 300), real=True) == 0
    assert 0 < equal_by_chance(judged(np.arange(1000), 300), real=False) < 5
    assert equal_by_chance(judged(None, 300), real=True) is None


def test_sides():
    side = {"rows": 100, "log_prob": -2.0, "stderr": 0.05}
    fitting = {"how": "test", **side, "train": side | {"log_prob": -1.0}, "baseline": {}}
    means = sides(fitting, np.array([-1.0, -3.0]))
    assert means == Sides(replace(SIDE, log_prob=-1.0), SIDE, "test", Side(2, -2.0, 1.0))
    assert sides(None, np.array([-np.inf])) == Sides(None, None, None, Side(1, None, None))
    assert sides(fitting | {"train": None}, np.zeros(3)).train is None
