"""What takes fitting again, to the training rows: the model without z, with free bits; other models."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from condvae.calibration import paired_difference
from condvae.diagnosis import LatentUse, gaps
from condvae.diagnosis.collapse import collapse_finding, latent_finding
from condvae.diagnosis.findings import Finding
from condvae.diagnosis.gaps import NOTICED
from condvae.judging import results
from condvae.judging.peers import peers, trees
from condvae.judging.rows import Rows
from condvae.judging.samples import drawn, told
from condvae.progress import Progress
from condvae.table_models.validation import compare

FREE_BITS = 1.0
"""Nats a row that z may tell at no cost, in the refit that shows whether it would tell any."""

GAP_ROWS = 100
"""Rows of which it is told what the encoder costs, and what the family of q."""


Refit = Callable[..., Rows]
"""From changed parameters of the estimator to the rows of the same table before the model that was fitted.

By the ELBO, whatever the model was trained by: without z every bound is log p itself, and free bits are of
the ELBO.
"""


@dataclass(frozen=True)
class Refits:
    """What is learned by fitting again.

    Attributes:
        baseline: comparisons with the model without z, boosted trees, and other packages.
        findings: whether z is used, not needed or ignored; what inference costs.
        summary: what free bits bring, and what inference costs.
    """

    baseline: dict[str, results.Comparison]
    findings: list[Finding]
    summary: results.Refits


def refit(again: Refit, rows: Rows, training: Rows, use: LatentUse | None, key: jax.Array) -> Refits:
    """Fit the same model without z and with free bits, and other models, to the training rows.

    Args:
        again: fits the model once more, changed.
        rows: those judged by.
        training: those trained on.
        use: what z is used for; None where there is no z.
        key: a PRNG key.
    """
    score_key, drawn_key, gap_key = jax.random.split(key, 3)

    def score(rows: Rows) -> np.ndarray:
        return rows.model.log_prob(rows.x, rows.c, key=score_key).value

    log_prob = score(rows)
    others: dict[str, np.ndarray] = {}
    findings, free_bits, costs = [], None, None
    with Progress("fits", 3, enabled=rows.model.progress) as bar:
        if use is not None:
            without = again(latent_size=0).take(rows.number)
            bar.advance(1)
            others["without z"] = score(without)
            freed = score(again(free_bits=FREE_BITS).take(rows.number))
            bar.advance(1)
            free_bits = results.Gain(*paired_difference(freed, log_prob))
            apart = told(without, drawn(without, drawn_key))
            findings.append(
                latent_finding(use)
                if apart is None
                else collapse_finding(use, log_prob, others["without z"], freed, apart)
            )
            costs, said = _inference(rows, gap_key)
            findings.append(said)
        others |= dict(trees(rows, training))
        others |= dict(peers(rows, training))
    baseline = results.comparisons(compare(log_prob, others))
    return Refits(baseline, findings, results.Refits(free_bits, costs))


def _inference(rows: Rows, key: jax.Array) -> tuple[results.Gaps, Finding]:
    """What the encoder of the best member costs, and the family of its q, on a few rows."""
    model = rows.model
    few = rows.take(rows.evenly(GAP_ROWS))
    measured = gaps(model.mixture.member(model.best), few.x, few.c, key=key, progress=model.progress)
    parts = (results.Nats(*part) for part in (measured.approximation, measured.amortisation))
    costs = results.Gaps(*parts, rows=len(few))
    nats, stderr = measured.inference
    if nats < NOTICED:
        what = "inference costs too little to act on"
        return costs, Finding("inference-gap", "good", what, nats, stderr)
    return costs, Finding("inference-gap", "note", measured.words())
