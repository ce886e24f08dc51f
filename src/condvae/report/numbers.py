"""What is said in numbers in a report: tables and sentences, from what `evaluate` gives."""

from collections.abc import Sequence
from typing import NamedTuple

from condvae.judging import Evaluation
from condvae.judging.densities import simpler
from condvae.judging.results import Calibration
from condvae.text import count, plus_minus, short

MOST_PAIRS = 30
"""Pairs of targets that are listed."""


class Table(NamedTuple):
    """A table of the page.

    Attributes:
        head: what its columns are called; the first one is of words.
        rows: cells, as they are shown.
        words: other columns of words, not of numbers.
        folded: a line that stands for the table until it is unfolded; "" shows it at once.
    """

    head: list[str]
    rows: list[list[str]]
    words: Sequence[str] = ()
    folded: str = ""


def nats(evaluation: Evaluation) -> list[Table]:
    """Log-densities beside baselines and beside those of training rows."""
    return [_densities(evaluation), _sides(evaluation)]


def calibration(evaluation: Evaluation) -> list[Table]:
    """How well each target is predicted, and in which slice worst."""
    return [_targets(evaluation), _slices(evaluation)]


def _densities(evaluation: Evaluation) -> Table:
    rows = [["the model", plus_minus(evaluation.log_prob, evaluation.log_prob_stderr), ""]]
    rows.append(["its lower bound, the ELBO", plus_minus(evaluation.elbo, None), ""])
    for name, other in evaluation.baseline.items():
        gain = plus_minus(other.gain, other.gain_stderr)
        rows.append([simpler(name, len(evaluation.cells)), plus_minus(other.log_prob, None), gain])
    return Table(["nats per row", "log p", "the model's gain"], rows)


def _sides(evaluation: Evaluation) -> Table:
    sides = evaluation.sides
    alone = " (members, each alone)" if sides.how == "members" else ""
    named = {
        "train": f"training rows{alone}",
        "validation": f"held out at fitting{alone}",
        "test": "these rows",
    }
    rows = [
        [words, f"{side.rows:,}", plus_minus(side.log_prob, side.stderr)]
        for name, words in named.items()
        if (side := getattr(sides, name)) and side.log_prob is not None
    ]
    return Table(["nats per row", "rows", "log p"], rows if len(rows) > 1 else [])


def nats_words(evaluation: Evaluation) -> str:
    """Rate, distortion, and what x and z share."""
    latents = evaluation.latents
    if latents is None:
        if evaluation.in_turn:
            return "The model has no latent: each target is decoded given those before it."
        return "The model has no latent: targets are independent given the conditions."
    rate, shared = (
        plus_minus(*pair)
        for pair in ((latents.rate, latents.rate_stderr), (latents.information, latents.information_stderr))
    )
    distortion = plus_minus(latents.distortion, None)
    return (
        f"Of the best member: rate {rate} and distortion {distortion} nats per row, in standardised units; "
        f"x and z share {shared} nats under the model; {latents.active} of "
        f"{count(len(latents.activity), 'latent')} active."
    )


def latents_words(evaluation: Evaluation) -> str:
    """Prior against posterior, and whether q is the posterior."""
    if (latents := evaluation.latents) is None:
        return ""
    said = []
    prior, again = latents.prior, latents.reconstructions
    if prior is not None and again is not None:
        nats = max(0.0, prior.nats or 0.0)
        said.append(
            "A classifier tells the latents of these rows from the prior's draws in "
            f"{prior.share:.0%} of pairs ({_how_likely(prior.p_value)}): at least {nats:.2f} nats "
            f"lie between. It tells reconstructions from samples in {again.share:.0%} "
            f"({_how_likely(again.p_value)})."
        )
    likely = _how_likely(latents.posterior.p_value)
    said.append(
        "Whether q is the posterior is asked of rows that are simulated from the model: the latents that "
        f"they were made of, ranked among its draws, are uniform if it is ({likely})."
    )
    return " ".join(said)


def together_words(evaluation: Evaluation) -> str:
    """Energy and variogram score."""
    scores = {name: value for name, value in evaluation.scores.items() if value is not None}
    if not scores:
        return ""
    parts = [f"{name} score {value:.3f}" for name, value in scores.items()]
    return (
        f"Of the numeric targets together, in standard deviations: {' and '.join(parts)}; lower is better."
    )


def _targets(evaluation: Evaluation) -> Table:
    levels = list(next(iter(evaluation.coverage.values()), {}))
    head = ["target", "cells", "CRPS", *(f"in {float(level):.0%}" for level in levels), "accuracy"]
    head += ["calibration", "p", "off by"]
    rows = []
    for name, cells in evaluation.cells.items():
        covered = evaluation.coverage.get(name, {})
        fit = evaluation.calibration.get(name)
        share = evaluation.accuracy.get(name)
        rows.append(
            [
                name,
                f"{cells:,}",
                short(evaluation.crps.get(name)),
                *(f"{covered[level]:.0%}" if covered else "" for level in levels),
                "" if share is None else f"{share:.0%}",
                *(_fit(fit) if fit else ["", "", ""]),
            ]
        )
    return Table(head, rows)


def _fit(fit: Calibration) -> list[str]:
    shape = fit.shape if fit.shape in ("right", "off") else f"too {fit.shape}"
    return [shape, _p(fit.p_value), f"{fit.off_by:.0%}"]


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _how_likely(value: float) -> str:
    return f"p {_p(value)}" if _p(value).startswith("<") else f"p = {_p(value)}"


def _slices(evaluation: Evaluation) -> Table:
    rows = [
        (
            fit.p_value,
            [
                one.column,
                one.group,
                f"{one.rows:,}",
                plus_minus(one.log_prob, one.stderr),
                name,
                *_fit(fit),
            ],
        )
        for one in evaluation.slices
        for name, fit in one.targets.items()
        if one.log_prob is not None
    ]
    rows = [row for _, row in sorted(rows, key=lambda item: item[0])[:30]]
    head = ["condition", "slice", "rows", "log p", "target", "calibration", "p", "off by"]
    return Table(head, rows, ("slice", "target"), "By slice of each condition, the least calibrated first")


def samples_words(evaluation: Evaluation) -> str:
    """Whether samples can be told from rows, and whether they copy."""
    said = []
    if (shared := evaluation.dependence) is not None:
        model, chain = (plus_minus(part.nats, part.stderr) for part in (shared.model, shared.chain))
        said.append(
            f"Given the conditions, the targets share {model} nats per row under the model, and {chain} "
            "in a chain of regressions. The table shows what each pair shares, whatever the conditions."
        )
    if (apart := evaluation.samples) is not None:
        said.append(
            f"A classifier that is to tell a row from a sample given the same conditions is right in "
            f"{apart.share:.0%} of pairs (chance: 50%; {_how_likely(apart.p_value)})."
        )
    if (copied := evaluation.copies) is not None:
        said.append(
            f"Of the samples some {copied.copied:.0%} seem to be copies of training rows "
            f"({_how_likely(copied.copied_p_value)})."
        )
    return " ".join(said)


def pairs(evaluation: Evaluation) -> Table:
    """What pairs of targets have in common, in rows and in samples."""
    compared = evaluation.dependence.pairs if evaluation.dependence is not None else []
    rows = [
        [
            " and ".join(one.targets),
            f"{one.rows:,}",
            f"{one.information:.2f}",
            f"{one.information_drawn:.2f}",
            *(
                "" if value is None else f"{value:.2f}"
                for value in (one.correlation, one.correlation_drawn)
            ),
        ]
        for one in compared[:MOST_PAIRS]
    ]
    head = ["targets", "rows", "shared nats", "in samples", "rank correlation", "in samples"]
    return Table(head, rows)


def worst(evaluation: Evaluation) -> Table:
    """The rows of the lowest log p, and why."""
    rows = []
    for one in evaluation.worst:
        expected = short(one.expected)
        if one.interval:
            expected += f" ({short(one.interval[0])} to {short(one.interval[1])})"
        where = f"{one.distance:.0%}"
        if one.outside:
            where += f", outside{' in ' + one.outside_columns if one.outside_columns else ''}"
        rows.append(
            [
                f"{one.row + 1:,}",
                "−∞" if one.log_prob is None else f"{one.log_prob:.2f}",
                one.target or "their dependence",
                short(one.observed) if one.target else "",
                expected if one.target else "",
                _p(one.chance) if one.target else "",
                where,
            ]
        )
    head = ["row", "log p", "because of", "observed", "expected (90%)", "chance", "distance"]
    return Table(head, rows, ("because of",))


def judged_by(evaluation: Evaluation) -> str:
    """How many rows, in words."""
    rows, scored = count(evaluation.looked_at, "row"), evaluation.rows_scored
    return rows if evaluation.looked_at == scored else f"{rows} of {scored:,}; densities by all"
