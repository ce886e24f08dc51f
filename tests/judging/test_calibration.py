import numpy as np
import pandas as pd
import pytest
from scipy import stats

from condvae.calibration import uniformity
from condvae.judging import calibration
from judging.stand_in import rows_of

N = 600


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "site": rng.choice(["a", "b", "c"], N, p=[0.6, 0.37, 0.03]),
            "dose": rng.normal(size=N),
            "day": pd.date_range("2020-01-01", periods=N, freq="D"),
            "flag": rng.integers(0, 2, N),
        }
    )
    X.loc[:49, "dose"] = np.nan
    return rows_of(X, pd.DataFrame({"y": rng.normal(size=N)}))


def said(rows, u):
    verdicts = calibration.findings(
        {name: uniformity(values) for name, values in u.items()}, calibration.slices(rows, u)
    )
    return {one.code: one for one in verdicts}


def test_groups(rows):
    site, dose, day, flag = rows.model.schema.given
    groups = calibration.groups(rows, site)
    assert list(groups) == ["a", "b"]  # "c" has too few rows
    codes = rows.c["categorical"].value[:, 0]
    np.testing.assert_array_equal(groups["b"], np.flatnonzero(codes == 1))
    groups = calibration.groups(rows, dose)
    assert groups["missing"].tolist() == list(range(50))
    sizes = {name: len(places) for name, places in groups.items()}
    assert len(sizes) == 5
    assert sum(sizes.values()) == N
    assert max(sizes.values()) - min(v for k, v in sizes.items() if k != "missing") <= 2
    names = list(sizes)
    assert names[1].startswith("below -0.")
    assert " to " in names[2]
    assert names[4].endswith(" or more")
    assert calibration.groups(rows, day) == {}
    assert sum(map(len, calibration.groups(rows, flag).values())) == N


def test_names_of_slices_are_never_taken_for_one_another():
    n = 400
    X = pd.DataFrame(
        {"site": ["missing"] * 100 + [None] * 150 + ["b"] * 150, "when": 2012000.0 + np.arange(n)}
    )
    rows = rows_of(X, pd.DataFrame({"y": np.arange(n, dtype=float)}))
    sizes = {
        name: len(places) for name, places in calibration.groups(rows, rows.model.schema.given[0]).items()
    }
    assert sizes == {"missing": 150, "b": 150, "missing'": 100}
    quarters = calibration.groups(rows, rows.model.schema.given[1])
    assert [len(places) for places in quarters.values()] == [100] * 4
    assert calibration.groups(rows, rows.model.schema.given[0], fewest=1000) == {}


def test_well_specified_rows_are_seldom_flagged(rows):
    flagged = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        u = {"x": rng.random(N), "y": rng.random(N)}
        flagged += set(said(rows, u)) != {"calibrated"}
    assert flagged <= 4  # two tests at 1% each: 1.2 are expected, more than 4 once in a hundred


def test_wrong_tails_are_flagged(rows):
    x = stats.t(3).rvs(5 * N, random_state=0) / np.sqrt(3)  # of variance 1
    u = stats.norm.cdf(x)
    (one,) = calibration.findings({"y": uniformity(u)}, [])
    assert one.code == "miscalibrated"
    assert one.p_value < 1e-6


@pytest.mark.parametrize(
    ("broken", "shape"),
    [
        (lambda u: np.clip(u**1.6, 0, 1), "high"),
        (lambda u: u**0.6, "low"),
        (lambda u: 0.5 + 0.7 * (u - 0.5), "wide"),
        (lambda u: 0.5 + 0.5 * np.sign(u - 0.5) * np.abs(2 * u - 1) ** 0.5, "narrow"),
    ],
)
def test_a_target_that_is_off_is_named(rows, broken, shape):
    rng = np.random.default_rng(1)
    verdicts = said(rows, {"x": broken(rng.random(N)), "y": rng.random(N)})
    one = verdicts["miscalibrated"]
    assert f"'x' is {calibration.SHAPES[shape]}" in one.what
    assert one.level == "problem"
    assert one.p_value < 0.01


def test_the_slice_that_is_off_is_named(rows):
    u = np.random.default_rng(2).random(N)
    group = calibration.groups(rows, rows.model.schema.given[0])["b"]
    u[group] = u[group] ** 0.4
    one = said(rows, {"y": u})["slice-miscalibrated"]
    assert one.what.startswith("where 'site' is b")
    assert "what is predicted of 'y' is too low" in one.what
    assert "calibrated" not in said(rows, {"y": u})


def test_without_conditions_nothing_is_said_of_them():
    u = {"y": uniformity(np.random.default_rng(0).random(N))}
    (verdict,) = calibration.findings(u, [])
    assert verdict.what == "every target is calibrated"
    assert calibration.findings({}, []) == []


def test_what_is_said_of_a_slice(rows):
    u = np.random.default_rng(5).random(N)
    one = calibration.slices(rows, {"y": u})[0]
    said = one.summary(np.full(N, -2.0))
    assert (said.column, said.group, said.log_prob, said.stderr) == ("site", "a", -2.0, 0.0)
    assert said.rows == len(one.places) == said.targets["y"].cells
    assert said.targets["y"].shape == "right"
