"""What a fitted model is worth on a table, and whether it is right: numbers, and verdicts on them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from condvae import tables
from condvae.calibration import Copies, Reliability, TwoSample, Uniformity, uniformity
from condvae.diagnosis import ConditionUse
from condvae.diagnosis.findings import Finding, ordered
from condvae.judging import (
    calibration,
    conditions,
    densities,
    dependence,
    latents,
    predictions,
    refits,
    samples,
)
from condvae.judging.latents import Latents
from condvae.judging.measuring import Keys, measure
from condvae.judging.refits import Refit
from condvae.judging.rows import Rows, finite, number
from condvae.judging.worst import worst
from condvae.scoring import LogProb


@dataclass
class Diagnosis:
    """What was measured, and what was found.

    Attributes:
        summary: the numbers, in JSON's types, as `condvae.estimator.evaluate` describes them.
        findings: the verdicts, what must be looked at first.
        rows: all rows that have an observed target, encoded.
        looked_at: the places among them of those by which the rest was found, [m].
        score: log p of each of the rows, and its error.
        latents: whether z is used, and what its prior and q are; None where there is no z. Of the best
            member.
        conditions: whether c is used; None where there is none.
        transforms: by target, P(x ≤ observed | c) of each row looked at, [m]; NaN where missing.
        reliability: by categorical target and level, whether probabilities come true.
        probability: of the levels of categorical targets of the rows looked at, [m, k, levels], or
            [1, k, levels] without conditions; None without such targets.
        slices: calibration by group of each condition.
        samples: whether a classifier tells rows from samples given the same conditions; None where rows are
            too few.
        copies: whether samples copy rows trained on; None where that was not, or could not be, looked at.
    """

    summary: dict[str, Any]
    findings: list[Finding]
    rows: Rows
    looked_at: np.ndarray
    score: LogProb
    latents: Latents | None
    conditions: ConditionUse | None
    transforms: dict[str, np.ndarray]
    reliability: dict[str, dict[str, Reliability]]
    probability: np.ndarray | None
    slices: list[calibration.Slice] = field(default_factory=list)
    samples: TwoSample | None = None
    copies: Copies | None = None

    @cached_property
    def pit(self) -> dict[str, Uniformity]:
        """By target, whether observed values lie among what was predicted as they should."""
        return _pit(self.transforms)

    def words(self) -> str:
        """The findings, a line each."""
        return "\n".join(f"{one.level}: {one.words()}" for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The numbers and the verdicts, in JSON's types."""
        return self.summary | {"findings": [finite(one.to_json()) for one in self.findings]}


# Of rows of density 0 some numbers are not known, and None in what is said.
@np.errstate(invalid="ignore")
def diagnose(
    everything: Rows,
    keys: Keys,
    *,
    training: Rows | None = None,
    refit: Refit | None = None,
    **options: Any,
) -> Diagnosis:
    """Measure, and look; see `ConditionalVAE.diagnose`.

    Args:
        everything: all rows of the table, with what is unforeseen of them, and their support.
        keys: decide the draws.
        training: the rows that the model was fitted to, those with an observed target; None where they are
            not at hand.
        refit: fits the same model once more, changed; None for what needs no refit. It needs `training`.
        **options: of `measure`.

    Raises:
        TableError: for too few rows.
    """
    measured = measure(everything, keys, **options)
    rows, score, probability = measured.rows, measured.score, measured.probability
    if len(rows) < 2:
        raise tables.TableError(
            "only 1 row has an observed target, too few to tell whether the model is right",
            remedy="give more, or leave the diagnosis out",
        )
    split = iter(jax.random.split(keys.diagnosis, 16))
    looked_at, summary = measured.looked_at, dict(measured.summary)
    some, own = rows.take(looked_at), score.value[looked_at]
    found = Diagnosis(
        summary,
        [],
        rows,
        looked_at,
        score,
        latents.look(some, next(split)),
        None if some.c is None else conditions.use(some, next(split)),
        measured.transforms | calibration.levels(some, probability, next(split)),
        predictions.reliabilities(some, probability),
        probability,
    )
    if some.c is not None:
        found.slices = calibration.slices(some, found.transforms)
    made = samples.drawn(some, next(split))
    found.samples = samples.told(some, made)
    by_latent = found.latents is not None and not rows.model.in_turn
    shared = dependence.dependence(some, own, made, next(split), by_latent)
    again = None
    if training is not None:
        found.copies = samples.copied(some, made, training)
        if refit is not None:
            use = None if found.latents is None else found.latents.use
            again = refits.refit(refit, some, training, use, next(split))
            summary["baseline"] |= again.baseline
    tested = sum(len(one.pit) for one in found.slices)
    summary |= {
        "in_turn": rows.model.in_turn,
        "latents": None if found.latents is None else found.latents.to_json(),
        "conditions": None if found.conditions is None else conditions.as_json(found.conditions),
        "calibration": {name: calibration.as_json(one, len(found.pit)) for name, one in found.pit.items()},
        "slices": [one.to_json(own, tested) for one in found.slices],
        "reliability": {
            target: {level: _curve(one) for level, one in levels.items()}
            for target, levels in found.reliability.items()
        },
        "dependence": None if shared is None else shared.to_json(),
        "samples": None if found.samples is None else latents.told_json(found.samples),
        "copies": None if found.copies is None else _plain(found.copies),
        "refits": None if again is None else again.to_json(),
        "worst": worst(rows, score.value, next(split)),
    }
    found.summary = summary = finite(summary)
    found.findings = ordered(
        [
            *densities.findings(summary),
            *([] if found.latents is None else found.latents.findings(told=again is not None)),
            *(
                []
                if found.conditions is None
                else conditions.findings(found.conditions, summary["baseline"]["marginal"])
            ),
            # Of rows trained on, what was memorised would count as dependence.
            *([] if densities.trained_on(summary) else dependence.findings(shared, rows.model.in_turn)),
            *calibration.findings(found.pit, found.slices),
            *samples.findings(found.samples),
            *samples.copy_findings(found.copies, asked=training is not None),
            *([] if again is None else again.findings),
        ]
    )
    return found


def _pit(transforms: dict[str, np.ndarray]) -> dict[str, Uniformity]:
    return {name: uniformity(u) for name, u in transforms.items() if np.isfinite(u).sum() >= 2}


def _curve(found: Reliability) -> dict[str, Any]:
    return {name: part.tolist() for name, part in found._asdict().items()} | {"error": found.error}


def _plain(found: Any) -> dict[str, Any]:
    return {name: number(value) for name, value in found._asdict().items()}
