"""`condvae demo`: the penguins from start to end."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from condvae.cli.options import Seed
from condvae.cli.output import say
from condvae.text import count, plus_minus

EXAMPLES = ("condvae demo", "condvae demo --out penguins")

GIVEN = "species,island"
TEST_ROWS = 44
FILES = {
    "train.csv": "the penguins to learn from",
    "test.csv": "the penguins to judge by",
    "model": "the model",
    "predictions.csv": "means and 90% intervals",
    "samples.csv": "20 draws for each penguin of test.csv",
    "samples.png": "the draws, over the real penguins",
    "report.html": "a page for a browser: whether the model is right",
}


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to leave everything in.")] = Path(
        "demo"
    ),
    seed: Seed = 0,
) -> None:
    """Fit, evaluate and sample a model of 344 penguins; a minute or so.

    Each step is a command that you could type, and is printed before it runs.
    """
    _require_folder(out)
    _split(out, seed)
    model, train, test = (str(out / name) for name in ("model", "train.csv", "test.csv"))
    say(
        f"344 penguins: {TEST_ROWS} of them are kept in {test}, to judge the model by; the rest are in "
        f"{train}."
    )
    say("\n1. Learn the joint distribution of sex and four measurements, given species and island.", "bold")
    sizes = ("--members", "4", "--steps", "1000", "--seed", str(seed))
    again = ("--overwrite",) if (out / "model").exists() else ()
    _run(ctx, "fit", train, "--given", GIVEN, "--drop", "year", *sizes, "--out", model, *again)
    say(_gained(model))
    say("\n2. Judge it by penguins that it has not seen, beside regression.", "bold")
    _run(ctx, "evaluate", model, test, "--no-diagnosis")
    say(
        "A gain of 1 nat: such a penguin is e = 2.7 times as likely to this model. CRPS is the error of "
        "the whole distribution, in the column's units. A 90% interval should hold 90% of the penguins."
    )
    say("\n3. Predict: means, and intervals that hold nine in ten.", "bold")
    _run(ctx, "predict", model, test, "--interval", "0.9", "--out", str(out / "predictions.csv"))
    say("\n4. Sample whole penguins, and draw them over the real ones.", "bold")
    drawn = ("--out", str(out / "samples.csv"), "--plot", str(out / "samples.png"))
    _run(ctx, "sample", model, "--given", test, "-n", "20", "--seed", str(seed), *drawn)
    say("\n5. Is it right? Verdicts, and a page for a browser.", "bold")
    _run(
        ctx,
        "report",
        model,
        test,
        "--train",
        train,
        "--title",
        "Penguins",
        "--out",
        str(out / "report.html"),
    )
    say("\nLeft behind:", "bold")
    for name, words in FILES.items():
        say(f"  {out / name}: {words}", wrap=False)
    say(f"\nLook at {out / 'report.html'}; then try condvae fit on a table of your own.")


def _run(ctx: typer.Context, *arguments: str) -> None:
    """Run a command of this program after printing it."""
    say(f"$ condvae {shlex.join(arguments)}", "cyan", wrap=False)
    ctx.find_root().command.main(list(arguments), standalone_mode=False)


def _gained(model: str) -> str:
    """What the model is better by than regression and than itself without dependence, in one line."""
    from condvae import ConditionalVAE

    measured = ConditionalVAE.load(model).validation_
    assert measured is not None  # rows were held out
    gains = [
        (one["gain"], one["gain_stderr"], 2)
        for one in (measured["baseline"]["linear"], measured["in_turn"])
    ]
    regression, alone = (plus_minus(*gain) for gain in gains)
    return (
        f"On penguins held out, the model gains {regression} nats per row over regression, and {alone} "
        "over predicting each target by itself."
    )


def _require_folder(out: Path) -> None:
    from condvae.tables import TableError

    if out.exists() and not out.is_dir():
        raise TableError(f"{str(out)!r} is a file; name a folder with --out")
    if out.is_dir() and (others := sorted({entry.name for entry in out.iterdir()} - {*FILES, ".DS_Store"})):
        raise TableError(
            f"the folder {str(out)!r} holds {count(len(others), 'thing')} of yours ({others[0]!r}); name "
            "another with --out"
        )
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise TableError(
            f"the folder {str(out)!r} cannot be made ({error.strerror}); name another with --out"
        ) from error


def _split(out: Path, seed: int) -> None:
    import numpy as np

    import condvae
    from condvae import tables

    penguins = tables.read_table(Path(condvae.__file__).parent / "data" / "penguins.csv")
    order = np.random.default_rng(seed).permutation(len(penguins))
    for name, rows in (("test.csv", order[:TEST_ROWS]), ("train.csv", order[TEST_ROWS:])):
        tables.write_table(tables.take(penguins, np.sort(rows)), out / name)
