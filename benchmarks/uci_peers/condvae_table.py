"""condvae: `ConditionalVAE()` as it comes but for the seed, and for a density of every number.

The numbers of the papers and of the peers are densities, unbounded where targets repeat themselves. The
universal column, condvae's default, gives such targets the masses of rounding intervals, which is another
measure: they are Student-t here, for every data set alike.

By default targets are decoded in turn, without a latent. `condvae-latent` has one, `joint="latent"`, and
targets independent given it and c; `condvae-independent` has neither (`latent_size=0`): targets are
independent given c. What decoding in turn and what the latent earn are the differences.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np

from condvae import ConditionalVAE
from uci_peers.joint_tables import load

VERSIONS = ["condvae", "jax"]


class Table:
    def __init__(self, X: np.ndarray, y: np.ndarray, seed: int, **settings):
        self.model = ConditionalVAE(likelihood="student_t", random_state=seed, **settings).fit(X, y)

    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.model.log_prob(X, y).value

    def mean(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(X)

    def sample(self, X: np.ndarray, draws: int) -> np.ndarray:
        return self.model.sample(X, draws)[:, :, 0]


fit = Table
fit_by_latent = partial(Table, joint="latent")
fit_independent = partial(Table, joint="latent", latent_size=0)


def score_joint(fit, request: dict) -> tuple[float, dict[str, np.ndarray]]:
    """log p of all of a row's targets together, for the rows to test on, and the seconds that it took."""
    given, target = load(request["joint"], Path(request["data"]))
    start = time.perf_counter()
    fitted = fit(given.take(request["train"]), target.take(request["train"]), request["seed"])
    value = fitted.log_density(given.take(request["test"]), target.take(request["test"]))
    return time.perf_counter() - start, {"log_density": value}
