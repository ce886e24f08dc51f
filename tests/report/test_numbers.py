from dataclasses import replace

import pytest

from condvae.calibration import Copies, TwoSample
from condvae.judging.results import (
    Calibration,
    Comparison,
    Dependence,
    Latents,
    Nats,
    Pair,
    PosteriorRanks,
    Side,
    Sides,
    Slice,
    WorstRow,
)
from condvae.report import numbers
from judging.evaluations import evaluation

FIT = Calibration(cells=90, p_value=0.3, shape="right", off_by=0.04)
ALIKE = TwoSample(0.53, 0.02, 0.2, 0.0, 0.02, 90)
COPIES = Copies(0.5, 0.05, 0.5, 1.0, 1.0, 0.25, 0.05, 1e-9, 25, 1, 90)
SLICE = Slice("site", "a", 40, -2.0, 0.2, {"mass": FIT})


def told(**changes):
    measured = {
        "rows_scored": 90,
        "elbo": -2.2,
        "baseline": {"linear": Comparison(-2.5, 0.5, 0.05)},
        "sides": Sides(Side(50, -1.9, 0.1), Side(50, -2.1, 0.1), "members", Side(90, -2.0, 0.1)),
        "cells": {"mass": 90, "kind": 80},
        "crps": {"mass": 1.25},
        "coverage": {"mass": {"0.5": 0.48, "0.9": 0.91}},
        "accuracy": {"kind": 0.75},
        "calibration": {"mass": FIT, "kind": replace(FIT, p_value=1e-6, shape="narrow")},
        "looked_at": 90,
        "samples": ALIKE,
        "scores": {"energy": 0.7, "variogram": 0.02},
        "in_turn": False,
    }
    return evaluation(**measured | changes)


def test_densities_and_sides():
    densities, sides = numbers.nats(told())
    assert densities.rows[0] == ["the model", "-2.00 ± 0.10", ""]
    assert densities.rows[-1] == ["a chain of regressions", "-2.50", "0.50 ± 0.05"]
    assert [row[0] for row in sides.rows] == [
        "training rows (members, each alone)",
        "held out at fitting (members, each alone)",
        "these rows",
    ]
    alone = replace(told().sides, train=None, validation=None)
    assert numbers.nats(told(sides=alone))[1].rows == []


def test_targets_in_the_order_of_the_table():
    targets, slices = numbers.calibration(told())
    assert targets.head[:5] == ["target", "cells", "CRPS", "in 50%", "in 90%"]
    assert targets.rows[0] == ["mass", "90", "1.25", "48%", "91%", "", "right", "0.3", "4%"]
    assert targets.rows[1] == ["kind", "80", "", "", "", "75%", "too narrow", "< 0.0001", "4%"]
    assert slices.rows == []


def test_pairs_of_targets():
    assert numbers.pairs(told()).rows == []
    pair = Pair(("mass", "kind"), 80, 0.3, 0.28, None, None)
    nats = Nats(0.5, 0.01)
    shared = told(dependence=Dependence(nats, nats, nats, [pair], {}))
    assert numbers.pairs(shared).rows == [["mass and kind", "80", "0.30", "0.28", "", ""]]
    assert "share 0.50 ± 0.01 nats per row under the model" in numbers.samples_words(shared)


def test_slices_the_least_calibrated_first():
    judged = [SLICE, replace(SLICE, group="b", targets={"mass": replace(FIT, p_value=1e-3)})]
    slices = numbers.calibration(told(slices=judged))[1]
    assert [row[1] for row in slices.rows] == ["b", "a"]
    assert slices.folded


def test_worst_rows_and_why():
    one = WorstRow(4, -20.0, "mass", 9.0, 2.0, (1.0, 3.0), 1e-7, True, "dose", 1.0)
    other = replace(one, row=9, log_prob=None, target=None, chance=0.4, outside=False, distance=0.2)
    table = numbers.worst(told(worst=[one, other]))
    assert table.rows[0] == ["5", "-20.00", "mass", "9", "2 (1 to 3)", "< 0.0001", "100%, outside in dose"]
    assert table.rows[1] == ["10", "−∞", "their dependence", "", "", "", "20%"]


def test_words_on_latents():
    off = ALIKE._replace(share=0.6, p_value=1e-6, nats=0.2)
    ranks = PosteriorRanks(0.4, {})
    latents = Latents(1.0, 0.1, 2.0, 1.0, 0.1, 1, [0.8], {}, off, off._replace(share=0.5), ranks)
    said = numbers.latents_words(told(latents=latents))
    assert "in 60% of pairs (p < 0.0001): at least 0.20 nats lie between" in said
    assert "reconstructions from samples in 50%" in said
    assert said.endswith("are uniform if it is (p = 0.4).")
    few = numbers.latents_words(told(latents=replace(latents, prior=None)))
    assert few.startswith("Whether q is the posterior")
    assert numbers.latents_words(told()) == ""


def test_words():
    assert "53% of pairs" in numbers.samples_words(told())
    copied = told(samples=None, copies=COPIES)
    assert "some 25% seem to be copies of training rows (p < 0.0001)" in numbers.samples_words(copied)
    assert "energy score 0.700" in numbers.together_words(told())
    assert numbers.together_words(told(scores={})) == ""
    assert "no latent" in numbers.nats_words(told())
    assert numbers.judged_by(told()) == "90 rows"
    assert numbers.judged_by(told(rows_scored=1000)) == "90 rows of 1,000; densities by all"


@pytest.mark.parametrize("shape", ["right", "off"])
def test_shapes_that_are_not_too_anything(shape):
    said = told(calibration={"mass": replace(FIT, shape=shape)})
    assert numbers.calibration(said)[0].rows[0][6] == shape
