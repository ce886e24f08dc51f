"""What is trained: three sizes of CVAE, rows for each, and initial weights, all from a seed."""

from itertools import pairwise

import numpy as np

from .protocol import Rows, Size, Weights

SIZES = [
    Size(
        name="tiny",
        x=1,
        c=1,
        z=1,
        width=16,
        depth=1,
        likelihood="gaussian",
        batch=128,
        rows=12_800,
        steps=2_000,
        learning_rate=1e-3,
    ),
    Size(
        name="table",
        x=10,
        c=10,
        z=8,
        width=128,
        depth=2,
        likelihood="gaussian",
        batch=256,
        rows=12_800,
        steps=1_000,
        learning_rate=1e-3,
    ),
    Size(
        name="image",
        x=588,
        c=196,
        z=200,
        width=500,
        depth=2,
        likelihood="bernoulli",
        batch=128,
        rows=5_120,
        steps=200,
        learning_rate=1e-3,
    ),
]

NUM_HELD_OUT = 1_000


def draw_rows(size: Size, seed: int) -> Rows:
    """Rows to train on and held-out rows, of a p(x | c) that is no function of c and simple noise."""
    rng = np.random.default_rng(seed)
    draw = {"tiny": draw_fork, "table": draw_table, "image": draw_discs}[size.name]
    x, c = (value.astype(np.float32) for value in draw(rng, size.rows + NUM_HELD_OUT))
    train, held_out = slice(size.rows), slice(size.rows, None)
    return {"x": x[train], "c": c[train], "held_out_x": x[held_out], "held_out_c": c[held_out]}


def draw_fork(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """x near c or near −c."""
    c = rng.uniform(0, 1, (n, 1))
    return c * rng.choice([-1, 1], (n, 1)) + 0.1 * rng.standard_normal((n, 1)), c


def draw_table(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten columns that depend on ten others and on four hidden causes."""
    c, causes = rng.standard_normal((n, 10)), rng.standard_normal((n, 4))
    mixing = rng.standard_normal((14, 10)) / np.sqrt(7)
    return np.tanh(np.hstack([c, causes]) @ mixing) + 0.1 * rng.standard_normal((n, 10)), c


def draw_discs(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy disc in 28x28 binary pixels: c is the lower left quarter, x the other three."""
    row, column = np.indices((28, 28))
    centre_row, centre_column = rng.uniform(8, 20, (2, n, 1, 1))
    distance = np.hypot(row - centre_row, column - centre_column)
    inside = 1 / (1 + np.exp(distance - rng.uniform(4, 10, (n, 1, 1))))
    image = rng.random((n, 28, 28)) < inside
    given = (row >= 14) & (column < 14)
    return image[:, ~given], image[:, given]


def draw_weights(size: Size, seed: int) -> Weights:
    """Weights and biases of every layer, uniform in ±1/√in."""
    rng = np.random.default_rng(seed)
    weights = {}
    for network, sizes in size.layers.items():
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            for kind, shape in ("weight", (fan_out, fan_in)), ("bias", (fan_out,)):
                value = rng.uniform(-1, 1, shape) / np.sqrt(fan_in)
                weights[f"{network}.{layer}.{kind}"] = value.astype(np.float32)
    return weights
