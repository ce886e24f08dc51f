"""What a fitted model is worth on a table, and whether it is right: numbers, and verdicts on them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from condvae import tables
from condvae.calibration import Reliability, Uniformity, uniformity
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
from condvae.judging.results import Curve, Evaluation
from condvae.judging.rows import Rows
from condvae.judging.worst import worst
from condvae.scoring import LogProb


@dataclass(frozen=True)
class Diagnosis:
    """What was measured of a model, and what its verdicts rest on.

    Attributes:
        evaluation: the numbers and the verdicts.
        rows: all rows that have an observed target, encoded.
        looked_at: the places among them of those by which predictions are judged, [m].
        score: log p of each of the rows, and its error.
        latents: whether z is used, and what its prior and q are; None where there is no z. Of the best
            member.
        conditions: whether c is used; None where there is none.
        transforms: by target, P(x ≤ observed | c) of each row looked at, [m]; NaN where missing.
        reliability: by categorical target and level, whether probabilities come true.
        probability: of the levels of categorical targets of the rows looked at, [m, k, levels], or
            [1, k, levels] without conditions; None without such targets.
    """

    evaluation: Evaluation
    rows: Rows
    looked_at: np.ndarray
    score: LogProb
    latents: Latents | None
    conditions: ConditionUse | None
    transforms: dict[str, np.ndarray]
    reliability: dict[str, dict[str, Reliability]]
    probability: np.ndarray | None

    @property
    def findings(self) -> list[Finding]:
        """The verdicts, what must be looked at first."""
        return self.evaluation.findings or []

    @cached_property
    def pit(self) -> dict[str, Uniformity]:
        """By target, whether observed values lie among what was predicted as they should."""
        return {name: uniformity(u) for name, u in self.transforms.items() if np.isfinite(u).sum() >= 2}

    def words(self) -> str:
        """The findings, a line each."""
        return "\n".join(f"{one.level}: {one.words()}" for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """`evaluation` in JSON's types."""
        return self.evaluation.to_json()


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
    looked_at, evaluation = measured.looked_at, measured.evaluation
    some, log_prob = rows.take(looked_at), score.value[looked_at]
    diagnosis = Diagnosis(
        evaluation,
        rows,
        looked_at,
        score,
        latents.look(some, next(split)),
        None if some.c is None else conditions.use(some, next(split)),
        measured.transforms | calibration.levels(some, probability, next(split)),
        predictions.reliabilities(some, probability),
        probability,
    )
    slices = [] if some.c is None else calibration.slices(some, diagnosis.transforms)
    made = samples.drawn(some, next(split))
    apart = samples.told(some, made)
    by_latent = diagnosis.latents is not None and not rows.model.in_turn
    shared = dependence.dependence(some, log_prob, made, next(split), by_latent)
    copied = None if training is None else samples.copied(some, made, training)
    again = None
    if training is not None and refit is not None:
        use = None if diagnosis.latents is None else diagnosis.latents.use
        again = refits.refit(refit, some, training, use, next(split))
    pit, tested = diagnosis.pit, sum(len(one.pit) for one in slices)
    baseline = evaluation.baseline | ({} if again is None else again.baseline)
    evaluation = replace(
        evaluation,
        baseline=baseline,
        in_turn=rows.model.in_turn,
        latents=None if diagnosis.latents is None else diagnosis.latents.summary(),
        conditions=None if diagnosis.conditions is None else conditions.summary(diagnosis.conditions),
        calibration={name: calibration.summary(one, len(pit)) for name, one in pit.items()},
        slices=[one.summary(log_prob, tested) for one in slices],
        reliability={
            target: {
                level: Curve(*(part.tolist() for part in one), error=one.error)
                for level, one in levels.items()
            }
            for target, levels in diagnosis.reliability.items()
        },
        dependence=None if shared is None else shared.summary(),
        samples=apart,
        copies=copied,
        refits=None if again is None else again.summary,
        worst=worst(rows, score.value, next(split)),
    )
    verdicts = [
        *densities.findings(evaluation),
        *([] if diagnosis.latents is None else diagnosis.latents.findings(told=again is not None)),
        *(
            []
            if diagnosis.conditions is None
            else conditions.findings(diagnosis.conditions, baseline["marginal"])
        ),
        # Of training rows, what was memorised would count as dependence.
        *([] if densities.trained_on(evaluation) else dependence.findings(shared, rows.model.in_turn)),
        *calibration.findings(pit, slices),
        *samples.findings(apart),
        *samples.copy_findings(copied, asked=training is not None),
        *([] if again is None else again.findings),
    ]
    return replace(diagnosis, evaluation=replace(evaluation, findings=ordered(verdicts)))
