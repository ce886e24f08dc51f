"""`condvae score`: the log-density of each row."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from condvae.cli import inputs
from condvae.cli.options import Draws, Json, ModelPath, Quiet, Seed
from condvae.cli.words import count, plus_minus, say, say_json

EXAMPLES = (
    "condvae score model rows.csv --out scores.csv",
    "condvae score model rows.csv --num-samples 5000 --json",
    "cat rows.csv | condvae score model - --out - | sort -t, -g | head    (the least likely rows)",
)


def score(
    model: ModelPath,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file with the conditions and the targets; - for CSV on standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The file for the rows' scores, CSV or Parquet by its ending; - for standard output.",
            show_default=False,
        ),
    ] = None,
    num_samples: Draws = 1000,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """log p(target | given) of each row of DATA in nats, in the data's own units, with its error."""
    import pyarrow as pa

    from condvae import tables

    inputs.require_outputs(out, as_json)
    estimator = inputs.load(model, quiet)
    table = inputs.read_for(estimator, data)
    outside = inputs.Outside(estimator)
    columns: list[Any] = []

    def scored() -> Iterator[Any]:
        for _, part in inputs.parts(estimator, table):
            rows = inputs.conditions(estimator, part)
            found = estimator.log_prob(rows, part, num_samples=num_samples, random_state=seed)
            outside.look(rows)
            columns.append((*found, estimator.observed_rows(part)))
            yield pa.table({"log_prob": found.value, "log_prob_stderr": found.stderr, "ess": found.ess})

    if out is not None:
        tables.write_parts(scored(), out)
    else:
        for _ in scored():
            pass
    guesses = outside.warn()
    summary = _summary(*columns)
    if as_json:
        say_json(summary | {"outside": guesses, "out": out})
    elif not quiet and out != "-":
        _show(summary, num_samples)
        if out is not None:
            say(f"the scores of {count(summary['rows'], 'row')} written to {out}")


def _summary(*parts: Any) -> dict[str, Any]:
    import numpy as np

    *scores, observed = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    value, stderr, ess = (array[observed].astype(np.float64) for array in scores)
    summary: dict[str, Any] = {"rows": len(observed), "rows_scored": len(value)}
    if not len(value):
        return summary | {"log_prob": None, "log_prob_stderr": None, "log_prob_noise": None, "ess": None}
    spread = np.std(value, ddof=1) / np.sqrt(len(value)) if len(value) > 1 else None
    return summary | {
        "log_prob": float(np.mean(value)),
        "log_prob_stderr": None if spread is None else float(spread),
        "log_prob_noise": float(np.sqrt(np.sum(np.square(stderr))) / len(value)),
        "ess": {"smallest": float(np.min(ess)), "median": float(np.median(ess))},
    }


def _show(summary: dict[str, Any], num_samples: int) -> None:
    scored, unseen = summary["rows_scored"], summary["rows"] - summary["rows_scored"]
    if scored == 0:
        say("no row has an observed target to score")
        return
    value = plus_minus(summary["log_prob"], summary["log_prob_stderr"], 4)
    say(f"log p = {value} nats a row over {count(scored, 'row')}, in the data's own units")
    say(
        f"by importance sampling with {num_samples:,} draws a row: that adds ± "
        f"{summary['log_prob_noise']:.4f}; the smallest effective number of draws is "
        f"{summary['ess']['smallest']:.0f}"
    )
    if unseen:
        say(f"not averaged in: {count(unseen, 'row')} without an observed target, whose log-density is 0")
