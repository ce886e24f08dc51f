"""What a fitted model is worth on rows that were held out when it was fitted, beside baselines."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae import scoring, tables
from condvae.baselines import fit_baseline
from condvae.calibration import mean_stderr, paired_difference
from condvae.table_models.model import TableModel, scored
from condvae.training.holdout import copies
from condvae.vectorise import evenly_spaced, index_rows, num_rows

SCORED_ROWS = 2000
"""Held-out rows of a member that are scored at the end of fitting, at most."""


def measure_test(
    model: TableModel,
    rows: PyTree,
    learned: PyTree,
    weight: np.ndarray | None,
    key: PRNGKeyArray,
    exact_alone: bool = False,
) -> dict[str, Any]:
    """The mixture on rows that no member saw, beside the baselines; and on as many that it learned from.

    Args:
        model: the fitted model.
        rows: the targets and conditions of the rows that no member saw.
        learned: those of the rows to train on.
        weight: of each row that no member saw.
        key: decides the draws.
        exact_alone: whether the density of each target by itself is exact: decoded in turn, without z.
    """
    some = np.arange(min(num_rows(rows=rows), 5 * SCORED_ROWS))
    x, c = index_rows(rows, some)
    value = model.log_prob(x, c, key=key, num_samples=1000).value
    alone = None
    if exact_alone:
        parts = [model.log_prob(one, c, key=key).value for one in _one_by_one(model, x)]
        alone = np.sum(parts, axis=0)
    sample = index_rows(learned, evenly_spaced(num_rows(rows=learned), len(some)))
    trained = model.log_prob(*sample, key=key, num_samples=1000).value
    weight = None if weight is None else weight[some]
    return {
        "how": "test",
        **_mean(value, weight, copies((x, c))),
        "train": _mean(trained),
        "baseline": compare(value, model.baselines(x, c), weight, copies((x, c))),
        "in_turn": _worth(value, alone, weight, copies((x, c))),
    }


def measure_members(
    model: TableModel,
    x: PyTree,
    c: PyTree,
    masks: np.ndarray,
    weight: np.ndarray | None,
    key: PRNGKeyArray,
    exact_alone: bool = False,
) -> dict[str, Any] | None:
    """Each member on the rows that it held out, beside baselines that did not see them either.

    A row that several members held out counts once, by the mean over them. A member alone is worse than the
    mixture of all: what is printed is on the safe side.

    Args:
        model: the fitted model.
        x: targets of the rows that were not set aside.
        c: their conditions.
        masks: which of them each member held out, [members, n].
        weight: of each of them.
        key: decides the draws.
        exact_alone: whether the density of each target by itself is exact: decoded in turn, without z.
    """
    if not masks.any():
        return None
    held, seen = _Rows(num_rows(x=x)), _Rows(num_rows(x=x))
    x_levels, c_levels = tables.levels(model.schema.target), tables.levels(model.schema.given)
    for member, mask, member_key in zip(
        model.mixture, masks, jax.random.split(key, len(masks)), strict=True
    ):
        rows = np.flatnonzero(mask)[:SCORED_ROWS]
        x_held, c_held = index_rows((x, c), rows)
        # As many draws as a member makes in scoring a mixture: what is compiled here serves there.
        options: dict[str, Any] = {"num_samples": -(-1000 // len(masks))}
        score_keys = jax.random.split(member_key)
        score = scoring.log_prob(member, x_held, c_held, key=score_keys[0], **options)
        held.add("member", rows, model.in_column_units(score.value, x_held))
        if exact_alone:
            of_targets = [
                scoring.log_prob(member, one, c_held, key=score_keys[0], **options).value
                for one in _one_by_one(model, x_held)
            ]
            held.add("apart", rows, model.in_column_units(np.sum(of_targets, axis=0), x_held))
        learned = np.flatnonzero(~mask)
        learned = learned[evenly_spaced(len(learned), len(rows))]
        x_learned, c_learned = index_rows((x, c), learned)
        score = scoring.log_prob(member, x_learned, c_learned, key=score_keys[1], **options)
        seen.add("member", learned, model.in_column_units(score.value, x_learned))
        x_seen, c_seen = index_rows((x, c), np.flatnonzero(~mask))
        train_weight = None if weight is None else weight[~mask]
        for name, given in (("marginal", None), ("linear", c_seen)):
            baseline = fit_baseline(
                scored(model.schema, x_seen)[0],
                given,
                x_levels=x_levels,
                c_levels=c_levels,
                sample_weight=train_weight,
            )
            scores, ends, log_factor = scored(model.schema, x_held)
            value = baseline.log_prob(scores, None if given is None else c_held, ends)
            held.add(name, rows, model.in_column_units(value + log_factor, x_held))
    alike = copies((x, c))
    held_weight, groups = (None if array is None else array[held.places] for array in (weight, alike))
    others = {name: held.means(name) for name in ("marginal", "linear")}
    return {
        "how": "members",
        **_mean(held.means("member"), held_weight, groups),
        "train": _mean(seen.means("member")),
        "baseline": compare(held.means("member"), others, held_weight, groups),
        "in_turn": _worth(
            held.means("member"), held.means("apart") if exact_alone else None, held_weight, groups
        ),
    }


def _one_by_one(model: TableModel, x: PyTree) -> list[PyTree]:
    """The rows with one target after another observed, and the others missing."""
    return [tables.only(model.schema.target, x, column) for column in model.schema.target]


def _worth(
    value: np.ndarray, alone: np.ndarray | None, weight: np.ndarray | None, groups: np.ndarray | None
) -> dict[str, float | None] | None:
    """What it is worth that targets are given those before them, in nats per row."""
    if alone is None:
        return None
    gain, stderr = paired_difference(value, alone, weight, groups)
    return {"gain": float(gain), "gain_stderr": _number(stderr)}


def compare(
    value: np.ndarray,
    baselines: dict[str, np.ndarray],
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, dict[str, float | None]]:
    """The mean log p of each baseline, and by how much the model is better, with its paired error.

    Rows of which a baseline has no log p (NaN) are left out of its comparison.
    """
    result = {}
    for name, other in baselines.items():
        kept = ~np.isnan(other)
        along = [None if array is None else array[kept] for array in (weight, groups)]
        gain, stderr = paired_difference(value[kept], other[kept], *along)
        result[name] = {
            "log_prob": mean_stderr(other[kept], along[0])[0],
            "gain": float(gain),
            "gain_stderr": _number(stderr),
        }
    return result


class _Rows:
    """Values of rows, of which some have several: by name, the mean of each row's values."""

    def __init__(self, n: int):
        self.totals: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}
        self.n = n

    def add(self, name: str, places: np.ndarray, values: np.ndarray) -> None:
        self.totals.setdefault(name, np.zeros(self.n))[places] += values
        self.counts.setdefault(name, np.zeros(self.n, int))[places] += 1

    @property
    def places(self) -> np.ndarray:
        return np.flatnonzero(next(iter(self.counts.values())))

    def means(self, name: str) -> np.ndarray:
        return self.totals[name][self.places] / self.counts[name][self.places]


def _mean(
    value: np.ndarray, weight: np.ndarray | None = None, groups: np.ndarray | None = None
) -> dict[str, Any]:
    mean, stderr = mean_stderr(value, weight, groups)
    return {"rows": len(value), "log_prob": mean, "stderr": _number(stderr)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
