"""The command line: `condvae fit | sample | score | inspect`.

What is heavy is imported inside the commands, so that `--help` answers at once. What a user got wrong is
one sentence on standard error and an exit status of 2.
"""

import sys
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
    conditions = _names(given)
    targets = _names(target) or [name for name in table.column_names if name not in conditions]
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

    estimator = _load(model, quiet)
    schema = estimator.schema_
    if given is None and schema.given:
        names = ", ".join(column.name for column in schema.given)
        raise tables.TableError(f"the model needs conditions ({names}); name a file of them with --given")
    rows = None if given is None or not schema.given else tables.read_table(given, schema.given)
    # Decoded by Arrow, whatever kind of frame the model was fitted with.
    estimator.kind_ = "pyarrow"
    samples = estimator.sample(rows, n, random_state=seed)
    if rows is not None:
        samples = _beside_conditions(samples, rows, [column.name for column in schema.given])
    tables.write_table(samples, out)
    if plot is not None:
        _plot_samples(estimator, samples, given, plot)
    if not quiet and out != "-":
        _show_samples(samples, n, 1 if rows is None else len(rows))
        _say(f"{len(samples)} draws written to {out}" + ("" if plot is None else f", a picture to {plot}"))


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

    estimator = _load(model, quiet)
    schema = estimator.schema_
    table = tables.read_table(data, (*schema.given, *schema.target))
    score = estimator.log_prob(
        table if schema.given else None, table, num_samples=num_samples, random_state=seed
    )
    if out is not None:
        columns = {"log_prob": score.value, "log_prob_stderr": score.stderr, "ess": score.ess}
        tables.write_table(pa.table(columns), out)
    if not quiet and out != "-":
        _show_score(score, estimator.observed_rows(table), num_samples)
        if out is not None:
            _say(f"the scores of {len(score.value)} rows written to {out}")


@app.command("inspect", epilog="condvae inspect model")
def inspect_command(model: Annotated[Path, typer.Argument(help="A model's folder.")]) -> None:
    """What a saved model is of, how it was trained, and what it scored on held-out rows."""
    _show_model(_load(model, quiet=True), model, details=True)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


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


def _plot_samples(estimator: "ConditionalVAE", samples: Any, given: str | None, path: Path) -> None:
    """Pairs of numeric targets, coloured by the first categorical condition."""
    import numpy as np

    from condvae import tables
    from condvae.plots import plot_pairs, save_figure

    schema = estimator.schema_
    numeric = [column.name for column in schema.target if column.kind == "numeric"]
    if not numeric:
        raise tables.TableError("the model has no numeric target to plot: leave out --plot")
    real = None if given is None else tables.read_table(given)
    if real is not None and not set(numeric) <= set(real.column_names):
        real = None

    def columns(table: Any) -> dict[str, Any]:
        return {name: table[name].cast("double").to_numpy() for name in numeric}

    group = next((column.name for column in schema.given if column.kind == "categorical"), None)

    def groups(table: Any) -> Any:
        return None if group is None else np.array([str(value) for value in table[group].to_pylist()])

    ax = plot_pairs(
        None if real is None else columns(real),
        columns(samples),
        real_groups=None if real is None else groups(real),
        sample_groups=groups(samples),
        group_name=group or "",
    )
    save_figure(ax, path)


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _say(sentence: str) -> None:
    _console().print(sentence)


def _show_model(estimator: "ConditionalVAE", path: Path, details: bool = False) -> None:
    from rich.table import Table

    schema, console = estimator.schema_, _console()
    targets = ", ".join(column.name for column in schema.target)
    conditions = ", ".join(column.name for column in schema.given)
    console.print(f"[bold]p({targets}{' | ' if conditions else ''}{conditions})[/]")
    table = Table(box=None, pad_edge=False)
    for heading in ("column", "role", "kind", "missing", "values"):
        table.add_column(heading, justify="right" if heading == "missing" else "left")
    for column in (*schema.given, *schema.target):
        if column.kind == "numeric":
            values = f"{column.mean:.4g} ± {column.sd:.3g}, {column.minimum:g} to {column.maximum:g}"
        else:
            shown = [str(level) for level in column.levels[:6]]
            values = ", ".join(shown) + (", ..." if len(column.levels) > 6 else "")
        table.add_row(column.name, column.role, column.kind, str(column.missing), values)
    console.print(table)
    history, validation = estimator.history_, estimator.validation_
    steps = int(history.records[-1]["step"])
    seconds = history.records[-1]["seconds"]
    console.print(
        f"{estimator.num_rows_} rows, {steps} steps in {seconds:.0f} s; kept the parameters of step "
        f"{history.best_step}"
    )
    if validation is not None:
        console.print(
            f"{validation['rows']} held-out rows: log p = {validation['log_prob']:.3f} ± "
            f"{validation['stderr']:.3f} nats a row, in the data's own units"
        )
    for note in (*estimator.notes_, *history.notes):
        console.print(f"[yellow]note:[/] {note}")
    if details:
        _show_details(estimator, path, console)


def _show_details(estimator: "ConditionalVAE", path: Path, console: Any) -> None:
    import equinox as eqx
    import jax

    arrays = jax.tree.leaves(eqx.filter(estimator.model_, eqx.is_array))
    made = estimator.provenance_
    console.print(
        f"z has {estimator.latent_size} dimensions; three networks of {estimator.depth} x "
        f"{estimator.width} units, {sum(a.size for a in arrays):,} parameters in {arrays[0].dtype}"
    )
    console.print(f"{path}: made {made['created']} by condvae {made['condvae']}, JAX {made['jax']}")


def _show_samples(samples: Any, n: int, rows: int) -> None:
    from rich.table import Table

    console = _console()
    shown = samples.slice(0, 6)
    table = Table(box=None, pad_edge=False, title=f"the first of {rows} x {n} draws", title_justify="left")
    for name in shown.column_names:
        table.add_column(name, justify="right")
    for row in shown.to_pylist():
        table.add_row(*[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()])
    console.print(table)


def _show_score(score: Any, observed: Any, num_samples: int) -> None:
    import numpy as np

    value, stderr, ess = (array[observed] for array in score)
    rows, unseen = len(value), len(observed) - len(value)
    if rows == 0:
        _say("no row has an observed target to score")
        return
    spread = np.std(value, ddof=1) / np.sqrt(rows) if rows > 1 else np.nan
    within = np.sqrt(np.sum(np.square(stderr))) / rows
    _say(
        f"log p = {np.mean(value):.4f} ± {spread:.4f} nats a row over {rows} rows, in the data's own units\n"
        f"by importance sampling with {num_samples} draws a row: that adds ± {within:.4f}; the smallest "
        f"effective number of draws is {np.min(ess):.0f}"
    )
    if unseen:
        _say(f"{unseen} rows have no observed target: they score 0, and are not averaged in")


def main() -> None:
    """Run the command line; what a user got wrong is one sentence and exit status 2."""
    try:
        app()
    except ValueError as error:
        print(f"condvae: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
