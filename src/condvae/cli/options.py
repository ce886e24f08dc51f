"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder.", show_default=False)]
Out = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="The file to write, CSV or Parquet by its ending; - for CSV on standard output.",
        show_default=False,
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=4,
        help="Draws of the latent for each row: 1000; with --method ais, chains: 16.",
        show_default=False,
    ),
]
How = Annotated[
    Literal["is", "ais"],
    typer.Option(
        "--method",
        help="Importance sampling, or annealed: slower, and surer where the encoder is far off.",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=4,
        help="The most draws of a row, for rows that need more: 16 times as many; with --method ais, the "
        "temperatures: 1000.",
        show_default=False,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=2**32 - 1,
        help="Decides everything random; the same seed, the same result.",
    ),
]
Train = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The rows that the model was trained on, to see whether samples copy them.",
        show_default=False,
    ),
]
Deep = Annotated[
    bool,
    typer.Option(
        "--deep",
        help="Fit again to the rows of --train, without the latent and with free bits, and other packages "
        "that are installed: tells more, and takes some times as long as fitting did.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, notes or summary.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]
