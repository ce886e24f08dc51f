"""Whether observed targets lie among what was predicted as they should: overall, and in which slice not."""

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from condvae import tables
from condvae.calibration import Uniformity, class_pit, mean_stderr, uniformity
from condvae.diagnosis.findings import Finding
from condvae.judging import results
from condvae.judging.rows import Rows
from condvae.text import quote

CHANCE = 0.01
"""What chance alone brings about less often than this is told; shared out among what is tested."""

LITTLE = 0.05
"""A distribution function that is off by no more than this is worth a word, and no alarm."""

MAX_TARGETS, MAX_CONDITIONS = 20, 50
"""Targets and conditions that slices are made of, the first ones of more."""

FEWEST, GROUPS = 30, 8
"""Rows that a slice must have, and slices of a condition at most."""

SHAPES = {
    "narrow": "too narrow: too much lies far out",
    "wide": "too wide: too little lies far out",
    "low": "too low",
    "high": "too high",
    "off": "off",
}


class Slice(NamedTuple):
    """Rows whose condition `column` is in `group`.

    Attributes:
        column: the condition.
        group: a level, or an interval, in words.
        places: which rows, [m].
        pit: by target, whether observed values lie as they should; of targets with cells enough.
    """

    column: str
    group: str
    places: np.ndarray
    pit: dict[str, Uniformity]

    def summary(self, score: np.ndarray, tests: int = 1) -> results.Slice:
        """What is said of it, as one of so many tests; `score` is log p of all rows."""
        targets = {name: summary(uniform, tests) for name, uniform in self.pit.items()}
        return results.Slice(
            self.column, self.group, len(self.places), *mean_stderr(score[self.places]), targets
        )


def levels(rows: Rows, probability: np.ndarray | None, key: jax.Array) -> dict[str, np.ndarray]:
    """By categorical target, where each level lies among the probable ones, [n]; NaN where missing."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key), np.uint32))
    transforms: dict[str, np.ndarray] = {}
    if probability is not None:
        codes, mask = rows.x["categorical"]
        probability = np.broadcast_to(probability, (len(codes), *probability.shape[1:]))
        for k, column in enumerate(rows.model.categorical):
            shares = probability[:, k, : len(column.levels)]
            code = np.where(mask[:, k], codes[:, k], -1)
            transforms[str(column.name)] = class_pit(shares / shares.sum(axis=1, keepdims=True), code, rng)
    return transforms


def slices(rows: Rows, u: dict[str, np.ndarray]) -> list[Slice]:
    """The rows by each condition: its most frequent levels, or quarters of its range."""
    sliced = []
    u = dict(list(u.items())[:MAX_TARGETS])
    for column in rows.model.schema.given[:MAX_CONDITIONS]:
        for name, places in groups(rows, column).items():
            seen = {target: transforms[places] for target, transforms in u.items()}
            pit = {
                t: uniformity(transforms)
                for t, transforms in seen.items()
                if np.isfinite(transforms).sum() >= FEWEST
            }
            if pit:
                sliced.append(Slice(str(column.name), name, places, pit))
    return sliced


def groups(rows: Rows, column: tables.Column, fewest: int = FEWEST) -> dict[str, np.ndarray]:
    """Places of rows by what a condition is: by level, or by quarter of its values; of `fewest` or more."""
    given = [condition for condition in rows.model.schema.given if condition.block == column.block]
    place = tables.places_of(given, column).start
    value, mask = (np.asarray(part)[:, place] for part in rows.c[column.block])
    candidates = [("missing", np.flatnonzero(~mask))]
    if column.kind == "categorical":
        names = [str(level) for level in column.levels] + ["other"] * column.other
        candidates += [(name, np.flatnonzero(mask & (value == code))) for code, name in enumerate(names)]
    elif column.kind == "numeric" and mask.any():
        numbers = value.astype(np.float64) * column.sd + column.mean
        inner = np.unique(np.quantile(numbers[mask], [0.25, 0.5, 0.75]))
        inner = inner[inner > numbers[mask].min()]
        quarter = np.searchsorted(inner, numbers, side="right")
        names = _quarters(inner)
        candidates += [(name, np.flatnonzero(mask & (quarter == i))) for i, name in enumerate(names)]
    candidates = [(name, places) for name, places in candidates if len(places) >= fewest]
    large = sorted(range(len(candidates)), key=lambda i: -len(candidates[i][1]))[:GROUPS]
    named: dict[str, np.ndarray] = {}
    for i in sorted(large):
        name, places = candidates[i]
        while name in named:  # a level of the user's that is called "missing"
            name += "'"
        named[name] = places
    return named


def _quarters(inner: np.ndarray) -> list[str]:
    """Names of the intervals between some numbers, of as many digits as tell these apart."""
    if not len(inner):
        return ["all"]
    digits = 4
    while len({f"{end:.{digits}g}" for end in inner}) < len(inner):
        digits += 1
    ends = [f"{end:.{digits}g}" for end in inner]
    between = [f"{low} to {high}" for low, high in pairwise(ends)]
    return [f"below {ends[0]}", *between, f"{ends[-1]} or more"]


def summary(uniform: Uniformity, tests: int = 1) -> results.Calibration:
    """What is said of a target, as one of so many tests."""
    shape: Any = "right" if uniform.p_value * tests >= CHANCE else uniform.shape
    return results.Calibration(uniform.size, uniform.p_value, shape, off_by(uniform))


def off_by(uniform: Uniformity) -> float:
    """By how much the distribution function is off where it is most off."""
    return float(np.abs(uniform.share - uniform.points).max())


def findings(pit: dict[str, Uniformity], by_slice: list[Slice]) -> list[Finding]:
    """A verdict on each target that is off, and on the slices in which it is; or that none is."""
    said = []
    for name, uniform in pit.items():
        if (p_value := min(1.0, uniform.p_value * len(pit))) < CHANCE:
            what = f"what is predicted of {quote(name)} is {SHAPES[uniform.shape]}"
            said.append(_off("miscalibrated", what, off_by(uniform), p_value))
    tested = sum(len(subset.pit) for subset in by_slice)
    for name in pit:
        worst = [
            (subset.pit[name].p_value * tested, subset)
            for subset in by_slice
            if name in subset.pit and subset.pit[name].p_value * tested < CHANCE
        ]
        if worst:
            p_value, subset = min(worst, key=lambda item: (item[0], -off_by(item[1].pit[name])))
            others = "" if len(worst) == 1 else f" (and in {len(worst) - 1} of the other slices)"
            what = (
                f"where {quote(subset.column)} is {subset.group}{others}, what is predicted of "
                f"{quote(name)} is "
            )
            what += SHAPES[subset.pit[name].shape]
            said.append(_off("slice-miscalibrated", what, off_by(subset.pit[name]), p_value))
    if pit and not said:
        least = min(1.0, len(pit) * min(uniform.p_value for uniform in pit.values()))
        what = (
            "every target is calibrated, overall and by condition"
            if tested
            else "every target is calibrated"
        )
        said.append(Finding("calibrated", "good", what, p_value=least))
    return said


def _off(code: str, what: str, points: float, p_value: float) -> Finding:
    return Finding(
        code,
        "problem" if points > LITTLE else "note",
        f"{what}; its distribution function is off by up to {points:.0%}",
        p_value=p_value,
        advice="keep rows for calibration when fitting: intervals are adjusted by them"
        if points > LITTLE
        else None,
    )
