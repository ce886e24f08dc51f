"""The program: its commands in the order in which they are used, and how it ends."""

import os
import sys
from typing import Annotated, Any

import typer

from condvae.cli import (
    cluster,
    demo,
    evaluate,
    fit,
    impute,
    inspect,
    predict,
    programs,
    report,
    sample,
    score,
)
from condvae.cli.output import in_options
from condvae.sentences import remedy_of

app = typer.Typer(
    name="condvae",
    help="Learn the whole distribution of some columns given others, and know how far to trust it.",
    epilog="Examples:\ncondvae demo\ncondvae fit table.csv --given a,b --out model",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

COMMANDS = (
    ("fit", fit.fit, fit.EXAMPLES),
    ("predict", predict.predict, predict.EXAMPLES),
    ("sample", sample.sample, sample.EXAMPLES),
    ("score", score.score, score.EXAMPLES),
    ("evaluate", evaluate.evaluate, evaluate.EXAMPLES),
    ("report", report.report, report.EXAMPLES),
    ("impute", impute.impute, impute.EXAMPLES),
    ("inspect", inspect.inspect, inspect.EXAMPLES),
    ("demo", demo.demo, demo.EXAMPLES),
)


def _help(function: Any) -> str:
    """The docstring, without the line ends inside of its paragraphs."""
    return "\n\n".join(" ".join(text.split()) for text in str(function.__doc__).split("\n\n"))


for name, function, examples in COMMANDS:
    app.command(name, help=_help(function), epilog="\n".join(("Examples:", *examples)))(function)


def _version(wanted: bool) -> None:
    if wanted:
        from condvae.version import VERSION

        print(f"condvae {VERSION}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache",
            envvar="CONDVAE_NO_CACHE",
            help="Compile anew what is otherwise kept from one run to the next, in your cache folder.",
        ),
    ] = False,
) -> None:
    if not no_cache:
        programs.keep_programs()


# What typer raises for the command line itself: an option that is missing, or no number.
USAGE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> None:
    """Run the command line; what a user got wrong is one sentence and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to stop
    status = None
    try:
        with programs.mended():
            status = app(prog_name="condvae", standalone_mode=False)
            sys.stdout.flush()
    except USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed
            cluster.leave(2)
        context = getattr(error, "ctx", None)
        command = "condvae" if context is None else context.command_path
        message = " ".join(error.format_message().split()).rstrip(".")
        _refuse(f"{message[:1].lower()}{message[1:]}; see {command} --help")
    except BrokenPipeError:
        # What reads this, `head` say, has had enough. Nothing more is written, at the exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        cluster.leave(0)
    except SystemExit as error:
        if error.code != 1:  # typer and rich leave with 1 where the pipe that they print to is closed
            raise
        cluster.leave(0)
    except ConnectionError as error:
        # `Disconnected`: of several processes that fit a model together, one has gone.
        again = "with --checkpoint and --resume they go on from the last checkpoint"
        print(f"condvae: {error}: start all of them again; {again}", file=sys.stderr)
        cluster.leave(1)
    except OSError as error:
        where = f"{error.filename!r}: " if error.filename else ""
        _refuse(f"{where}{error.strerror or error}; {remedy_of(error)}")
    except MemoryError:
        _refuse("there is not enough memory for this; give fewer rows at a time, or fewer draws")
    except ValueError as error:
        _refuse(error)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    if status == 130:
        print("condvae: interrupted", file=sys.stderr)
    cluster.leave(status if isinstance(status, int) else 0)


def _refuse(said: str | Exception) -> None:
    print(f"condvae: {in_options(said)}", file=sys.stderr)
    cluster.leave(2)
