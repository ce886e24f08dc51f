"""How well predictive distributions, given as draws, fit what was observed: arrays in, arrays out.

A row is one example, and its draws are from the predictive distribution of one real quantity, or of a
vector of them. An observed value of NaN is a missing one: its score is NaN, and no interval covers it.
"""

from condvae.calibration.copies import Copies, copies
from condvae.calibration.intervals import (
    central_interval,
    conformal_level,
    conformal_score,
    coverage,
    covers,
)
from condvae.calibration.levels import level_set, mass_above
from condvae.calibration.ranks import Uniformity, class_pit, pit, uniformity
from condvae.calibration.reliability import Reliability, reliability
from condvae.calibration.scores import crps, energy_score, mean_stderr, paired_difference, variogram_score
from condvae.calibration.two_sample import FEWEST_PAIRS, TwoSample, two_sample

__all__ = [
    "FEWEST_PAIRS",
    "Copies",
    "Reliability",
    "TwoSample",
    "Uniformity",
    "central_interval",
    "class_pit",
    "conformal_level",
    "conformal_score",
    "copies",
    "coverage",
    "covers",
    "crps",
    "energy_score",
    "level_set",
    "mass_above",
    "mean_stderr",
    "paired_difference",
    "pit",
    "reliability",
    "two_sample",
    "uniformity",
    "variogram_score",
]
