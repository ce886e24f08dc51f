"""The pictures of a report: what a diagnosis found, drawn by `condvae.plots`."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes

from condvae import plots, sampling, tables
from condvae.baselines.region import Support
from condvae.judging import Diagnosis
from condvae.judging.calibration import groups
from condvae.judging.densities import simpler
from condvae.judging.predictions import prediction_draws
from condvae.judging.rows import DRAWS, Rows, filled
from condvae.observed import Observed
from condvae.text import listed, short

TARGETS, CONDITIONS = 6, 3
"""Targets and conditions that are drawn at most, each by itself."""

PAIRED = 5
"""Numeric targets in a grid of pairs at most: more cannot be read on a page."""

DOTS = 2000
"""Rows whose latents are drawn at most."""

BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles by which it is shown what a condition does."""

PATH = 25
"""Values that a condition is given."""

LITTLE = 0.1
"""A latent whose activity is less than this share of the largest is not drawn against it."""

RANKS = 3
"""Latents whose ranks are drawn at most, the least uniform first."""

IMAGES = 8
"""Images in a row."""

FEWEST_PIXELS = 64
"""Numeric targets, a square number of them, from which on they are drawn as images."""


MANY = 500
"""Rows from which on a histogram has more bars."""


def canvas(bars: int | None = None) -> Axes:
    """Axes of a size at which letters can be read on a page of two columns, and on a phone."""
    return plots.new_axes(4.6, 3.1 if bars is None else 0.9 + 0.28 * bars)


class Picture(NamedTuple):
    """A drawing, and what it shows."""

    axes: Axes
    caption: str
    wide: bool = False


def training(history: Any) -> Iterator[Picture]:
    """Learning curves."""
    if history.records:
        axes = plots.plot_history(history.records, best_step=history.best_step, ax=canvas())
        yield Picture(axes, "The objective in training, in standardised units; dots are what was kept.")


def nats(diagnosis: Diagnosis) -> Iterator[Picture]:
    """Gains over baselines; where the ELBO goes; what each condition tells."""
    baseline, targets = diagnosis.evaluation.baseline, len(diagnosis.evaluation.cells)
    gains = {
        simpler(name, targets): (other.gain, other.gain_stderr)
        for name, other in baseline.items()
        if other.gain is not None
    }
    if gains:
        gain, stderr = np.array(list(gains.values()), float).T
        axes = plots.plot_nats(
            list(gains), gain, stderr, label="nats per row gained", ax=canvas(len(gains))
        )
        yield Picture(axes, "The model's gain over each baseline, with standard errors, on the same rows.")
    if diagnosis.latents is not None:
        use = diagnosis.latents.use
        order = np.argsort(-use.kl)[:16]
        shown = [use.labels[i] for i in order]
        axes = plots.plot_nats(shown, use.kl[order], use.kl_stderr[order], ax=canvas(len(shown)))
        yield Picture(
            axes,
            "The rate by latent, KL(q(z | x, c) || p(z | c)) of the best member: a latent without any "
            "tells the decoder nothing.",
        )
    if diagnosis.conditions is not None and diagnosis.conditions.by_column:
        lost = sorted(diagnosis.conditions.by_column.items(), key=lambda item: -item[1][0])[:16]
        values = np.array([value for _, value in lost])
        shown = [name for name, _ in lost]
        axes = plots.plot_nats(shown, *values.T, label="nats per row lost", ax=canvas(len(shown)))
        yield Picture(axes, "What is lost when one condition is exchanged between rows, the others kept.")


def calibration(diagnosis: Diagnosis) -> Iterator[Picture]:
    """Transforms of each target, coverage, reliability of probabilities."""
    evaluation = diagnosis.evaluation
    for name, pit in list(diagnosis.pit.items())[:TARGETS]:
        u = diagnosis.transforms[name]
        yield Picture(
            plots.plot_pit(u, bins=20 if len(u) >= MANY else 10, name=name, ax=canvas()),
            f"{name}: where observed values lie in what was predicted. Flat is right; a hump is too wide, "
            "a bowl too narrow, a slope to one side.",
        )
        yield Picture(
            plots.plot_ecdf(pit, name=name, ax=canvas()),
            f"{name}: the same, added up, less what is expected. The band holds all of it in 95 of "
            "100 models that are right.",
        )
    for name, curves in list(diagnosis.reliability.items())[:TARGETS]:
        axes = plots.plot_reliability(curves, ax=canvas())
        yield Picture(
            axes, f"{name}: how often a level was observed, by the probability that it was given."
        )
    if evaluation.coverage:
        parts = [
            {
                name: {float(level): share for level, share in shares.items()}
                for name, shares in part.items()
            }
            for part in (evaluation.coverage, evaluation.coverage_stderr)
        ]
        axes = plots.plot_coverage(*(dict(list(part.items())[:TARGETS]) for part in parts), ax=canvas())
        yield Picture(
            axes,
            "How much more of the rows intervals hold than they say, with two standard errors. Those of "
            "whole numbers hold more, as their ends are whole.",
        )


def samples(diagnosis: Diagnosis, key: jax.Array) -> Iterator[Picture]:
    """Real rows against samples given the same conditions."""
    rows = some(diagnosis)
    model, column = rows.model, chief(diagnosis)
    drawn = sampling.sample(
        model.mixture, rows.c, key=key, num_samples=1 if rows.c is not None else len(rows)
    )
    parts = {"all rows": np.arange(len(rows))} if column is None else groups(rows, column, fewest=2)
    parts = parts or {"all rows": np.arange(len(rows))}
    parts = dict(sorted(parts.items(), key=lambda item: -len(item[1]))[:PAIRED])
    parts = {name: np.sort(places) for name, places in parts.items()}
    by = "" if column is None else str(column.name)
    given = "" if column is None else f", by {by}"
    if model.numeric:
        real = rows.numbers()
        made = model.to_units(np.reshape(drawn["numeric"], real.shape))
        names = [str(one.name) for one in model.numeric]
        if (shape := image_shape(model.numeric)) is not None:
            if not np.isnan(real).any(axis=1).all():
                yield _images(real, made, shape)
        elif len(names) == 1:
            by_group = [
                {name: values[places, 0] for name, places in parts.items()} for values in (made, real)
            ]
            axes = plots.plot_densities(by_group[0], by_group[1], name=names[0], ax=canvas())
            yield Picture(
                axes, f"{names[0]}: samples (areas) and real rows (ticks) given the same conditions{given}."
            )
        else:
            yield _pairs(names[:PAIRED], real, made, parts, by, given)
    if model.categorical:
        probability = diagnosis.probability
        assert probability is not None
        codes, mask = rows.x["categorical"]
        for k, one in enumerate(model.categorical[:TARGETS]):
            seen = mask[:, k]
            if not seen.any():
                continue
            size = len(one.levels)
            shares = np.broadcast_to(probability[:, k, :size], (len(rows), size))[seen].mean(axis=0)
            observed = np.bincount(codes[seen, k], minlength=size)[:size] / seen.sum()
            error = np.sqrt(np.maximum(observed * (1 - observed), 0) / seen.sum())
            levels = [str(level) for level in one.levels]
            axes = plots.plot_shares(
                levels, shares, observed, error, name=str(one.name), ax=canvas(2 * min(size, 13))
            )
            yield Picture(axes, f"{one.name}: shares of its levels as predicted, and as observed.")


def _pairs(
    names: list[str], real: np.ndarray, made: np.ndarray, parts: dict[str, np.ndarray], by: str, given: str
) -> Picture:
    places = np.concatenate(list(parts.values()))
    group = np.repeat(list(parts), [len(indices) for indices in parts.values()])
    sets = [{name: values[places, j] for j, name in enumerate(names)} for values in (real, made)]
    axes = plots.plot_pairs(*sets, real_groups=group, sample_groups=group, group_name=by)
    return Picture(axes, f"Real rows, and one sample given the conditions of each{given}.", wide=True)


def image_shape(columns: Sequence[tables.Column]) -> tuple[int, int] | None:
    """The shape of the image whose pixels these are: a square of them, numbered alike, none below 0."""
    names = [str(column.name) for column in columns]
    side = int(np.sqrt(len(names)))
    stems = {name.rstrip("0123456789") for name in names}
    rows = {stem.rstrip("_-. ").rstrip("0123456789") for stem in stems}
    numbered = all(name[-1:].isdigit() for name in names)
    if any(column.minimum is None or column.minimum < 0 for column in columns):
        return None
    if len(names) >= FEWEST_PIXELS and side * side == len(names) and numbered and len(rows) == 1:
        return side, side
    return None


def _images(real: np.ndarray, made: np.ndarray, shape: tuple[int, int]) -> Picture:
    whole = np.flatnonzero(~np.isnan(real).any(axis=1))[:IMAGES]
    grid = [[values[i].reshape(shape) for values in (real, made)] for i in whole]
    rows = [[pair[0] for pair in grid], [pair[1] for pair in grid]]
    axes = plots.plot_images(rows, None)
    return Picture(axes, "Above, real rows; below, a sample given the same conditions.", wide=True)


def effects(diagnosis: Diagnosis, key: jax.Array) -> Iterator[Picture]:
    """What a condition does: it is varied, the others held as in the most ordinary row."""
    rows = some(diagnosis)
    if rows.c is None or image_shape(rows.model.numeric) is not None:
        return
    model, place = rows.model, ordinary(rows)
    targets = list(model.schema.target)
    shown = [column for column in by_use(diagnosis) if column.kind != "datetime"]
    for column in shown[:CONDITIONS]:
        values, c = path(rows, column, place)
        places = filled(np.arange(len(values)), len(rows))
        c = jax.tree.map(lambda leaf, places=places: leaf[places], c)
        quantiles, probability = None, None
        if model.numeric:
            quantiles = model.quantiles(c, np.array(BANDS), prediction_draws(len(rows)), key)[: len(values)]
        if model.categorical:
            probability = model.centre(c, DRAWS, key)[1]
            assert probability is not None
            probability = probability[: len(values)]
        for target in targets[:2]:
            name, target_name = str(column.name), str(target.name)
            caption = f"{target_name} as {name} is varied"
            if target.kind == "categorical":
                assert probability is not None
                k = model.categorical.index(target)
                levels = [str(level) for level in target.levels]
                axes = plots.plot_effect_shares(
                    values,
                    probability[:, k, : len(levels)],
                    levels,
                    name=name,
                    target=target_name,
                    ax=canvas(),
                )
                yield Picture(axes, f"{caption}: the probabilities of its levels.")
            else:
                assert quantiles is not None
                j = model.numeric.index(target)
                axes = plots.plot_effect(
                    values, quantiles[:, j], BANDS, name=name, target=target_name, ax=canvas()
                )
                yield Picture(axes, f"{caption}: median, and the intervals that hold 50% and 90%.")


def latent_space(diagnosis: Diagnosis) -> Iterator[Picture]:
    """Means of q in the two most active latents, coloured by the condition that tells most."""
    if diagnosis.latents is None:
        return
    rows = some(diagnosis)
    rows = rows.take(rows.evenly(DOTS))
    z, use = rows.model.latents(rows.x, rows.c), diagnosis.latents.use
    activity = np.maximum(np.nan_to_num(use.activity), 0.0)
    order = np.argsort(-activity)[:2]
    active = np.sort(order[activity[order] >= LITTLE * activity[order[:1]]])
    if z.ndim != 2 or z.shape[1] != len(use.activity):
        return
    column = chief(diagnosis)
    colour, by = (None, "") if column is None else (_cells(rows, column), str(column.name))
    labels = [use.labels[i] if len(use.labels) == len(use.activity) else f"z[{i}]" for i in active]
    axes = plots.plot_latents(z[:, active], colour, name=by, labels=labels, ax=canvas())
    coloured = f", coloured by {by}" if by else ""
    alone = "its one active latent, at random heights" if len(active) == 1 else "its most active latents"
    yield Picture(
        axes,
        f"Where the encoder of the best member puts rows: the mean of {' and '.join(labels)}, {alone}"
        f"{coloured}. What c tells need not be told by z: groups that lie over one another are no fault.",
    )
    ranks = sorted(diagnosis.latents.posterior.uniformity.items(), key=lambda item: item[1].p_value)
    for label, uniform in ranks[:RANKS]:
        yield Picture(
            plots.plot_ecdf(uniform, name=label, ax=canvas()),
            f"Ranks of {label}, of simulated rows, among draws of q, less what is expected.",
        )


def some(diagnosis: Diagnosis) -> Rows:
    """The rows that were looked at."""
    return diagnosis.rows.take(diagnosis.looked_at)


def by_use(diagnosis: Diagnosis) -> list[tables.Column]:
    """The conditions, the one that tells most first."""
    given = list(diagnosis.rows.model.schema.given)
    lost = {} if diagnosis.conditions is None else diagnosis.conditions.by_column
    return sorted(given, key=lambda column: -lost.get(str(column.name), (0.0, 0.0))[0])


def chief(diagnosis: Diagnosis) -> tables.Column | None:
    """The condition by which rows are grouped: the one that tells most, no date."""
    return next((column for column in by_use(diagnosis) if column.kind != "datetime"), None)


def ordinary(rows: Rows) -> int:
    """The row whose conditions are most like those of others."""
    support = rows.model.support
    assert isinstance(support, Support)
    return int(np.argmin(support.distance(rows.model.features(rows.c))))


def held(diagnosis: Diagnosis) -> str:
    """The row whose conditions are held, in words."""
    rows = some(diagnosis)
    place = ordinary(rows)
    one = rows.take(np.array([place]))
    cells = []
    for column in rows.model.schema.given:
        if column.kind != "datetime":
            value = _cells(one, column)[0]
            cells.append(f"{column.name} {value if isinstance(value, str) else short(float(value))}")
    return f"row {rows.number[place] + 1:,}: {listed(cells)}"


def path(rows: Rows, column: tables.Column, place: int) -> tuple[np.ndarray, Any]:
    """Values of a condition, and conditions that are those of one row but for it.

    Numbers between the 5% and the 95% quantile of what the rows have; or each level.
    """
    given = [other for other in rows.model.schema.given if other.block == column.block]
    at = tables.places_of(given, column).start
    value, mask = (np.asarray(part)[:, at] for part in rows.c[column.block])
    if column.kind == "categorical":
        values = np.array([str(level) for level in column.levels])
        codes = np.arange(len(values))
    else:
        ends = np.quantile(value[mask], [0.05, 0.95]) if mask.any() else np.array([-1.0, 1.0])
        codes = np.linspace(ends[0], ends[1], PATH)
        if column.integer:
            whole = np.unique(np.rint(codes * column.sd + column.mean))
            codes = (whole - column.mean) / column.sd
        values = codes * column.sd + column.mean
    c = jax.tree.map(
        lambda leaf: np.repeat(np.asarray(leaf)[place : place + 1], len(codes), axis=0), rows.c
    )
    moved, known = (np.array(part) for part in c[column.block])
    moved[:, at], known[:, at] = codes, True
    return values, {**c, column.block: Observed(moved, known)}


def _cells(rows: Rows, column: tables.Column) -> np.ndarray:
    """A condition's cells as they are coloured: numbers, NaN where missing; or levels."""
    given = [other for other in rows.model.schema.given if other.block == column.block]
    at = tables.places_of(given, column).start
    value, mask = (np.asarray(part)[:, at] for part in rows.c[column.block])
    if column.kind != "categorical":
        return np.where(mask, value.astype(float) * column.sd + column.mean, np.nan)
    names = np.array([str(level) for level in column.levels] + ["other", "missing"])
    return names[np.where(mask, np.minimum(value, len(names) - 2), len(names) - 1)]


__all__ = ["Picture", "calibration", "effects", "latent_space", "nats", "samples", "training"]
