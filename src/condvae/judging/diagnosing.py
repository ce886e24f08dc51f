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
    some, log_prob = rows.take(looked_at), score.value[looked_at]
    diagnosis = Diagnosis(
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
        diagnosis.slices = calibration.slices(some, diagnosis.transforms)
    made = samples.drawn(some, next(split))
    diagnosis.samples = samples.told(some, made)
    by_latent = diagnosis.latents is not None and not rows.model.in_turn
    shared = dependence.dependence(some, log_prob, made, next(split), by_latent)
    again = None
    if training is not None:
        diagnosis.copies = samples.copied(some, made, training)
        if refit is not None:
            use = None if diagnosis.latents is None else diagnosis.latents.use
            again = refits.refit(refit, some, training, use, next(split))
            summary["baseline"] |= again.baseline
    tested = sum(len(one.pit) for one in diagnosis.slices)
    summary |= {
        "in_turn": rows.model.in_turn,
        "latents": None if diagnosis.latents is None else diagnosis.latents.to_json(),
        "conditions": None if diagnosis.conditions is None else conditions.as_json(diagnosis.conditions),
        "calibration": {
            name: calibration.as_json(one, len(diagnosis.pit)) for name, one in diagnosis.pit.items()
        },
        "slices": [one.to_json(log_prob, tested) for one in diagnosis.slices],
        "reliability": {
            target: {level: _curve(one) for level, one in levels.items()}
            for target, levels in diagnosis.reliability.items()
        },
        "dependence": None if shared is None else shared.to_json(),
        "samples": None if diagnosis.samples is None else latents.told_json(diagnosis.samples),
        "copies": None if diagnosis.copies is None else _plain(diagnosis.copies),
        "refits": None if again is None else again.to_json(),
        "worst": worst(rows, score.value, next(split)),
    }
    diagnosis.summary = summary = finite(summary)
    diagnosis.findings = ordered(
        [
            *densities.findings(summary),
            *([] if diagnosis.latents is None else diagnosis.latents.findings(told=again is not None)),
            *(
                []
                if diagnosis.conditions is None
                else conditions.findings(diagnosis.conditions, summary["baseline"]["marginal"])
            ),
            # Of rows trained on, what was memorised would count as dependence.
            *([] if densities.trained_on(summary) else dependence.findings(shared, rows.model.in_turn)),
            *calibration.findings(diagnosis.pit, diagnosis.slices),
            *samples.findings(diagnosis.samples),
            *samples.copy_findings(diagnosis.copies, asked=training is not None),
            *([] if again is None else again.findings),
        ]
    )
    return diagnosis


def _pit(transforms: dict[str, np.ndarray]) -> dict[str, Uniformity]:
    return {name: uniformity(u) for name, u in transforms.items() if np.isfinite(u).sum() >= 2}


def _curve(curve: Reliability) -> dict[str, Any]:
    return {name: part.tolist() for name, part in curve._asdict().items()} | {"error": curve.error}


def _plain(record: Any) -> dict[str, Any]:
    return {name: number(value) for name, value in record._asdict().items()}
