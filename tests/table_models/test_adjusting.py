"""Ends of adjusted intervals are values that there can be, exactly those that the score says."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, poisson

from condvae import ConditionalVAE, Observed
from condvae.calibration import conformal_score, covers, level_set
from condvae.table_models.adjusting import calibrate, covering, half_widths, level_sets
from condvae.tables import Column, Likelihood
from estimator.mixed import BARE

COUNT = Column("n", "target", "numeric", "int64", sd=2.0, likelihood=Likelihood("poisson", step=1.0))
SCALE = Column(
    "s", "target", "numeric", "double", likelihood=Likelihood("ordinal", step=1.0, low=1.0, high=4.0)
)
CUT = Column("y", "target", "numeric", "double", likelihood=Likelihood("censored_gaussian", low=0.0))
KIND = Column("k", "target", "categorical", "string", levels=("a", "b", "c"))
LEVELS = np.array([0.1, 0.5, 0.1, 0.3]).cumsum()


class Known:
    """Targets whose distributions given c are known: of `TableModel` what adjusting asks."""

    numeric, categorical = [COUNT, SCALE, CUT], [KIND]

    def __init__(self):
        self.calibration = {}

    def to_units(self, standard):
        return np.asarray(standard, float)

    def cdf(self, c, value, num_samples, key):
        rate = np.asarray(c["numeric"].value if c is not None else [[1.5]] * len(value))
        rate = rate[..., 0].reshape(-1, *[1] * (value.ndim - 2))
        count, scale, cut = np.moveaxis(value, -1, 0)
        places = np.clip(np.floor(np.nan_to_num(scale)).astype(int), 0, 4)
        found = [
            poisson(rate).cdf(count),
            np.where(np.isnan(scale), np.nan, np.append(0.0, LEVELS)[places]),
            np.where(cut < 0, 0.0, norm(rate - 1).cdf(cut)),
        ]
        return np.stack(found, axis=-1)

    def centre(self, c, num_samples, key):
        rate = np.array([[1.5]]) if c is None else np.asarray(c["numeric"].value)
        weights = np.hstack([rate, np.ones_like(rate), rate**2])
        return None, (weights / weights.sum(axis=1, keepdims=True))[:, None]


def rows(rng, n, bias=1.0):
    rate = rng.gamma(2.0, 1.0, n).clip(max=5)
    c = {"numeric": Observed(rate[:, None], np.ones((n, 1), bool))}
    x = np.stack(
        [
            rng.poisson(bias * rate),
            1 + (rng.random((n, 1)) > LEVELS).sum(axis=1),
            np.maximum(rng.normal(rate - bias), 0),
        ],
        axis=1,
    )
    codes = (rng.random((n, 1)) > np.array([0.2, 0.5])).sum(axis=1)[:, None]
    seen = rng.random((n, 3)) < 0.95
    return {"numeric": Observed(x, seen), "categorical": Observed(codes, seen[:, :1])}, c


@pytest.mark.parametrize("coverage", [0.5, 0.9])
@pytest.mark.parametrize("off", [-3, 0, 2])
def test_ends_are_moved_to_where_the_score_is_at_most_h(coverage, off):
    rng, model = np.random.default_rng(0), Known()
    model.calibration = calibrate(model, rows(rng, 400, bias=1.4))
    assert {name: own.shape[1:] for name, own in model.calibration.items()} == {
        "n": (2,),
        "s": (2,),
        "y": (2,),
        "k": (),
    }
    x, c = rows(rng, 300, bias=1.4)
    halves = half_widths(model, [coverage])
    assert (halves < 0.5).all()
    rough = np.empty((300, 3, 1, 2))
    for j, column in enumerate(model.numeric):  # from ends that draws got wrong
        rough[:, j, 0] = np.clip([0.0 + off, 5.0 + off], *column.ends)
    found = covering(model, c, rough, halves)[:, :, 0]
    rate = c["numeric"].value
    for j, values in ((0, np.arange(60)), (1, np.arange(1, 5))):
        grid = np.full((300, len(values), 3), np.nan)
        grid[:, :, j] = values
        up_to = model.cdf(c, grid, 0, None)[:, :, j]
        grid[:, :, j] -= 1
        inside = conformal_score(model.cdf(c, grid, 0, None)[:, :, j], up_to) <= halves[j] + 1e-6
        first, last = inside.argmax(axis=1), len(values) - 1 - inside[:, ::-1].argmax(axis=1)
        if j == 1 or off == 0:  # further off than ends are moved, where rates are large
            np.testing.assert_array_equal(found[:, j], np.stack([values[first], values[last]], axis=1))
    at_zero = conformal_score(np.zeros(300), norm(rate[:, 0] - 1).cdf(0)) <= halves[2]
    assert (found[at_zero, 2, 0] == 0).all()  # what has a probability of its own is taken in
    if off == 0:
        for j in (0, 1):
            own = np.where(x["numeric"].mask[:, j], x["numeric"].value[:, j], np.nan)
            share = covers(found[:, j, 0], found[:, j, 1], own)[~np.isnan(own)].mean()
            assert share > coverage - 0.08


def test_with_too_few_rows_an_interval_is_all_that_there_can_be():
    model = Known()
    model.calibration = calibrate(model, rows(np.random.default_rng(0), 5))
    halves = half_widths(model, [0.9])
    assert (halves == 0.5).all()
    ends = np.array([[[column.ends] for column in model.numeric]])
    np.testing.assert_array_equal(covering(model, None, ends, halves), ends)
    np.testing.assert_array_equal(ends[0, :, 0], [[0, np.inf], [1, 4], [0, np.inf]])
    assert level_sets(model, None, 0.9, True)[0][0].all()


def test_without_conditions_all_rows_have_one_distribution():
    rng, model = np.random.default_rng(0), Known()
    x, _ = rows(rng, 50)
    model.calibration = calibrate(model, (x, None))
    own = x["numeric"].value[x["numeric"].mask[:, 0], 0]
    np.testing.assert_allclose(model.calibration["n"][:, 1], poisson(1.5).cdf(own))
    found = covering(model, None, np.zeros((1, 3, 1, 2)) + 1, half_widths(model, [0.8]))
    assert found.shape == (1, 3, 1, 2)
    ((inside, order),) = level_sets(model, None, 0.8, True)
    shares = model.centre(None, 0, None)[1][:, 0]
    np.testing.assert_array_equal(inside, level_set(shares, 0.8, model.calibration["k"]))
    np.testing.assert_array_equal(order, [[2, 0, 1]])


# --- on tables


@pytest.mark.usefixtures("one_shape")
def test_a_fitted_table_gives_ends_that_there_can_be(untrained, tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"u": rng.normal(size=120)})
    y = pd.DataFrame(
        {
            "sick": rng.integers(0, 2, 120),
            "visits": rng.poisson(1.0, 120),
            "grade": rng.integers(1, 5, 120),
            "size": np.maximum(rng.normal(size=120), -0.5),
            "colour": rng.choice(["red", "blue", "dark, blue"], 120),
        }
    )
    named = {"visits": "poisson", "grade": "ordinal", "size": "censored_gaussian(low=-0.5)"}
    model = ConditionalVAE(**BARE, joint="latent", likelihoods=named, calibration_fraction=0.4).fit(X, y)
    few = X.head(5)
    ends = model.interval(few, 0.8, num_samples=50)
    assert np.isfinite(ends).to_numpy().all()
    for name, values in (("sick", [0, 1]), ("visits", range(100)), ("grade", [1, 2, 3, 4])):
        assert ends[[f"{name}_low", f"{name}_high"]].isin(values).to_numpy().all()
    assert (ends["size_low"] >= -0.5).all()
    least, most = (model.quantile(few, q, num_samples=50).iloc[0].tolist() for q in (0, 1))
    assert (least, most) == ([0, 0, 1, -0.5], [1, np.inf, 4, np.inf])
    sets = model.level_set(few, 0.8)
    assert sets.columns.tolist() == ["colour_set"]
    best = model.level_set(few, 0.01, conformal=False)["colour_set"]
    assert (best.str.len() == 1).all()
    assert all(one[0] == some[0] for one, some in zip(best, sets["colour_set"], strict=True))
    with pytest.raises(ValueError, match="coverage is 1, expected a number between 0 and 1"):
        model.level_set(few, 1)
    model.save(tmp_path / "m")
    again = ConditionalVAE.load(tmp_path / "m")
    pd.testing.assert_frame_equal(again.interval(few, 0.8, num_samples=50), ends)
    assert again.level_set(few, 0.8)["colour_set"].tolist() == sets["colour_set"].tolist()
    # As models of before kept it: F(y) alone, and nothing of categories.
    kept = again.table_.calibration
    again.table_.calibration = {name: own[:, 1] for name, own in kept.items() if own.ndim == 2}
    assert again.interval(few, 0.8, num_samples=50).shape == ends.shape
    assert again.level_set(few, 0.8)["colour_set"].tolist() == (
        again.level_set(few, 0.8, conformal=False)["colour_set"].tolist()
    )
    with pytest.raises(ValueError, match="there are no calibration rows"):
        again.level_set(few, 0.8, conformal=True)
