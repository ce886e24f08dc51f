import pytest

from condvae.report import numbers

FIT = {"p_value": 0.3, "shape": "right", "off_by": 0.04, "cells": 90}


def told(**changes):
    evaluation = {
        "log_prob": -2.0,
        "log_prob_stderr": 0.1,
        "elbo": -2.2,
        "baseline": {"linear": {"log_prob": -2.5, "gain": 0.5, "gain_stderr": 0.05}},
        "sides": {
            "train": {"rows": 50, "log_prob": -1.9, "stderr": 0.1},
            "validation": {"rows": 50, "log_prob": -2.1, "stderr": 0.1},
            "test": {"rows": 90, "log_prob": -2.0, "stderr": 0.1},
            "how": "members",
        },
        "cells": {"mass": 90, "kind": 80},
        "crps": {"mass": 1.25},
        "coverage": {"mass": {"0.5": 0.48, "0.9": 0.91}},
        "accuracy": {"kind": 0.75},
        "calibration": {"mass": FIT, "kind": FIT | {"p_value": 1e-6, "shape": "narrow"}},
        "slices": [],
        "looked_at": 90,
        "rows_scored": 90,
        "samples": {"share": 0.53, "p_value": 0.2},
        "copies": None,
        "dependence": None,
        "scores": {"energy": 0.7, "variogram": 0.02},
        "in_turn": False,
        "latents": None,
        "worst": [],
    }
    return evaluation | changes


def test_densities_and_sides():
    densities, sides = numbers.nats(told())
    assert densities.rows[0] == ["the model", "-2.00 ± 0.10", ""]
    assert densities.rows[-1] == ["a chain of regressions", "-2.50", "0.50 ± 0.05"]
    assert [row[0] for row in sides.rows] == [
        "rows trained on (members, each alone)",
        "held out at fitting (members, each alone)",
        "these rows",
    ]
    alone = told()["sides"] | {"train": None, "validation": None}
    assert numbers.nats(told(sides=alone))[1].rows == []


def test_targets_in_the_order_of_the_table():
    targets, slices = numbers.calibration(told())
    assert targets.head[:5] == ["target", "cells", "CRPS", "in 50%", "in 90%"]
    assert targets.rows[0] == ["mass", "90", "1.25", "48%", "91%", "", "right", "0.3", "4%"]
    assert targets.rows[1] == ["kind", "80", "", "", "", "75%", "too narrow", "< 0.0001", "4%"]
    assert slices.rows == []


def test_pairs_of_targets():
    assert numbers.pairs(told()).rows == []
    pair = {
        "targets": ["mass", "kind"],
        "rows": 80,
        "information": 0.3,
        "information_drawn": 0.28,
        "correlation": None,
        "correlation_drawn": None,
    }
    nats = {"nats": 0.5, "stderr": 0.01}
    evaluation = told(dependence={"model": nats, "chain": nats, "lacking": nats, "pairs": [pair]})
    assert numbers.pairs(evaluation).rows == [["mass and kind", "80", "0.30", "0.28", "", ""]]
    assert "share 0.50 ± 0.01 nats per row under the model" in numbers.samples_words(evaluation)


def test_slices_the_least_calibrated_first():
    one = {"column": "site", "group": "a", "rows": 40, "log_prob": -2.0, "stderr": 0.2}
    judged = [
        one | {"targets": {"mass": FIT}},
        one | {"group": "b", "targets": {"mass": FIT | {"p_value": 1e-3}}},
    ]
    slices = numbers.calibration(told(slices=judged))[1]
    assert [row[1] for row in slices.rows] == ["b", "a"]
    assert slices.folded


def test_worst_rows_and_why():
    one = {
        "row": 4,
        "log_prob": -20.0,
        "target": "mass",
        "observed": 9.0,
        "expected": 2.0,
        "interval": [1.0, 3.0],
        "chance": 1e-7,
        "outside": True,
        "outside_columns": "dose",
        "distance": 1.0,
    }
    other = one | {
        "row": 9,
        "log_prob": None,
        "target": None,
        "chance": 0.4,
        "outside": False,
        "distance": 0.2,
    }
    table = numbers.worst(told(worst=[one, other]))
    assert table.rows[0] == ["5", "-20.00", "mass", "9", "2 (1 to 3)", "< 0.0001", "100%, outside in dose"]
    assert table.rows[1] == ["10", "−∞", "their dependence", "", "", "", "20%"]


def test_words_on_latents():
    test = {"share": 0.6, "p_value": 1e-6, "nats": 0.2}
    latents = {"prior": test, "reconstructions": test | {"share": 0.5}, "posterior": {"p_value": 0.4}}
    said = numbers.latents_words(told(latents=latents))
    assert "in 60% of pairs (p < 0.0001): at least 0.20 nats lie between" in said
    assert "reconstructions from samples in 50%" in said
    assert said.endswith("are uniform if it is (p = 0.4).")
    few = numbers.latents_words(told(latents=latents | {"prior": None}))
    assert few.startswith("Whether q is the posterior")
    assert numbers.latents_words(told()) == ""


def test_words():
    assert "53% of pairs" in numbers.samples_words(told())
    copied = told(samples=None, copies={"copied": 0.25, "copied_p_value": 1e-9})
    assert "some 25% seem to be copies of rows trained on (p < 0.0001)" in numbers.samples_words(copied)
    assert "energy score 0.700" in numbers.together_words(told())
    assert numbers.together_words(told(scores={})) == ""
    assert "no latent" in numbers.nats_words(told())
    assert numbers.judged_by(told()) == "90 rows"
    assert numbers.judged_by(told(rows_scored=1000)) == "90 rows of 1,000; densities by all"


@pytest.mark.parametrize("shape", ["right", "off"])
def test_shapes_that_are_not_too_anything(shape):
    evaluation = told(calibration={"mass": FIT | {"shape": shape}})
    assert numbers.calibration(evaluation)[0].rows[0][6] == shape
