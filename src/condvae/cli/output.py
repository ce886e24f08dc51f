"""What the program says, and where: results on standard output, all else on standard error."""

import json
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from condvae.text import MAX_NAMES, count, cut, listed, plus_minus

if TYPE_CHECKING:
    from condvae.judging import Evaluation
    from condvae.scoring import ScoreSummary

OPTIONS = {
    'unknown="other"': "--unknown other",
    "test_fraction=": "--test-fraction ",
    "calibration_fraction=": "--calibration-fraction ",
    "test_fraction is": "--test-fraction is",
    "calibration_fraction is": "--calibration-fraction is",
    "resume=True": "--resume",
    "num_samples is": "--num-samples is",
    "kl_warmup=": "--kl-warmup ",
    "kl_warmup is": "--kl-warmup is",
    "kl_warmup needs": "--kl-warmup needs",
    "kl_cycles=": "--kl-cycles ",
    "lower learning_rate": "lower --learning-rate",
}


def in_options(sentence: str) -> str:
    """A sentence of the library in which arguments are called what they are called here.

    Example:
        >>> in_options('(fitting with unknown="other" accepts such levels)')
        '(fitting with --unknown other accepts such levels)'
        >>> in_options("say read={'hp': 'text'} or missing=('?',)")
        "say --read 'hp=text' or --missing '?'"
    """
    for argument, option in OPTIONS.items():
        sentence = sentence.replace(argument, option)
    sentence = re.sub(r"read=\{(['\"])(.+?)\1: '([^']*)'\}", r"--read '\2=\3'", sentence)
    return cut(re.sub(r"missing=\((['\"])(.+?)\1,\)", r"--missing '\2'", sentence))


def console() -> Any:
    """Where results are printed."""
    from rich.console import Console

    # Names and categories are the user's: "mass [kg]" is no markup, ":x:" no picture.
    return Console(highlight=False, markup=False, emoji=False)


def say(sentence: str, style: str | None = None, *, wrap: bool = True) -> None:
    """Print a sentence of the results."""
    console().print(sentence, style=style, soft_wrap=not wrap)


def say_json(found: Any) -> None:
    """Print an object as JSON that every program reads: no NaN, no letters beyond ASCII."""
    print(json.dumps(found, indent=2, allow_nan=False))


def note(sentence: str) -> None:
    """Say on standard error what a user should know."""
    print(f"note: {in_options(sentence)}", file=sys.stderr)


def warn(sentence: str) -> None:
    """Say on standard error what a user must know of these results; it is said under --quiet too."""
    print(f"condvae: warning: {cut(sentence)}", file=sys.stderr)


def stopped(sentence: str, signal: int) -> NoReturn:
    """Say how to go on, and exit as a program does that a signal has stopped."""
    print(f"condvae: {in_options(sentence)}", file=sys.stderr)
    sys.exit(128 + signal)


def how(summary: "ScoreSummary") -> str:
    """How log-densities were found, from how many draws, and what that adds to the error of their mean."""
    drawn, ess = summary.draws, summary.ess
    if summary.method == "enumeration" or drawn is None or ess is None:
        return "exact: no draws are needed"
    few, many = drawn.fewest, drawn.most
    range_ = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    unit = "chains" if summary.method.startswith("annealed") else "draws"
    noise = "" if summary.log_prob_noise is None else f": that adds ± {summary.log_prob_noise:.4f}"
    return (
        f"by {summary.method} with {range_} {unit} a row{noise}; the smallest effective number of "
        f"{unit} is {ess.smallest:.0f}"
    )


WIDE = 0.5
"""A sandwich wider than this, in nats, is said to be."""


def between(evaluation: "Evaluation") -> list[str]:
    """What annealing from above adds: an estimate on the data, bounds on what the model simulates."""
    ends = evaluation.sandwich
    if ends is None:
        return []
    width = plus_minus(ends.width, ends.width_stderr, 3)
    said = [
        f"from above it is estimated (not bounded) at {evaluation.upper_estimate:.2f}",
        f"on {count(ends.rows, 'row')} simulated from the model, log p lies between {ends.lower:.3f} "
        f"and {ends.upper:.3f}: {width} nats, by {ends.chains} chains of {ends.temperatures:,} "
        "temperatures",
    ]
    if ends.width > WIDE:
        said.append(
            f"do not trust log p to better than {ends.width:.1f} nats; a larger --budget narrows that"
        )
    return said


def warn_untrusted(summary: "ScoreSummary") -> None:
    """Say which rows have an estimate that cannot be trusted, and what the mean is without them."""
    untrusted = summary.untrusted
    if untrusted is None or not untrusted.rows:
        return
    which = listed((number + 1 for number in untrusted.which), MAX_NAMES)
    mean = untrusted.log_prob_without
    others = "" if mean is None else f"; without them log p is {mean:.4f}"
    one = untrusted.rows == 1
    warn(
        f"the log-density of {untrusted.rows:,} of {count(summary.rows_scored, 'row')} cannot be trusted "
        f"({'row' if one else 'rows'} {which}), and {'is' if one else 'are'} averaged in{others}; give a "
        "larger --budget"
    )
