"""The rows that are scored worst, and why: which target, and how far from what was trained on."""

from typing import Any

import jax
import numpy as np

from condvae.judging.measuring import MAX_ROWS
from condvae.judging.predictions import prediction_draws
from condvae.judging.results import WorstRow
from condvae.judging.rows import DRAWS, Rows, filled

WORST = 10

RARE = 0.01
"""A target that lies further out than this is why a row is scored badly."""


def worst(rows: Rows, score: np.ndarray, key: jax.Array) -> list[WorstRow]:
    """The rows of the lowest log p, the lowest first.

    Args:
        rows: of n rows.
        score: their log p, [n].
        key: a PRNG key.
    """
    chosen = np.argsort(score, kind="stable")[:WORST]
    some = rows.take(filled(chosen, min(len(rows), MAX_ROWS)))
    draws = prediction_draws(min(len(rows), MAX_ROWS))
    targets = _numeric(some, draws, key) | _categorical(some, key)
    support = rows.support
    assert support is not None
    alone = len(support["outside"]) != len(rows)
    lowest = []
    for i, place in enumerate(chosen):
        cells = {name: column[i] for name, column in targets.items() if column[i] is not None}
        # Of targets beyond all draws, the one that is furthest out.
        name, why = min(cells.items(), key=lambda item: (item[1]["chance"], -_far(item[1])))
        at = 0 if alone else place
        lowest.append(
            WorstRow(
                row=int(rows.number[place]),
                log_prob=float(score[place]),
                target=name if why["chance"] < RARE else None,
                **why,
                outside=support["outside"][at],
                outside_columns=str(support["columns"][at]),
                distance=support["percentile"][at],
            )
        )
    return lowest


def _far(cell: dict[str, Any]) -> float:
    """How far out, in lengths of the interval; of a level 0."""
    if cell["interval"] is None:
        return 0.0
    low, high = cell["interval"]
    return abs(cell["observed"] - cell["expected"]) / max(high - low, 1e-30)


def _numeric(rows: Rows, draws_each: int, key: jax.Array) -> dict[str, list[Any]]:
    """By numeric target and row: what was observed and expected, and the chance of being so far out."""
    model = rows.model
    if not model.numeric:
        return {}
    observed = rows.numbers()
    parts = []
    for _, draws in model.summaries(rows.c, draws_each, key):
        parts.append(draws[:WORST])
        if sum(map(len, parts)) >= WORST:
            break
    drawn, observed = np.concatenate(parts)[:WORST], observed[:WORST]
    drawn = np.broadcast_to(drawn, (len(observed), *drawn.shape[1:]))
    ends = np.quantile(drawn, [0.05, 0.5, 0.95], axis=1).transpose(1, 2, 0)
    below, above = (drawn <= observed[:, None]).mean(axis=1), (drawn >= observed[:, None]).mean(axis=1)
    chance = np.clip(2 * np.minimum(below, above), 1 / drawn.shape[1], 1.0)
    return {
        str(column.name): [
            None
            if np.isnan(observed[i, j])
            else {
                "observed": float(observed[i, j]),
                "expected": float(ends[i, j, 1]),
                "interval": (float(ends[i, j, 0]), float(ends[i, j, 2])),
                "chance": float(chance[i, j]),
            }
            for i in range(len(observed))
        ]
        for j, column in enumerate(model.numeric)
    }


def _categorical(rows: Rows, key: jax.Array) -> dict[str, list[Any]]:
    """By categorical target and row: the level observed, the likeliest, and the chance of the first."""
    model = rows.model
    if not model.categorical:
        return {}
    _, probability = model.centre(rows.c, DRAWS, key)
    assert probability is not None
    codes, mask = rows.x["categorical"]
    probability = np.broadcast_to(probability, (len(rows), *probability.shape[1:]))
    of_observed = np.take_along_axis(probability, np.maximum(codes, 0)[..., None], axis=2)
    unlikelier = np.where(probability <= of_observed, probability, 0.0).sum(axis=2)
    return {
        str(column.name): [
            {
                "observed": str(column.levels[codes[i, k]]),
                "expected": str(column.levels[int(np.argmax(probability[i, k, : len(column.levels)]))]),
                "interval": None,
                "chance": float(unlikelier[i, k]),
            }
            if mask[i, k]
            else None
            for i in range(len(rows))
        ]
        for k, column in enumerate(model.categorical)
    }
