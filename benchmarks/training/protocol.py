"""The line protocol between `training_speed.py` and its workers: a JSON object a line, each way.

    {"setup": {...}, "data": "rows.npz"}       -> {"versions": "...", "threads": 2}
    {"reset": "weights.npz", "seed": 3}        -> {}
    {"train": 2000}                            -> {"seconds": 1.7}
    {"evaluate": "elbo.npy", "num_draws": 16}  -> {}, and an ELBO for each held-out row in the file

A worker stays alive, so that rounds of several can be interleaved. It needs NumPy and its own library.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Size:
    """A model and how it is trained: three networks of `depth` hidden layers of `width` units."""

    name: str
    x: int
    c: int
    z: int
    width: int
    depth: int
    likelihood: str  # "gaussian", mean and scale from (z, c), or "bernoulli"
    batch: int
    rows: int  # a multiple of `batch`, so that no batch is smaller
    steps: int  # a multiple of rows / batch, so that an epoch is whole
    learning_rate: float

    @property
    def layers(self) -> dict[str, list[int]]:
        """The sizes of the layers of each network, inputs first: a Gaussian has two outputs a cell."""
        hidden = [self.width] * self.depth
        return {
            "prior": [self.c, *hidden, 2 * self.z],
            "likelihood": [self.z + self.c, *hidden, (1 + (self.likelihood == "gaussian")) * self.x],
            "posterior": [self.x + self.c, *hidden, 2 * self.z],
        }


Rows = dict[str, np.ndarray]
"""x, c, held_out_x, held_out_c."""

Weights = dict[str, np.ndarray]
"""For each network and layer "prior.0.weight", of shape (out, in), and "prior.0.bias"."""


class Worker(Protocol):
    """What an implementation offers. `train` returns when the last step is done, not dispatched."""

    versions: str
    threads: int

    def __init__(self, size: Size, rows: Rows): ...
    def reset(self, weights: Weights, seed: int) -> None: ...
    def train(self, steps: int) -> None: ...
    def evaluate(self, num_draws: int) -> np.ndarray: ...


def serve(make_worker: type[Worker]) -> None:
    """Answer requests until standard input ends."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # whatever a library prints must not end up among the replies
    worker = None
    for line in sys.stdin:
        reply = {}
        match json.loads(line):
            case {"setup": size, "data": path}:
                worker = make_worker(Size(**size), dict(np.load(path)))
                reply = {"versions": worker.versions, "threads": worker.threads}
            case {"reset": path, "seed": seed}:
                worker.reset(dict(np.load(path)), seed)
            case {"train": steps}:
                start = time.perf_counter()
                worker.train(steps)
                reply = {"seconds": time.perf_counter() - start}
            case {"evaluate": path, "num_draws": num_draws}:
                np.save(path, worker.evaluate(num_draws))
            case request:
                raise ValueError(f"no such request: {request}")
        print(json.dumps(reply), file=replies, flush=True)
