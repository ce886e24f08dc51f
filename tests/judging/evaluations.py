"""An evaluation, for what needs no model."""

from condvae.judging.results import Comparison, Evaluation, Side, Sides
from condvae.scoring.estimates import DrawCounts, EffectiveDraws, Untrusted

SIDE = Side(100, -2.0, 0.05)
COMPARISON = Comparison(-3.0, 1.0, 0.1)


def evaluation(**changes):
    """What is measured of a model of which there is nothing to say."""
    measured = {
        "rows": 100,
        "rows_scored": 100,
        "method": "importance sampling",
        "draws": DrawCounts(1000, 1000, 1000.0),
        "log_prob": -2.0,
        "log_prob_stderr": 0.1,
        "log_prob_noise": 0.01,
        "ess": EffectiveDraws(7.2, 300.0),
        "untrusted": Untrusted(0, [], -2.0),
        "outside": 0,
        "training_rows": 0,
        "equal_by_chance": 0.0,
        "impossible": 0,
        "unforeseen": 0,
        "elbo": -2.05,
        "baseline": {"marginal": COMPARISON},
        "sides": Sides(SIDE, SIDE, "members", SIDE),
        "cells": {"y": 100},
        "looked_at": 100,
        "crps": {},
        "coverage": {},
        "coverage_stderr": {},
        "scores": {},
        "conformal_coverage": None,
        "accuracy": {},
    }
    return Evaluation(**measured | changes)
