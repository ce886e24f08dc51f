"""What is fitted again, and to what: the fits are stood in for. Real ones are in test_diagnosing.py."""

import jax
import numpy as np
import pandas as pd
import pytest

from condvae.calibration import TwoSample
from condvae.diagnosis import LatentUse
from condvae.judging import refits
from condvae.judging.results import Refits
from judging.stand_in import rows_of

N = 200
ALIKE = TwoSample(0.5, 0.02, 0.4, 0.0, 0.02, N)


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"u": rng.normal(size=N)}), pd.DataFrame({"y": rng.normal(size=N)})


@pytest.fixture
def fitted(monkeypatch, frames):
    """Rows, a refit that scores them by what was changed, and the changes that were asked for."""
    seen = []

    def scored(gain):
        rows = rows_of(*frames)
        noise = np.random.default_rng(1).normal(size=N)
        rows.model.log_prob = lambda x, c, key: type(
            "Score", (), {"value": noise[: len(x["numeric"].value)] + gain}
        )
        rows.model.progress = False
        return rows

    def again(**change):
        seen.append(change)
        return scored({"latent_size": -0.5, "free_bits": 0.0}[next(iter(change))])

    monkeypatch.setattr(refits, "drawn", lambda rows, key: None)
    monkeypatch.setattr(refits, "told", lambda rows, made: ALIKE)
    monkeypatch.setattr(refits, "_inference", lambda rows, key: ("gaps", refits.Finding("x", "note", "y")))
    for name, label in (("trees", "trees"), ("peers", "NGBoost")):
        monkeypatch.setattr(
            refits, name, lambda rows, training, label=label: [(label, np.full(len(rows), -3.0))]
        )
    return scored(0.0), again, seen


def use():
    shared = 1.0 + 0.1 * np.random.default_rng(0).normal(size=N)
    return LatentUse(shared, shared, np.ones(1), np.zeros(1), ["z[0]"], np.ones(1), shared)


def test_the_same_recipe_without_z_and_with_free_bits(fitted):
    rows, again, seen = fitted
    some = rows.take(np.arange(50, 150))
    fitted_again = refits.refit(again, some, rows, use(), jax.random.key(0))
    assert seen == [{"latent_size": 0}, {"free_bits": refits.FREE_BITS}]
    assert list(fitted_again.baseline) == ["without z", "trees", "NGBoost"]
    assert fitted_again.baseline["without z"].gain == pytest.approx(0.5, abs=0.5)
    assert [one.code for one in fitted_again.findings][1:] == ["x"]
    assert fitted_again.summary.free_bits.gain == pytest.approx(0.0)


def test_without_a_latent_other_models_are_all_there_is(fitted):
    rows, again, seen = fitted
    fitted_again = refits.refit(again, rows, rows, None, jax.random.key(0))
    assert seen == []
    assert list(fitted_again.baseline) == ["trees", "NGBoost"]
    assert (fitted_again.findings, fitted_again.summary) == ([], Refits(None, None))
