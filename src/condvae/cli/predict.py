"""`condvae predict`: means, quantiles and intervals for each row of conditions."""

from typing import Annotated, Any

import typer

from condvae.cli import inputs, preview
from condvae.cli.options import Json, MaxMemory, ModelPath, Out, Quiet
from condvae.cli.output import say, say_json
from condvae.text import count, listed

EXAMPLES = (
    "condvae predict model rows.csv --out predictions.csv",
    "condvae predict model rows.csv --quantiles 0.05,0.5,0.95 --interval 0.9 --out predictions.parquet",
    "cat rows.csv | condvae predict model - --proba --support --out - | head",
)


def predict(
    model: ModelPath,
    out: Out,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="A table with the condition columns; - for CSV on standard input. Leave it out for a "
            "plain VAE.",
            show_default=False,
        ),
    ] = None,
    quantiles: Annotated[
        str,
        typer.Option(
            metavar="NUMBERS", help="Quantiles of the numeric targets to add, such as 0.05,0.5,0.95."
        ),
    ] = "",
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Add the central interval of this probability, such as 0.9, of each numeric target, "
            "and the smallest set of levels of each categorical one. Both are calibrated if the model was "
            "fitted with --calibration-fraction.",
            show_default=False,
        ),
    ] = None,
    proba: Annotated[
        bool,
        typer.Option("--proba", help="Add the probability of each level of the targets that have levels."),
    ] = False,
    support: Annotated[
        bool,
        typer.Option(
            "--support", help="Add how far the conditions of each row lie outside of the training data."
        ),
    ] = False,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict the targets of each row of DATA.

    The output has the conditions and, for each target, NAME_mean (numeric) or NAME_mode (categorical: the
    most probable level). The options add NAME_q0.05 ... (quantiles); NAME_low and NAME_high (interval) or
    NAME_set (levels separated by commas, the most probable first); NAME=LEVEL (probabilities of categories,
    of 0 and 1, and of the levels of a scale); support_outside, support_columns and support_percentile. A
    name that a condition already has gets an underscore at its end.
    """
    from condvae.tables import TableError

    levels = _levels(quantiles)
    if interval is not None and not 0 < interval < 1:
        raise TableError(
            "--interval is {interval:g}",
            remedy="give a probability between 0 and 1, such as 0.9",
            interval=interval,
        )
    inputs.require_outputs(out, as_json)
    estimator = inputs.load(model, quiet)
    schema = estimator.schema_
    numeric = any(column.kind == "numeric" for column in schema.target)
    for option, wanted, has, kind in (
        ("--quantiles", bool(levels), numeric, "numeric targets"),
        ("--proba", proba, any(column.outcomes for column in schema.target), "targets with levels"),
    ):
        if wanted and not has:
            raise TableError(
                "{option} is of {kind}, and the model has none",
                remedy="leave it out",
                option=option,
                kind=kind,
            )
    names = listed(column.name for column in schema.given)
    if schema.given and data is None:
        raise TableError(
            "the model needs conditions ({names})",
            remedy="name a file of them after the model",
            names=names,
        )
    if not schema.given and data is not None:
        raise TableError(
            "the model has no conditions, and one prediction for all rows", remedy="leave out DATA"
        )
    if not schema.given and support:
        raise TableError("--support is about conditions, and the model has none", remedy="leave it out")
    rows = None if data is None else inputs.read_whole(estimator, data)
    with inputs.outside_counted() as outside:
        # The plain means first: they check every cell before anything is sampled.
        made = _tables(estimator, rows, levels, interval, proba, support)
    table = _beside(rows, [str(column.name) for column in schema.given], made)
    from condvae.tables import write_table

    write_table(table, out)
    if as_json:
        say_json({"out": out, "rows": len(table), "outside": outside.rows, "columns": table.column_names})
    elif not quiet and out != "-":
        preview.show(table, "row")
        say(f"the predictions of {count(len(table), 'row')} written to {out}")


def _levels(text: str) -> list[float]:
    from condvae.tables import TableError

    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    try:
        levels = [float(piece) for piece in pieces]
    except ValueError as error:
        raise TableError(
            "--quantiles {text!q} is no list of numbers", remedy="write 0.05,0.5,0.95", text=text
        ) from error
    for level in levels:
        if not 0 <= level <= 1:
            raise TableError(
                "--quantiles: {level:g} is not between 0 and 1", remedy="write 0.05,0.5,0.95", level=level
            )
    return list(dict.fromkeys(levels))


def _added(schema: Any, levels: list[float], interval: bool, proba: bool, support: bool) -> list[str]:
    """The names of the columns that are made, in their order."""
    from condvae.tables import level_name

    names = []
    for column in schema.target:
        if column.kind == "categorical":
            names += [f"{column.name}_mode"] + [f"{column.name}_set"] * interval
        else:
            names.append(f"{column.name}_mean")
            names += [f"{column.name}_q{level:g}" for level in levels]
            names += [f"{column.name}_low", f"{column.name}_high"] if interval else []
        names += [level_name(column.name, level) for level in column.outcomes] if proba else []
    return names + (["support_outside", "support_columns", "support_percentile"] if support else [])


def _tables(
    estimator: Any, rows: Any, levels: list[float], interval: float | None, proba: bool, support: bool
) -> dict[str, Any]:
    """The columns that are made, by name."""
    from condvae.tables import join_names, level_name

    schema = estimator.schema_
    names = _added(schema, levels, interval is not None, proba, support)
    centre = estimator.predict(rows)
    columns: dict[str, Any] = {}
    for column in schema.target:
        ending = "mode" if column.kind == "categorical" else "mean"
        columns[f"{column.name}_{ending}"] = centre[str(column.name)]
    if levels:
        quantiles = estimator.quantile(rows, levels)
        columns |= {name: quantiles[name] for name in quantiles.column_names}
    kinds = {column.kind for column in schema.target}
    if interval is not None and "numeric" in kinds:
        ends = estimator.interval(rows, interval)
        columns |= {name: ends[name] for name in ends.column_names}
    if interval is not None and "categorical" in kinds:
        sets = estimator.level_set(rows, interval)
        columns |= {
            name: [join_names(levels_in) for levels_in in sets[name].to_pylist()]
            for name in sets.column_names
        }
    if proba:
        shares = estimator.predict_proba(rows)
        pairs = [level_name(column.name, level) for column in schema.target for level in column.outcomes]
        columns |= dict(zip(pairs, shares.columns, strict=True))
    if support:
        measured = estimator.support(rows)
        columns |= {f"support_{name}": measured[name] for name in measured.column_names}
    return {name: columns[name] for name in names}


def _beside(rows: Any, names: list[str], made: dict[str, Any]) -> Any:
    import pyarrow as pa

    from condvae.tables import apart

    given = {} if rows is None else {name: rows[name] for name in names}
    return pa.table(given | dict(zip(apart(list(made), names), made.values(), strict=True)))
