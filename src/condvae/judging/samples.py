"""Whether samples can be told from rows, and whether they are copies of training rows."""

from typing import Any

import jax
import numpy as np

from condvae import sampling, tables
from condvae.baselines import design_matrix
from condvae.calibration import FEWEST_PAIRS, Copies, TwoSample, copies, two_sample
from condvae.diagnosis.findings import Finding
from condvae.judging.calibration import CHANCE, LITTLE
from condvae.judging.rows import Rows
from condvae.observed import Observed
from condvae.vectorise import num_rows

COMPARED = 20
"""Rows below which it is not looked whether samples are copies."""

FEW = 100
"""Values that a column of training rows must have for a row to be known by it."""

MANY_COPIES = 0.05
"""A share of samples that are copies, above which it is a problem."""


def drawn(rows: Rows, key: jax.Array, mixture: Any = None) -> dict[str, np.ndarray]:
    """A sample given the conditions of each row, blocks as the model has them."""
    n = len(rows)
    mixture = rows.model.mixture if mixture is None else mixture
    blocks = sampling.sample(mixture, rows.c, key=key, num_samples=1 if rows.c is not None else n)
    return {name: np.reshape(block, (n, -1)) for name, block in blocks.items()}


def told(rows: Rows, made: dict[str, np.ndarray]) -> TwoSample | None:
    """Whether a classifier tells rows from samples given the same c; None where rows are too few."""
    if len(rows) < FEWEST_PAIRS:
        return None
    x, c, made = rows.x, rows.c, dict(made)
    real = {name: block.value for name, block in x.items()}
    if "numeric" in x:
        # Rounded where the column is of whole numbers: else that would give samples away.
        real["numeric"], made["numeric"] = (
            rows.model.to_units(blocks["numeric"]) for blocks in (real, made)
        )
    given = [] if c is None else [np.where(c[name].mask, c[name].value, np.nan) for name in sorted(c)]
    sets = [
        np.hstack(
            [np.where(x[name].mask, blocks[name], np.nan).astype(float) for name in sorted(x)] + given
        )
        for blocks in (real, made)
    ]
    categorical = [
        name == "categorical"
        for blocks in (x, c or {})
        for name in sorted(blocks)
        for _ in range(blocks[name].value.shape[1])
    ]
    return two_sample(sets[0], sets[1], categorical=np.array(categorical))


def copied(rows: Rows, made: dict[str, np.ndarray], training: Rows) -> Copies | None:
    """Whether samples lie nearer to training rows than other rows do.

    None where rows are too few, or no numeric target has values enough for it to mean something that two
    rows are alike.
    """
    if min(len(rows), len(training)) < COMPARED or not _tells_rows_apart(training):
        return None
    sampled = {name: Observed(_to_grid(rows, name, made[name]), rows.x[name].mask) for name in rows.x}
    targets = [sampled, rows.x, training.x]
    levels = tables.levels(rows.model.schema.target)
    return copies(*(design_matrix(x, levels, num_rows(x=x)) for x in targets))


def _tells_rows_apart(rows: Rows) -> bool:
    values = rows.numbers().T if rows.model.numeric else ()
    return any(len(np.unique(column)) >= FEW for column in values)


def _to_grid(rows: Rows, name: str, value: np.ndarray) -> np.ndarray:
    """Whole-number columns rounded, as those of rows are, and standardised again, to the same bits."""
    if name != "numeric":
        return value
    sd, mean = ([getattr(column, part) for column in rows.model.numeric] for part in ("sd", "mean"))
    return ((rows.model.to_units(value) - mean) / sd).astype(np.float32)


def findings(test: TwoSample | None) -> list[Finding]:
    """Whether a classifier tells."""
    if test is None:
        return []
    if test.p_value >= CHANCE:
        what = "a classifier cannot tell rows from samples given the same conditions"
        return [Finding("samples-alike", "good", what, p_value=test.p_value)]
    return [
        Finding(
            "samples-told",
            "problem" if test.share - 0.5 > LITTLE else "note",
            f"a classifier tells rows from samples in {test.share:.0%} of pairs, where chance is 50%",
            p_value=test.p_value,
            advice="look at which target is miscalibrated; else train longer, or with a larger latent",
        )
    ]


def copy_findings(measured: Copies | None, asked: bool) -> list[Finding]:
    """Whether samples copy, where it was looked at."""
    if not asked:
        what = "whether samples copy training rows was not checked"
        return [Finding("copies-unchecked", "note", what, advice="give the training rows too (train)")]
    if measured is None:
        what = (
            "rows, or the values of their targets, are too few to tell whether samples copy training rows"
        )
        return [Finding("copies-unchecked", "note", what)]
    if measured.copied_p_value >= CHANCE:
        what = "samples lie no nearer to training rows than other rows do"
        return [Finding("no-copies", "good", what, p_value=measured.copied_p_value)]
    return [
        Finding(
            "copies",
            "problem" if measured.copied > MANY_COPIES else "note",
            f"samples copy training rows: some {measured.copied:.0%} of them lie nearer to one than "
            "other rows do",
            p_value=measured.copied_p_value,
            advice="do not give samples away as if they were of nobody; train on more rows, with a higher "
            "weight decay, or for fewer steps",
        )
    ]
