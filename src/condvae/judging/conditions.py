"""Whether the conditions are used, and which."""

from typing import Any

import jax
import numpy as np
from scipy.stats import wilcoxon

from condvae import tables
from condvae.diagnosis import ConditionUse, condition_use
from condvae.diagnosis.findings import SURE, Finding
from condvae.judging import results
from condvae.judging.rows import Rows

DRAWS = 100
"""Of z for each row and permutation, with the same noise in all."""


SURER = 3.0
"""Standard errors beyond which c is called used: what is used is so by far more, and a model that was
trained on shuffled conditions is sure of many things."""


CHANCE = 0.001
"""Or so rarely chance alone favours a row's own conditions as often (Wilcoxon): a mean of few large losses
is never sure."""

FEWEST = 100
"""Rows below which it is not said that c is not used."""

MANY = 20
"""Conditions above which each is exchanged between fewer rows."""


def use(rows: Rows, key: jax.Array) -> ConditionUse:
    """What is lost when conditions are permuted, all of them and each column."""
    given = rows.model.schema.given
    rows = rows.take(rows.evenly(max(2 * FEWEST, len(rows) * MANY // max(MANY, len(given)))))
    swaps = {str(column.name): _swap(rows.model.schema, column) for column in given}
    return condition_use(
        rows.model.mixture,
        rows.x,
        rows.c,
        key=key,
        columns=swaps if len(swaps) > 1 else {},
        num_samples=DRAWS,
        progress=rows.model.progress,
    )


def _swap(schema: tables.Schema, column: tables.Column) -> Any:
    """A condition column, values and masks, permuted."""
    block, places = column.block, tables.places_of(list(schema.given), column)

    def swap(c: Any, turned: np.ndarray) -> Any:
        value, mask = (np.array(part) for part in c[block])
        value[:, places], mask[:, places] = value[turned, places], mask[turned, places]
        return {**c, block: type(c[block])(value, mask)}

    return swap


def summary(losses: ConditionUse) -> results.Conditions:
    """What is lost when all of c is permuted, and each column."""
    columns = {name: results.Nats(*lost) for name, lost in losses.by_column.items()}
    return results.Conditions(results.Nats(*losses.total), columns)


def findings(losses: ConditionUse, marginal: results.Comparison | None = None) -> list[Finding]:
    """Whether c is used at all, and to any good, and which of its columns are not.

    Args:
        losses: what is lost when conditions are exchanged.
        marginal: the comparison with the targets without the conditions.
    """
    nats, stderr = losses.total
    used = bool(np.isfinite(nats) and nats > SURER * stderr)
    lost = losses.everything[np.isfinite(losses.everything) & (losses.everything != 0)]
    p_value = float(np.asarray(wilcoxon(lost, alternative="greater"))[1]) if len(lost) else 1.0
    if not used and p_value > CHANCE and len(lost) < FEWEST:
        what = "whether the conditions are used cannot be told by so few rows"
        return [Finding("c-unsure", "note", what, nats, stderr, advice="judge by more rows")]
    if not used and p_value > CHANCE:
        what = "the conditions are not used: rows are scored as well given the conditions of others"
        advice = "look at whether they belong to these rows, and tell of the targets at all"
        return [Finding("c-unused", "problem", what, nats, stderr, None, advice)]
    gain, error = (None, None) if marginal is None else (marginal.gain, marginal.gain_stderr)
    if gain is not None and error is not None and gain < -SURE * error:
        what = "the conditions do harm: what ignores them is better"
        advice = "look at whether they belong to the training rows; else train on more rows"
        return [Finding("c-unused", "problem", what, gain, error, None, advice)]
    said = [
        Finding(
            "c-used",
            "good",
            "the conditions matter: shuffling them lowers log p",
            nats,
            stderr,
        )
    ]
    idle = [name for name, (lost, error) in losses.by_column.items() if lost <= SURE * error]
    if idle:
        names = ", ".join(map(repr, idle))
        verb = "tells" if len(idle) == 1 else "tell"
        what = f"given the other conditions, {names} {verb} nothing that can be measured"
        said.append(Finding("c-idle", "note", what))
    return said
