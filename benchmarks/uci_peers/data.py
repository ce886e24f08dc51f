"""The four data sets and their splits. NumPy only: the peers' Python need not have condvae."""

import sys
from pathlib import Path

import numpy as np

FILES = {
    "boston": "bostonHousing.txt",
    "concrete": "concrete.txt",
    "energy": "energy.txt",
    "yacht": "yacht.txt",
}
STANDARD_SEED = 1


def load(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """X, (n, columns), and y, (n,)."""
    path = folder / FILES[name]
    if not path.is_file():
        sys.exit(
            f"{path} is missing: --data is the folder with {', '.join(FILES.values())}, tables of the UCI "
            "Machine Learning Repository (archive.ics.uci.edu) as text, separated by whitespace, without a "
            "header, the target in the last column."
        )
    table = np.loadtxt(path)
    return table[:, :-1], table[:, -1]


def splits(rows: int, number: int, seed: int = STANDARD_SEED) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first `number` splits: indices to train on, 90%, and to test on.

    With seed 1 these are the splits that papers share (Hernández-Lobato and Adams 2015 drew them so,
    with `np.random.seed(1)` once and a `np.random.choice(range(n), n, replace=False)` for each).
    """
    generator = np.random.RandomState(seed)
    orders = [generator.choice(rows, rows, replace=False) for _ in range(number)]
    cut = round(0.9 * rows)
    return [(order[:cut], order[cut:]) for order in orders]


class Standardiser:
    """X and y with mean 0 and standard deviation 1, for peers that do not do so themselves."""

    def __init__(self, X: np.ndarray, y: np.ndarray):
        spread = X.std(0)
        self.X_mean, self.X_scale = X.mean(0), np.where(spread > 0, spread, 1.0)
        self.y_mean, self.y_scale = y.mean(), y.std()

    def X(self, X: np.ndarray) -> np.ndarray:
        return ((X - self.X_mean) / self.X_scale).astype(np.float32)

    def y(self, y: np.ndarray) -> np.ndarray:
        return ((y - self.y_mean) / self.y_scale).astype(np.float32)

    def back(self, y: np.ndarray) -> np.ndarray:
        return self.y_mean + self.y_scale * np.asarray(y, dtype=float)
