"""`condvae evaluate`: what a model is worth on a table."""

from typing import Annotated, Any

import typer

from condvae.cli import describe, inputs
from condvae.cli.options import Budget, Draws, How, Json, ModelPath, Quiet
from condvae.cli.words import (
    between,
    console,
    count,
    how,
    note,
    plus_minus,
    say,
    say_json,
    short,
    warn,
    warn_untrusted,
)

EXAMPLES = (
    "condvae evaluate model test.csv",
    "condvae evaluate model test.parquet --json",
    "condvae evaluate model test.csv --method ais    (and how well log p is known)",
    "condvae evaluate model test.csv --json | python -m json.tool",
)


def evaluate(
    model: ModelPath,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file with the conditions and the targets, of rows that the model was not trained on; - "
            "for CSV on standard input.",
            show_default=False,
        ),
    ],
    method: How = "is",
    num_samples: Draws = None,
    budget: Budget = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How well a model predicts the rows of DATA, beside what is simpler.

    Log-densities with their errors, the ELBO; CRPS and the coverage of intervals by numeric target,
    accuracy by categorical target; and the same log-density of two baselines that were fitted to the
    training rows: the targets without the conditions, and regression.
    """
    from condvae.estimator.evaluation import evaluate as measure

    inputs.require_budget(method, num_samples, budget)
    estimator = inputs.load(model, quiet)
    table = inputs.read_whole(estimator, data)
    rows = inputs.conditions(estimator, table)
    found = measure(estimator, rows, table, method=method, num_samples=num_samples, budget=budget)
    inputs.warn_outside(estimator, rows)
    warn_untrusted(found)
    if same := found["training_rows"]:
        verb = "is a row" if same == 1 else "are rows"
        warn(
            f"{same:,} of {count(found['rows_scored'], 'row')} {verb} that the model was trained on: what "
            "is measured is too good; evaluate on others"
        )
    if found["training_rows"] is None and not quiet:
        note("whether the model was trained on these rows is not known: it was fitted to a streamed table")
    if as_json:
        say_json(found)
    else:
        _show(estimator, found)


def _show(estimator: Any, found: dict[str, Any]) -> None:
    from rich.table import Table

    scored, unseen = found["rows_scored"], found["rows"] - found["rows_scored"]
    less = f" ({count(unseen, 'row')} without an observed target left out)" if unseen else ""
    say(f"{count(scored, 'row')} of {found['rows']:,}{less}" if unseen else count(scored, "row"))
    density = Table(box=None, pad_edge=False)
    for heading in ("nats a row, in the data's own units", "log p", "the model's gain"):
        density.add_column(heading, justify="left" if heading.startswith("nats") else "right")
    mean = float("-inf") if found["log_prob"] is None else found["log_prob"]
    density.add_row("the model", plus_minus(mean, found["log_prob_stderr"]), "")
    density.add_row("its lower bound, the ELBO", f"{found['elbo']:.2f}", "")
    names = {"linear": "regression on the conditions", "marginal": "without the conditions"}
    if not estimator.schema_.given:
        names = {"marginal": "a Gaussian, shares of levels"}
    for name, words in names.items():
        other = found["baseline"][name]
        gain = plus_minus(other["gain"], other["gain_stderr"])
        density.add_row(words, f"{other['log_prob']:.2f}", gain)
    console().print(density)
    say(f"log p {how(found)}")
    if "sandwich" in found:
        for sentence in between(found):
            say(sentence)
    if found["crps"]:
        console().print(_numeric(found))
    if found["accuracy"]:
        accuracy = Table(box=None, pad_edge=False)
        accuracy.add_column("target", overflow="fold")
        accuracy.add_column("accuracy", justify="right")
        for name, share in found["accuracy"].items():
            accuracy.add_row(name, f"{share:.1%}")
        console().print(accuracy)
    say(f"the model is {describe.against(estimator, found['baseline'])}")


def _numeric(found: dict[str, Any]) -> Any:
    from rich.table import Table

    adjusted = found["conformal_coverage"]
    table = Table(box=None, pad_edge=False)
    table.add_column("target", overflow="fold")
    for heading in ("CRPS", "in the 50% interval", "90%", *(("adjusted 50%", "90%") if adjusted else ())):
        table.add_column(heading, justify="right")
    for name, value in found["crps"].items():
        covered, error = found["coverage"][name], found["coverage_stderr"][name]
        cells = [f"{100 * covered[level]:.0f} ± {100 * error[level]:.0f}%" for level in covered]
        cells += [f"{100 * share:.0f}%" for share in adjusted[name].values()] if adjusted else []
        table.add_row(name, short(value), *cells)
    return table
