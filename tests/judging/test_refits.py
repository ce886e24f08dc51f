"""What is fitted again, and to what: the fits are stood in for. Real ones are in test_diagnosing.py."""

import jax
import numpy as np
import pandas as pd
import pytest

from condvae.calibration import TwoSample
from condvae.diagnosis import LatentUse
from condvae.estimator import ConditionalVAE
from condvae.judging import refits
from judging.stand_in import rows_of

N = 200
ALIKE = TwoSample(0.5, 0.02, 0.4, 0.0, 0.02, N)


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"u": rng.normal(size=N)}), pd.DataFrame({"y": rng.normal(size=N)})


@pytest.fixture
def fitted(monkeypatch, frames):
    """An estimator whose refits score rows by what was changed; and what was fitted, to which rows."""
    seen = []
    gains = {"latent_size": -0.5, "free_bits": 0.0}

    class Standing(ConditionalVAE):
        def fit(self, X, y):
            changed = {name: getattr(self, name) for name in gains if getattr(self, name)}
            changed |= {"latent_size": 0} if self.latent_size == 0 else {}
            assert self.objective == "elbo"  # whatever the model was trained by
            seen.append((changed, len(X)))
            self.gain = gains[next(iter(changed))]
            return self

        def _scored(self, X, y, told):
            assert told  # of rows outside, by whoever judges
            rows = scored(rows_of(X, y), self.gain)
            return rows.model, rows.c, rows.x, np.zeros(len(rows), bool)

    def scored(rows, gain):
        noise = np.random.default_rng(1).normal(size=N)
        rows.model.log_prob = lambda x, c, key: type(
            "Score", (), {"value": noise[: len(x["numeric"].value)] + gain}
        )
        return rows

    monkeypatch.setattr(refits, "drawn", lambda rows, key: None)
    monkeypatch.setattr(refits, "told", lambda rows, made: ALIKE)
    monkeypatch.setattr(
        refits, "_inference", lambda rows, key: ({"rows": 1}, refits.Finding("x", "note", "y"))
    )
    for name, label in (("trees", "trees"), ("peers", "NGBoost")):
        monkeypatch.setattr(
            refits, name, lambda rows, training, label=label: [(label, np.full(len(rows), -3.0))]
        )
    estimator = Standing(objective="iwae", num_samples=2)
    estimator.seed_ = 7
    return estimator, scored(rows_of(*frames), 0.0), seen


def use():
    shared = 1.0 + 0.1 * np.random.default_rng(0).normal(size=N)
    return LatentUse(shared, shared, np.ones(1), np.zeros(1), ["z[0]"], np.ones(1), shared)


def test_the_same_recipe_without_z_and_with_free_bits(fitted, frames):
    estimator, rows, seen = fitted
    some = rows.take(np.arange(50, 150))
    found = refits.refit(estimator, frames, frames, some, rows, use(), jax.random.key(0))
    assert seen == [({"latent_size": 0}, N), ({"free_bits": refits.FREE_BITS}, N)]
    assert list(found.baseline) == ["without z", "trees", "NGBoost"]
    assert found.baseline["without z"]["gain"] == pytest.approx(0.5, abs=0.5)
    assert [one.code for one in found.findings][1:] == ["x"]
    assert set(found.to_json()) == {"free_bits", "gaps"}


def test_without_a_latent_other_models_are_all_there_is(fitted, frames):
    estimator, rows, seen = fitted
    found = refits.refit(estimator, frames, frames, rows, rows, None, jax.random.key(0))
    assert seen == []
    assert list(found.baseline) == ["trees", "NGBoost"]
    assert (found.findings, found.free_bits, found.gaps) == ([], None, None)
