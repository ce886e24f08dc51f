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
    samples,
)
from condvae.judging.latents import Latents
from condvae.judging.measuring import measure
from condvae.judging.refits import refit
from condvae.judging.rows import Rows, finite, number
from condvae.judging.worst import worst
from condvae.scoring import LogProb
from condvae.table_models.model import observed_rows


@dataclass
class Diagnosis:
    """What was measured, and what was found.

    Attributes:
        summary: the numbers, in JSON's types, as `evaluate` describes them.
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
    estimator: Any,
    X: Any,
    y: Any,
    *,
    train: tuple[Any, Any] | None = None,
    deep: bool = False,
    random_state: int | None = None,
    **options: Any,
) -> Diagnosis:
    """Measure, and look; see `ConditionalVAE.diagnose`. `options` are those of `measure`."""
    if deep and train is None:
        raise ValueError("deep fits again to the rows trained on: give them as train=(X, y)")
    measured = measure(estimator, X, y, **options)
    rows, score, probability = measured.rows, measured.score, measured.probability
    if len(rows) < 2:
        raise tables.TableError(
            "only 1 row has an observed target, too few to tell whether the model is right: give more, or "
            "leave the diagnosis out"
        )
    keys = iter(jax.random.split(estimator._key(random_state, 8), 16))
    looked_at, summary = measured.looked_at, dict(measured.summary)
    some, own = rows.take(looked_at), score.value[looked_at]
    found = Diagnosis(
        summary,
        [],
        rows,
        looked_at,
        score,
        latents.look(some, next(keys)),
        None if some.c is None else conditions.use(some, next(keys)),
        measured.transforms | calibration.levels(some, probability, next(keys)),
        predictions.reliabilities(some, probability),
        probability,
    )
    if some.c is not None:
        found.slices = calibration.slices(some, found.transforms)
    made = samples.drawn(some, next(keys))
    found.samples = samples.told(some, made)
    by_latent = found.latents is not None and not rows.model.in_turn
    shared = dependence.dependence(some, own, made, next(keys), by_latent)
    again, training = None, None
    if train is not None:
        training = _training(estimator, train)
        found.copies = samples.copied(some, made, training)
    if deep and train is not None and training is not None:
        use = None if found.latents is None else found.latents.use
        again = refit(estimator, train, (X, y), some, training, use, next(keys))
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
        "worst": worst(rows, score.value, measured.support, next(keys)),
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
            *samples.copy_findings(found.copies, asked=train is not None),
            *([] if again is None else again.findings),
        ]
    )
    return found


def _training(estimator: Any, train: tuple[Any, Any]) -> Rows:
    model, c, x, _ = estimator._scored(*train, told=True)
    seen = observed_rows(x)
    return Rows(model, x, c, np.arange(len(seen))).take(np.flatnonzero(seen))


def evaluate(estimator: Any, X: Any, y: Any, *, diagnosis: bool = True, **options: Any) -> dict[str, Any]:
    """How well a fitted estimator predicts the rows of a table, and whether it is right, in JSON's types.

    Everything is a mean over rows (or, of a target, over its observed cells), in the user's own units;
    rows without an observed target are left out. Whole-number targets are judged by rounded draws.

    Args:
        estimator: a fitted `ConditionalVAE`.
        X: conditions, or None where it was fitted without.
        y: targets.
        diagnosis: whether to look at whether the model is right; else it is only measured.
        **options: of `ConditionalVAE.diagnose`; without a diagnosis, those of measuring alone.

    Returns:
        A dictionary of JSON's types, in which None stands for what cannot be told:

        - `rows`; `rows_scored`, those with an observed target; `cells`, by target, those observed;
        - `outside`: rows whose conditions lie outside of what was trained on; `training_rows`: rows that
          training rows are equal to, None where the model was fitted to a table that was streamed, whose
          rows are not remembered; `equal_by_chance`: how many of them may be so by chance, as training rows
          are equal to each other: more were trained on;
        - `impossible`: rows of density 0; `unforeseen`: rows with a level or a number outside of what the
          targets were seen to hold; `log_prob`, in nats a row, and how it was found: `method`,
          `draws`, `log_prob_stderr`, `log_prob_noise`, `ess` and `untrusted`, as in
          `condvae.scoring.Totals.summary`; `elbo`;
        - where it was annealed, `upper_estimate`, no bound (see `condvae.scoring.Annealed`), and
          `sandwich`: of `rows` simulated from the model, given conditions of the table, the mean log p from
          below and from above, `lower` and `upper`, and the mean `width` with its `width_stderr`;
        - `baseline`: for `linear` (linear and multinomial regression of each target on the conditions and
          the targets before it), `marginal` (likewise, without the conditions), `independent` (without the
          targets before) and `neighbours` (the nearest training rows) its `log_prob`, the model's `gain`
          over it and the paired `gain_stderr`; with `deep`, on the rows looked at, `without z` and the
          other packages that are installed;
        - `sides`: `train`, `validation` and `test`, the mean log p of rows trained on, of rows held out at
          fitting, and of these, each with its `rows` and `stderr`; `how`: the first two are of the
          "members", each by itself, or of the mixture on rows kept to "test";
        - `looked_at`: by how many rows the rest is judged: 3,000 at most, at even distances in the table;
        - `crps` by numeric target, in its units: lower is better; of a point forecast it is the absolute
          error;
        - `coverage`: by numeric target, the share of cells in the central 50%, 80%, 90% and 95% intervals,
          and `coverage_stderr`; `conformal_coverage`: likewise for adjusted intervals, where there are
          calibration rows, else None;
        - `scores`: `energy` and `variogram`, of the numeric targets together, in standard deviations of the
          rows trained on;
        - `accuracy` by categorical target: how often the most probable level was the one;
        - `latents`: of the best member `rate`, `distortion`, `information` (what x and z share under it),
          `kl` and `activity` by latent, how many are `active`; whether a classifier tells `prior` from
          posterior, and `reconstructions` from samples; ranks of q, `posterior`. None without z;
        - `conditions`: the nats that are lost when `all` are permuted, and each of `columns`;
        - `calibration` by target: the `p_value` of its transforms being uniform, the `shape` of what is
          predicted ("right", or too "narrow", "wide", "low", "high", or "off"), and by how much its
          distribution function is `off_by` at most; `slices`: likewise by group of each condition;
        - `reliability` by categorical target and level;
        - `dependence`, of several targets: nats a row that they share given the conditions, under the
          `model` and under a `chain` of regressions, and what the former is `lacking`; where z carries it,
          what is `carried`: by target, what z tells of it from the others; `pairs`, of targets,
          with their mutual `information` and rank `correlation` in rows, and as `information_drawn` and
          `correlation_drawn` in samples;
        - `samples`: whether a classifier tells rows from samples; `copies`: whether samples copy rows of
          `train`;
        - `worst`: the rows of the lowest log p: `row`, counting from 0; the `target` that is furthest out
          (None where none is by itself), what was `observed`, what `expected`, the central 90% `interval`
          and the `chance` of being so far out; whether the row's conditions are `outside`, which columns,
          and its `distance`, the share of training rows that are nearer to others;
        - `refits`: with `deep`, what `free_bits` bring, and the `gaps` of inference;
        - `findings`: the verdicts, what must be looked at first, as `condvae.diagnosis.Finding.to_json`.

    Raises:
        TableError: for columns or cells that do not fit the model, or where no target is observed.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from condvae import ConditionalVAE
        >>> from condvae.estimator import evaluate
        >>> rng = np.random.default_rng(0)
        >>> X = pd.DataFrame({"dose": rng.uniform(0, 1, 300)})
        >>> y = pd.DataFrame({"response": 10 * X["dose"] + rng.normal(0, 1, 300)})
        >>> small = {"num_members": 1, "num_steps": 300, "width": 16, "depth": 1}
        >>> model = ConditionalVAE(**small).fit(X[:200], y[:200])
        >>> found = evaluate(model, X[200:], y[200:], diagnosis=False, num_samples=100)
        >>> found["rows"], found["training_rows"], 0.5 < found["crps"]["response"] < 0.7
        (100, 0, True)
    """
    if diagnosis:
        return diagnose(estimator, X, y, **options).to_json()
    return measure(estimator, X, y, **options).summary


def _pit(transforms: dict[str, np.ndarray]) -> dict[str, Uniformity]:
    return {name: uniformity(u) for name, u in transforms.items() if np.isfinite(u).sum() >= 2}


def _curve(found: Reliability) -> dict[str, Any]:
    return {name: part.tolist() for name, part in found._asdict().items()} | {"error": found.error}


def _plain(found: Any) -> dict[str, Any]:
    return {name: number(value) for name, value in found._asdict().items()}
