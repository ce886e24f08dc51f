"""What the universal column costs, against families that are named for each column.

    python benchmarks/columns.py [--rows 1000] [--steps 1500]
    python benchmarks/columns.py --data tables --rows 3000

Without --data: the thirty columns of `tests/tables/kinds.py`, all driven by one condition, against the
family that made each. With it: the numeric columns of five public tables (diamonds.csv, housing.csv,
mpg.csv, taxis.csv, titanic.csv) against the best of all families that can give a column's cells, chosen on
the very rows that are printed. Every other numeric column is a target given the rest of the table, and then
those are targets given these.

Models without a latent are trained on the same rows, one with universal columns and one for each family.
Printed is log p of rows that are held out (3,000, or a quarter of a table), nats a cell, and the difference
with its paired error. Cells of public tables are recorded to a step, and what is printed for them is the
log-probability of a step: of a density, the density at the cell times the step, at most 1. A continuous
family whose recorded version exists is there as that.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from condvae import fit, tables
from condvae.architectures import ease_scales, mlp_cvae
from condvae.calibration import paired_difference
from condvae.estimator.fitting import likelihoods
from condvae.tables.grids import finest_grid
from condvae.tables.overrides import named as as_named

sys.path.append(str(Path(__file__).parents[1] / "tests" / "tables"))
from kinds import kinds

HELD_OUT, MEMBERS = 3000, 4
TABLES = ("diamonds", "housing", "mpg", "taxis", "titanic")
SPECIAL = ("gaussian", "poisson", "zero_inflated_poisson", "hurdle_poisson", "continuous_bernoulli")
"""Families of which another has the shapes, with a parameter more."""
FAMILIES = tuple(name for name in tables.NUMERIC if name not in ("universal", *SPECIAL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the public tables")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--rows", type=int, default=1000, help="rows to train on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'column':24}{'family':>34}{'universal':>11}{'named':>9}{'gain':>8}{'stderr':>8}")
    if arguments.data is None:
        gains = against_the_makers(arguments)
    else:
        warnings.simplefilter("ignore")  # what is said of the tables as they are read
        gains = [gain for name in arguments.tables for gain in against_the_best(arguments, name)]
    finite = np.array(gains)[np.isfinite(gains)]
    print(f"median gain {np.median(finite):.3f}, least {finite.min():.3f}, greatest {finite.max():.3f}")


def against_the_makers(arguments: argparse.Namespace) -> list[float]:
    c, columns = kinds(arguments.rows + HELD_OUT, arguments.seed)
    given, target = (
        pd.DataFrame({"c": c}),
        pd.DataFrame({name: cells for name, (cells, _) in columns.items()}),
    )
    right = {name: sorted(families)[0] for name, (_, families) in columns.items()}
    universal, named = (
        timed(given, target, families, arguments.rows, arguments.steps, False) for families in ({}, right)
    )
    return [compared(name, right[name], universal[name], named[name]) for name in columns]


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
        possible = {column: candidates(column, target[column]) for column in half}
        universal = timed(given, target, {}, rows, arguments.steps, True)
        best: dict[str, tuple[str, np.ndarray]] = {}
        for turn in range(max(map(len, possible.values()))):
            # A column with fewer families repeats its last one.
            chosen = {column: found[min(turn, len(found) - 1)] for column, found in possible.items()}
            for column, value in timed(given, target, chosen, rows, arguments.steps, True).items():
                if column not in best or np.nanmean(value) > np.nanmean(best[column][1]):
                    best[column] = chosen[column], value
        gains += [
            compared(f"{name} {column}", family, universal[column], value)
            for column, (family, value) in best.items()
        ]
    return gains


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


def compared(name: str, family: str, one: np.ndarray, other: np.ndarray) -> float:
    seen = ~np.isnan(one)
    gain, stderr = paired_difference(one[seen], other[seen])
    means = one[seen].mean(), other[seen].mean()
    print(f"{name:24}{family:>34}{means[0]:11.3f}{means[1]:9.3f}{gain:8.3f}{stderr:8.3f}", flush=True)
    return gain


def timed(given, target, named, rows, steps, per_step) -> dict[str, np.ndarray]:
    start = time.perf_counter()
    value = log_p(given, target, named, rows, steps, per_step)
    jax.clear_caches()  # a process can hold only so many compiled programs
    which = "named" if named else "universal"
    print(f"{which}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return value


def log_p(given, target, named, rows, steps, per_step) -> dict[str, np.ndarray]:
    """log p of each target's cells that are held out; nan where a cell is missing."""
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
        num_steps=steps,
        batch_size=64,
        learning_rate=0.015,
        weight_decay=0.05,
        patience=steps,
        averaging=0.99,
        anneal=ease_scales,
        progress=False,
    )
    held = part((c, x["numeric"].value), slice(rows, None))

    @eqx.filter_jit
    def score(member, c, x):
        return jax.vmap(lambda c, x: member.p_x(jnp.zeros(0), c).blocks["numeric"].terms(x))(c, x)

    members = [np.asarray(score(member, *held), np.float64) for member in mixture]
    value = np.logaddexp.reduce(members, axis=0) - np.log(MEMBERS)
    result = {}
    for j, column in enumerate(schema.target):
        there = target[column.name][rows:].notna().to_numpy()
        block = tables.encode([column], target[rows:], unseen="missing")["numeric"]
        value[:, j] -= tables.log_scale([column], block)
        if per_step:
            value[:, j] = np.minimum(value[:, j] + np.log(step_of(column, target[column.name])), 0.0)
        value[~block.mask[:, 0], j] = -np.inf  # a cell that the likelihood cannot give
        result[column.name] = np.where(there, value[:, j], np.nan)
    return result


def step_of(column: tables.Column, cells: pd.Series) -> float:
    """The factor from a cell's density to its probability: 1 where it has a probability already."""
    if column.universal is not None and column.universal.closed:
        return 1.0
    if column.step is not None:
        return column.step
    grid = finest_grid(np.unique(cells.dropna()))
    return 1.0 if grid is None else grid[0]


if __name__ == "__main__":
    main()
