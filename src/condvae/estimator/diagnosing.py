"""Whether a fitted model of a table is right, on rows that it was not trained on."""

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from condvae import sampling, tables
from condvae.calibration import (
    TwoSample,
    Uniformity,
    class_pit,
    energy_score,
    mean_stderr,
    two_sample,
    uniformity,
    variogram_score,
)
from condvae.diagnosis import (
    ConditionUse,
    LatentUse,
    PriorMatch,
    Ranks,
    condition_use,
    latent_use,
    posterior_ranks,
    prior_match,
)
from condvae.diagnosis.collapse import latent_finding
from condvae.diagnosis.findings import SURE, Finding, ordered
from condvae.estimator.fitted import DRAWS, TableModel, observed_rows
from condvae.rows import num_rows

MAX_ROWS = 4000
"""Rows that are looked at, at most: at even distances in the table."""

ENSEMBLE = 100
"""Draws of a row by which its targets are judged together."""

CHANCE = 0.01
"""What chance alone brings about less often than this is told; shared out among the columns."""

LITTLE = 0.05
"""A distribution function that is off by no more than this is worth a word, and no alarm."""

PAIRS = 20
"""Rows below which no classifier is asked."""


@dataclass
class Diagnosis:
    """What was found, and by which numbers.

    Attributes:
        findings: the verdicts, what must be looked at first.
        rows: how many rows were looked at.
        latent: whether z is used; None where there is none. Of the best member.
        conditions: whether c is used; None where there is none.
        prior: prior against posterior; None without z, or where rows are too few. Of the best member.
        posterior: whether q is the posterior; None without z. Of the best member.
        pit: by target, whether observed values lie among what was predicted as they should.
        scores: the mean energy and variogram score of the numeric targets together, in standard deviations,
            where there are two or more.
        samples: whether a classifier tells rows from samples given the same conditions; None where rows are
            too few.
    """

    findings: list[Finding]
    rows: int
    latent: LatentUse | None
    conditions: ConditionUse | None
    prior: PriorMatch | None
    posterior: Ranks | None
    pit: dict[str, Uniformity]
    scores: dict[str, float] = field(default_factory=dict)
    samples: TwoSample | None = None

    def words(self) -> str:
        """The findings, a line each."""
        return "\n".join(f"{one.level}: {one.words()}" for one in self.findings)


def diagnose(model: TableModel, x: Any, c: Any, key: PRNGKeyArray) -> Diagnosis:
    """Look at encoded rows; see `ConditionalVAE.diagnose`."""
    seen = np.flatnonzero(observed_rows(x))
    if len(seen) < 2:
        raise tables.TableError(
            f"{len(seen)} rows have an observed target, too few to tell anything; give more"
        )
    some = seen[np.unique(np.linspace(0, len(seen) - 1, min(len(seen), MAX_ROWS)).astype(int))]
    x, c = jax.tree.map(lambda leaf: np.asarray(leaf)[some], (x, c))
    keys = iter(jax.random.split(key, 8))
    findings: list[Finding] = []
    progress = model.progress
    member, latent, prior, posterior = model.mixture.member(model.best), None, None, None
    if _latent_size(member, c):
        latent = latent_use(member, x, c, key=next(keys), progress=progress)
        posterior = posterior_ranks(member, c, key=next(keys), like=x, progress=progress)
        findings += [latent_finding(latent), _posterior_finding(posterior)]
        if len(some) >= PAIRS:
            prior = prior_match(member, x, c, key=next(keys), progress=progress)
            findings.append(_prior_finding(prior))
    conditions = None
    if c is not None:
        swaps = {str(column.name): _swap(model, i) for i, column in enumerate(model.schema.given)}
        swaps = swaps if len(swaps) > 1 else {}
        conditions = condition_use(model.mixture, x, c, key=next(keys), columns=swaps, progress=progress)
        findings += _condition_findings(conditions)
    pit = _pits(model, x, c, next(keys))
    findings += _calibration_findings(pit)
    scores = _together(model, x, c, next(keys))
    samples = None
    if len(some) >= PAIRS:
        samples = _samples_told(model, x, c, next(keys))
        findings.append(_samples_finding(samples))
    return Diagnosis(
        ordered(findings), len(some), latent, conditions, prior, posterior, pit, scores, samples
    )


def _latent_size(member: Any, c: Any) -> int:
    first = None if c is None else jax.tree.map(lambda leaf: leaf[0], c)
    return sum(
        leaf.size
        for leaf in jax.tree.leaves(jax.eval_shape(lambda: member.p_z(first).sample(jax.random.key(0))))
    )


# --- conditions


def _swap(model: TableModel, index: int) -> Any:
    """A condition column, value and mask, permuted."""
    column = model.schema.given[index]
    block = column.kind
    place = [other for other in model.schema.given if other.kind == block].index(column)

    def swap(c: Any, turned: np.ndarray) -> Any:
        value, mask = (np.array(part) for part in c[block])
        value[:, place], mask[:, place] = value[turned, place], mask[turned, place]
        return {**c, block: type(c[block])(value, mask)}

    return swap


def _condition_findings(found: ConditionUse) -> list[Finding]:
    nats, stderr = found.total
    if nats <= SURE * stderr:
        return [
            Finding(
                "c-unused",
                "problem",
                "the conditions are not used: rows are scored no worse given the conditions of others",
                nats,
                stderr,
                advice="look at whether they belong to these rows, and tell of the targets at all",
            )
        ]
    findings = [Finding("c-used", "good", "the conditions are used: what they tell is worth", nats, stderr)]
    idle = [name for name, (lost, error) in found.by_column.items() if lost <= SURE * error]
    if idle:
        names = ", ".join(map(repr, idle))
        verb = "tells" if len(idle) == 1 else "tell"
        findings.append(
            Finding(
                "c-idle", "note", f"given the other conditions, {names} {verb} nothing that can be measured"
            )
        )
    return findings


# --- the latent


def _prior_finding(found: PriorMatch) -> Finding:
    if found.latents.p_value >= CHANCE:
        what = "latents of these rows cannot be told from the prior's draws"
        return Finding("prior-matches", "good", what, p_value=found.latents.p_value)
    nats, stderr = found.latents.nats, found.latents.nats_stderr
    what = (
        f"latents of these rows can be told from the prior's draws, in {found.latents.share:.0%} of pairs"
    )
    if nats <= SURE * stderr:
        return Finding("prior-off", "note", what, p_value=found.latents.p_value)
    return Finding(
        "prior-off",
        "problem" if nats > LITTLE else "note",
        f"{what}; samples lose by it, at the least",
        nats,
        stderr,
        found.latents.p_value,
        advice="train longer, or with a larger latent" if nats > LITTLE else None,
    )


def _posterior_finding(found: Ranks) -> Finding:
    if found.p_value >= CHANCE:
        return Finding(
            "q-calibrated", "good", "q is the posterior, as far as ranks tell", p_value=found.p_value
        )
    name, worst = min(found.uniformity.items(), key=lambda item: item[1].p_value)
    off = {"narrow": "too narrow", "wide": "too wide", "low": "too low", "high": "too high", "off": "off"}
    return Finding(
        "q-off",
        "note",
        f"q is not quite the posterior, {off[worst.shape]} in {name}; log-densities and samples do not "
        "suffer from it, latents do",
        p_value=found.p_value,
    )


# --- calibration


def _pits(model: TableModel, x: Any, c: Any, key: PRNGKeyArray) -> dict[str, Uniformity]:
    """By target, the transforms of what was observed, randomised where it is discrete."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key), np.uint32))
    found: dict[str, np.ndarray] = {}
    if model.numeric:
        own = np.where(x["numeric"].mask, model.to_units(x["numeric"].value), np.nan)
        half = np.array([0.5 if column.integer else 0.0 for column in model.numeric])
        above = model.cdf(c, own + half, DRAWS, key)
        below = model.cdf(c, own - half, DRAWS, key) if half.any() else above
        u = below + rng.random(above.shape) * (above - below)
        found |= {str(column.name): u[:, j] for j, column in enumerate(model.numeric)}
    if model.categorical:
        _, probability = model.centre(c, DRAWS, key)
        assert probability is not None
        codes, mask = x["categorical"]
        probability = np.broadcast_to(probability, (len(codes), *probability.shape[1:]))
        for k, column in enumerate(model.categorical):
            shares = probability[:, k, : len(column.levels)]
            code = np.where(mask[:, k], codes[:, k], -1)
            found[str(column.name)] = class_pit(shares / shares.sum(axis=1, keepdims=True), code, rng)
    return {name: uniformity(u) for name, u in found.items() if np.isfinite(u).sum() >= 2}


def _calibration_findings(pit: dict[str, Uniformity]) -> list[Finding]:
    off = {
        "narrow": "too narrow: too much lies far out",
        "wide": "too wide: too little lies far out",
        "low": "too low",
        "high": "too high",
        "off": "off",
    }
    findings = []
    for name, found in pit.items():
        if found.p_value * len(pit) >= CHANCE:
            continue
        points = float(np.abs(found.share - found.points).max())
        findings.append(
            Finding(
                "miscalibrated",
                "problem" if points > LITTLE else "note",
                f"what is predicted of {name!r} is {off[found.shape]}; its distribution function is off "
                f"by up to {points:.0%}",
                p_value=min(1.0, found.p_value * len(pit)),
                advice="fit with calibration_fraction, which adjusts intervals"
                if points > LITTLE
                else None,
            )
        )
    if pit and not findings:
        least = min(1.0, len(pit) * min(found.p_value for found in pit.values()))
        findings.append(Finding("calibrated", "good", "every target is calibrated", p_value=least))
    return findings


def _together(model: TableModel, x: Any, c: Any, key: PRNGKeyArray) -> dict[str, float]:
    """Energy and variogram score of the numeric targets, in standard deviations of the training rows."""
    if len(model.numeric) < 2:
        return {}
    sd = np.array([column.sd for column in model.numeric])
    own = np.where(x["numeric"].mask, model.to_units(x["numeric"].value), np.nan) / sd
    energy, variogram = [], []
    for rows, draws in model.summaries(c, ENSEMBLE, key):
        part = own if c is None else own[rows]
        drawn = np.broadcast_to(draws / sd, (len(part), *draws.shape[1:]))
        energy.append(energy_score(drawn, part))
        variogram.append(variogram_score(drawn, part))
    scores = {"energy": np.concatenate(energy), "variogram": np.concatenate(variogram)}
    return {
        name: mean_stderr(values[np.isfinite(values)])[0]
        for name, values in scores.items()
        if np.isfinite(values).any()
    }


def _samples_told(model: TableModel, x: Any, c: Any, key: PRNGKeyArray) -> TwoSample:
    n = num_rows(x=x)
    drawn = sampling.sample(model.mixture, c, key=key, num_samples=1 if c is not None else n)
    made = {name: np.reshape(block, (n, -1)) for name, block in drawn.items()}
    real = {name: block.value for name, block in x.items()}
    if "numeric" in x:
        # Rounded where the column is of whole numbers: else that would give samples away.
        real["numeric"], made["numeric"] = (model.to_units(rows["numeric"]) for rows in (real, made))
    columns, categorical = [], []
    for rows in (real, made):
        parts = [np.where(x[name].mask, rows[name], np.nan) for name in sorted(x)]
        columns.append(np.hstack([part.astype(float) for part in parts] + _given_columns(c)))
    for blocks in (x, c or {}):
        for name in sorted(blocks):
            categorical += [name == "categorical"] * blocks[name].value.shape[1]
    return two_sample(columns[0], columns[1], categorical=np.array(categorical))


def _given_columns(c: Any) -> list[np.ndarray]:
    return [] if c is None else [np.where(c[name].mask, c[name].value, np.nan) for name in sorted(c)]


def _samples_finding(found: TwoSample) -> Finding:
    if found.p_value >= CHANCE:
        what = "a classifier cannot tell rows from samples given the same conditions"
        return Finding("samples-alike", "good", what, p_value=found.p_value)
    return Finding(
        "samples-told",
        "problem" if found.share - 0.5 > LITTLE else "note",
        f"a classifier tells rows from samples in {found.share:.0%} of pairs, where chance is 50%",
        p_value=found.p_value,
        advice="look at which target is miscalibrated; else train longer, or with a larger latent",
    )
