"""What a fitted model is worth on the rows of a table: densities and scores, beside what is simpler."""

from typing import Any

import jax
import numpy as np

from condvae import tables
from condvae.estimator import prepare
from condvae.estimator.fitted import DRAWS, Method, observed_rows
from condvae.estimator.fitting import compare
from condvae.estimator.frames import as_frame
from condvae.estimator.judging import densities, predictions
from condvae.estimator.judging.rows import Rows
from condvae.scoring import LogProb, Totals


def measure(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    num_samples: int | None = None,
    budget: int | None = None,
    method: Method = "is",
    interval_samples: int = 1000,
) -> tuple[Rows, LogProb, dict[str, np.ndarray], dict[str, Any]]:
    """What a model is worth on a table: the rows, their scores, their support, and the numbers."""
    model, c, x = estimator._pair(X, y)
    seen = np.flatnonzero(observed_rows(x))
    if not len(seen):
        raise tables.TableError("no row has an observed target, so there is nothing to evaluate")
    support = prepare.support(model, c, as_frame(X, "c"))
    outside = int(support["outside"].sum())
    if c is not None:
        support = {name: values[seen] for name, values in support.items()}
    everything = Rows(model, x, c, np.arange(len(observed_rows(x))))
    rows = everything.take(seen)
    score, annealed = densities.log_prob(rows, estimator._key(None, 2), num_samples, budget, method)
    totals = Totals()
    totals.add(score, np.ones(len(rows), bool))
    found = totals.summary()
    found["untrusted"]["which"] = rows.number[found["untrusted"]["which"]].tolist()
    again = densities.known_again(rows)
    probability = levels_given(rows, estimator._key(None, 4))
    return (
        rows,
        score,
        support,
        {
            **found,
            **annealed,
            "rows": len(everything),
            "outside": outside,
            "training_rows": None if again is None else int(again.sum()),
            "elbo": float(np.mean(model.elbo(rows.x, rows.c, key=estimator._key(None, 3)))),
            "baseline": compare(score.value, model.baselines(rows.x, rows.c)),
            "sides": densities.sides(estimator.validation_, score.value),
            **predictions.numeric(rows, interval_samples, estimator._key(None, 5)),
            "accuracy": predictions.accuracy(rows, probability),
            "cells": predictions.cells(rows),
        },
    )


def levels_given(rows: Rows, key: jax.Array) -> np.ndarray | None:
    """The probabilities of the levels of categorical targets, [n, k, levels]; None where there are none."""
    return rows.model.centre(rows.c, DRAWS, key)[1] if rows.model.categorical else None
