"""`condvae report`: one page on a model, for a browser."""

from pathlib import Path
from typing import Annotated, Any

import typer

from condvae.cli import inputs
from condvae.cli.evaluate import show_findings, warn_of_training_rows
from condvae.cli.options import Budget, Deep, Draws, How, Json, MaxMemory, ModelPath, Quiet, Train
from condvae.cli.output import say, say_json, warn_untrusted

EXAMPLES = (
    "condvae report model test.csv --out report.html",
    "condvae report model test.csv --train train.csv --deep --out report.html",
)


def report(
    model: ModelPath,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table with the conditions and the targets of rows that the model was not trained on; - "
            "for CSV on standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The file to write, ending in .html.", show_default=False),
    ],
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A title for the page.", show_default=False),
    ] = None,
    train: Train = None,
    deep: Deep = False,
    method: How = "is",
    num_samples: Draws = None,
    budget: Budget = None,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one page on a model: whether it is right, what to do next, and pictures.

    The page holds what `condvae evaluate` prints, in a single file that opens in a browser without a
    network: verdicts, where the nats go, calibration, real rows beside samples, the effect of the
    conditions, the latent space, the rows with the lowest log p, and how the model was trained.
    """
    from condvae import report as pages
    from condvae.storage import require_file

    require_file(out, ".html")
    options: dict[str, Any] = {"method": method, "num_samples": num_samples, "budget": budget}
    estimator, rows, table, more = inputs.to_judge(model, data, train, deep, quiet, options)
    with inputs.outside_counted():
        diagnosis = pages.write(
            estimator, rows, table, out, title=title, name=str(model), **more, **options
        )
    warn_untrusted(diagnosis.evaluation)
    warn_of_training_rows(diagnosis.evaluation, quiet)
    if as_json:
        say_json(diagnosis.to_json())
    elif not quiet:
        show_findings(diagnosis.evaluation)
        say(f"{out}: {out.stat().st_size / 1e6:.1f} MB, for a browser", wrap=False)
