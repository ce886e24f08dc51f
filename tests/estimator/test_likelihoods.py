"""What targets are modelled by, from the table to densities in its units."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from condvae import ConditionalVAE, tables
from condvae.calibration import paired_difference
from condvae.table_models.outside import OutsideWarning

sys.path.append(str(Path(__file__).parents[1] / "tables"))
from kinds import KINDS, kinds

N = 400
CONDITION, CELLS = kinds(N, 0)
X = pd.DataFrame({"c": CONDITION})
NAMES = ["zeros, poisson", "rating", "to 0.1", "zeros, gamma", "cut off above", "gamma", "gaussian"]
SIZE = {"num_members": 1, "num_steps": 60, "width": 8, "latent_size": 1}


SIZES = pd.CategoricalDtype(["s", "m", "l"], ordered=True)
ROWS = 160
"""That are scored at once, however few are asked for: one program for all."""


@pytest.fixture(scope="module")
def model():
    y = pd.DataFrame({name: CELLS[name] for name in NAMES})
    y["size"] = pd.Series(np.array(["s", "m", "l"])[(CONDITION * 1.5 + 1.5).astype(int)], dtype=SIZES)
    return ConditionalVAE(**SIZE).fit(X, y), y


def test_each_target_is_of_the_values_that_it_can_hold(model):
    likelihoods = {column.name: column.likelihood for column in model[0].schema_.target}
    assert likelihoods.pop("size").family == "ordinal"
    assert {likelihood.family for likelihood in likelihoods.values()} == {"universal"}
    assert {name: likelihood.reason for name, likelihood in likelihoods.items()} == {
        "zeros, poisson": "whole numbers from 0; 46% are 0",
        "rating": "one of 5 values: 1, 2, 3, 4, 5",
        "to 0.1": "numbers, recorded to 0.1",
        "zeros, gamma": "numbers from 0; 20% are 0",
        "cut off above": "numbers from 0 to 40; 12% are 40",
        "gamma": "numbers from 0",
        "gaussian": "numbers",
    }


def density(model, name, values):
    """exp log p of values of one target, the others missing, at c = 0.3."""
    fitted, y = model
    rows = y.iloc[np.zeros(ROWS, int)].reset_index(drop=True)
    for other in y:
        rows[other] = pd.Series([None] * ROWS, dtype=y[other].dtype)
    rows[name] = pd.Series(np.resize(np.array(values), ROWS), dtype=y[name].dtype)
    given = pd.DataFrame({"c": np.full(ROWS, 0.3)})
    return np.exp(fitted.log_prob(given, rows).value[: len(values)])


@pytest.mark.parametrize(
    ("name", "values", "step"),
    [
        ("zeros, poisson", np.arange(60.0), 1.0),
        ("rating", np.arange(1.0, 6.0), 1.0),
        ("size", ["s", "m", "l"], 1.0),
        ("to 0.1", np.round(np.arange(-8, 7.9, 0.1), 1), 0.1),
    ],
)
def test_probabilities_add_up_to_one_in_the_tables_units(model, name, values, step):
    # By a thousand draws of z, each to some 2%.
    assert step * density(model, name, values).sum() == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize(
    ("name", "at", "grid"),
    [
        pytest.param("zeros, gamma", 0.0, np.geomspace(1e-3, 200, ROWS), marks=pytest.mark.slow),
        pytest.param("cut off above", 40.0, np.linspace(-60, 39.999, ROWS), marks=pytest.mark.slow),
        pytest.param("gamma", None, np.geomspace(1e-4, 200, ROWS), marks=pytest.mark.slow),
        ("gaussian", None, np.linspace(-15, 15, ROWS)),
    ],
)
def test_densities_and_what_is_piled_up_add_up_to_one(model, name, at, grid):
    whole = trapezoid(density(model, name, grid), grid)
    pile = 0.0 if at is None else density(model, name, [at])[0]
    assert whole + pile == pytest.approx(1.0, abs=0.04)
    assert at is None or pile > 0.02


def test_draws_are_what_could_have_been_recorded(model):
    fitted, y = model
    drawn = fitted.sample(X, 5)
    for column in fitted.schema_.target:
        own = drawn[column.name]
        if column.kind == "numeric":
            assert column.possible(own.to_numpy()).all()
    assert (drawn["zeros, poisson"] % 1 == 0).all()
    tenths = drawn["to 0.1"].to_numpy()
    np.testing.assert_array_equal(tenths, np.round(tenths, 1))
    assert (drawn["zeros, gamma"] == 0).mean() == pytest.approx((y["zeros, gamma"] == 0).mean(), abs=0.15)
    assert (drawn["cut off above"] == 40.0).any()


def test_intervals_are_of_values_that_there_are(model):
    fitted, _ = model
    found = fitted.interval(X.head(20), 0.8)
    for name in ("zeros, poisson", "rating"):
        assert (found[[f"{name}_low", f"{name}_high"]] % 1 == 0).all(axis=None)
    assert (found["zeros, gamma_low"] == 0).any()
    assert fitted.cdf(X.head(5), {"rating": 5.0}).to_numpy().ravel() == pytest.approx(np.ones(5))


def test_it_is_saved_with_the_model(model, tmp_path):
    fitted, y = model
    fitted.save(tmp_path / "m")
    loaded = ConditionalVAE.load(tmp_path / "m")
    assert loaded.schema_ == fitted.schema_
    np.testing.assert_array_equal(
        loaded.log_prob(X.head(3), y.head(3)).value, fitted.log_prob(X.head(3), y.head(3)).value
    )


def test_a_cell_that_the_support_does_not_have_counts_as_one_exception(model):
    fitted, y = model
    one = -np.log(fitted.num_rows_ + 1)
    plain = fitted.log_prob(X.head(3), y.head(3)).value
    for name, cell in (("zeros, poisson", -2.0), ("rating", 2.5), ("cut off above", 41.0)):
        wrong = y.head(3).assign(**{name: [y[name][0], cell, y[name][2]]})
        with pytest.warns(OutsideWarning, match=f"outside of .*{name}.*: {cell:g}.*in 1 row") as said:
            value = fitted.log_prob(X.head(3), wrong).value
        empty = fitted.log_prob(X.head(3), wrong.assign(**{name: [y[name][0], None, y[name][2]]})).value
        assert one - 25 < value[1] - empty[1] < one
        np.testing.assert_allclose(value[[0, 2]], plain[[0, 2]], atol=0.5)
        assert said[0].message.outside.impossible == {name: {cell: 1}}
        assert fitted.observed_rows(wrong).all()


def test_a_user_names_another(untrained):
    y = pd.DataFrame({"claims": CELLS["poisson"], "load": CELLS["gamma"]})

    def families(**named):
        fitted = ConditionalVAE(**SIZE, **named).fit(X, y)
        return [column.likelihood.family for column in fitted.schema_.target]

    named = {"claims": "poisson", "load": "truncated_gaussian(low=0)"}
    assert families(likelihoods=named) == ["poisson", "truncated_gaussian"]
    assert families(likelihood="gaussian", likelihoods={"claims": "poisson"}) == ["poisson", "gaussian"]
    with pytest.raises(tables.TableError, match="named for 'visits', which is no target; the targets are"):
        families(likelihoods={"visits": "poisson"})


@pytest.mark.parametrize(
    ("likelihoods", "sentence"),
    [
        (
            "gaussian",
            "likelihoods is 'gaussian', expected a dictionary by column, such as .*likelihood='gau",
        ),
        (
            ["gamma"],
            r"likelihoods is \['gamma'\], expected a dictionary by column, such as {'claims': 'neg",
        ),
        ({"x": 3}, r"likelihoods\['x'\] is 3, expected a name, such as 'gamma'"),
        (
            {"x": "categorical"},
            "column 'x' is 'categorical', and its cells are numbers; name bernoulli for 0",
        ),
    ],
)
def test_what_names_no_likelihood_is_refused_before_training(likelihoods, sentence):
    with pytest.raises(ValueError, match=sentence):
        ConditionalVAE(likelihoods=likelihoods).fit(X, pd.DataFrame({"x": CELLS["yes or no"]}))


PRICE = {"heavier": 0.12, "beta at the ends": 0.14, "shares, a few whole": 0.06}
"""Nats a cell that the universal column may lose: far beyond all cells that it learned from it has a
lighter tail than Student-t of 1.5 degrees, and less of a peak at a limit than a beta that has no bound
there; of shares of exactly 1 it gives the probability, where the family gives a density."""


@pytest.mark.slow  # some 150 models
@pytest.mark.parametrize("name", KINDS)
def test_the_choice_is_as_good_as_the_right_one_on_held_out_rows(name):
    """Against each likelihood that made it: no worse by 0.03 nats, or its `PRICE`, or twice its error."""
    c, columns = kinds(1500, 3)
    given, y = pd.DataFrame({"c": c}), pd.DataFrame({"x": columns[name]})
    size = {"num_members": 2, "num_steps": 1500}

    def held_out(**named):
        fitted = ConditionalVAE(**size, **named).fit(given[:1000], y[:1000])
        return fitted.log_prob(given[1000:], y[1000:]).value

    chosen = held_out()
    for family in KINDS[name].families:
        gain, stderr = paired_difference(chosen, held_out(likelihoods={"x": family}))
        assert gain > -max(PRICE.get(name, 0.03), 2 * stderr), (name, family, gain, stderr)
