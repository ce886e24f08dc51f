"""What is asked of draws: rows of them, and as many observed values; and rows in chunks."""

from collections.abc import Iterator

import numpy as np

CELLS = 1 << 22  # draws sorted at a time: 32 MiB of float64


def check(samples: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws [rows, draws] and one value for each row, as float64."""
    samples, observed = check_samples(samples), np.asarray(observed, np.float64)
    if observed.shape != samples.shape[:1]:
        raise ValueError(
            f"observed has shape {observed.shape}, expected {samples.shape[:1]}: one value for each row "
            "of samples"
        )
    return samples, observed


def check_vectors(samples: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws [rows, draws, columns], at least 2, and one vector for each row."""
    samples, observed = np.asarray(samples), np.asarray(observed, np.float64)
    if samples.ndim != 3 or samples.shape[1] < 2:
        raise ValueError(
            f"samples has shape {samples.shape}, expected [rows, draws, columns], 2 draws or more"
        )
    if observed.shape != (samples.shape[0], samples.shape[2]):
        raise ValueError(
            f"observed has shape {observed.shape}, expected {(samples.shape[0], samples.shape[2])}: one "
            "vector for each row of samples"
        )
    return samples, observed


def check_samples(samples: np.ndarray) -> np.ndarray:
    """Draws [rows, draws]."""
    samples = np.asarray(samples)
    if samples.ndim != 2 or not samples.shape[1]:
        raise ValueError(f"samples has shape {samples.shape}, expected [rows, draws]")
    return samples


def chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows, of as many as fit; the cells of a row are the product of the rest of `shape`."""
    step = max(1, CELLS // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)
