import numpy as np
import pandas as pd
import pytest

from condvae.calibration import Copies, TwoSample
from condvae.judging import samples
from judging.stand_in import rows_of

N = 300


def table(seed, n=N):
    rng = np.random.default_rng(seed)
    y = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    return pd.DataFrame({"u": rng.normal(size=n)}), y.assign(
        n=rng.integers(0, 50, n), kind=rng.choice(["x", "y"], n)
    )


def made_of(rows):
    return {name: np.array(block.value) for name, block in rows.x.items()}


@pytest.fixture(scope="module")
def rows():
    return rows_of(*table(0))


def test_samples_like_rows_cannot_be_told(rows):
    other = rows_of(*table(1))
    assert samples.told(rows, made_of(other)).p_value > 0.01
    shifted = made_of(other)
    shifted["numeric"][:, 0] += 1.0
    test = samples.told(rows, shifted)
    assert test.p_value < 1e-6
    assert test.pairs == N - N // 4


def test_whole_numbers_are_rounded_before_they_are_told(rows):
    made = made_of(rows_of(*table(1)))
    made["numeric"][:, 3] += 0.01  # less than half a unit
    assert samples.told(rows, made).p_value > 0.01


def test_missing_cells_are_missing_in_both():
    X, y = table(0)
    y.loc[: N // 2, "a"] = np.nan
    assert samples.told(rows_of(X, y), made_of(rows_of(*table(1)))).p_value > 0.01


def test_few_rows_are_not_asked():
    few = rows_of(*table(0, 12))
    assert samples.told(rows_of(*table(0, 49)), made_of(rows_of(*table(1, 49)))) is None
    assert samples.copied(few, made_of(few), few) is None


def test_samples_that_copy_are_found(rows):
    training, fresh = rows_of(*table(2, 1000)), made_of(rows_of(*table(3)))
    assert samples.copied(rows, fresh, training).copied_p_value > 0.01
    copying = made_of(rows_of(*table(3)))
    for name, block in training.x.items():
        copying[name][: N // 3] = block.value[: N // 3]
    measured = samples.copied(rows, copying, training)
    assert measured.copied_p_value < 1e-6
    assert measured.copied == pytest.approx(1 / 3, abs=0.1)


def test_copies_of_whole_numbers_are_found_and_coincidences_are_not():
    def whole(seed, n):
        rng = np.random.default_rng(seed)
        y = pd.DataFrame(rng.normal(0, 40, size=(n, 3)).round().astype(int), columns=["a", "b", "c"])
        return pd.DataFrame({"u": rng.normal(size=n)}), y

    rows, training = rows_of(*whole(0, N)), rows_of(*whole(2, 1000))
    fresh = type(rows)(training.model, rows_of(*whole(3, N)).x, rows.c, rows.number)
    others = type(rows)(training.model, rows.x, rows.c, rows.number)
    assert samples.copied(others, made_of(fresh), training).copied_p_value > 0.01
    copying = {"numeric": made_of(fresh)["numeric"].copy()}
    copying["numeric"][: N // 3] = training.x["numeric"].value[: N // 3]
    assert samples.copied(others, copying, training).copied > 0.2


def test_nothing_is_said_of_copies_where_rows_are_few_or_alike(rows):
    X, y = table(0)
    kinds = rows_of(X, y[["kind"]])
    assert samples.copied(kinds, made_of(kinds), kinds) is None
    assert samples.copied(rows, made_of(rows), rows.take(np.arange(5))) is None


def test_a_column_without_a_value_is_no_reason_to_stop():
    X, y = table(0)
    y.loc[2:, "a"] = np.nan
    rows = rows_of(X, y)
    made = {name: block[2:] for name, block in made_of(rows).items()}
    assert samples.told(rows.take(np.arange(2, N)), made).pairs == 224  # of 298


def test_findings():
    alike, apart = TwoSample(0.5, 0.02, 0.4, 0, 0.1, 500), TwoSample(0.6, 0.02, 1e-6, 0.1, 0.02, 500)
    slightly = apart._replace(share=0.54)
    assert [samples.findings(one)[0].level for one in (alike, apart, slightly)] == [
        "good",
        "problem",
        "note",
    ]
    assert "60% of pairs" in samples.findings(apart)[0].what
    assert samples.findings(None) == []


def test_findings_of_copies():
    right = Copies(0.5, 0.03, 0.5, 1.0, 1.0, 0.0, 0.01, 0.6, 3, 3, N)
    cases = {
        "copies-unchecked": samples.copy_findings(None, asked=False),
        "no-copies": samples.copy_findings(right, asked=True),
        "copies": samples.copy_findings(right._replace(copied=0.3, copied_p_value=1e-9), asked=True),
    }
    for code, (verdict,) in cases.items():
        assert verdict.code == code
    assert cases["copies"][0].level == "problem"
    assert "30% of them" in cases["copies"][0].what
    (few,) = samples.copy_findings(None, asked=True)
    assert "too few" in few.what
    (little,) = samples.copy_findings(right._replace(copied=0.02, copied_p_value=1e-3), asked=True)
    assert little.level == "note"
