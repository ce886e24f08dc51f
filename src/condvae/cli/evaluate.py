"""`condvae evaluate`: what a model is worth on a table, and whether it is right."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from condvae.cli import describe, inputs
from condvae.cli.options import Budget, Deep, Draws, How, Json, MaxMemory, ModelPath, Quiet, Train
from condvae.cli.output import between, console, how, note, say, say_json, warn, warn_untrusted
from condvae.text import count, plus_minus, short

if TYPE_CHECKING:
    from condvae.judging import Evaluation

EXAMPLES = (
    "condvae evaluate model test.csv",
    "condvae evaluate model test.parquet --json",
    "condvae evaluate model test.csv --train train.csv --deep    (fits again, to tell more)",
    "condvae evaluate model test.csv --method ais    (and how well log p is known)",
    "condvae evaluate model test.csv --json | python -m json.tool",
)

STYLES = {"problem": "bold red", "note": "yellow", "good": "green"}


def evaluate(
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
    train: Train = None,
    deep: Deep = False,
    diagnosis: Annotated[
        bool,
        typer.Option(
            "--diagnosis/--no-diagnosis",
            help="Whether to add verdicts on whether the model is right to the measurements.",
        ),
    ] = True,
    method: How = "is",
    num_samples: Draws = None,
    budget: Budget = None,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how well a model predicts the rows of DATA, compare it with baselines, and judge it.

    Measured are log p with its error and the ELBO; CRPS and the coverage of intervals of each numeric
    target, and the accuracy of each categorical one; and log p of baselines that were fitted to the
    training rows. The verdicts say whether the conditions and the latent are used, whether the dependence
    between targets is learned, whether every target is calibrated, and whether a classifier can tell
    samples from rows.
    """
    from condvae.estimator import evaluate as measure
    from condvae.tables import TableError

    options: dict[str, Any] = {"method": method, "num_samples": num_samples, "budget": budget}
    estimator, rows, table, more = inputs.to_judge(model, data, train, deep, quiet, options)
    if diagnosis:
        options |= more
    elif more:
        raise TableError("--train and --deep are for the diagnosis: leave out --no-diagnosis")
    with inputs.outside_counted():
        evaluation = measure(estimator, rows, table, diagnosis=diagnosis, **options)
    warn_untrusted(evaluation)
    warn_of_training_rows(evaluation, quiet)
    if as_json:
        say_json(evaluation.to_json())
    else:
        _show(estimator, evaluation)


def warn_of_training_rows(evaluation: "Evaluation", quiet: bool) -> None:
    """Say how many rows the model was trained on."""
    from condvae.judging.densities import trained_on

    if trained_on(evaluation):
        same = evaluation.training_rows
        verb = "is a row" if same == 1 else "are rows"
        warn(
            f"{same:,} of {count(evaluation.rows_scored, 'row')} {verb} that the model was trained on: "
            "what is measured is too good; evaluate on others"
        )
    if evaluation.training_rows is None and not quiet:
        note("whether the model was trained on these rows is not known: it was fitted to a streamed table")


def _show(estimator: Any, evaluation: "Evaluation") -> None:
    from rich.table import Table

    scored, unseen = evaluation.rows_scored, evaluation.rows - evaluation.rows_scored
    less = f" ({count(unseen, 'row')} without an observed target left out)" if unseen else ""
    say(f"{count(scored, 'row')} of {evaluation.rows:,}{less}" if unseen else count(scored, "row"))
    density = Table(box=None, pad_edge=False)
    for heading in ("nats per row, in the data's own units", "log p", "the model's gain"):
        density.add_column(heading, justify="left" if heading.startswith("nats") else "right")
    density.add_row("the model", plus_minus(evaluation.log_prob, evaluation.log_prob_stderr), "")
    density.add_row("its lower bound, the ELBO", plus_minus(evaluation.elbo, None), "")
    names = {
        "linear": describe.regression(estimator),
        "independent": "regression of each target by itself",
        "neighbours": "the nearest training rows",
        "marginal": "without the conditions",
    }
    if not estimator.schema_.given:
        names = {"linear": describe.regression(estimator), "independent": "each target by itself"}
    names |= {name: name for name in evaluation.baseline if name not in (*names, "linear", "marginal")}
    for name, words in names.items():
        if (other := evaluation.baseline.get(name)) is None:
            continue
        gain = plus_minus(other.gain, other.gain_stderr)
        density.add_row(words, plus_minus(other.log_prob, None), gain)
    console().print(density)
    say(f"log p {how(evaluation)}")
    if evaluation.sandwich is not None:
        for sentence in between(evaluation):
            say(sentence)
    if (sides := evaluation.sides).validation:
        parts = [
            f"{words} {plus_minus(side.log_prob, side.stderr)}"
            for side, words in ((sides.train, "training rows"), (sides.validation, "held out at fitting"))
            if side is not None
        ]
        say(f"at fitting{', by members alone' if sides.how == 'members' else ''}: {', '.join(parts)}")
    if evaluation.crps:
        console().print(_numeric(evaluation))
    if evaluation.accuracy:
        accuracy = Table(box=None, pad_edge=False)
        accuracy.add_column("target", overflow="fold")
        accuracy.add_column("accuracy", justify="right")
        for name, share in evaluation.accuracy.items():
            accuracy.add_row(name, f"{share:.1%}")
        console().print(accuracy)
    say(f"the model is {describe.against(estimator, evaluation.to_json()['baseline'])}")
    if evaluation.findings is not None:
        show_findings(evaluation)


def show_findings(evaluation: "Evaluation") -> None:
    """The verdicts, what must be looked at first."""
    from rich.table import Table

    say(f"\nIs it right? Judged by {count(evaluation.looked_at, 'row')}:", "bold")
    verdicts = Table(box=None, pad_edge=False, show_header=False)
    verdicts.add_column("level", no_wrap=True)
    verdicts.add_column("what", overflow="fold")
    for one in evaluation.findings or []:
        verdicts.add_row(
            one.level, one.words(), style=STYLES[one.level] if one.level == "problem" else None
        )
    console().print(verdicts)


def _numeric(evaluation: "Evaluation") -> Any:
    from rich.table import Table

    adjusted = evaluation.conformal_coverage
    table = Table(box=None, pad_edge=False)
    table.add_column("target", overflow="fold")
    levels = list(next(iter(evaluation.coverage.values())))
    headings = [f"{float(level):.0%}" for level in levels]
    for heading in ("CRPS", f"in the {headings[0]} interval", *headings[1:]):
        table.add_column(heading, justify="right")
    for name, value in evaluation.crps.items():
        covered, error = evaluation.coverage[name], evaluation.coverage_stderr[name]
        cells = [f"{100 * covered[level]:.0f} ± {100 * error[level]:.0f}%" for level in levels]
        table.add_row(name, short(value), *cells)
        if adjusted:
            table.add_row("  adjusted", "", *(f"{100 * share:.0f}%" for share in adjusted[name].values()))
    return table
