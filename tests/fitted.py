import jax
import numpy as np
import pytest

from condvae import Mixture, vectorise
from condvae.estimator import ConditionalVAE
from condvae.scoring import LogProb
from condvae.table_models import fitting, validation
from condvae.training import History
from estimator.known import Known, known_members
from estimator.mixed import FAST, mixed


@pytest.fixture
def one_shape(monkeypatch):
    """Chunks of eight rows, however few there are: one program for all."""
    monkeypatch.setattr(vectorise, "chunk_size", lambda *_: 8)


@pytest.fixture(scope="session")
def tables():
    return mixed()


@pytest.fixture(scope="session")
def model(tables):
    """Hardly trained, on columns of every kind, with a latent."""
    settings = FAST | {"unknown": "other", "calibration_fraction": 0.1, "joint": "latent"}
    return ConditionalVAE(**settings).fit(*tables)


def _history(best_value):
    history = History()
    history.best_value = best_value
    return history


def _known(**options):
    with pytest.MonkeyPatch.context() as patch:
        mixture = known_members(**options)

        def fit(*_, **__):
            return mixture, _history([0.0, 1.0])

        patch.setattr(fitting, "fit", fit)
        patch.setattr(fitting, "measure_members", lambda *_: None)
        return Known.fit(mixture, **options)


@pytest.fixture(scope="session")
def known():
    """A mixture of two whose every answer is known: frames, a category among the targets."""
    return _known()


@pytest.fixture(scope="session")
def known_arrays():
    """The same without the category, fitted to arrays."""
    return _known(frames=False, categorical=False)


@pytest.fixture(scope="session")
def known_plain():
    """The same without conditions."""
    return _known(conditions=False)


class Untrained:
    """What the core was asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, model, x, c, **options):
        self.calls.append({"x": x, "c": c, **options})
        size = options["num_members"]
        if not isinstance(model, Mixture):
            model = Mixture.of([model(key) for key in jax.random.split(options["key"], size)])
        return model, _history([0.0] * size)


def without_training(patch):
    """Fitting that leaves the members as they were made, and scores nothing, as long as the patch lasts."""
    calls = Untrained()

    def log_prob(_, x, *__, **___):
        zeros = np.zeros(vectorise.num_rows(x=x))
        return LogProb(zeros, zeros, zeros + 1, zeros, zeros + 1000)

    patch.setattr(fitting, "fit", calls)
    patch.setattr(validation.scoring, "log_prob", log_prob)
    return calls


@pytest.fixture
def untrained(monkeypatch):
    """Fitting that leaves the members as they were made, and scores nothing."""
    return without_training(monkeypatch)
