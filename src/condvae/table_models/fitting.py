"""From a table to a fitted model: which rows are for what, training, and what is measured at the end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from condvae import tables
from condvae.architectures import ease_scales, mlp_cvae
from condvae.baselines import Baseline, fit_baseline, fit_neighbours
from condvae.baselines.region import Support, reference_rows
from condvae.heads import Cell, UniversalCell
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.networks import quantile_knots
from condvae.sentences import Argument, InputError, Text
from condvae.table_models.adjusting import calibrate
from condvae.table_models.defaults import AVERAGING, Settings
from condvae.table_models.hiding import hiding
from condvae.table_models.model import TableModel, observed_rows, scored
from condvae.table_models.row_limits import limits_of, said_of
from condvae.table_models.streaming import TableStream, share_of
from condvae.table_models.validation import measure_members, measure_test
from condvae.training import Checkpoints, History, TrainingError, fit
from condvae.training.holdout import copies, held_out, recognisable
from condvae.training.streams import Stream, Without, places_of
from condvae.vectorise import content_hashes, index_rows, num_rows

FEW_CALIBRATED = 100
"""Rows to adjust intervals by, below which these are rough."""


MAX_HASHES = 1_000_000
"""Training rows that are remembered, to be known again."""


class Options(NamedTuple):
    """What the estimator was told, apart from the sizes in `Settings`."""

    depth: int
    weight_decay: float
    objective: Callable[..., Any]
    num_samples: int
    kl_warmup: int
    kl_cycles: int
    validation_fraction: float
    test_fraction: float
    calibration_fraction: float
    progress: bool
    in_turn: bool = False


@dataclass
class TrainingTable:
    """Encoded rows to train on, each with an observed target, and what goes with them."""

    schema: tables.Schema
    x: Any
    c: Any
    sample_weight: np.ndarray | None
    groups: np.ndarray | None
    time: np.ndarray | None
    kind: str
    notes: list[str]
    source: np.ndarray  # the row of the table that each of them is
    rows: int  # of the table, with an observed target
    stream: TableStream | None = None  # of a long table, the rows that are not among these


@dataclass
class Fitted:
    """A fitted model, how it came about, and what was measured."""

    model: TableModel
    history: History
    validation: dict[str, Any] | None
    num_rows: int
    test_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


def fit_table(
    table: TrainingTable,
    *,
    settings: Settings,
    options: Options,
    key: PRNGKeyArray,
    start: Mixture | None = None,
    checkpoint: str | Path | Checkpoints | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
) -> Fitted:
    """Train the members on encoded rows, each with an observed target, and measure.

    Args:
        table: the rows.
        settings: sizes.
        options: the rest.
        key: decides everything random.
        start: members to train further, instead of new ones.
        checkpoint: the folder in which training is kept.
        resume: whether to go on from what is in it.
        mesh: devices over which batches are divided.
    """
    schema, x, c, stream = table.schema, table.x, table.c, table.stream
    split_key, fit_key, score_key = jax.random.split(key, 3)
    n = num_rows(x=x, c=c)
    options = options if stream is None else _of_the_sample(options, table.rows, n)
    alike = copies((x, c))
    test, calibration, rest = _reserve(n, options, table.groups, table.time, alike, split_key)
    x_rest, c_rest = index_rows((x, c), rest)
    weight, *along = [
        None if array is None else array[rest]
        for array in (table.sample_weight, table.groups, table.time, alike)
    ]
    mask_keys = jax.random.split(jax.random.fold_in(split_key, 1), settings.num_members)
    if stream is not None:  # which members judge by the same rows
        mask_keys = mask_keys[np.zeros(settings.num_members, int)]
    fraction = options.validation_fraction
    masks = np.stack(
        [_held_out("validation_fraction", fraction, len(rest), along, key) for key in mask_keys]
    )
    x_levels, c_levels = tables.levels(schema.target), tables.levels(schema.given)
    numeric, ordinal = likelihoods(schema)
    blocks = [(side or {}).get("numeric") for side in (x_rest, c_rest)]
    limits, ordered = limits_of(schema, x_rest, c_rest) if options.in_turn else ((), [])
    x_knots, c_knots = (() if block is None else quantile_knots(block) for block in blocks)

    def build(key: PRNGKeyArray) -> CVAE:
        return mlp_cvae(
            x,
            c,
            latent_size=settings.latent_size,
            width=settings.width,
            depth=options.depth,
            likelihood=numeric,
            x_levels=x_levels,
            x_ordinal=ordinal,
            c_levels=c_levels,
            x_knots=x_knots,
            c_knots=c_knots,
            in_turn=options.in_turn,
            limits=limits,
            key=key,
        )

    rows: dict[str, Any] = {"x": x_rest, "c": c_rest, "sample_weight": weight, "validation": masks}
    if stream is not None:
        held = index_rows((x_rest, c_rest), np.flatnonzero(masks[0])) if masks.any() else 0
        not_trained_on = np.concatenate([test, calibration, rest[masks[0]]])
        stream = _without_copies(stream, (x, c), not_trained_on, options.progress)
        rows = {"x": stream, "validation": held}
    try:
        mixture, history = fit(
            build if start is None else start,
            **rows,
            key=fit_key,
            num_members=settings.num_members,
            num_steps=settings.num_steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=options.weight_decay,
            objective=options.objective,
            num_samples=options.num_samples,
            kl_warmup=options.kl_warmup if start is None else 0,
            kl_cycles=options.kl_cycles if start is None else 1,
            patience=settings.patience,
            averaging=AVERAGING,
            anneal=ease_scales if start is None else None,
            batch_transform=hiding(
                schema, c_rest, 1.0 if stream is None else table.rows / n, options.in_turn, mesh
            ),
            checkpoint=checkpoint,
            resume=resume,
            mesh=mesh,
            progress=options.progress,
        )
    except TrainingError as error:
        raise _in_the_table(error, table, rest if stream is None else rest[masks[0]]) from error
    best = int(np.argmax(history.best_value)) if masks.any() else 0

    def baseline(given: PyTree, independent: bool = False) -> Baseline:
        return fit_baseline(
            scored(schema, x_rest)[0],
            given,
            x_levels=x_levels,
            c_levels=c_levels,
            sample_weight=weight,
            independent=independent,
        )

    if ordered and start is None:
        history.notes.append(said_of(ordered))
    model = TableModel(
        schema,
        mixture,
        best,
        support=None,
        linear=baseline(c_rest),
        marginal=baseline(None),
        independent=baseline(c_rest, independent=True) if len(schema.target) > 1 else None,
        training_rows=None if stream is not None else _hashes(x_rest, c_rest),
        progress=options.progress,
    )
    if c is not None:
        *_, same = along
        once = np.arange(len(rest)) if same is None else np.unique(same, return_index=True)[1]
        model.support = Support.fit(model.features(index_rows(c_rest, once)))
        kept = scored(schema, index_rows(x_rest, once[reference_rows(len(once))]))[0]
        model.neighbours = fit_neighbours(model.support, kept, x_levels=x_levels)
    if len(calibration):
        model.calibration = calibrate(model, index_rows((x, c), calibration))
        if len(calibration) < FEW_CALIBRATED:
            history.notes.append(
                f"{len(calibration)} rows are few to calibrate intervals by: the coverage of a 90% "
                f"interval is uncertain by ± {100 * np.sqrt(0.9 * 0.1 / len(calibration)):.0f} points"
            )
    alone = options.in_turn and not settings.latent_size and len(schema.target) > 1
    if len(test):
        test_weight = None if table.sample_weight is None else table.sample_weight[test]
        rows = index_rows((x, c), test)
        validation = measure_test(model, rows, (x_rest, c_rest), test_weight, score_key, alone)
    else:
        validation = measure_members(model, x_rest, c_rest, masks, weight, score_key, alone)
    if validation is not None and stream is not None:
        validation["train"] = None  # what is in memory of a stream is not trained on
    trained_on = len(rest) if stream is None else stream.num_rows
    return Fitted(model, history, validation, trained_on, test)


def likelihoods(schema: tables.Schema) -> tuple[str | list[Cell], list[bool]]:
    """The likelihood of the numeric targets, one for all or cells; and which categories are in an order."""
    chosen = [(column, column.likelihood or tables.Likelihood("student_t")) for column in schema.target]
    numeric = [(column, likelihood) for column, likelihood in chosen if column.kind == "numeric"]
    ordinal = [
        likelihood.family == "ordinal" for column, likelihood in chosen if column.kind == "categorical"
    ]
    families = {likelihood.family for _, likelihood in numeric}
    if families <= {"student_t"} or families == {"gaussian"}:
        return (families.pop() if families else "student_t"), ordinal
    return [_cell(column, likelihood) for column, likelihood in numeric], ordinal


def _cell(column: tables.Column, likelihood: tables.Likelihood) -> Cell:
    """What a column is to the head: in standardised units, but for families of numbers as they are."""
    mean, sd = column.mean, column.sd
    if column.universal is not None:
        return Cell("universal", (("cell", universal_cell(column)),))
    if likelihood.family in ("ordinal", "bernoulli"):
        return Cell("ordinal", (("low", likelihood.low), ("high", likelihood.high)), units=(mean, sd))
    if likelihood.family in tables.OWN_UNITS:
        low = 0.0 if likelihood.low is None else likelihood.low
        # Counts are counts and shares are shares of their range; amounts are in standard deviations.
        width = (
            1.0
            if likelihood.family in tables.COUNTS
            else sd
            if likelihood.high is None
            else likelihood.high - low
        )
        return Cell(likelihood.family, start=likelihood.start, units=((mean - low) / width, sd / width))
    if likelihood.step is not None:
        return Cell(
            likelihood.family,
            (("width", likelihood.step / sd), ("origin", (likelihood.origin - mean) / sd)),
        )
    if likelihood.low is not None or likelihood.high is not None:
        ends = {"low": likelihood.low, "high": likelihood.high}
        return Cell(
            likelihood.family,
            tuple((name, None if end is None else (end - mean) / sd) for name, end in ends.items()),
        )
    return Cell(likelihood.family)


def universal_cell(column: tables.Column) -> UniversalCell:
    """What a column can hold, in standardised units."""
    support, scores, mean, sd = column.support, column.scores, column.mean, column.sd
    assert support is not None and scores is not None
    steps, origins = support.steps, []
    for step in steps:  # one near the mean, from which single precision counts best
        origins.append(support.origin + np.rint((mean - support.origin) / step) * step)
    low, high, centre, softness, *knots = scores
    # A straight line through the knots: a fine spline bends what the conditions say, and closes gaps
    # between modes, which the latent is to tell apart.
    curve, score = (np.array(part) for part in knots[:2])
    slope = float(score @ score / (score @ (curve - curve.mean())))
    line = ((curve.mean() - 1 / slope, curve.mean() + 1 / slope), (-1.0, 1.0), (slope, slope))
    return UniversalCell(
        tuple(float(np.float32((point - mean) / sd)) for point in support.points),
        tuple(float(step / sd) for step in steps) if steps or support.closed else None,
        tuple(float((origin - mean) / sd) for origin in origins),
        (*support.point_shares, *support.step_shares),
        (
            None if low is None else (low - mean) / sd,
            None if high is None else (high - mean) / sd,
            (centre - mean) / sd,
            softness / sd,
            *(tuple(map(float, part)) for part in line),
        ),
    )


def _hashes(x: PyTree, c: PyTree) -> np.ndarray:
    return np.sort(content_hashes((x, c)))[:MAX_HASHES]


def _of_the_sample(options: Options, rows: int, sample: int) -> Options:
    """Fractions of a long table as fractions of the sample of it that is in memory."""
    names = ("validation_fraction", "test_fraction", "calibration_fraction")
    return options._replace(**{name: share_of(getattr(options, name), rows, sample) for name in names})


def _without_copies(stream: Stream, sample: Any, not_trained_on: np.ndarray, progress: bool) -> Stream:
    """The rows of a stream but for copies of those rows of its sample that are not to be trained on."""
    originals = index_rows(sample, not_trained_on[recognisable(sample)[not_trained_on]])
    places = places_of(stream, originals, progress=progress)
    return Without(stream, places) if len(places) else stream


def _in_the_table(error: TrainingError, table: TrainingTable, rows: np.ndarray) -> TrainingError:
    """The same error, with the row and the column called what they are in the table."""
    if error.entry is None:
        return error
    (side, *block), (row, *column) = error.entry.path, error.entry.place
    # A stream says itself which row of the table it is, of rows to train on.
    in_memory = table.stream is None or error.held
    number, name = int(table.source[rows[row]] if in_memory else row) + 1, ""
    if block:  # a table without numbers has none that could be the largest
        columns = {"x": table.schema.target, "c": table.schema.given}[side]
        name = f", column {str(tables.column_at(columns, block[0], column[0]).name)!r}"
    return TrainingError(
        Text(
            "{problem}; look at row {number} of the table{name} first: mend or drop it, or lower {rate}",
            problem=error.problem,
            number=number,
            name=name,
            rate=Argument("learning_rate"),
        ),
        problem=error.problem,
        row=number,
        entry=error.entry,
    )


def _reserve(
    n: int,
    options: Options,
    groups: np.ndarray | None,
    time: np.ndarray | None,
    alike: np.ndarray | None,
    key: PRNGKeyArray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows for testing, for calibration, and the rest."""
    left = np.arange(n)
    reserved = []
    fractions = {
        "test_fraction": options.test_fraction,
        "calibration_fraction": options.calibration_fraction,
    }
    for i, (name, fraction) in enumerate(fractions.items()):
        along = [None if array is None else array[left] for array in (groups, time, alike)]
        mask = _held_out(name, fraction, len(left), along, jax.random.fold_in(key, 10 + i))
        reserved.append(left[mask])
        left = left[~mask]
    if len(left) < 2:
        raise InputError(
            "only {left} of {n} rows is left to train on",
            remedy="lower {test} or {calibration}, or give more rows",
            left=len(left),
            n=n,
            test=Argument("test_fraction"),
            calibration=Argument("calibration_fraction"),
        )
    return reserved[0], reserved[1], left


def _held_out(name: str, fraction: float, n: int, along: list[Any], key: PRNGKeyArray) -> np.ndarray:
    groups, time, alike = along
    try:
        together = alike if groups is None and time is None else groups
        mask = held_out(n, fraction, key=key, groups=together, time=time)
    except ValueError as error:
        said = "{argument}: {reason}"
        raise InputError(said, argument=Argument(name, float(fraction)), reason=str(error)) from error
    if time is not None and alike is not None:  # of copies, all or none are late enough
        mask &= ~np.isin(alike, alike[~mask])
    return mask


__all__ = ["Fitted", "Options", "fit_table", "observed_rows"]
