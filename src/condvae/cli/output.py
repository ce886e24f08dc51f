"""What the program says, and where: results on standard output, all else on standard error."""

import json
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from condvae.sentences import Argument, written
from condvae.text import MAX_NAMES, count, cut, listed, plus_minus

if TYPE_CHECKING:
    from condvae.judging import Evaluation
    from condvae.scoring import ScoreSummary

NAMES = {
    "num_members": "members",
    "num_steps": "steps",
    "likelihoods": "likelihood",
    "random_state": "seed",
    "groups": "group-column",
    "time": "time-column",
    "q": "quantiles",
    "coverage": "interval",
}
"""The options that are not called what their argument is called in Python."""


def as_option(argument: Argument) -> str:
    """An argument of the library as an option of the command line.

    Example:
        >>> as_option(Argument("test_fraction", 0.1)), as_option(Argument("resume", True))
        ('--test-fraction 0.1', '--resume')
        >>> as_option(Argument("read", {"hp": "text"})), as_option(Argument("missing", ("?",)))
        ("--read 'hp=text'", "--missing '?'")
    """
    from condvae.tables import join_names

    name, value = NAMES.get(argument.name, argument.name.replace("_", "-")), argument.value
    option = f"-{name}" if len(name) == 1 else f"--{name}"
    if value is ... or value is True:
        return option
    if isinstance(value, Mapping):
        value = _quoted(", ".join(f"{key}={item}" for key, item in value.items()))
    elif isinstance(value, tuple | list):
        value = _quoted(join_names(value))
    else:
        value = shlex.quote(f"{value:g}" if isinstance(value, float) else str(value))
    return f"{option} {value}"


def in_options(said: str | BaseException) -> str:
    """A sentence or an error in one line, in which arguments are the options of the command line.

    Example:
        >>> from condvae.sentences import Text
        >>> in_options(Text("(fitting with {it} accepts such levels)", it=Argument("unknown", "other")))
        '(fitting with --unknown other accepts such levels)'
    """
    return cut(" ".join(line.strip() for line in written(said, as_option).splitlines()))


def _quoted(text: str) -> str:
    """A text in quotation marks of the shell, even where it would need none."""
    quoted = shlex.quote(text)
    return f"'{text}'" if quoted == text else quoted


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


def note(sentence: str | BaseException) -> None:
    """Say on standard error what a user should know."""
    print(f"note: {in_options(sentence)}", file=sys.stderr)


def warn(sentence: str | Warning) -> None:
    """Say on standard error what a user must know of these results; it is said under --quiet too."""
    print(f"condvae: warning: {in_options(sentence)}", file=sys.stderr)


def stopped(error: BaseException, signal: int) -> NoReturn:
    """Say how to go on, and exit as a program does that a signal has stopped."""
    print(f"condvae: {in_options(error)}", file=sys.stderr)
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
