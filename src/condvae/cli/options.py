"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def _limit_memory(context: typer.Context, size: str | None) -> str | None:
    """Let the tables of a command take so much memory."""
    if size is not None:
        from condvae.tables import memory

        memory.num_bytes(size)  # which refuses what is no size
        before = memory.chosen.set(size)
        context.call_on_close(lambda: memory.chosen.reset(before))
    return size


ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder.", show_default=False)]
Out = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="The file to write, .csv or .parquet; - for CSV on standard output.",
        show_default=False,
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=4,
        help="Draws of the latent for each row (default: 1000); with --method ais, chains (16).",
        show_default=False,
    ),
]
How = Annotated[
    Literal["is", "ais"],
    typer.Option(
        "--method",
        help="How to estimate log p: importance sampling (is) or annealed importance sampling (ais), "
        "which is slower, and more reliable where the encoder is far off.",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=4,
        help="Draws at most, for rows that need more (default: 16 times as many); with --method ais, "
        "temperatures (1000).",
        show_default=False,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=2**32 - 1,
        help="Random seed: the same seed gives the same result.",
    ),
]
Train = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The rows that the model was trained on, to test whether samples copy them.",
        show_default=False,
    ),
]
Deep = Annotated[
    bool,
    typer.Option(
        "--deep",
        help="Refit to the rows of --train for more verdicts: without the latent, with free bits, boosted "
        "trees, and other packages that are installed. It takes several times as long as the fit.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, notes or summary.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        callback=_limit_memory,
        help="The memory that reading a table may take, such as 500M or 2G (default: half of what is "
        "available).",
        show_default=False,
    ),
]
