"""What log-densities tell: beside baselines, beside those of training rows, and beside the ELBO."""

from typing import Any

import jax
import numpy as np

from condvae.calibration import mean_stderr
from condvae.diagnosis.findings import SURE, Finding
from condvae.judging.results import AnnealedBounds, Comparison, Evaluation, Side, Sides
from condvae.judging.rows import Rows
from condvae.scoring import LogProb
from condvae.table_models.model import Method
from condvae.vectorise import content_hashes

SIMULATED_ROWS = 100
"""Rows simulated from the model to see how well its log-densities are known, where they are annealed."""

MANY, FEWER = 2000, 250
"""Of more rows than that, each gets fewer draws at first; those that need them get more all the same."""

LITTLE = 0.1
"""Nats a row below which it is not said that training rows are scored better, or these rows worse."""

LOOSE = 0.5
"""Nats a row that the ELBO may lie below log p before it is said."""

BY_CHANCE = 3.0
"""Standard errors by which more rows must be equal to training rows than chance explains."""

FEW = 0.01
"""A share of the rows below which it is not said that they are outside, or hard to score."""

SIMPLER = {
    "marginal": "ignoring the conditions",
    "linear": "a chain of regressions",
    "independent": "regression of each target by itself",
    "neighbours": "nearest neighbours",
    "without z": "the same model without z",
    "trees": "a chain of boosted trees",
    "copula": "boosted trees of each target, joined by a Gaussian copula",
}
"""What the model is held to, in words."""


def simpler(name: str, targets: int) -> str:
    """What the model of so many targets is held to, in words; of another package, its name."""
    alone = {"linear": "regression", "trees": "boosted trees"}
    return (alone if targets == 1 else {}).get(name) or SIMPLER.get(name, name)


def log_prob(
    rows: Rows,
    key: jax.Array,
    num_samples: int | None,
    budget: int | None,
    method: Method,
) -> tuple[LogProb, dict[str, Any]]:
    """The rows' log-densities; where they are annealed, what there is besides."""
    model, x, c = rows.model, rows.x, rows.c
    if num_samples is None and method == "is" and len(rows) > MANY:
        num_samples = FEWER
    if method != "ais":
        score = model.log_prob(x, c, key=key, num_samples=num_samples, budget=budget, method=method)
        return score, {}
    row_key, simulated_key, pick_key = jax.random.split(key, 3)
    options: dict[str, Any] = {"num_chains": num_samples, "num_temperatures": budget}
    score, above = model.annealed(x, c, key=row_key, **options)
    few = rows.take(np.asarray(jax.random.permutation(pick_key, len(rows)))[:SIMULATED_ROWS])
    return score, {
        "upper_estimate": float(above.value.mean()),
        "sandwich": AnnealedBounds(**model.sandwich(few.x, few.c, key=simulated_key, **options)),
    }


def known_again(rows: Rows) -> np.ndarray | None:
    """Which rows training rows are equal to, [n]; None where these are not remembered."""
    hashes = rows.model.training_rows
    return None if hashes is None else np.isin(content_hashes((rows.x, rows.c)), hashes)


def equal_by_chance(rows: Rows, real: bool) -> float | None:
    """How many of the rows may be equal to training rows by chance; None where these are not remembered.

    As large a share as that of training rows that are equal to others of them, and three standard errors.

    Args:
        rows: those judged.
        real: whether some column is of real numbers, in which rows do not agree unless they repeat.
    """
    hashes = rows.model.training_rows
    if hashes is None or len(hashes) < 2:
        return None
    same = np.diff(hashes) == 0
    repeated = int((np.append(same, False) | np.append(False, same)).sum())
    if not repeated and real:
        return 0.0
    share, judged = min((repeated + 1) / len(hashes), 1.0), len(rows)
    error = np.sqrt(judged * share * (1 - share) * (1 + judged / len(hashes)))
    return float(min(judged * share + BY_CHANCE * error, judged))


def sides(fitting: dict[str, Any] | None, score: np.ndarray) -> Sides:
    """The mean log p of training rows, of rows held out at fitting, and of these."""
    test = Side(len(score), *mean_stderr(score))
    if fitting is None:
        return Sides(None, None, None, test)
    train, validation = (
        None if side is None else Side(side["rows"], side["log_prob"], side["stderr"])
        for side in (fitting["train"], fitting)
    )
    return Sides(train, validation, fitting["how"], test)


def findings(evaluation: Evaluation) -> list[Finding]:
    """Verdicts on what `evaluate` measured of log-densities."""
    return [
        *_against_simpler(evaluation.baseline, len(evaluation.cells)),
        *_beside_training(evaluation.sides),
        *_rows_that_do_not_belong(evaluation),
        *_inference(evaluation),
    ]


def _against_simpler(baseline: dict[str, Comparison], targets: int) -> list[Finding]:
    """The model beside the best baseline."""
    sure = [
        (other.gain, other.gain_stderr, simpler(name, targets))
        for name, other in baseline.items()
        if other.gain is not None and other.gain_stderr is not None
    ]
    if not sure:
        return []
    gain, stderr, words = min(sure, key=lambda item: item[0])
    nats: dict[str, Any] = {"nats": gain, "stderr": stderr}
    if gain > SURE * stderr:
        what = f"better than every baseline; the best baseline is {words}"
        return [Finding("beats-simpler", "good", what, **nats)]
    if gain < -SURE * stderr:
        advice = "train longer or on more rows, or use the baseline"
        return [Finding("simpler-better", "problem", f"worse than {words}", **nats, advice=advice)]
    what, advice = f"as good as {words}, as far as the rows can tell", "judge by more rows"
    return [Finding("simpler-as-good", "note", what, **nats, advice=advice)]


def _beside_training(sides: Sides) -> list[Finding]:
    train, validation, test = sides.train, sides.validation, sides.test
    if train is None or validation is None:
        return []
    verdicts = []
    gap, stderr = _apart(train, validation)
    if gap is not None and gap > max(SURE * stderr, LITTLE):
        what = "log p of the training rows is higher than that of rows held out when the model was fitted"
        advice = "more rows, a higher weight decay or a smaller width would narrow the gap"
        verdicts.append(Finding("overfitted", "note", what, gap, stderr, None, advice))
    gap, stderr = _apart(validation, test)
    if gap is not None and gap > max(SURE * stderr, LITTLE):
        what = (
            "log p of these rows is lower than that of rows held out when the model was fitted: they are "
            "of another kind"
        )
        advice = (
            "look at which conditions lie outside of the training data, and at the worst rows; add such "
            "rows and refit"
        )
        verdicts.append(Finding("shifted", "problem", what, gap, stderr, None, advice))
    return verdicts


def _apart(first: Side, second: Side) -> tuple[float | None, float]:
    """The difference of two means over different rows, and its error."""
    if first.log_prob is None or first.stderr is None or second.log_prob is None or second.stderr is None:
        return None, np.inf
    return first.log_prob - second.log_prob, float(np.hypot(first.stderr, second.stderr))


def trained_on(evaluation: Evaluation) -> bool:
    """Whether more rows are equal to training rows than may be by chance."""
    return (evaluation.training_rows or 0) > (evaluation.equal_by_chance or 0.0)


def _rows_that_do_not_belong(evaluation: Evaluation) -> list[Finding]:
    said, scored = [], evaluation.rows_scored
    if evaluation.impossible:
        what = f"{evaluation.impossible:,} of {scored:,} rows have density 0: the model rules them out"
        advice = "look at them first: a cell may be wrong, or the model overconfident"
        said.append(Finding("impossible", "problem", what, advice=advice))
    if evaluation.unforeseen:
        many = evaluation.unforeseen > FEW * scored
        what = (
            f"{evaluation.unforeseen:,} of {scored:,} rows hold a level or a number outside of what the "
            "training rows show to be possible"
        )
        advice = "train on rows that show what the targets can be" if many else None
        said.append(Finding("unforeseen", "problem" if many else "note", what, advice=advice))
    if evaluation.training_rows and not trained_on(evaluation):
        what = (
            f"{evaluation.training_rows:,} of {scored:,} rows are equal to training rows, no more than "
            "these are to each other"
        )
        said.append(Finding("rows-repeat", "note", what))
    elif evaluation.training_rows:
        what = (
            f"{evaluation.training_rows:,} of {scored:,} rows are rows that the model was trained on: what "
        )
        what += "is measured is too good"
        said.append(Finding("rows-trained-on", "problem", what, advice="evaluate on others"))
    if evaluation.outside > FEW * evaluation.rows:
        what = f"the conditions of {evaluation.outside:,} of {evaluation.rows:,} rows lie outside of what "
        said.append(Finding("outside", "note", what + "was trained on: what is predicted there is a guess"))
    return said


def _inference(evaluation: Evaluation) -> list[Finding]:
    said, scored = [], evaluation.rows_scored
    untrusted = evaluation.untrusted
    if untrusted is not None and untrusted.rows > FEW * scored:
        what = f"the log-density of {untrusted.rows:,} of {scored:,} rows is not known well"
        said.append(
            Finding("log-p-unsure", "note", what, advice="score with a larger budget, or by annealing")
        )
    log_prob, elbo = evaluation.log_prob, evaluation.elbo
    if log_prob is not None and elbo is not None and log_prob - elbo > LOOSE:
        what = "the ELBO lies below log p: this is what the encoder costs in training"
        said.append(Finding("elbo-loose", "note", what, log_prob - elbo))
    return said
