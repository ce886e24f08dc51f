import numpy as np
import pytest

from condvae.calibration import TwoSample
from condvae.diagnosis.collapse import collapse_finding, latent_finding, unused
from condvae.diagnosis.latent import LatentUse

ALIKE, APART = TwoSample(0.5, 0.02, 0.4, 0.0, 0.01, 500), TwoSample(0.7, 0.02, 1e-9, 0.2, 0.02, 500)


def use(information, active=1):
    rng = np.random.default_rng(0)
    shared = information + 0.1 * rng.normal(size=1000)
    activity = np.array([0.8] * active + [0.0] * (2 - active))
    return LatentUse(shared, shared, np.zeros(2), np.zeros(2), ["z[0]", "z[1]"], activity, shared)


def rows(mean, seed=1):
    return mean + np.random.default_rng(seed).normal(size=500)


@pytest.mark.parametrize(
    ("information", "without", "freed", "told", "code"),
    [
        (1.0, -0.5, 0.0, ALIKE, "z-used"),
        (1.0, -0.5, 0.05, ALIKE, "z-used"),
        (0.0, 0.0, 0.4, APART, "z-ignored"),
        (0.0, 0.0, 0.0, ALIKE, "z-not-needed"),
        (0.0, 0.02, -0.1, ALIKE, "z-not-needed"),
        (0.0, 0.0, 0.0, APART, "z-unclear"),
    ],
)
def test_collapse_is_told_apart(information, without, freed, told, code):
    own = rows(0.0)
    noise = 0.1 * rows(0.0, 2), 0.1 * rows(0.0, 3)
    found = collapse_finding(use(information), own, own + without + noise[0], own + freed + noise[1], told)
    assert found.code == code
    assert (found.level == "problem") == (code == "z-ignored")
    assert (found.advice is None) == (code == "z-used")


def test_what_the_model_alone_can_tell():
    assert not unused(use(0.5))
    assert unused(use(0.01))
    assert latent_finding(use(0.5)).words().startswith("z is used: 1 of 2 latent units are active")
    assert latent_finding(use(0.01, active=0)).code == "z-unused"


def test_scores_are_of_the_same_rows():
    with pytest.raises(ValueError, match="score the same rows by both"):
        collapse_finding(use(1.0), rows(0.0), rows(0.0)[:-1], rows(0.0), ALIKE)
