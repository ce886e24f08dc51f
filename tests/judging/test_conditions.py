from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from condvae.diagnosis import ConditionUse
from condvae.judging import conditions
from condvae.judging.results import Comparison
from judging.stand_in import rows_of


def use(everything, **columns):
    noise = np.random.default_rng(0).normal(size=400)
    return ConditionUse(everything + noise, {name: lost + noise for name, lost in columns.items()})


def test_conditions_that_are_used_and_one_that_is_not():
    verdicts = conditions.findings(use(1.0, dose=0.9, site=0.0, year=-0.02))
    assert [(one.code, one.level) for one in verdicts] == [("c-used", "good"), ("c-idle", "note")]
    assert verdicts[0].nats == pytest.approx(1.0, abs=0.1)
    assert "'site', 'year' tell nothing" in verdicts[1].what


def test_conditions_that_are_not_used():
    (verdict,) = conditions.findings(use(0.0, dose=0.0))
    assert (verdict.code, verdict.level) == ("c-unused", "problem")


def test_few_large_losses_are_no_proof_and_few_rows_none_either_way():
    lost = np.zeros(30)
    lost[:3] = 1000.0
    (verdict,) = conditions.findings(ConditionUse(lost, {}))
    assert (verdict.code, verdict.level) == ("c-unsure", "note")
    heavy = np.full(400, 0.2)
    heavy[:3] = 5000.0  # a mean of which nothing is sure, and a sign that is
    assert conditions.findings(ConditionUse(heavy, {}))[0].code == "c-used"
    infinite = np.full(400, 0.2)
    infinite[0] = np.inf
    (verdict,) = conditions.findings(ConditionUse(infinite, {}))
    assert (verdict.code, verdict.nats, verdict.stderr) == ("c-used", None, None)


def test_conditions_that_do_harm():
    worse = Comparison(-2.0, -0.4, 0.1)
    (verdict,) = conditions.findings(use(1.0), worse)
    assert (verdict.code, verdict.level, verdict.nats) == ("c-unused", "problem", -0.4)
    assert conditions.findings(use(1.0), replace(worse, gain=-0.1))[0].code == "c-used"
    assert conditions.findings(use(1.0), Comparison(None, None, None))[0].code == "c-used"


def test_what_is_lost_by_column():
    lost = conditions.summary(use(1.0, dose=0.5))
    assert lost.all.nats == pytest.approx(1.0, abs=0.1)
    assert set(lost.columns) == {"dose"}
    assert lost.columns["dose"].stderr == pytest.approx(0.05, rel=0.2)


def test_a_column_is_permuted_whole_and_alone():
    days = pd.date_range("2020-01-01", periods=400, freq="D")
    X = pd.DataFrame({"dose": np.arange(400.0), "day": days, "age": np.arange(400.0)})
    X.loc[7, "day"] = pd.NaT
    rows = rows_of(X, pd.DataFrame({"y": np.arange(400.0)}))
    day = rows.model.schema.given[1]
    turned = np.roll(np.arange(400), 1)
    new = conditions._swap(rows.model.schema, day)(rows.c, turned)["numeric"]
    numeric = rows.c["numeric"]
    last = 1 + day.width
    np.testing.assert_array_equal(new.value[:, 1:last], numeric.value[turned, 1:last])
    np.testing.assert_array_equal(new.mask[:, 1:last], numeric.mask[turned, 1:last])
    assert not new.mask[8, 1:last].any()
    for place in (0, last):
        np.testing.assert_array_equal(new.value[:, place], numeric.value[:, place])
