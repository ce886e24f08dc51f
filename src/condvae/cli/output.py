"""What the program says, and where: results on standard output, all else on standard error."""

import json
import re
import sys
from typing import Any, NoReturn

from condvae.text import MAX_NAMES, count, cut, listed, plus_minus

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


def say_json(value: Any) -> None:
    """Print an object as JSON that every program reads: no NaN, no letters beyond ASCII."""
    print(json.dumps(value, indent=2, allow_nan=False))


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


def how(summary: dict[str, Any]) -> str:
    """How log-densities were found, from how many draws, and what that adds to the error of their mean."""
    drawn, ess = summary["draws"], summary["ess"]
    if summary["method"] == "enumeration":
        return "exact: no draws are needed"
    range_ = (
        f"{drawn['fewest']:,}"
        if drawn["fewest"] == drawn["most"]
        else "{fewest:,} to {most:,}".format(**drawn)
    )
    unit = "chains" if summary["method"].startswith("annealed") else "draws"
    noise = "" if summary["log_prob_noise"] is None else f": that adds ± {summary['log_prob_noise']:.4f}"
    return (
        f"by {summary['method']} with {range_} {unit} a row{noise}; the smallest effective number of "
        f"{unit} is {ess['smallest']:.0f}"
    )


WIDE = 0.5
"""A sandwich wider than this, in nats, is said to be."""


def between(summary: dict[str, Any]) -> list[str]:
    """What annealing from above adds: an estimate on the data, bounds on what the model simulates."""
    ends = summary["sandwich"]
    width = plus_minus(ends["width"], ends["width_stderr"], 3)
    said = [
        f"from above it is estimated (not bounded) at {summary['upper_estimate']:.2f}",
        f"on {count(ends['rows'], 'row')} simulated from the model, log p lies between {ends['lower']:.3f} "
        f"and {ends['upper']:.3f}: {width} nats, by {ends['chains']} chains of {ends['temperatures']:,} "
        "temperatures",
    ]
    if ends["width"] > WIDE:
        said.append(
            f"do not trust log p to better than {ends['width']:.1f} nats; a larger --budget narrows that"
        )
    return said


def warn_untrusted(summary: dict[str, Any]) -> None:
    """Say which rows have an estimate that cannot be trusted, and what the mean is without them."""
    untrusted = summary.get("untrusted")
    if not untrusted or not untrusted["rows"]:
        return
    which = listed((number + 1 for number in untrusted["which"]), MAX_NAMES)
    others = (
        ""
        if untrusted["log_prob_without"] is None
        else f"; without them log p is {untrusted['log_prob_without']:.4f}"
    )
    one = untrusted["rows"] == 1
    warn(
        f"the log-density of {untrusted['rows']:,} of {count(summary['rows_scored'], 'row')} cannot be "
        f"trusted ({'row' if one else 'rows'} {which}), and {'is' if one else 'are'} averaged in{others}; "
        "give a larger --budget"
    )
