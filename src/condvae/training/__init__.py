"""Training: maximise an objective over the rows of data."""

from condvae.training.admission import SupportError, binarise
from condvae.training.checkpoints import Checkpoints, Interrupted, require_usable
from condvae.training.devices import Disconnected
from condvae.training.history import History, TrainingError
from condvae.training.loop import Callback, Fit, fit

__all__ = [
    "Callback",
    "Checkpoints",
    "Disconnected",
    "Fit",
    "History",
    "Interrupted",
    "SupportError",
    "TrainingError",
    "binarise",
    "fit",
    "require_usable",
]
