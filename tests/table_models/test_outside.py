"""Rows outside are counted, and said once a question."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from condvae import ConditionalVAE
from condvae.table_models import outside, streaming
from condvae.table_models.outside import Outside, OutsideWarning, gathered
from condvae.tables import TableError, scan
from estimator.mixed import BARE

pytestmark = pytest.mark.usefixtures("one_shape")
N = 60
GIVEN = pd.DataFrame({"site": ["north", "south"] * (N // 2), "dose": np.linspace(0, 1, N)})
TARGET = pd.DataFrame({"y": np.linspace(0, 1, N) ** 2, "kind": ["a", "a", "b"] * (N // 3)})
FAR = pd.DataFrame({"site": ["north", "east", "east", "x" * 200], "dose": [0.5, 0.5, 7.0, 0.5]})
OWN = TARGET.head(4)


@pytest.fixture
def fitted(untrained):
    return ConditionalVAE(**BARE, joint="latent").fit(GIVEN, TARGET)


QUESTIONS = {
    "sample": lambda m: m.sample(FAR, 2),
    "predict": lambda m: m.predict(FAR, num_samples=10),
    "predict with support": lambda m: m.predict(FAR, num_samples=10, with_support=True),
    "quantile": lambda m: m.quantile(FAR, num_samples=10),
    "interval": lambda m: m.interval(FAR, num_samples=10),
    "cdf": lambda m: m.cdf(FAR, 0.5, num_samples=10),
    "exceedance": lambda m: m.exceedance(FAR, 0.5, num_samples=10),
    "predict_proba": lambda m: m.predict_proba(FAR, num_samples=10),
    "transform": lambda m: m.transform(FAR, OWN),
    "impute": lambda m: m.impute(FAR, OWN),
    "counterfactual": lambda m: m.counterfactual(GIVEN.head(4), OWN, FAR),
    "log_prob": lambda m: m.log_prob(FAR, OWN, num_samples=10),
    "score": lambda m: m.score(FAR, OWN),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_says_once_what_lies_outside(fitted, question):
    with pytest.warns(OutsideWarning) as said:
        QUESTIONS[question](fitted)
    (warning,) = said
    told = warning.message.outside
    assert (told.rows, told.cells) == (3, {"site": 3, "dose": 1})
    assert told.levels == {"site": {"east": 2, "x" * 200: 1}}
    assert warning.filename == __file__  # the line of whoever asked
    sentence = str(warning.message)
    assert sentence == told.words()
    seen = 8 if question == "counterfactual" else 4
    assert sentence.startswith(
        f"3 of {seen} rows lie outside of what the model was trained on (in 'site': 3, "
    )
    assert "levels never seen: 'east' in 2 rows, 'xxx" in sentence
    assert len(sentence) < 300  # a long level is cut


@pytest.mark.parametrize("question", [lambda m: m.support(FAR), lambda m: m.score_samples(FAR)])
def test_what_is_asked_about_being_outside_is_no_warning(fitted, question):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        question(fitted)
        fitted.sample(GIVEN)


def test_what_support_says_of_a_level_never_seen(fitted):
    found = fitted.support(FAR)
    assert found["outside"].tolist() == [False, True, True, True]
    assert found["columns"].tolist() == ["", "site", "site, dose", "site"]


def test_few_of_many_levels_are_named():
    told = Outside(seen=9, rows=9, cells={"a": 9}, levels={"a": dict.fromkeys("bcdefg", 1)})
    told.levels["a"] = outside.Counter(told.levels["a"])
    assert "'b' in 1 row, 'c' in 1 row, 'd' in 1 row, and 3 more" in told.words()


def test_a_level_of_a_target_that_was_never_seen_counts_as_one_in_all_rows(fitted):
    strange = OWN.assign(kind=["a", "z", "b", "z"])
    with pytest.warns(OutsideWarning) as said:
        found = fitted.log_prob(GIVEN.head(4), strange)
    assert said[0].message.outside.impossible == {"kind": {"z": 2}}
    assert "'kind': 'z' in 2 rows" in str(said[0].message)
    empty = fitted.log_prob(GIVEN.head(4), OWN.assign(kind=["a", None, "b", None]))
    one = -np.log(fitted.num_rows_ + 1)
    np.testing.assert_allclose(found.value - empty.value, [0, one, 0, one], rtol=1e-6)
    np.testing.assert_array_equal(found.stderr, empty.stderr)
    with pytest.warns(OutsideWarning):
        bound = fitted.elbo(GIVEN.head(4), strange)
    without = fitted.elbo(GIVEN.head(4), OWN.assign(kind=["a", None, "b", None]))
    np.testing.assert_allclose(bound - without, [0, one, 0, one], rtol=1e-6)
    alone = fitted.observed_rows(pd.DataFrame({"y": [None, None, 1.0], "kind": ["z", None, None]}))
    assert alone.tolist() == [True, False, True]
    with pytest.warns(OutsideWarning):
        filled = fitted.impute(GIVEN.head(4), strange)
    assert list(filled["kind"]) == ["a", "z", "b", "z"]
    with pytest.warns(OutsideWarning):
        latents = fitted.transform(GIVEN.head(4), strange)
    missing = fitted.transform(GIVEN.head(4), strange.replace({"kind": {"z": None}}))
    np.testing.assert_array_equal(latents, missing)


def test_parts_of_a_table_are_told_of_together(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "STREAMED_ROWS", 3)
    pq.write_table(
        pa.Table.from_pandas(FAR, preserve_index=False), tmp_path / "t.parquet", row_group_size=2
    )
    with pytest.warns(OutsideWarning) as said:
        parts = list(fitted.sample(scan(tmp_path / "t.parquet"), 2))
    assert len(parts) == 2
    (warning,) = said
    assert (warning.message.outside.seen, warning.message.outside.rows) == (4, 3)


def test_the_outermost_counts_and_the_same_table_counts_once(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gathered() as total, gathered() as inner:
            fitted.predict(FAR, num_samples=10)
            fitted.sample(FAR)
            assert inner is total
            assert (total.seen, total.rows) == (4, 3)
            fitted.sample(FAR.copy())
    assert (total.seen, total.rows) == (8, 6)


def test_a_model_fitted_before_there_was_a_level_for_others_is_strict(untrained, tmp_path):
    ConditionalVAE(**BARE, unknown="error").fit(GIVEN, TARGET).save(tmp_path / "m")
    with pytest.raises(TableError, match="column 'site', row 2: the level 'east' was not there"):
        ConditionalVAE.load(tmp_path / "m").sample(FAR)


def test_support_without_conditions(known_plain):
    found = outside.support(known_plain.estimator.table_, None, None)
    assert (found["outside"].tolist(), found["columns"].tolist(), found["percentile"].tolist()) == (
        [False],
        [""],
        [0],
    )
