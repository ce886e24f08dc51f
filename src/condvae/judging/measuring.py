"""What a fitted model is worth on the rows of a table: densities and scores, beside baselines."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from condvae import tables
from condvae.judging import densities, predictions
from condvae.judging.results import Evaluation, comparisons
from condvae.judging.rows import DRAWS, Rows
from condvae.scoring import LogProb, Totals
from condvae.table_models.model import Method, observed_rows
from condvae.table_models.validation import compare

MAX_ROWS = 3000
"""Rows by which predictions are judged, at most: at even distances in the table."""

ELBO_DRAWS = 40
"""Of each row, for the mean of the ELBO over rows."""


class Measured(NamedTuple):
    """What a model is worth on a table.

    Attributes:
        rows: all rows that have an observed target, encoded.
        looked_at: the places among them of those by which predictions are judged, [m].
        score: log p of each of the rows, and its error.
        probability: of the levels of categorical targets of rows looked at, [m, k, levels], or
            [1, k, levels] without conditions; None without such targets.
        transforms: by numeric target, P(x ≤ observed | c) of rows looked at, [m]; NaN where missing.
        evaluation: the numbers, without a diagnosis.
    """

    rows: Rows
    looked_at: np.ndarray
    score: LogProb
    probability: np.ndarray | None
    transforms: dict[str, np.ndarray]
    evaluation: Evaluation


class Keys(NamedTuple):
    """What decides the draws of each part."""

    log_prob: jax.Array
    elbo: jax.Array
    probabilities: jax.Array
    predictions: jax.Array
    diagnosis: jax.Array


# Of rows of density 0 some numbers are not known, and None in what is said.
@np.errstate(invalid="ignore")
def measure(
    everything: Rows,
    keys: Keys,
    *,
    validation: dict[str, Any] | None = None,
    num_samples: int | None = None,
    budget: int | None = None,
    method: Method = "is",
    interval_samples: int | None = None,
) -> Measured:
    """Score the rows of a table, and what is predicted of them; see `condvae.estimator.evaluate`.

    Args:
        everything: all rows of the table, with what is unforeseen of them, and their support.
        keys: decide the draws.
        validation: what was measured when the model was fitted; None where nothing was.
        num_samples: draws of z for each row, or annealed chains.
        budget: the most draws of a row, or temperatures.
        method: of finding log-densities.
        interval_samples: draws of each row's targets.

    Raises:
        TableError: where no target is observed.
    """
    assert everything.unforeseen is not None and everything.support is not None
    model, unforeseen = everything.model, everything.unforeseen
    seen = np.flatnonzero(observed_rows(everything.x) | (unforeseen != 0))
    if not len(seen):
        raise tables.TableError("no row has an observed target, so there is nothing to evaluate")
    strange = int(everything.support["outside"].sum())
    rows = everything.take(seen)
    assert rows.unforeseen is not None
    looked_at = rows.evenly(MAX_ROWS)
    some = rows.take(looked_at)
    score, annealed = densities.log_prob(rows, keys.log_prob, num_samples, budget, method)
    score = score.plus(rows.unforeseen)
    totals = Totals()
    totals.add(score, np.ones(len(rows), bool))
    density = totals.summary()
    assert density.untrusted is not None
    untrusted = replace(density.untrusted, which=rows.number[density.untrusted.which].tolist())
    again = densities.known_again(rows)
    probability = None
    if model.categorical:
        # Without conditions there is one set of probabilities for all rows, which must be the surer.
        draws = DRAWS if some.c is not None else 64 * DRAWS
        probability = model.centre(some.c, draws, keys.probabilities, some.seeds)[1]
    predicted, transforms = predictions.numeric(
        some, interval_samples or predictions.prediction_draws(len(some)), keys.predictions
    )
    elbo = model.elbo(rows.x, rows.c, key=keys.elbo, num_samples=ELBO_DRAWS)
    # A cell that no support foresaw counts alike for the model and for the baselines.
    alike = np.where(np.isfinite(rows.unforeseen), rows.unforeseen, 0.0)
    baselines = {name: value + alike for name, value in model.baselines(rows.x, rows.c).items()}
    evaluation = Evaluation(
        **(vars(density) | {"rows": len(everything), "untrusted": untrusted} | annealed | predicted),
        outside=strange,
        training_rows=None if again is None else int(again.sum()),
        equal_by_chance=densities.equal_by_chance(rows, _has_real_numbers(rows)),
        impossible=int(np.isneginf(score.value).sum()),
        unforeseen=int((np.isfinite(unforeseen) & (unforeseen != 0)).sum()),
        elbo=float(np.mean(elbo)),
        baseline=comparisons(compare(score.value, baselines)),
        sides=densities.sides(validation, score.value),
        cells=predictions.cells(rows),
        looked_at=len(looked_at),
        accuracy=predictions.accuracy(some, probability),
    )
    return Measured(rows, looked_at, score, probability, transforms, evaluation)


def _has_real_numbers(rows: Rows) -> bool:
    columns = (*rows.model.schema.given, *rows.model.schema.target)
    return any(column.kind != "categorical" and not column.integer for column in columns)
