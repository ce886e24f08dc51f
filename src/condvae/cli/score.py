"""`condvae score`: the log-density of each row."""

from typing import Annotated, Any

import typer

from condvae.cli import inputs
from condvae.cli.options import Budget, Draws, How, Json, MaxMemory, ModelPath, Quiet, Seed
from condvae.cli.output import how, say, say_json, warn_untrusted
from condvae.text import count, plus_minus

EXAMPLES = (
    "condvae score model rows.csv --out scores.csv",
    "condvae score model rows.csv --num-samples 5000 --budget 100000 --json",
    "condvae score model rows.csv --method ais",
    "cat rows.csv | condvae score model - --out - | sort -t, -g | head    (the least likely rows)",
)


def score(
    model: ModelPath,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table with the conditions and the targets; - for CSV on standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the score of each row to this file, .csv or .parquet; - for CSV on standard "
            "output.",
            show_default=False,
        ),
    ] = None,
    method: How = "is",
    num_samples: Draws = None,
    budget: Budget = None,
    seed: Seed = 0,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute log p(target | given) of each row of DATA with its error, in nats and the table's units."""
    import pyarrow as pa

    from condvae import scoring, tables

    inputs.require_outputs(out, as_json)
    inputs.require_budget(method, num_samples, budget)
    estimator = inputs.load(model, quiet)
    table = inputs.read_for(estimator, data)
    options: dict[str, Any] = {"method": method, "num_samples": num_samples, "budget": budget}
    options["random_state"] = seed
    totals = scoring.Totals()

    def scored(_: int, __: int, part: Any) -> Any:
        rows = inputs.conditions(estimator, part)
        densities = estimator.log_prob(rows, part, **options)
        totals.add(densities, estimator.observed_rows(part))
        columns = {"log_prob": densities.value, "log_prob_stderr": densities.stderr, "ess": densities.ess}
        more = {
            "pareto_k": densities.pareto_k,
            "draws": densities.num_samples,
            "trusted": densities.trusted,
        }
        return pa.table(columns | more)

    parts = inputs.by_part(estimator, table, scored)
    with inputs.outside_counted() as outside:
        if out is not None:
            tables.write_parts(parts, out)
        else:
            for _ in parts:
                pass
    summary = totals.summary()
    measure = tables.density_units(estimator.schema_.target)
    warn_untrusted(summary)
    if as_json:
        say_json(summary.to_json() | {"outside": outside.rows, "out": out, "log_prob_is": measure})
    elif not quiet and out != "-":
        _show(summary, measure)
        if out is not None:
            say(f"the scores of {count(summary.rows, 'row')} written to {out}")


def _show(summary: Any, measure: str) -> None:
    scored, unseen = summary.rows_scored, summary.rows - summary.rows_scored
    if scored == 0:
        say("no row has an observed target to score")
        return
    mean = float("-inf") if summary.log_prob is None else summary.log_prob
    value = plus_minus(mean, summary.log_prob_stderr, 4)
    say(f"log p = {value} nats per row over {count(scored, 'row')}, in the data's own units")
    say(f"it is {measure}")
    say(how(summary))
    if unseen:
        say(f"not averaged in: {count(unseen, 'row')} without an observed target, whose log-density is 0")
