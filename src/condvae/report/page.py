"""The report as a page: what is said, in which order, and the file."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from condvae import plots, storage
from condvae.diagnosis.findings import Finding
from condvae.estimator.fitted import fitted_table
from condvae.judging import Diagnosis, Evaluation
from condvae.judging.densities import simpler
from condvae.progress import Progress
from condvae.report import figures, numbers, training
from condvae.report.figures import Picture
from condvae.text import count, listed, plus_minus
from condvae.version import VERSION

_EFFECT = (
    "One condition is varied, the others are held as they are in the most ordinary of these rows ({}). It "
    "is what the model says of rows with such conditions, not what would become of a row whose "
    "condition is changed."
)
_WORST = (
    "Which target is furthest out, and how improbable that is: the chance of being at least as far out, or "
    "of that level. How far the row's conditions lie from what was trained on: the share of training rows "
    "that lie nearer to others. Where no target is unusual by itself, it is the dependence between them."
)


def write(
    estimator: Any,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    title: str | None = None,
    name: str = "model",
    **options: Any,
) -> Diagnosis:
    """Diagnose a fitted estimator by the rows of a table, and write a report on it.

    One HTML file that needs no network and no other file, with a headline, the verdicts and what to do
    next, numbers, and pictures. The numbers are those of `condvae.estimator.evaluate`, which stand in it as
    JSON, too: `<script id="evaluation">`.

    Args:
        estimator: a fitted `ConditionalVAE`.
        X: conditions of rows that it was not trained on, or None where it was fitted without.
        y: their targets.
        path: the file, whose name ends in .html.
        title: of the page; what the model is of, if left out.
        name: what the model is called in the commands that are shown.
        **options: of `ConditionalVAE.diagnose`.

    Returns:
        What was found.

    Raises:
        StorageError: if there is no place for the file, before any work is done.
        TableError: for columns or cells that do not fit the model, or too few rows.

    Example:
        >>> import tempfile, pandas as pd, numpy as np
        >>> from pathlib import Path
        >>> from condvae import ConditionalVAE, report
        >>> y = pd.DataFrame({"height": np.random.default_rng(0).normal(size=200)})
        >>> small = {"num_members": 1, "num_steps": 50, "width": 8, "depth": 1, "latent_size": 0}
        >>> model = ConditionalVAE(**small).fit(None, y[:150])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     diagnosis = report.write(model, None, y[150:], Path(folder) / "report.html")
        ...     (Path(folder) / "report.html").read_text()[:15]
        '<!doctype html>'
    """
    storage.require_file(path, ".html")
    diagnosis = estimator.diagnose(X, y, **options)
    page = render(estimator, diagnosis, title=title, name=name)
    storage.write_bytes(path, page.encode())
    return diagnosis


def render(estimator: Any, diagnosis: Diagnosis, *, title: str | None = None, name: str = "model") -> str:
    """The page, of what a diagnosis found."""
    evaluation = diagnosis.evaluation
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, keep_trailing_newline=True
    )
    schema = estimator.schema_
    target, given = ([str(column.name) for column in columns] for columns in (schema.target, schema.given))
    of = f"p({listed(target)}{' | ' if given else ''}{listed(given)})"
    first, second = headline(diagnosis, target, given)
    return environment.get_template("page.html").render(
        title=title or of,
        kicker=f"{title}: {of}" if title else of,
        headline=first,
        second=second,
        numbers=three(evaluation),
        advice=[one for one in diagnosis.findings if one.advice and one.level != "good"],
        looked_at=numbers.judged_by(evaluation),
        findings=[{"level": one.level, "words": one.words()} for one in diagnosis.findings],
        sections=sections(estimator, diagnosis, name),
        footer=f"condvae {VERSION}; all densities in nats, in the units of the table",
        # A name of the user's that ends the element would end it.
        evaluation=Markup(json.dumps(evaluation.to_json(), allow_nan=False).replace("<", "\\u003c")),
    )


def headline(diagnosis: Diagnosis, target: list[str], given: list[str]) -> tuple[str, str]:
    """What matters most, in two plain sentences."""
    by_code: dict[str, Finding] = {one.code: one for one in diagnosis.findings}
    what = f"{listed(target, 3)}{' given ' if given else ''}{listed(given, 3)}"
    verdicts = {
        "beats-simpler": f"The model predicts {what} better than every baseline.",
        "simpler-as-good": f"The model predicts {what} as well as a baseline, but not better.",
        "simpler-better": f"The model predicts {what} worse than a baseline.",
    }
    first = next((words for code, words in verdicts.items() if code in by_code), f"A model of {what}.")
    problems = [one for one in diagnosis.findings if one.level == "problem"]
    rows = count(len(diagnosis.looked_at), "row")
    if not problems:
        return first, f"No problem was found on {rows}."
    led = f"{count(len(problems), 'problem')} {'was' if len(problems) == 1 else 'were'} found"
    return first, f"{led}; the most important: {problems[0].what}."


def three(evaluation: Evaluation) -> list[dict[str, str]]:
    """The three numbers that matter."""
    mean = evaluation.log_prob
    value = "−∞" if mean is None else plus_minus(mean, evaluation.log_prob_stderr)
    shown = [{"value": value, "words": "log p, nats per row: higher is better"}]
    sure = [
        (other.gain, other.gain_stderr, name)
        for name, other in evaluation.baseline.items()
        if other.gain is not None
    ]
    if sure:
        gain, stderr, name = min(sure, key=lambda item: item[0])
        best = simpler(name, len(evaluation.cells))
        shown.append(
            {
                "value": ("+" if gain >= 0 else "") + plus_minus(gain, stderr),
                "words": f"nats per row gained over {best}, the best baseline",
            }
        )
    if covered := evaluation.coverage:
        mean = sum(levels["0.9"] for levels in covered.values()) / len(covered)
        shown.append({"value": f"{mean:.0%}", "words": "of the rows lie in their 90% intervals"})
    elif accuracy := evaluation.accuracy:
        mean = sum(accuracy.values()) / len(accuracy)
        shown.append({"value": f"{mean:.0%}", "words": "of the most probable levels were observed"})
    return shown


def sections(estimator: Any, diagnosis: Diagnosis, name: str) -> list[dict[str, Any]]:
    """What follows the verdicts, each part with its words, tables and pictures; those that have any."""
    evaluation = diagnosis.evaluation
    keys = jax.random.split(fitted_table(estimator).key(None, 9))
    effect = _EFFECT.format(figures.held(diagnosis)) if estimator.schema_.given else ""
    parts: list[tuple[str, str, str, list[numbers.Table], Iterable[Picture]]] = [
        (
            "nats",
            "Where the nats go",
            numbers.nats_words(evaluation),
            numbers.nats(evaluation),
            figures.nats(diagnosis),
        ),
        (
            "calibration",
            "Calibration",
            numbers.together_words(evaluation),
            numbers.calibration(evaluation),
            figures.calibration(diagnosis),
        ),
        (
            "samples",
            "Real rows against samples",
            numbers.samples_words(evaluation),
            [numbers.pairs(evaluation)],
            figures.samples(diagnosis, keys[0]),
        ),
        ("conditions", "What the conditions do", effect, [], figures.effects(diagnosis, keys[1])),
        (
            "latents",
            "The latent space",
            numbers.latents_words(evaluation),
            [],
            figures.latent_space(diagnosis),
        ),
        ("worst", "The rows scored worst", _WORST, [numbers.worst(evaluation)], ()),
        (
            "training",
            "How it was trained, so that it can be trained again",
            training.words(estimator),
            [training.settings(estimator)],
            figures.training(estimator.history_),
        ),
    ]
    made = []
    with Progress("pictures", len(parts), enabled=estimator.progress) as bar:
        for section, title, words, tables, pictures in parts:
            drawn = [
                {"svg": Markup(plots.figure_svg(one.axes)), "caption": one.caption, "wide": one.wide}
                for one in pictures
            ]
            filled = [table for table in tables if table.rows]
            code = training.code(estimator, name) if section == "training" else []
            if drawn or filled or code:
                made.append(
                    {
                        "name": section,
                        "title": title,
                        "words": words,
                        "tables": filled,
                        "figures": drawn,
                        "code": code,
                    }
                )
            bar.advance(1)
    return made
