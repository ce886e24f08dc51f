"""One method in a process of its own, spoken to in lines of JSON by `uci.py`.

    {"fit": "split.npz", "seed": 3, "draws": 1000, "out": "answers.npz"}  -> {"seconds": 1.7}
    {"joint": "penguins", "data": "uci", "train": [...], "test": [...], "seed": 3, "out": "answers.npz"}
                                                                          -> {"seconds": 1.7}

It greets with {"versions": "..."}, or {"skip": "a reason"} if its library is not installed, and answers
{"skip": "a reason"} to a request that fails. It lives for all splits of a data set, so that what is
compiled once is paid for once. The seconds are all that a user waits for: fit, log-densities, means and
samples. They begin after the imports.

A method is a module here with `VERSIONS`, a list of packages, and a function

    fit(X_train, y_train, seed) -> Fitted

Its docstring says how it is set up, and why.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import time
from typing import NamedTuple, Protocol

import numpy as np


class Method(NamedTuple):
    module: str
    function: str = "fit"
    needs_peers: bool = False  # runs in the peers' Python, where there is one


METHODS = {
    "condvae": Method("condvae_table"),
    "condvae-latent": Method("condvae_table", "fit_by_latent"),
    "condvae-independent": Method("condvae_table", "fit_independent"),
    "linear": Method("linear"),
    "ngboost": Method("ngboost_normal", needs_peers=True),
    "ngboost-2000": Method("ngboost_normal", "fit_chosen_stage", needs_peers=True),
    "treeffuser": Method("treeffuser_kde", needs_peers=True),
    "flowjax": Method("flowjax_spline"),
    "deep-ensemble": Method("deep_ensemble"),
}


class Fitted(Protocol):
    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """log p(y | X) in the units of y: (n,)."""
        ...

    def mean(self, X: np.ndarray) -> np.ndarray:
        """(n,)."""
        ...

    def sample(self, X: np.ndarray, draws: int) -> np.ndarray:
        """(n, draws)."""
        ...


def serve(method: Method) -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints, from C too, is no reply

    def reply(**message) -> None:
        print(json.dumps(message), file=replies, flush=True)

    try:
        module = importlib.import_module(f"uci_peers.{method.module}")
    except ImportError as error:
        reply(skip=f"{error} in {sys.executable}")
        return
    reply(versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in module.VERSIONS))
    for line in sys.stdin:
        try:
            reply(seconds=answer(module, getattr(module, method.function), json.loads(line)))
        except Exception as error:  # a peer may raise anything, and the others go on
            reply(skip=f"{type(error).__name__}: {error}")


def answer(module, fit, request: dict) -> float:
    if "joint" in request:
        seconds, answers = module.score_joint(fit, request)
    else:
        rows = dict(np.load(request["fit"]))
        start = time.perf_counter()
        fitted: Fitted = fit(rows["X_train"], rows["y_train"], request["seed"])
        answers = {
            "log_density": fitted.log_density(rows["X_test"], rows["y_test"]),
            "mean": fitted.mean(rows["X_test"]),
            "samples": fitted.sample(rows["X_test"], request["draws"]),
        }
        seconds = time.perf_counter() - start
        tests = len(rows["y_test"])
        expected = {"log_density": (tests,), "mean": (tests,), "samples": (tests, request["draws"])}
        if (shapes := {name: np.shape(answers[name]) for name in answers}) != expected:
            raise ValueError(f"shapes {shapes}, expected {expected}")
    np.savez(request["out"], **answers)
    return seconds


if __name__ == "__main__":
    serve(METHODS[sys.argv[1]])
