"""How a fitted estimator comes before its judges."""

import numpy as np
import pandas as pd

from condvae import ConditionalVAE
from condvae.estimator import evaluation
from estimator.mixed import BARE


def test_it_is_fitted_again_by_the_elbo_to_the_rows_trained_on(untrained, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame({"u": rng.normal(size=60)}), pd.DataFrame({"v": rng.normal(size=60)})
    train, test = (X[:40], y[:40]), (X[40:], y[40:])
    fitted = ConditionalVAE(**BARE, joint="latent", objective="iwae", num_samples=2).fit(*train)
    asked = {}
    monkeypatch.setattr(evaluation.judging, "diagnose", lambda rows, keys, **given: asked.update(given))
    fitted.diagnose(*test, train=train)
    assert asked["refit"] is None
    assert len(asked["training"]) == 40
    calls = len(untrained.calls)
    fitted.diagnose(*test, train=train, deep=True)
    rows = asked["refit"](latent_size=0)
    assert len(rows) == 20
    assert untrained.calls[calls]["objective"].__name__ == "elbo"
    assert fitted.objective == "iwae"
