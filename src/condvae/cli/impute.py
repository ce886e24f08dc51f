"""`condvae impute`: a table with its missing targets filled in."""

import warnings
from collections import Counter
from typing import Annotated, Any

import typer

from condvae.cli import inputs, preview
from condvae.cli.options import Json, MaxMemory, ModelPath, Out, Quiet, Seed
from condvae.cli.output import say, say_json, warn
from condvae.text import count

EXAMPLES = (
    "condvae impute model holes.csv --out filled.csv",
    "condvae impute model holes.parquet -n 20 --out copies.parquet    (for multiple imputation)",
    "cat holes.csv | condvae impute model - --out - > filled.csv",
)


def impute(
    model: ModelPath,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table with the conditions and the targets, some cells of which are missing; - for CSV "
            "on standard input.",
            show_default=False,
        ),
    ],
    out: Out,
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            metavar="N",
            min=1,
            help="Completed copies of each row. Default: one.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fill in missing targets with draws from p(missing | observed, given).

    Observed cells and all other columns stay as they are; missing conditions stay missing. A draw is one
    possible value, not the most probable one: with -n you get several, which show how sure the model is.
    The columns row and draw then number the copies (row_ and draw_ if the table has columns of these
    names).
    """
    from condvae import tables
    from condvae.estimator.queries import RoughWarning

    inputs.require_outputs(out, as_json)
    estimator = inputs.load(model, quiet)
    table = inputs.read_for(estimator, data)
    numbers = tables.apart(("row", "draw"), table.column_names)
    targets = [str(column.name) for column in estimator.schema_.target]
    seen, counts = preview.Seen(), Counter(rows=0, rows_filled=0, cells_filled=0)

    def filled(number: int, first: int, part: Any) -> Any:
        rows = inputs.conditions(estimator, part)
        drawn = estimator.impute(rows, part, n, random_state=seed, part=number)
        completed, holes = _completed(part, drawn, targets, n, (numbers, first)), _holes(part, targets)
        cells = sum(part[name].null_count for name in targets)
        counts.update(rows=len(part), rows_filled=int(holes.sum()), cells_filled=cells)
        seen.look(completed.filter(holes.repeat(n or 1)))
        return completed

    with inputs.outside_counted() as outside, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RoughWarning)
        tables.write_parts(inputs.by_part(estimator, table, filled), out)
    rough = [warning.message for warning in said if isinstance(warning.message, RoughWarning)]
    if rough:
        warn(str(RoughWarning(sum(one.rows for one in rough), counts["rows"])))
    if as_json:
        say_json({**counts, "copies": n or 1, "outside": outside.rows, "out": out})
    elif not quiet and out != "-":
        if seen.rows:
            seen.show("filled row")
        say(
            f"{count(counts['cells_filled'], 'missing cell')} in {count(counts['rows_filled'], 'row')} "
            f"filled, {count(counts['rows'] * (n or 1), 'row')} written to {out}"
        )


def _completed(
    table: Any, drawn: Any, targets: list[str], n: int | None, numbered: tuple[list[str], int]
) -> Any:
    """The table's columns in their order, the targets' from what was drawn."""
    import numpy as np
    import pyarrow as pa

    pieces: dict[str, Any] = {}
    if n is not None:
        row, (names, first) = np.repeat(np.arange(len(table)), n), numbered
        pieces |= dict(zip(names, (row + first, np.tile(np.arange(n), len(table))), strict=True))
        table = table.take(row)
    for name in table.column_names:
        pieces[name] = drawn[name] if name in targets else table[name]
    return pa.table(pieces)


def _holes(table: Any, targets: list[str]) -> Any:
    """Which rows have a missing target."""
    import numpy as np

    return np.any([table[name].is_null().to_numpy() for name in targets], axis=0)
