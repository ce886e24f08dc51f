"""What a fitted model is worth on a table: densities, scores of its predictions, beside the baselines."""

from typing import Any

import jax
import numpy as np

from condvae import tables
from condvae.calibration import conformal_level, coverage, crps
from condvae.estimator import prepare
from condvae.estimator.fitted import DRAWS, Method, TableModel, observed_rows
from condvae.estimator.fitting import compare
from condvae.estimator.frames import as_frame
from condvae.rows import content_hashes, num_rows
from condvae.scoring import LogProb, Totals

SIMULATED_ROWS = 100
"""Rows simulated from the model to see how well its log-densities are known, where they are annealed."""

LEVELS = (0.5, 0.9)
"""Of the intervals whose coverage is measured."""


def evaluate(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    num_samples: int | None = None,
    budget: int | None = None,
    method: Method = "is",
    interval_samples: int = 1000,
) -> dict[str, Any]:
    """How well a fitted estimator predicts the rows of a table.

    Everything is a mean over rows (or, of a target, over its observed cells), in the user's own units;
    rows without an observed target are left out. Whole-number targets are judged by rounded draws.

    Args:
        estimator: a fitted `ConditionalVAE`.
        X: conditions, or None where it was fitted without.
        y: targets.
        num_samples: draws of z for each row, for its log-density (1000); annealed chains (16).
        budget: the most draws that a row may get, where it needs them (16 times as many); or temperatures
            (1000).
        method: of finding log-densities: "is", importance sampling; or "ais", annealed.
        interval_samples: draws of each row's targets, for CRPS and intervals.

    Returns:
        A dictionary of JSON's types, in which None stands for what cannot be told:

        - `rows`; `rows_scored`, those with an observed target; `cells`, by target, those observed;
        - `outside`: rows whose conditions lie outside of what was trained on; `training_rows`: rows that
          training rows are equal to (and so were trained on, or might as well have been), None where the
          model was fitted to a table that was streamed, whose rows are not remembered;
        - `log_prob`, in nats a row, and how it was found: `method`, `draws`, `log_prob_stderr`,
          `log_prob_noise`, `ess` and `untrusted`, as in `condvae.scoring.Totals.summary`; `elbo`;
        - where it was annealed, `upper_estimate`, no bound (see `condvae.scoring.Annealed`), and
          `sandwich`: of `rows` simulated from the model, given conditions of the table, the mean log p from
          below and from above, `lower` and `upper`, and the mean `width` with its `width_stderr`;
        - `baseline`: for `marginal` (the targets without conditions) and `linear` (linear and multinomial
          regression) its `log_prob`, the model's `gain` over it and the paired `gain_stderr`;
        - `crps` by numeric target, in its units: lower is better; of a point forecast it is the absolute
          error;
        - `coverage`: by numeric target, the share of cells in the central 50% and 90% intervals, and
          `coverage_stderr`; `conformal_coverage`: likewise for adjusted intervals, where there are
          calibration rows, else None;
        - `accuracy` by categorical target: how often the most probable level was the one.

    Raises:
        TableError: for columns or cells that do not fit the model, or where no target is observed.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from condvae import ConditionalVAE
        >>> from condvae.estimator.evaluation import evaluate
        >>> rng = np.random.default_rng(0)
        >>> X = pd.DataFrame({"dose": rng.uniform(0, 1, 300)})
        >>> y = pd.DataFrame({"response": 10 * X["dose"] + rng.normal(0, 1, 300)})
        >>> small = {"num_members": 1, "num_steps": 300, "width": 16, "depth": 1}
        >>> model = ConditionalVAE(**small).fit(X[:200], y[:200])
        >>> found = evaluate(model, X[200:], y[200:], num_samples=100, interval_samples=200)
        >>> found["rows"], found["training_rows"], 0.5 < found["crps"]["response"] < 0.7
        (100, 0, True)
    """
    model, c, x = estimator._pair(X, y)
    rows = num_rows(x=x)
    seen = np.flatnonzero(observed_rows(x))
    if not len(seen):
        raise tables.TableError("no row has an observed target, so there is nothing to evaluate")
    outside = int(prepare.support(model, c, as_frame(X, "c"))["outside"].sum())
    x, c = jax.tree.map(lambda leaf: leaf[seen], (x, c))
    hashes = model.training_rows
    score, annealed = _score(model, x, c, estimator._key(None, 2), num_samples, budget, method)
    totals = Totals()
    totals.add(score, np.ones(len(seen), bool))
    summary = totals.summary()
    untrusted = summary["untrusted"]
    untrusted["which"] = seen[untrusted["which"]].tolist()
    return {
        **summary,
        **annealed,
        "rows": rows,
        "outside": outside,
        "training_rows": None if hashes is None else int(np.isin(content_hashes((x, c)), hashes).sum()),
        "elbo": float(np.mean(model.elbo(x, c, key=estimator._key(None, 3)))),
        "baseline": compare(score.value, model.baselines(x, c)),
        **_numeric(model, x, c, interval_samples, estimator._key(None, 5)),
        **_categorical(model, x, c, DRAWS, estimator._key(None, 4)),
        "cells": _cells(model, x),
    }


def _score(
    model: TableModel,
    x: Any,
    c: Any,
    key: jax.Array,
    num_samples: int | None,
    budget: int | None,
    method: Method,
) -> tuple[LogProb, dict[str, Any]]:
    """The rows' log-densities; where they are annealed, what there is besides."""
    if method != "ais":
        found = model.log_prob(x, c, key=key, num_samples=num_samples, budget=budget, method=method)
        return found, {}
    row_key, simulated_key, pick_key = jax.random.split(key, 3)
    options: dict[str, Any] = {"num_chains": num_samples, "num_temperatures": budget}
    score, above = model.annealed(x, c, key=row_key, **options)
    picked = np.asarray(jax.random.permutation(pick_key, num_rows(x=x)))[:SIMULATED_ROWS]
    few_x, few_c = jax.tree.map(lambda leaf: leaf[picked], (x, c))
    return score, {
        "upper_estimate": float(above.value.mean()),
        "sandwich": model.sandwich(few_x, few_c, key=simulated_key, **options),
    }


def _numeric(model: TableModel, x: Any, c: Any, num_samples: int, key: jax.Array) -> dict[str, Any]:
    """CRPS, and coverage of the intervals that `interval` gives, of each numeric target."""
    names = [str(column.name) for column in model.numeric]
    adjusted = bool(model.calibration)
    found: dict[str, Any] = {"crps": {}, "coverage": {}, "coverage_stderr": {}}
    found |= {"conformal_coverage": {} if adjusted else None}
    if not names:
        return found
    own = np.where(x["numeric"].mask, model.to_units(x["numeric"].value), np.nan)
    halves = np.array([[level / 2 for level in LEVELS] for _ in names])
    if adjusted:
        pits = [model.calibration[name] for name in names]
        halves = np.hstack([halves, [[conformal_level(pit, level) for level in LEVELS] for pit in pits]])
    n, d, k = len(own), len(names), halves.shape[1]
    scores, ends = np.empty((n, d)), np.empty((n, d, k, 2))
    for rows, draws in model.summaries(c, num_samples, key):
        # Without conditions there is one set of draws, for all rows.
        part = None if c is None else jax.tree.map(lambda leaf, rows=rows: leaf[rows], c)
        rows = slice(0, n) if c is None else rows
        found_ends = model.quantiles_of(draws, part, np.hstack([0.5 - halves, 0.5 + halves]), key)
        ends[rows, ..., 0], ends[rows, ..., 1] = found_ends[..., :k], found_ends[..., k:]
        for j in range(d):
            column = np.broadcast_to(draws[:, :, j], (rows.stop - rows.start, draws.shape[1]))
            scores[rows, j] = crps(column, own[rows, j])
    for j, name in enumerate(names):
        if np.isnan(own[:, j]).all():
            continue
        found["crps"][name] = float(np.nanmean(scores[:, j]))
        pairs = [coverage(ends[:, j, i, 0], ends[:, j, i, 1], own[:, j]) for i in range(k)]
        shown = [f"{level:g}" for level in LEVELS]
        plain = pairs[: len(LEVELS)]
        found["coverage"][name] = dict(zip(shown, [share for share, _ in plain], strict=True))
        found["coverage_stderr"][name] = dict(zip(shown, [error for _, error in plain], strict=True))
        if adjusted:
            shares = [share for share, _ in pairs[len(LEVELS) :]]
            found["conformal_coverage"][name] = dict(zip(shown, shares, strict=True))
    return found


def _categorical(model: TableModel, x: Any, c: Any, num_samples: int, key: jax.Array) -> dict[str, Any]:
    accuracy: dict[str, float] = {}
    if model.categorical:
        _, probability = model.centre(c, num_samples, key)
        assert probability is not None
        modes = np.argmax(probability, axis=-1)
        codes, mask = x["categorical"]
        hits = modes == np.asarray(codes)
        for k, column in enumerate(model.categorical):
            if mask[:, k].any():
                accuracy[str(column.name)] = float(hits[mask[:, k], k].mean())
    return {"accuracy": accuracy}


def _cells(model: TableModel, x: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for block, columns in (("numeric", model.numeric), ("categorical", model.categorical)):
        if columns:
            counts = np.asarray(x[block].mask).sum(axis=0)
            counted |= {str(column.name): int(count) for column, count in zip(columns, counts, strict=True)}
    return {str(column.name): counted[str(column.name)] for column in model.schema.target}
