"""What the universal column costs, against families that are named for each column.

    python benchmarks/columns.py [--rows 1000] [--steps 1500] [--scales 1 1e-6 1e6]
    python benchmarks/columns.py --data tables --rows 3000

Without --data: the sixty columns of `tests/tables/kinds.py`, all driven by one condition, against the
families that made them or come nearest. With it: the numeric columns of five public tables (diamonds.csv,
housing.csv, mpg.csv, taxis.csv, titanic.csv) against all families that can give a column's cells. Every
other numeric column is a target given the rest of the table, and then those are targets given these. Of
several families the best is printed, chosen on the very rows that are printed.

Models without a latent are trained on the same rows, one with universal columns and one for each family,
and compared on rows that are held out (3,000, or a quarter of a table):

    log p      nats per cell, of both and the difference with its paired error. Cells that are recorded to a
               step have the log-probability of a step: of a density, the density at the cell times the
               step, at most 1. A continuous family whose recorded version exists is there as that.
    CRPS       of 100 draws a row, in percent of that of the named family, with its paired error
    mean       of all draws, off the true mean, in percent of the mean absolute value: both models', and two
               standard errors of a mean of as many cells as were trained on. The true mean is of 200 cells
               for each of the same conditions, or of the cells held out
    outside    draws that the column cannot hold, in percent: both models'. Of public tables it is not known

With several --scales the universal column is trained anew on cells that are multiplied by each, and what it
then says, in the first unit, is compared.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from condvae import fit, tables
from condvae.architectures import ease_scales, mlp_cvae
from condvae.calibration import crps, paired_difference
from condvae.table_models.fitting import likelihoods
from condvae.tables.grids import finest_grid
from condvae.tables.overrides import named as as_named

sys.path.append(str(Path(__file__).parents[1] / "tests" / "tables"))
from kinds import KINDS, cells, kinds

HELD_OUT, MEMBERS, DRAWS = 3000, 4, 100
TABLES = ("diamonds", "housing", "mpg", "taxis", "titanic")
SPECIAL = ("gaussian", "poisson", "zero_inflated_poisson", "hurdle_poisson", "continuous_bernoulli")
"""Families of which another has the shapes, with a parameter more."""
FAMILIES = tuple(name for name in tables.NUMERIC if name not in ("universal", *SPECIAL))


@dataclass(frozen=True)
class Answer:
    """What one model says of a column on held-out rows.

    Attributes:
        log_p: of each cell, [n]; nan where it is missing.
        standardised: the same, of densities in the units of a standardised column.
        draws: [n, DRAWS], in the column's units.
    """

    log_p: np.ndarray
    standardised: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True)
class Question:
    """A table to train on and to be asked about.

    Attributes:
        given: the conditions of all rows.
        target: the columns.
        rows: how many are trained on; the rest is held out.
        steps: of training.
    """

    given: pd.DataFrame
    target: pd.DataFrame
    rows: int
    steps: int

    def held_out(self, column: str) -> np.ndarray:
        return self.target[column][self.rows :].to_numpy(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the public tables")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--rows", type=int, default=1000, help="rows to train on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], help="units of the sixty columns")
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'':53}{'log p, nats per cell':^36}{'CRPS':^14}{'mean off, %':^20}{'outside, %':^14}")
    print(
        f"{'column':24}{'family':>29}{'universal':>11}{'named':>9}{'gain':>8}{'stderr':>8}"
        f"{'%':>7}{'stderr':>7}{'univ.':>7}{'named':>7}{'noise':>6}{'univ.':>7}{'named':>7}"
    )
    if arguments.data is None:
        gains = against_the_makers(arguments)
    else:
        warnings.simplefilter("ignore")  # what is said of the tables as they are read
        gains = [gain for name in arguments.tables for gain in against_the_best(arguments, name)]
    finite = np.array(gains)[np.isfinite(gains)]
    print(f"median gain {np.median(finite):.3f}, least {finite.min():.3f}, greatest {finite.max():.3f}")


def against_the_makers(arguments: argparse.Namespace) -> list[float]:
    c, columns = kinds(arguments.rows + HELD_OUT, arguments.seed)
    given = pd.DataFrame({"c": c})
    question = Question(given, pd.DataFrame(columns), arguments.rows, arguments.steps)
    by_scale = {scale: rescaled(question, scale) for scale in arguments.scales}
    universal = by_scale[arguments.scales[0]]
    best = best_named(question, {name: list(kind.families) for name, kind in KINDS.items()})
    again = np.repeat(c[arguments.rows :], 200)
    gains = [
        compared(question, name, universal[name], *best[name], cells(name, again, 0), KINDS[name].holds)
        for name in columns
    ]
    for scale, answers in by_scale.items():
        moved = {
            name: np.nanmean(answers[name].standardised - universal[name].standardised) for name in columns
        }
        most = max(moved, key=lambda name: abs(moved[name]))
        outside = sum(share_outside(answers[name].draws, KINDS[name].holds) > 0 for name in columns)
        print(
            f"cells times {scale:g}: log p moves by at most {moved[most]:.4f} nats ({most}), by more than "
            f"0.001 in {sum(abs(move) > 1e-3 for move in moved.values())} columns; outside in {outside}"
        )
    return gains


def rescaled(question: Question, scale: float) -> dict[str, Answer]:
    """Answers of universal columns that were trained on cells times `scale`; draws in the first units."""
    answers = timed(replace(question, target=question.target * scale), {})
    return {name: replace(answer, draws=answer.draws / scale) for name, answer in answers.items()}


def against_the_best(arguments: argparse.Namespace, name: str) -> list[float]:
    """Of each numeric column of a public table, given half of the other columns."""
    table = pd.read_csv(arguments.data / f"{name}.csv")
    table = table.sample(min(len(table), arguments.rows + HELD_OUT), random_state=arguments.seed)
    rows = min(arguments.rows, 3 * len(table) // 4)
    numbers = [column for column in table.select_dtypes("number") if table[column].nunique() > 1]
    gains = []
    for half in (numbers[::2], numbers[1::2]):
        given, target = table.drop(columns=half).reset_index(drop=True), table[half].reset_index(drop=True)
        given = given[[column for column in given if given[column].nunique() < 0.5 * len(given)]]
        question = Question(given, target, rows, arguments.steps)
        universal = timed(question, {})
        best = best_named(question, {column: candidates(column, target[column]) for column in half})
        gains += [
            compared(question, column, universal[column], *best[column], question.held_out(column), None)
            for column in half
        ]
    return gains


def best_named(question: Question, families: dict[str, list[str]]) -> dict[str, tuple[str, Answer]]:
    """The family with the greatest log p of the rows held out, of each column, and what it says."""
    best: dict[str, tuple[str, Answer]] = {}
    for turn in range(max(map(len, families.values()))):
        chosen = {column: names[turn] for column, names in families.items() if turn < len(names)}
        asked_of = replace(question, target=question.target[list(chosen)])
        for column, answer in timed(asked_of, chosen).items():
            if column not in best or np.nanmean(answer.log_p) > np.nanmean(best[column][1].log_p):
                best[column] = chosen[column], answer
    return best


def candidates(column: str, cells: pd.Series) -> list[str]:
    """Families that can give the cells."""
    values = cells.dropna().to_numpy(float)
    possible = []
    for family in FAMILIES:
        try:
            as_named(family, values, column)
        except tables.TableError:
            continue
        possible.append(family)
    if "rounded_student_t" in possible:
        possible = [family for family in possible if family not in ("student_t", "rounded_gaussian")]
    return possible


def compared(
    question: Question,
    column: str,
    one: Answer,
    family: str,
    other: Answer,
    truth: np.ndarray,
    holds: Callable[[np.ndarray], np.ndarray] | None,
) -> float:
    """Print how `one` and `other` compare, and return the gain in log p.

    Args:
        truth: cells of the conditions held out, for their mean.
        holds: whether the column can hold a value; None where it is not known.
    """
    seen = ~np.isnan(one.log_p)
    gain, stderr = paired_difference(one.log_p[seen], other.log_p[seen])
    cells = question.held_out(column)
    scores = [crps(answer.draws[seen], cells[seen]) for answer in (one, other)]
    worse = 100 * np.array(paired_difference(*scores)) / scores[1].mean()
    truth = truth[~np.isnan(truth)]
    size = 100 / np.abs(truth).mean()
    off = [size * (answer.draws[seen].mean() - truth.mean()) for answer in (one, other)]
    noise = size * 2 * truth.std() / np.sqrt(question.target[column][: question.rows].notna().sum())
    outside = ["-", "-"]
    if holds is not None:
        outside = [f"{100 * share_outside(answer.draws, holds):.2f}" for answer in (one, other)]
    print(
        f"{column:24}{family:>29}{one.log_p[seen].mean():11.3f}{other.log_p[seen].mean():9.3f}{gain:8.3f}"
        f"{stderr:8.3f}{worse[0]:7.2f}{worse[1]:7.2f}{off[0]:7.2f}{off[1]:7.2f}{noise:6.1f}"
        f"{outside[0]:>7}{outside[1]:>7}",
        flush=True,
    )
    return gain


def share_outside(draws: np.ndarray, holds: Callable[[np.ndarray], np.ndarray]) -> float:
    return float(1 - holds(draws).mean())


def timed(question: Question, named: dict[str, str]) -> dict[str, Answer]:
    start = time.perf_counter()
    answers = asked(question, named)
    jax.clear_caches()  # a process can hold only so many compiled programs
    which = "named" if named else "universal"
    print(f"{which}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return answers


def asked(question: Question, named: dict[str, str]) -> dict[str, Answer]:
    """What a model of the columns says of the rows held out; universal where no family is named."""
    given, target, rows = question.given, question.target, question.rows
    schema = tables.Schema.infer_pair(given[:rows], target[:rows])
    schema = schema.with_likelihoods(target[:rows], named, given=given[:rows])
    x = tables.encode(schema.target, target, unseen="missing")
    c = tables.encode(schema.given, given, unseen="missing")
    c_levels = tables.levels(schema.given)
    cells, _ = likelihoods(schema)

    def build(key):
        return mlp_cvae(x, c, latent_size=0, likelihood=cells, c_levels=c_levels, key=key)

    def part(tree, rows):
        return jax.tree.map(lambda leaf: leaf[rows], tree)

    rng = np.random.default_rng(0)
    masks = np.stack([rng.permutation(rows) < rows // 10 for _ in range(MEMBERS)])
    mixture, _ = fit(
        build,
        x=part(x, slice(rows)),
        c=part(c, slice(rows)),
        validation=masks,
        key=jax.random.key(0),
        num_members=MEMBERS,
        num_steps=question.steps,
        batch_size=64,
        learning_rate=0.015,
        weight_decay=0.05,
        patience=question.steps,
        averaging=0.99,
        anneal=ease_scales,
        progress=False,
    )
    held = part((c, x["numeric"].value), slice(rows, None))

    @eqx.filter_jit
    def score(member, c, x):
        return jax.vmap(lambda c, x: member.p_x(jnp.zeros(0), c).blocks["numeric"].terms(x))(c, x)

    @eqx.filter_jit
    def draw(member, c, keys):
        def of_row(c, key):
            column_model = member.p_x(jnp.zeros(0), c).blocks["numeric"]
            return jax.vmap(column_model.sample)(jax.random.split(key, DRAWS // MEMBERS))

        return jax.vmap(of_row)(c, keys)

    members = [np.asarray(score(member, *held), np.float64) for member in mixture]
    value = np.logaddexp.reduce(members, axis=0) - np.log(MEMBERS)
    keys = jax.random.split(jax.random.key(1), (MEMBERS, len(target) - rows))
    draws = np.concatenate(
        [draw(member, held[0], own) for member, own in zip(mixture, keys, strict=True)], axis=1
    )
    drawn = tables.decode(schema.target, {"numeric": draws.reshape(-1, draws.shape[-1])})
    answers = {}
    for j, column in enumerate(schema.target):
        cells = target[column.name]
        there = cells[rows:].notna().to_numpy()
        block = tables.encode([column], target[rows:], unseen="missing")["numeric"]
        possible = block.mask[:, 0]  # a cell that the likelihood cannot give has a probability of 0
        standardised = np.where(there, np.where(possible, value[:, j], -np.inf), np.nan)
        log_p = standardised - tables.log_scale([column], block)
        if (step := step_of(column, cells)) is not None:
            log_p = np.minimum(log_p + np.log(step), 0.0)
        answers[column.name] = Answer(
            log_p, standardised, drawn[column.name].to_numpy(float).reshape(len(there), -1)
        )
    return answers


def step_of(column: tables.Column, cells: pd.Series) -> float | None:
    """The factor from a cell's density to its probability: 1 where that is given, None without steps."""
    if column.universal is not None and column.universal.closed:
        return 1.0
    if column.step is not None:
        return column.step
    grid = finest_grid(np.unique(cells.dropna()))
    return None if grid is None else grid[0]


if __name__ == "__main__":
    main()
