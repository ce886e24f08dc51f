"""The command line: `condvae fit | sample | score | inspect`.

What is heavy is imported inside the commands, so that `--help` answers at once. What a user got wrong is
one sentence on standard error and an exit status of 2.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from condvae.estimator import ConditionalVAE

app = typer.Typer(
    name="condvae",
    help="Learn the whole distribution of some columns given others, and know how far to trust it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

MAX_NAMES = 12
"""Columns named in p(...) at most."""
MAX_LINES = 20
"""Columns shown of a sample at most, where each takes a line."""

Names = Annotated[str, typer.Option(help="Columns, separated by commas.")]
Seed = Annotated[int, typer.Option(help="Decides everything random; the same seed, the same result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no summary.")]


@app.command("fit", epilog="condvae fit penguins.csv --given species,sex --target body_mass_g --out model")
def fit_command(
    data: Annotated[str, typer.Argument(help="A CSV or Parquet file; - for CSV on standard input.")],
    out: Annotated[Path, typer.Option(help="The folder to save the model in.")],
    given: Names = "",
    target: Annotated[
        str, typer.Option(help="Columns to model, separated by commas; all that are not given if left out.")
    ] = "",
    steps: Annotated[int, typer.Option(min=1, help="Training steps at most.")] = 3000,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Learn p(target | given) from the rows of DATA. Without --given: p(target), a plain VAE."""
    from condvae import ConditionalVAE, tables
    from condvae.storage import require_writable

    require_writable(out)
    table = tables.read_table(data)
    conditions = _names(given, table.column_names)
    targets = _names(target, table.column_names) or [
        name for name in table.column_names if name not in conditions
    ]
    # Names are checked against the one table that they come from.
    tables.Schema.infer(table, given=conditions, target=targets)
    model = ConditionalVAE(num_steps=steps, random_state=seed, progress=not quiet)
    model.fit(table.select(conditions) if conditions else None, table.select(targets))
    model.save(out)
    if not quiet:
        _show_model(model, out)
        _say(f"saved in {out}")


@app.command("sample", epilog="condvae sample model --given rows.csv -n 100 --out samples.csv")
def sample_command(
    model: Annotated[Path, typer.Argument(help="A model's folder.")],
    out: Annotated[str, typer.Option(help="The CSV or Parquet file to write; - for standard output.")],
    given: Annotated[
        str | None, typer.Option(help="A file with the conditions' columns; none for a plain VAE.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Draws for each row (in all, without --given).")] = 1,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Also draw the samples' numeric columns, over the real ones if the file has them."
        ),
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Draw from p(target | given) for each row of a table: the rows' conditions beside the draws."""
    from condvae import tables

    tables.require_writable(out)
    estimator = _load(model, quiet)
    schema = estimator.schema_
    if given is None and schema.given:
        names = _list(schema.given)
        raise tables.TableError(f"the model needs conditions ({names}); name a file of them with --given")
    if given is not None and not schema.given and plot is None:
        raise tables.TableError("the model has no conditions; leave out --given, and ask for draws by -n")
    if plot is not None:
        _require_picture(estimator, plot)
    real = None if given is None else _read_rows(given, (*schema.given, *schema.target))
    rows = real if schema.given else None
    # Decoded by Arrow, whatever kind of frame the model was fitted with.
    estimator.kind_ = "pyarrow"
    samples = estimator.sample(rows, n, random_state=seed)
    if rows is not None:
        samples = _beside_conditions(samples, rows, [column.name for column in schema.given])
    axes = None if plot is None else _plot_samples(estimator, samples, real)
    tables.write_table(samples, out)
    if plot is not None and axes is not None:
        from condvae.plots import save_figure

        save_figure(axes, plot)
    if not quiet and out != "-":
        _show_samples(samples)
        picture = "" if plot is None else f", a picture to {plot}"
        _say(f"{_count(len(samples), 'draw')} written to {out}{picture}")


@app.command("score", epilog="condvae score model data.csv --out scores.csv")
def score_command(
    model: Annotated[Path, typer.Argument(help="A model's folder.")],
    data: Annotated[str, typer.Argument(help="A file with the conditions and the targets.")],
    out: Annotated[
        str | None, typer.Option(help="A CSV or Parquet file for the rows' scores; - for standard output.")
    ] = None,
    num_samples: Annotated[int, typer.Option(min=4, help="Draws of z for each row.")] = 1000,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """log p(target | given) of each row of DATA in nats, in the data's own units, with its error."""
    import pyarrow as pa

    from condvae import tables

    if out is not None:
        tables.require_writable(out)
    estimator = _load(model, quiet)
    schema = estimator.schema_
    table = _read_rows(data, (*schema.given, *schema.target))
    score = estimator.log_prob(
        table if schema.given else None, table, num_samples=num_samples, random_state=seed
    )
    if out is not None:
        columns = {"log_prob": score.value, "log_prob_stderr": score.stderr, "ess": score.ess}
        tables.write_table(pa.table(columns), out)
    if not quiet and out != "-":
        _show_score(score, estimator.observed_rows(table), num_samples)
        if out is not None:
            _say(f"the scores of {_count(len(score.value), 'row')} written to {out}")


@app.command("inspect", epilog="condvae inspect model")
def inspect_command(model: Annotated[Path, typer.Argument(help="A model's folder.")]) -> None:
    """What a saved model is of, how it was trained, and what it scored on held-out rows."""
    _show_model(_load(model, quiet=True), model, details=True)


def _names(text: str, columns: Sequence[str]) -> list[str]:
    """The columns that a comma-separated list names: quoted where a name has commas, spaces forgiven."""
    stripped = {name.strip(): name for name in columns}
    named = [piece.strip() for piece in next(csv.reader([text], skipinitialspace=True), [])]
    return [stripped.get(name, name) for name in named if name]


def _read_rows(path: str, columns: Any) -> Any:
    from condvae import tables

    table = tables.read_table(path, columns)
    if len(table) == 0:
        raise tables.TableError(f"{path} has no rows; give at least one")
    return table


def _load(path: Path, quiet: bool) -> "ConditionalVAE":
    from condvae import ConditionalVAE

    estimator = ConditionalVAE.load(path)
    estimator.progress = not quiet
    return estimator


def _beside_conditions(samples: Any, rows: Any, names: list[str]) -> Any:
    import pyarrow as pa

    from condvae.tables import TableError

    if taken := {"row", "draw"} & {*names, *samples.column_names[2:]}:
        raise TableError(f"a column is named {taken.pop()!r}, which samples use themselves; rename it")
    conditions = rows.select(names).take(samples["row"])
    pieces = {name: samples[name] for name in ("row", "draw")}
    pieces |= {name: conditions[name] for name in names}
    pieces |= {name: samples[name] for name in samples.column_names[2:]}
    return pa.table(pieces)


def _numeric_targets(estimator: "ConditionalVAE") -> list[str]:
    return [column.name for column in estimator.schema_.target if column.kind == "numeric"]


def _require_picture(estimator: "ConditionalVAE", path: Path) -> None:
    from condvae.plots import require_drawable
    from condvae.tables import TableError

    if not _numeric_targets(estimator):
        raise TableError("the model has no numeric target to plot: leave out --plot")
    require_drawable(path)


def _plot_samples(estimator: "ConditionalVAE", samples: Any, real: Any) -> Any:
    """Pairs of the first numeric targets, coloured by the first categorical condition."""
    import numpy as np
    import pyarrow as pa

    from condvae.plots import MAX_PAIRED, plot_pairs

    numeric = _numeric_targets(estimator)[:MAX_PAIRED]
    # Real rows are drawn where the table has them: a table of conditions alone need not.
    if real is not None and not all(
        name in real.column_names
        and (pa.types.is_floating(real[name].type) or pa.types.is_integer(real[name].type))
        for name in numeric
    ):
        real = None

    def columns(table: Any) -> dict[str, Any]:
        return {name: table[name].cast("double").to_numpy() for name in numeric}

    given = estimator.schema_.given
    group = next((column.name for column in given if column.kind == "categorical"), None)

    def groups(table: Any) -> Any:
        if group is None:
            return None
        return np.array(["missing" if value is None else str(value) for value in table[group].to_pylist()])

    return plot_pairs(
        None if real is None else columns(real),
        columns(samples),
        real_groups=None if real is None else groups(real),
        sample_groups=groups(samples),
        group_name=group or "",
    )


def _console() -> Any:
    from rich.console import Console

    # Names and categories are the user's: "mass [kg]" is no markup, ":x:" no picture.
    return Console(highlight=False, markup=False, emoji=False)


def _say(sentence: str) -> None:
    _console().print(sentence)


def _show_model(estimator: "ConditionalVAE", path: Path, details: bool = False) -> None:
    from rich.table import Table
    from rich.text import Text

    schema, console = estimator.schema_, _console()
    bar = " | " if schema.given else ""
    console.print(f"p({_list(schema.target)}{bar}{_list(schema.given)})", style="bold")
    table = Table(box=None, pad_edge=False)
    for heading in ("column", "role", "kind", "missing", "values"):
        justify = "right" if heading == "missing" else "left"
        table.add_column(heading, justify=justify, no_wrap=heading != "values")
    for column in (*schema.given, *schema.target):
        if column.kind == "numeric":
            low, high = _short(column.minimum), _short(column.maximum)
            values = f"{_short(column.mean)} ± {column.sd:.3g}, {low} to {high}"
            values = f"always {low}" if low == high else values
        else:
            shown = [str(level) for level in column.levels[:6]]
            values = ", ".join(shown) + (f", ... ({len(column.levels)})" if len(column.levels) > 6 else "")
        table.add_row(str(column.name), column.role, column.kind, str(column.missing), values)
    console.print(table)
    history, validation = estimator.history_, estimator.validation_
    steps = int(history.records[-1]["step"])
    seconds = history.records[-1]["seconds"]
    console.print(
        f"{_count(estimator.num_rows_, 'row')}, {steps} steps in {seconds:.0f} s; kept the parameters of "
        f"step {history.best_step}"
    )
    if validation is not None:
        spread = "" if validation["stderr"] is None else f" ± {validation['stderr']:.3f}"
        console.print(
            f"{_count(validation['rows'], 'held-out row')}: log p = {validation['log_prob']:.3f}{spread} "
            "nats a row, in the data's own units"
        )
    for note in (*estimator.notes_, *history.notes):
        console.print(Text.assemble(("note: ", "yellow"), note))
    if details:
        _show_details(estimator, path, console)


def _show_details(estimator: "ConditionalVAE", path: Path, console: Any) -> None:
    made = estimator.provenance_
    console.print(
        f"z has {estimator.latent_size} dimensions; three networks of {estimator.depth} x "
        f"{estimator.width} units, {estimator.num_parameters_:,} parameters"
    )
    console.print(f"{path}: made {made['created']} by condvae {made['condvae']}, JAX {made['jax']}")


def _show_samples(samples: Any) -> None:
    """The first draws, one a line; or one column a line, where a line has no room for all the names."""
    from rich.table import Table

    console, draws = _console(), samples.slice(0, 6)
    cells = {name: [_short(value) for value in draws[name].to_pylist()] for name in draws.column_names}
    across = Table(box=None, pad_edge=False)
    for name in cells:
        across.add_column(name, justify="right")
    for row in zip(*cells.values(), strict=True):
        across.add_row(*row)
    _say(f"the first {len(draws)} of {_count(len(samples), 'draw')}:")
    if _fits(console, across):
        console.print(across)
        return
    shown = dict(list(cells.items())[:MAX_LINES])
    options = [_columns_down(shown, count) for count in range(len(draws), 0, -1)]
    console.print(next((table for table in options if _fits(console, table)), options[-1]))
    if len(cells) > len(shown):
        _say(f"... and {_count(len(cells) - len(shown), 'more column')}")


def _fits(console: Any, table: Any) -> bool:
    from rich.measure import Measurement

    # Measured with all the room there is: within the console's width everything "fits", cut short.
    return Measurement.get(console, console.options.update(width=10_000), table).maximum <= console.width


def _columns_down(cells: dict[str, list[str]], draws: int) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    for _ in range(draws):
        table.add_column(justify="right")
    for name, row in cells.items():
        table.add_row(name, *row[:draws])
    return table


def _short(value: Any) -> str:
    """A cell for the eye: four digits, and no powers of ten where whole numbers will do."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _list(columns: Any) -> str:
    names = [str(column.name) for column in columns]
    hidden = len(names) - MAX_NAMES
    return ", ".join(names if hidden <= 1 else [*names[:MAX_NAMES], f"and {hidden} more"])


def _show_score(score: Any, observed: Any, num_samples: int) -> None:
    import numpy as np

    value, stderr, ess = (array[observed] for array in score)
    rows, unseen = len(value), len(observed) - len(value)
    if rows == 0:
        _say("no row has an observed target to score")
        return
    spread = f" ± {np.std(value, ddof=1) / np.sqrt(rows):.4f}" if rows > 1 else ""
    within = np.sqrt(np.sum(np.square(stderr))) / rows
    _say(
        f"log p = {np.mean(value):.4f}{spread} nats a row over {_count(rows, 'row')}, "
        "in the data's own units"
    )
    _say(
        f"by importance sampling with {num_samples} draws a row: that adds ± {within:.4f}; "
        f"the smallest effective number of draws is {np.min(ess):.0f}"
    )
    if unseen:
        _say(f"not averaged in: {_count(unseen, 'row')} without an observed target, whose log-density is 0")


def main() -> None:
    """Run the command line; what a user got wrong is one sentence and exit status 2."""
    try:
        app()
    except ValueError as error:
        print(f"condvae: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
