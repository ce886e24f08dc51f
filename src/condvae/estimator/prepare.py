"""The edge of the estimator: from what users pass to blocks, and from results to what they expect."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np

from condvae import tables
from condvae.sentences import InputError
from condvae.table_models.defaults import Settings, decoded_in_turn, defaults
from condvae.table_models.fitting import TrainingTable
from condvae.table_models.model import TableModel, observed_rows
from condvae.table_models.streaming import (
    TableStream,
    encoded,
    fits_memory,
    is_long,
    look_over,
    observed,
    one_scan,
)
from condvae.tables.cells import cells, open_frame
from condvae.tables.native import FRAMES, as_frame, kind, settled_keys
from condvae.tables.readings import checked, measured
from condvae.text import listed, quote
from condvae.training.sources import scale_weights
from condvae.vectorise import content_hashes, index_rows, num_rows

MAX_COPIES = 20
"""Whole-number weights are copies of rows up to so many times as many rows; else they weigh the loss."""

FEW_ROWS = 100


def training_table(
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    time: Any,
    *,
    unknown: Any = "error",
    read: Mapping[Any, str] | None = None,
    missing: Sequence[str] = (),
    likelihood: str = "auto",
    likelihoods: dict[Any, str] | None = None,
    schema: tables.Schema | None = None,
    seed: int = 0,
    progress: bool = False,
) -> TrainingTable:
    """Frames to rows to train on, in an order that depends on what is in them alone.

    Raises:
        TableError: for what cannot be trained on, before any training.
    """
    options: dict[str, Any] = {"unknown": unknown, "read": settled_keys(read), "missing": missing}
    named = (likelihood, settled_keys(likelihoods))
    if (scan := one_scan(X, y)) is not None:
        if is_long(scan):
            along = {"sample_weight": sample_weight, "groups": groups, "time": time}
            options |= {"seed": seed, "progress": progress}
            return _streamed_table(scan, X, y, along, options, named, schema)
        X, y = None if X is None else X.read(), y.read()
    given, target = as_frame(X, "c"), target_frame(y)
    rows = len(nw.from_native(target, eager_only=True))
    weight = row_weights(sample_weight, rows)
    if groups is not None and time is not None:
        raise ValueError("rows are held out by groups or by time: give one of the two")
    along = {"groups": _along("groups", groups, rows), "time": _along("time", time, rows)}
    source = np.arange(rows)
    if weight is not None:
        copies, weight = _copies(weight)
        if given is not None and len(nw.from_native(given, eager_only=True)) == rows:
            given = tables.take(given, copies)
        target, source = tables.take(target, copies), copies
        along = {name: None if array is None else array[copies] for name, array in along.items()}
    if schema is None:
        schema = tables.Schema.infer_pair(given, target, **options)
        schema = _with_likelihoods(schema, target, *named, given)
    elif (given is None) != (not schema.given):
        raise tables.TableError(
            "the model was fitted with other conditions", remedy="give the same columns again"
        )
    c = None if given is None else tables.encode(schema.given, given)
    x = tables.encode(schema.target, target)
    assert x is not None
    require_rows(c, x)
    seen = observed_rows(x)
    keep = np.flatnonzero(seen)
    if len(keep) < 2:
        raise tables.TableError(
            "only {kept} of {rows} rows have an observed target",
            remedy="give at least two",
            kept=len(keep),
            rows=len(seen),
        )
    # So that the same rows in another order, or copied by weights, give the same model to the bit.
    keep = keep[np.argsort(content_hashes(index_rows((x, c), keep)), kind="stable")]
    x_kept, c_kept = index_rows((x, c), keep)
    return TrainingTable(
        schema=schema,
        x=x_kept,
        c=c_kept,
        sample_weight=None if weight is None else weight[keep],
        groups=None if (groups := along["groups"]) is None else groups[keep],
        time=None if (time := along["time"]) is None else time[keep],
        kind=kind(X if X is not None else y),
        notes=[
            *(note.words() for note in tables.notes_on(schema, given, target)),
            *_notes(schema, len(seen), len(keep), None if c is None else _holes(c)),
        ],
        source=source[keep],
        rows=len(keep),
    )


def _streamed_table(
    scan: tables.Scan,
    X: Any,
    y: tables.Scan,
    along: dict[str, Any],
    options: dict[str, Any],
    named: tuple[str, dict[Any, str] | None],
    schema: tables.Schema | None,
) -> TrainingTable:
    for name, value in along.items():
        if value is not None:
            raise tables.TableError(
                "{argument} is for tables in memory, and this one has {rows:,} rows",
                remedy="leave it out, or give fewer rows",
                argument=name,
                rows=len(scan),
            )
    known = look_over(scan, X, y, **options)
    schema = _with_likelihoods(known.schema, known.sample, *named) if schema is None else schema
    if fits_memory(known.rows):  # most have nothing to learn from: the others go into memory
        some, numbers = observed(schema, scan)
        given = None if X is None else some.select(X.column_names)
        table = training_table(given, some.select(y.column_names), None, None, None, schema=schema)
        left_out = _notes(schema, len(scan), known.rows, None)[:1]
        return replace(table, source=numbers[table.source], notes=[*left_out, *table.notes])
    c, x = encoded(schema, known.sample)
    notes = [note.words() for note in tables.notes_on(schema, known.sample, known.sample)]
    notes += _notes(schema, len(scan), known.rows, known.holes if schema.given else None)
    notes.append(
        f"the table is read as it is needed; what is measured is measured on {num_rows(x=x):,} of its "
        "rows, drawn at random, that are not trained on"
    )
    return TrainingTable(
        schema=schema,
        x=x,
        c=c,
        sample_weight=None,
        groups=None,
        time=None,
        kind="pyarrow",
        notes=notes,
        source=known.sample_rows,
        rows=known.rows,
        stream=TableStream(schema, scan, known.sizes, options["seed"]),
    )


def _with_likelihoods(
    schema: tables.Schema,
    target: Any,
    likelihood: str,
    likelihoods: dict[Any, str] | None,
    given: Any = None,
) -> tables.Schema:
    default = None if likelihood == "auto" else likelihood
    return schema.with_likelihoods(target, likelihoods, default, given=given)


def target_frame(y: Any) -> Any:
    """y as a frame."""
    if y is None:
        raise tables.TableError(
            "ConditionalVAE requires y to be passed, but the target y is None: y holds the "
            "targets, X the conditions",
            remedy="for the plain VAE of a table, fit(None, table)",
        )
    return as_frame(y, "x")


def row_weights(sample_weight: Any, rows: int) -> np.ndarray | None:
    """Checked weights, or None."""
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, float)
    except (TypeError, ValueError) as error:
        raise InputError(
            "{argument} is no array of numbers ({reason})",
            remedy="give one for each row",
            argument="sample_weight",
            reason=str(error),
        ) from error
    if weight.shape != (rows,):
        raise _wrong_shape("sample_weight", weight, rows)
    if not np.isfinite(weight).all() or (weight < 0).any():
        row = int(np.argmax(~(np.isfinite(weight) & (weight >= 0))))
        raise InputError(
            "{argument} of row {row} is {weight:g}",
            remedy="give finite numbers not below 0",
            row=row,
            argument="sample_weight",
            weight=weight[row],
        )
    if not weight.any():
        raise InputError(
            "{argument} is zero on every row", remedy="weigh some above 0", argument="sample_weight"
        )
    return weight


def _wrong_shape(argument: str, array: np.ndarray, rows: int) -> InputError:
    said = "{argument} has shape {shape}, expected ({rows},), one for each row"
    return InputError(said, argument=argument, shape=array.shape, rows=rows)


def _copies(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Which rows to take, whole-number weights as copies; and the weights that then remain."""
    if (weight == np.rint(weight)).all() and weight.sum() <= MAX_COPIES * len(weight):
        return np.repeat(np.arange(len(weight)), weight.astype(int)), None
    some, scaled = np.flatnonzero(weight > 0), scale_weights(weight)
    equal = (weight[some] == weight[some[0]]).all()
    return some, None if equal else scaled[some]


def _along(name: str, values: Any, rows: int) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.shape != (rows,):
        raise _wrong_shape(name, array, rows)
    if any(_is_missing(cell) for cell in array) if array.dtype == object else (array != array).any():
        raise InputError("{argument} has missing cells", remedy="give one for each row", argument=name)
    if array.dtype == object:
        array = array.astype(str) if any(isinstance(cell, str) for cell in array) else array
    return array


def _is_missing(cell: Any) -> bool:
    if cell is None:
        return True
    try:
        return bool(cell != cell)
    except TypeError:  # pandas' NA, which is not even unequal to itself
        return True


def settings(estimator: Any, rows: int, schema: tables.Schema) -> Settings:
    """The estimator's own sizes, and those of the data where it has none."""
    sizes = defaults(rows, len(schema.target), decoded_in_turn(estimator, len(schema.target)))
    asked = {name: getattr(estimator, name) for name in sizes._fields if name != "in_turn"}
    kinds = {name: type(value) for name, value in sizes._asdict().items()}
    return sizes._replace(
        **{name: kinds[name](value) for name, value in asked.items() if value is not None}
    )


def remember_features(estimator: Any, X: Any, schema: tables.Schema) -> None:
    """What scikit-learn wants to know of the conditions."""
    names = [column.name for column in schema.given]
    estimator.n_features_in_ = len(names)
    if kind(X) in FRAMES and names and all(isinstance(name, str) for name in names):
        estimator.feature_names_in_ = np.array(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def require_features(expected: int, X: Any, given: Any) -> None:
    """Arrays have as many columns as they had at fitting.

    Raises:
        TableError: with both numbers, in scikit-learn's words.
    """
    if kind(X) == "numpy":
        features = len(nw.from_native(given, eager_only=True).columns)
        if features != expected:
            raise tables.TableError(
                "X has {features} features, but ConditionalVAE is expecting {expected} features as input",
                remedy="give the columns that it was fitted to",
                features=features,
                expected=expected,
            )


def require_rows(c: Any, x: Any) -> None:
    """Conditions and targets are of the same rows.

    Raises:
        TableError: with both numbers.
    """
    if c is not None and (of_c := num_rows(c=c)) != (of_x := num_rows(x=x)):
        raise tables.TableError(
            "the conditions have {of_c} rows and the targets {of_x} rows",
            remedy="give one row of each for every example",
            of_c=of_c,
            of_x=of_x,
        )


def thresholds(model: TableModel, y: Any, rows: int | None) -> tuple[list[tables.Column], np.ndarray]:
    """The numeric targets asked about, and a number for each row and numeric target (NaN for none).

    Args:
        model: the model.
        y: what was passed to `cdf`.
        rows: of the conditions; None where there are none, and y has as many as it likes.
    """
    names = [column.name for column in model.numeric]
    if isinstance(y, dict):
        y = settled_keys(y)
        if unknown := [name for name in y if name not in names]:
            raise tables.TableError(
                "{unknown!q} is no numeric target",
                remedy="these are {names}",
                unknown=unknown[0],
                names=listed(names),
            )
        given = {name: np.asarray(value, float) for name, value in y.items()}
        rows = max((value.size for value in given.values()), default=1) if rows is None else rows
        for name, value in given.items():
            if value.shape not in ((), (rows,)):
                raise tables.TableError(
                    "y[{column!q}] has shape {shape}",
                    remedy="give one number, or one for each of {rows} rows",
                    column=name,
                    argument="y",
                    shape=value.shape,
                    rows=rows,
                )
        values = np.full((rows, len(names)), np.nan)
        for name, value in given.items():
            values[:, names.index(name)] = value
        chosen = [column for column in model.numeric if column.name in y]
    elif np.ndim(y) == 0 and not hasattr(y, "columns"):
        values, chosen = np.full((1 if rows is None else rows, len(names)), float(y)), model.numeric
    else:
        frame = open_frame(target_frame(y))
        if rows is not None:
            require_rows({"c": np.zeros(rows)}, {"x": np.zeros(len(frame))})
        # As they are: through float32 and back a whole number n may come out below n.
        read = [measured(c, checked(c, cells(frame, c.name))) for c in model.numeric]
        values = np.stack([np.where(mask, value, np.nan) for value, mask in read], axis=1)
        chosen = model.numeric
    # A whole number n stands for what rounds to it: P(x ≤ n) is that of n + 1/2.
    ends = [tables.reach(column, values[:, j])[1] for j, column in enumerate(model.numeric)]
    return chosen, np.stack(ends, axis=1)


def native_columns(columns: list[tables.Column], blocks: dict[str, np.ndarray], of: str) -> dict[Any, Any]:
    """Decoded columns by name, each of the type that it had, for a frame of the kind `of`."""
    backend: Any = of if of in FRAMES else "pyarrow"
    decoded = nw.from_native(tables.decode(columns, blocks, backend), eager_only=True)
    native = {}
    for column in columns:
        series = decoded[str(column.name)]
        if of == "pandas":
            native[column.name] = series.to_native().array  # without the index that it came with
        else:
            native[column.name] = series if of in FRAMES else np.array(series.to_list(), dtype=object)
    return native


def _holes(c: Any) -> int:
    """How many rows have a missing condition."""
    masks = np.concatenate([block.mask for block in c.values()], axis=1)
    return int((~masks).any(axis=1).sum())


def _notes(schema: tables.Schema, rows: int, kept: int, holes: int | None) -> list[str]:
    notes = []
    if kept < rows:
        notes.append(f"{rows - kept} of {rows} rows have no observed target and were left out")
    for column in schema.given:
        one_value = column.minimum is not None and column.minimum == column.maximum
        if one_value or len(column.levels) == 1:
            notes.append(f"condition {quote(column.name)} is constant and tells the model nothing")
    if holes:
        notes.append(f"{holes} of {rows} rows have missing conditions, which are values of their own")
    continuous = [
        column
        for column in schema.target
        if column.integer
        and column.universal is None
        and (column.likelihood is None or column.likelihood.step is None)
    ]
    if whole := [quote(column.name) for column in continuous]:
        those = "targets" if len(whole) > 1 else "target"
        notes.append(f"whole numbers in {those} {listed(whole)}: modelled as continuous, draws are rounded")
    for column in schema.target:
        for point, share in tables.far_points(column):
            notes.append(
                f"{share:.1%} of the cells of {quote(column.name)} are {point:g}, far from all others: "
                "empty them if that stands for a missing cell"
            )
    if kept < FEW_ROWS:
        notes.append(f"{kept} rows are few: expect a rough model")
    return notes
