"""`condvae fit`: a table to a model in a folder."""

import shlex
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from condvae.cli import cluster, describe
from condvae.cli import roles as column_roles
from condvae.cli.inputs import read_data
from condvae.cli.options import Json, MaxMemory, Quiet, Seed
from condvae.cli.output import note, say, say_json, stopped, warn
from condvae.interruptions import advise
from condvae.text import count, listed, quote

EXAMPLES = (
    "condvae fit penguins.csv --given species,island,sex --drop year --out model",
    "condvae fit trial.parquet --given 'dose,base_*' --target 'week_*' --group-column site --out model",
    "cat sales.csv | condvae fit - --given day,shop --time-column day --unknown error --out model",
    "condvae fit policies.csv --given 'age,region' --likelihood claims=poisson --out model",
    "condvae fit cars.csv --given year --missing '?' --read 'zip=text, day=date(%d/%m/%Y)' --out model",
    "condvae fit penguins.csv --given species --objective iwae --num-samples 16 --out model",
    "condvae fit big.parquet --given 'c_*' --checkpoint run --resume --out model",
    "condvae fit table.csv --out model    (no --given: a plain VAE of all columns)",
)

COLUMNS, ROWS, SIZES, KEPT = "Columns", "Rows held out", "Sizes", "Interruptions"
TRAINING = "Training"
PROCESSES = "Several processes"
VALIDATION_FRACTION = 0.1
DEPTH, WEIGHT_DECAY = 2, 0.05
FEW_TESTED = 30
"""Rows on which a comparison says little."""


class Unknown(StrEnum):
    """What a level not seen at fitting is, in a condition."""

    other = "other"
    error = "error"


class Joint(StrEnum):
    """How the dependence between targets is modelled."""

    auto = "auto"
    in_turn = "in_turn"
    latent = "latent"


def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A CSV or Parquet file, or a folder of Parquet files; - for CSV on standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="The folder to save the model in. A model that is there is kept as FOLDER.1 (or the next "
            "number that is free).",
            show_default=False,
        ),
    ],
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the model in FOLDER instead of keeping it as FOLDER.1."),
    ] = False,
    given: Annotated[
        str,
        typer.Option(
            metavar="COLUMNS",
            help="Columns to condition on: names or patterns such as 'base_*', separated by commas. "
            "Default: none.",
            rich_help_panel=COLUMNS,
        ),
    ] = "",
    target: Annotated[
        str,
        typer.Option(
            metavar="COLUMNS",
            help="Columns to model (same syntax). Default: all columns that are not given.",
            rich_help_panel=COLUMNS,
        ),
    ] = "",
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns to ignore (same syntax); '' for the column without a name.",
            show_default=False,
            rich_help_panel=COLUMNS,
        ),
    ] = None,
    read: Annotated[
        str,
        typer.Option(
            metavar="COLUMN=KIND,...",
            help="How to read columns, where you do not want their cells to decide: number, "
            "number(decimal=comma), text, 'date(%d.%m.%Y)', time, duration.",
            rich_help_panel=COLUMNS,
        ),
    ] = "",
    missing: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="Words that mark a missing cell, besides NA, n/a and the like: '?,-,-999'.",
            rich_help_panel=COLUMNS,
        ),
    ] = "",
    unknown: Annotated[
        Unknown,
        typer.Option(
            help="How to treat a level of a condition that is not in DATA: as 'other', which is learned "
            "from rare levels, or as an error.",
            rich_help_panel=COLUMNS,
        ),
    ] = Unknown.other,
    likelihood: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=NAME",
            help="Likelihood of a target, such as claims=negative_binomial or "
            "'dose=censored_gaussian(low=0)'; may be repeated. Default: chosen from its cells.",
            show_default=False,
            rich_help_panel=COLUMNS,
        ),
    ] = None,
    test_fraction: Annotated[
        float,
        typer.Option(
            metavar="NUMBER",
            help="Fraction of rows held out as a test set, to measure what was learned; 0 to train on all.",
            rich_help_panel=ROWS,
        ),
    ] = 0.1,
    calibration_fraction: Annotated[
        float,
        typer.Option(
            metavar="NUMBER",
            help="Fraction of rows held out to calibrate prediction intervals.",
            rich_help_panel=ROWS,
        ),
    ] = 0.0,
    group_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Hold out whole groups: rows that agree in this column.",
            rich_help_panel=ROWS,
        ),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Hold out the latest rows, ordered by this column.", rich_help_panel=ROWS
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Models in the ensemble. Default: by the number of rows.",
            show_default=False,
            rich_help_panel=SIZES,
        ),
    ] = None,
    joint: Annotated[
        Joint,
        typer.Option(
            help="How the model represents the dependence between targets. in_turn: each target is decoded "
            "given those before it. latent: a latent carries all of it. auto: in_turn for up to 32 "
            "targets, unless you set an option of the latent.",
            rich_help_panel=SIZES,
        ),
    ] = Joint.auto,
    latent_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Dimensions of the latent. Default: none for targets in turn, else by their number.",
            show_default=False,
            rich_help_panel=SIZES,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Training steps at most. Default: by the number of rows.",
            show_default=False,
            rich_help_panel=SIZES,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Units of each hidden layer. Default: by the number of rows.",
            show_default=False,
            rich_help_panel=SIZES,
        ),
    ] = None,
    depth: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Hidden layers of each network.", rich_help_panel=SIZES),
    ] = DEPTH,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Rows in each training step. Default: by the number of rows.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0.0,
            help="Learning rate of Adam. Default: by the number of rows.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    weight_decay: Annotated[
        float,
        typer.Option(metavar="NUMBER", min=0.0, help="Weight decay of Adam.", rich_help_panel=TRAINING),
    ] = WEIGHT_DECAY,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Training objective: elbo, iwae, 'renyi(alpha=0.5)', doubly_reparameterised, hybrid, ... "
            "(docs/objectives.md). Default: iwae with --joint latent, else elbo.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    objective_samples: Annotated[
        int | None,
        typer.Option(
            "--num-samples",
            metavar="K",
            min=1,
            help="Draws of the latent for each row in each step. Default: 16 with --joint latent, else 1.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    kl_warmup: Annotated[
        int,
        typer.Option(
            metavar="STEPS",
            min=0,
            help="Steps over which the weight of the KL term rises from 0 to 1.",
            rich_help_panel=TRAINING,
        ),
    ] = 0,
    kl_cycles: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Number of evenly spaced warm-up cycles.", rich_help_panel=TRAINING
        ),
    ] = 1,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for checkpoints: saved every minute, and when a signal stops training.",
            show_default=False,
            rich_help_panel=KEPT,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue from the checkpoint, if there is one.", rich_help_panel=KEPT
        ),
    ] = False,
    num_processes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Processes that train this model together. Default: those that SLURM or Open MPI started.",
            show_default=False,
            rich_help_panel=PROCESSES,
        ),
    ] = None,
    process_id: Annotated[
        int | None,
        typer.Option(
            metavar="I",
            min=0,
            help="Index of this process, from 0. Process 0 writes the model.",
            show_default=False,
            rich_help_panel=PROCESSES,
        ),
    ] = None,
    coordinator: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Address of process 0, which the other processes can reach.",
            show_default=False,
            rich_help_panel=PROCESSES,
        ),
    ] = None,
    seed: Seed = 0,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn p(target | given) from the rows of DATA.

    Columns may be numbers, text, true or false; dates among those given. Cells may be missing. Densities,
    means and samples are in the table's own units.
    """
    mesh = cluster.join(num_processes, process_id, coordinator)
    from condvae import ConditionalVAE
    from condvae.storage import require_writable
    from condvae.tables import Scan, TableError
    from condvae.training import Interrupted, require_usable

    if str(out) == "-":
        raise TableError("--out - is no place for a model, which is a folder", remedy="name one")
    fractions = {"--test-fraction": test_fraction, "--calibration-fraction": calibration_fraction}
    for option, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise TableError(
                "{option} is {fraction:g}",
                remedy="give a fraction of at least 0 and below 1",
                option=option,
                fraction=fraction,
            )
    first = cluster.is_first()
    quiet = quiet or not first
    if first:
        require_writable(out)
    if checkpoint is None and resume:
        raise TableError("--resume needs --checkpoint, the folder to resume from", remedy="name it")
    if checkpoint is not None:
        if first:
            require_usable(checkpoint, resume=resume)
        advise(f"go on with --checkpoint {shlex.quote(str(checkpoint))} --resume")
    asked = column_roles.readings(read) or {}
    file = read_data(data, text=[name for name, kind in asked.items() if kind == "text"])
    table = file.table
    asked = column_roles.readings(read, table.column_names) or {}
    roles = column_roles.choose(
        table.column_names,
        given=given,
        target=target,
        drop=drop,
        group=group_column,
        time=time_column,
        index=file.index,
    )
    used = {*roles.given, *roles.target}
    if isinstance(table, Scan) and (group_column is not None or time_column is not None):
        option = "--group-column" if group_column is not None else "--time-column"
        raise TableError(
            "{option} is for tables in memory, and this one has {rows:,} rows",
            remedy="leave it out, or give fewer rows",
            option=option,
            rows=len(table),
        )
    groups = column_roles.groups_of(table, roles.group)
    time = column_roles.times_of(table, roles.time, asked)
    _require_enough(len(table), groups, roles.group, fractions)
    model = ConditionalVAE(
        joint=str(joint),
        latent_size=latent_size,
        num_members=members,
        num_steps=steps,
        width=width,
        depth=depth,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        objective=objective,
        num_samples=objective_samples,
        kl_warmup=kl_warmup,
        kl_cycles=kl_cycles,
        test_fraction=test_fraction,
        calibration_fraction=calibration_fraction,
        validation_fraction=VALIDATION_FRACTION,
        unknown=str(unknown),
        read={name: kind for name, kind in asked.items() if name in used} or None,
        missing=column_roles.words(missing),
        likelihoods=column_roles.likelihoods(likelihood or [], roles.target),
        random_state=seed,
        progress=not quiet,
    )
    conditions = table.select(roles.given) if roles.given else None
    try:
        model.fit(
            conditions,
            table.select(roles.target),
            groups=groups,
            time=time,
            checkpoint=checkpoint,
            resume=resume,
            mesh=mesh,
        )
    except Interrupted as error:
        stopped(error, error.signal)
    if not first:
        return
    model.notes_ = [*file.notes, *_notes(roles, file.index, model), *model.notes_]
    with warnings.catch_warnings(record=True) as kept:
        warnings.simplefilter("always")
        model.save(out, overwrite=overwrite)
    if not quiet:
        for sentence in (*model.notes_, *model.history_.notes, *(one.message for one in kept)):
            note(sentence)
    if model.validation_ is not None and describe.worse_than_linear(model.validation_["baseline"]):
        warn(
            "plain regression predicts held-out rows better than this model: trust that, or give more rows"
        )
    if as_json:
        say_json(describe.as_object(model, out))
    elif not quiet:
        describe.show(model)
        say(f"saved in {out}")
        say(describe.verdict(model))


def _notes(roles: column_roles.Roles, index: str | None, model: Any) -> list[str]:
    notes = []
    if index is not None and index not in (*roles.given, *roles.target, *roles.dropped):
        notes.append(f"column {quote(index)} numbers the rows and has no name of its own: it was left out")
    if roles.unused:
        verb = "is" if len(roles.unused) == 1 else "are"
        notes.append(f"{listed(roles.unused)} {verb} neither given nor a target, and not used")
    measured = model.validation_
    if measured is not None and measured["how"] == "test" and measured["rows"] < FEW_TESTED:
        notes.append(f"what was learned is measured on {count(measured['rows'], 'row')}, which says little")
    return notes


def _require_enough(rows: int, groups: Any, column: str | None, fractions: dict[str, float]) -> None:
    """Check that something is left to train on after rows, or groups, are set aside."""
    import numpy as np

    from condvae.tables import TableError

    what, number = "row", rows
    if groups is not None:
        what, number = f"group of column {quote(column)}", len(np.unique(groups))
    left = number
    for option, fraction in (*fractions.items(), ("", VALIDATION_FRACTION)):
        aside = max(1, round(left * fraction)) if fraction else 0
        if left and aside >= left:
            few = f"DATA has {count(number, what)}" if what == "row" else f"there is {number} {what}"
            few = few.replace("there is", "there are").replace("group", "groups") if number != 1 else few
            remedy = f"; lower {option}, or give more" if option else "; give more"
            raise TableError(
                "{few}, too few to hold some out and learn from the rest{proposal}",
                few=few,
                proposal=remedy,
            )
        left -= aside
