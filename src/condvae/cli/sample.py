"""`condvae sample`: draws of the targets for each row of conditions."""

from pathlib import Path
from typing import Annotated, Any

import typer

from condvae.cli import inputs, pictures, preview
from condvae.cli.options import Json, MaxMemory, ModelPath, Out, Quiet, Seed
from condvae.cli.output import say, say_json
from condvae.text import count, listed

EXAMPLES = (
    "condvae sample model --given rows.csv -n 100 --out samples.csv",
    "condvae sample model --given rows.csv -n 20 --out samples.parquet --plot samples.png",
    "condvae sample model -n 1000 --out - | head    (a model without conditions)",
)


def sample(
    model: ModelPath,
    out: Out,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A table with the condition columns; - for CSV on standard input. Leave it out for a "
            "plain VAE.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int,
        typer.Option(
            "-n", metavar="N", min=1, help="Draws per row of --given; without --given, the number of draws."
        ),
    ] = 1,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also plot the numeric columns of the samples, over the real ones if the table has them.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Draw samples from p(target | given) for each row of a table.

    The output has the conditions, the samples, and the columns row and draw, which number them (row_ and
    draw_ if the table has columns of these names).
    """
    from condvae import tables

    inputs.require_outputs(out, as_json)
    estimator = inputs.load(model, quiet)
    schema = estimator.schema_
    if given is None and schema.given:
        names = listed(column.name for column in schema.given)
        raise tables.TableError(
            "the model needs conditions ({names})", remedy="name a file of them with --given", names=names
        )
    if given is not None and not schema.given and plot is None:
        raise tables.TableError(
            "the model has no conditions", remedy="leave out --given, and ask for draws by -n"
        )
    if plot is not None:
        pictures.require_picture(estimator, plot)
    conditions = [str(column.name) for column in schema.given]
    targets = [str(column.name) for column in schema.target]
    numbers = tables.apart(("row", "draw"), [*conditions, *targets])
    real = None if given is None else inputs.read_for(estimator, given)
    seen = preview.Seen()
    axes = None

    def drawn(number: int, first: int, part: Any) -> Any:
        nonlocal axes
        samples = estimator.sample(part, n, random_state=seed, part=number)
        rows = _with_conditions(samples, part, n, conditions, targets, (numbers, first))
        seen.look(rows)
        if plot is not None and number == 0:  # of a long table, its first part
            axes = pictures.draw(estimator, rows, _first_part(real))
        return rows

    rows = inputs.conditions(estimator, real)
    with inputs.outside_counted() as outside:
        tables.write_parts(inputs.by_part(estimator, rows, drawn), out)
    if plot is not None:
        from condvae.plots import save_figure

        save_figure(axes, plot)  # pyright: ignore[reportArgumentType]
    if as_json:
        summary = {"out": out, "plot": None if plot is None else str(plot), "draws": seen.rows}
        say_json(summary | {"outside": outside.rows, "columns": [*numbers, *conditions, *targets]})
    elif not quiet and out != "-":
        seen.show("draw")
        picture = "" if plot is None else f", a picture to {plot}"
        say(f"{count(seen.rows, 'draw')} written to {out}{picture}")


def _first_part(table: Any) -> Any:
    from condvae.tables import Scan

    return table.read_group(0) if isinstance(table, Scan) else table


def _with_conditions(
    samples: Any,
    rows: Any,
    n: int,
    conditions: list[str],
    targets: list[str],
    numbered: tuple[list[str], int],
) -> Any:
    import numpy as np
    import pyarrow as pa

    row, (names, first) = np.repeat(np.arange(len(samples) // n), n), numbered
    draw = np.tile(np.arange(n), len(samples) // n)
    pieces: dict[str, Any] = dict(zip(names, (row + first, draw), strict=True))
    if rows is not None:
        taken = rows.select(conditions).take(row)
        pieces |= {name: taken[name] for name in conditions}
    return pa.table(pieces | {name: samples[name] for name in targets})
