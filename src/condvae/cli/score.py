"""`condvae score`: the log-density of each row."""

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
    totals = Totals()

    def scored(_: int, __: int, part: Any) -> Any:
        rows = inputs.conditions(estimator, part)
        found = estimator.log_prob(rows, part, num_samples=num_samples, random_state=seed)
        outside.look(rows)
        totals.add(*found, estimator.observed_rows(part))
        return pa.table({"log_prob": found.value, "log_prob_stderr": found.stderr, "ess": found.ess})

    parts = inputs.by_part(estimator, table, scored)
    if out is not None:
        tables.write_parts(parts, out)
    else:
        for _ in parts:
            pass
    guesses = outside.warn()
    summary = totals.summary()
    if as_json:
        say_json(summary | {"outside": guesses, "out": out})
    elif not quiet and out != "-":
        _show(summary, num_samples)
        if out is not None:
            say(f"the scores of {count(summary['rows'], 'row')} written to {out}")


class Totals:
    """What is said of the scores of all rows, kept while they come in parts."""

    def __init__(self) -> None:
        self.rows = self.scored = 0
        self.mean = self.squares = self.noise = 0.0
        self.ess: list[Any] = []

    def add(self, value: Any, stderr: Any, ess: Any, observed: Any) -> None:
        """Some more rows, and which of them have an observed target."""
        import numpy as np

        self.rows += len(observed)
        own, stderr = (np.asarray(array, np.float64)[observed] for array in (value, stderr))
        if not len(own):
            return
        before, self.scored = self.scored, self.scored + len(own)
        shift = own.mean() - self.mean
        self.squares += float(np.sum((own - own.mean()) ** 2) + shift**2 * before * len(own) / self.scored)
        self.mean += float(shift * len(own) / self.scored)
        self.noise += float(np.sum(stderr**2))
        self.ess.append(np.asarray(ess)[observed])

    def summary(self) -> dict[str, Any]:
        """Of the mean its error over rows, and the part of it that importance sampling adds."""
        import numpy as np

        counts: dict[str, Any] = {"rows": self.rows, "rows_scored": self.scored}
        if not self.scored:
            return counts | {"log_prob": None, "log_prob_stderr": None, "log_prob_noise": None, "ess": None}
        ess, n = np.concatenate(self.ess), self.scored
        return counts | {
            "log_prob": self.mean,
            "log_prob_stderr": float(np.sqrt(self.squares / (n - 1) / n)) if n > 1 else None,
            "log_prob_noise": float(np.sqrt(self.noise) / n),
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
