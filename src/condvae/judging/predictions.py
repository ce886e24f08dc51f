"""Scores of what is predicted of each target: CRPS, intervals, accuracy, reliability; of all together."""

from typing import Any

import jax
import numpy as np

from condvae import tables
from condvae.calibration import (
    Reliability,
    coverage,
    crps,
    energy_score,
    pit,
    reliability,
    variogram_score,
)
from condvae.judging.rows import Rows
from condvae.table_models.adjusting import covering, half_widths
from condvae.vectorise import evenly_spaced

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Of the intervals whose coverage is measured."""

ENSEMBLE = 100
"""Draws of a row by which its numeric targets are judged together, some of those that there are."""

MAX_TOGETHER = 50
"""Numeric targets that are judged together at most: there are as many pairs as their square."""

MANY = 2000
"""Rows above which each gets half as many draws."""

MAX_LEVELS = 8
"""Levels of a target, the most frequent ones, of which reliability is told."""


def prediction_draws(rows: int) -> int:
    """Draws of each row's targets: fewer where rows are many, whose mean is known the better."""
    return 1000 if rows <= MANY else 500


def numeric(rows: Rows, num_samples: int, key: jax.Array) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """CRPS, coverage of the intervals that `interval` gives, scores of all targets together; and ranks.

    Returns:
        The fields of an `Evaluation` on numeric targets, by name; and P(x ≤ observed | c) of each row,
        [n], by rank among the draws and so uniform if the model is right, for any number of draws; NaN
        where missing.
    """
    model, c = rows.model, rows.c
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key), np.uint32))
    names = [str(column.name) for column in model.numeric]
    adjusted = all(name in model.calibration for name in names)
    measured: dict[str, Any] = {"crps": {}, "coverage": {}, "coverage_stderr": {}, "scores": {}}
    measured |= {"conformal_coverage": {} if adjusted else None}
    if not names:
        return measured, {}
    observed = rows.numbers()
    halves = np.array([[level / 2 for level in LEVELS] for _ in names])
    if adjusted:
        halves = np.hstack([halves, half_widths(model, list(LEVELS))])
    n, d, k = len(observed), len(names), halves.shape[1]
    sd = np.array([column.sd for column in model.numeric])
    some = evenly_spaced(d, MAX_TOGETHER)
    together: dict[str, list[np.ndarray]] = {"energy": [], "variogram": []}
    scores, ends, u = np.empty((n, d)), np.empty((n, d, k, 2)), np.empty((n, d))
    for part, draws in model.summaries(c, num_samples, key, rows.seeds):
        # Without conditions there is one set of draws, for all rows.
        given = None if c is None else jax.tree.map(lambda leaf, part=part: leaf[part], c)
        part = slice(0, n) if c is None else part
        found_ends = model.quantiles_of(draws, given, np.hstack([0.5 - halves, 0.5 + halves]), key)
        found_ends = np.stack([found_ends[..., :k], found_ends[..., k:]], axis=-1)
        if adjusted:
            own_halves = halves[:, len(LEVELS) :]
            found_ends[:, :, len(LEVELS) :] = covering(
                model, given, found_ends[:, :, len(LEVELS) :], own_halves
            )
        ends[part] = found_ends
        for j in range(d):
            column = np.broadcast_to(draws[:, :, j], (part.stop - part.start, draws.shape[1]))
            scores[part, j] = crps(column, observed[part, j])
            u[part, j] = pit(column, observed[part, j], rng)
        if d > 1:  # as many draws of each member
            few = draws[:, :: max(1, draws.shape[1] // ENSEMBLE)][:, :, some] / sd[some]
            few = np.broadcast_to(few, (len(observed[part]), *few.shape[1:]))
            together["energy"].append(energy_score(few, observed[part][:, some] / sd[some]))
            together["variogram"].append(variogram_score(few, observed[part][:, some] / sd[some]))
    measured["scores"] = _means(together)
    if c is None:
        u = _one_by_one(rows, observed, rng, key)
    for j, name in enumerate(names):
        if np.isnan(observed[:, j]).all():
            continue
        measured["crps"][name] = float(np.nanmean(scores[:, j]))
        pairs = [coverage(ends[:, j, i, 0], ends[:, j, i, 1], observed[:, j]) for i in range(k)]
        shown = [f"{level:g}" for level in LEVELS]
        plain = pairs[: len(LEVELS)]
        measured["coverage"][name] = dict(zip(shown, [share for share, _ in plain], strict=True))
        measured["coverage_stderr"][name] = dict(zip(shown, [error for _, error in plain], strict=True))
        if adjusted:
            shares = [share for share, _ in pairs[len(LEVELS) :]]
            measured["conformal_coverage"][name] = dict(zip(shown, shares, strict=True))
    return measured, {name: u[:, j] for j, name in enumerate(names)}


def _means(scores: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """The mean of each over rows, of those that have one."""
    by_score = {name: np.concatenate(parts) for name, parts in scores.items() if parts}
    return {
        name: float(np.nanmean(values)) for name, values in by_score.items() if np.isfinite(values).any()
    }


def _one_by_one(rows: Rows, observed: np.ndarray, rng: np.random.Generator, key: jax.Array) -> np.ndarray:
    """The transforms of rows without conditions, each by draws of z of its own.

    One set of draws for all rows would move all of them together.
    """
    both = [tables.reach(column, observed[:, j]) for j, column in enumerate(rows.model.numeric)]
    ends = np.moveaxis(np.array(both), 0, -1).swapaxes(0, 1)
    below, up_to = np.moveaxis(rows.model.cdf(None, ends, 1000, key), 1, 0)
    return below + rng.random(observed.shape) * (up_to - below)


def accuracy(rows: Rows, probability: np.ndarray | None) -> dict[str, float]:
    """How often the most probable level was the one, by categorical target."""
    shares: dict[str, float] = {}
    if probability is not None:
        codes, mask = rows.x["categorical"]
        hits = np.argmax(probability, axis=-1) == np.asarray(codes)
        for k, column in enumerate(rows.model.categorical):
            if mask[:, k].any():
                shares[str(column.name)] = float(hits[mask[:, k], k].mean())
    return shares


def reliabilities(rows: Rows, probability: np.ndarray | None) -> dict[str, dict[str, Reliability]]:
    """By categorical target and level, the most frequent ones: whether probabilities come true."""
    curves: dict[str, dict[str, Reliability]] = {}
    if probability is None:
        return curves
    codes, mask = rows.x["categorical"]
    for k, column in enumerate(rows.model.categorical):
        seen = mask[:, k]
        if not seen.any():
            continue
        counts = np.bincount(codes[seen, k], minlength=len(column.levels))
        chosen = np.sort(np.argsort(-counts, kind="stable")[:MAX_LEVELS])
        shares = np.broadcast_to(probability[:, k], (len(codes), probability.shape[2]))[seen]
        curves[str(column.name)] = {
            str(column.levels[level]): reliability(shares[:, level], codes[seen, k] == level)
            for level in chosen
        }
    return curves


def cells(rows: Rows) -> dict[str, int]:
    """By target, how many cells are observed."""
    counted: dict[str, int] = {}
    model = rows.model
    for block, columns in (("numeric", model.numeric), ("categorical", model.categorical)):
        if columns:
            counts = np.asarray(rows.x[block].mask).sum(axis=0)
            counted |= {str(column.name): int(count) for column, count in zip(columns, counts, strict=True)}
    return {str(column.name): counted[str(column.name)] for column in model.schema.target}
