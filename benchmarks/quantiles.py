"""Quantiles of one target given mixed conditions, beside LightGBM's quantile regression.

    pip install lightgbm
    python benchmarks/quantiles.py --data tables [--rows 8000] [--seeds 1]
    python benchmarks/quantiles.py --table sales.csv --target price

Three questions of public tables: the price of a diamond (diamonds.csv), the value of houses in a block
(housing.csv) and the fare of a taxi ride (taxis.csv, whose pickup becomes an hour, a day and a date); or
one of a table of your own. Rows without the target and repeated rows are left out, then 20% of the rows are
held out at random.

    pinball  the mean of the pinball losses of the quantiles 0.05, 0.1, ..., 0.95, in units of the target
    covered  the share of rows between the quantiles 0.05 and 0.95
    log p    per row in nats, of condvae
    seconds  to fit and predict, compilation included

condvae is `ConditionalVAE()` as it comes. LightGBM has a model for each quantile, 300 trees at a rate of
0.05, categories as categories; quantiles that cross are sorted.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from condvae import ConditionalVAE

TABLES = {"diamonds": "price", "housing": "median_house_value", "taxis": "fare"}
LEVELS = np.arange(0.05, 0.951, 0.05)
DRAWS = 1000


def read(path: Path, target: str, rows: int | None) -> pd.DataFrame:
    table = pd.read_csv(path)
    if path.name == "taxis.csv":
        pickup = pd.to_datetime(table.pickup)
        table = table[["passengers", "distance", "color", "pickup_zone", "pickup_borough", target]].assign(
            hour=pickup.dt.hour + pickup.dt.minute / 60,
            day=pickup.dt.day_name(),
            date=(pickup - pickup.min()).dt.total_seconds() / 86400,
        )
    table = table.dropna(subset=[target]).drop_duplicates()
    if rows is not None and len(table) > rows:
        table = table.sample(rows, random_state=1)
    return table.reset_index(drop=True)


def pinball(y: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Of each row, the mean over levels."""
    off = y[:, None] - quantiles
    return np.maximum(LEVELS * off, (LEVELS - 1) * off).mean(axis=1)


def condvae(train: pd.DataFrame, test: pd.DataFrame, target: str, seed: int) -> tuple[np.ndarray, float]:
    model = ConditionalVAE(random_state=seed).fit(train.drop(columns=target), train[[target]])
    given = test.drop(columns=target)
    draws = model.sample(given, DRAWS)[target].to_numpy(float).reshape(len(test), DRAWS)
    return np.quantile(draws, LEVELS, axis=1).T, model.score(given, test[[target]])


def boosted(train: pd.DataFrame, test: pd.DataFrame, target: str, seed: int) -> tuple[np.ndarray, float]:
    from lightgbm import LGBMRegressor

    both = pd.concat([train, test]).drop(columns=target)
    both = both.assign(
        **{name: both[name].astype("category") for name in both.select_dtypes(exclude="number")}
    )
    given, asked = both.iloc[: len(train)], both.iloc[len(train) :]
    options: dict[str, Any] = {
        "n_estimators": 300,
        "learning_rate": 0.05,
        "random_state": seed,
        "verbose": -1,
    }
    models = [LGBMRegressor(objective="quantile", alpha=level, **options) for level in LEVELS]
    return np.sort([m.fit(given, train[target]).predict(asked) for m in models], axis=0).T, np.nan


def compare(table: pd.DataFrame, target: str, seed: int, name: str) -> None:
    order = np.random.default_rng(seed).permutation(len(table))
    cut = round(0.8 * len(table))
    train, test = (table.iloc[own].reset_index(drop=True) for own in (order[:cut], order[cut:]))
    y = test[target].to_numpy(float)
    losses = {}
    for method in (boosted, condvae):
        start = time.perf_counter()
        quantiles, log_prob = method(train, test, target, seed)
        losses[method] = pinball(y, quantiles)
        covered = np.mean((y >= quantiles[:, 0]) & (y <= quantiles[:, -1]))
        density = "-" if np.isnan(log_prob) else f"{log_prob:.3f}"
        print(
            f"{name:<10} {'LightGBM' if method is boosted else 'condvae':<9} {losses[method].mean():>9.5g} "
            f"{covered:>8.1%} {density:>9} {time.perf_counter() - start:>8.0f}",
            flush=True,
        )
    off = losses[condvae] - losses[boosted]
    scale = losses[boosted].mean()
    print(
        f"{'':<10} condvae's pinball loss differs by {off.mean() / scale:+.1%} "
        f"± {off.std() / np.sqrt(len(off)) / scale:.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of diamonds.csv, housing.csv and taxis.csv")
    parser.add_argument("--table", type=Path, help="a CSV file of your own instead")
    parser.add_argument("--target", help="its numeric target")
    parser.add_argument("--rows", type=int, help="a sample of so many rows of each table (default all)")
    parser.add_argument("--seeds", type=int, default=1, help="splits (default 1)")
    options = parser.parse_args()
    if (options.data is None) == (options.table is None) or (options.table and not options.target):
        parser.error("give --data, or --table with --target")
    asked = (
        {options.data / f"{name}.csv": target for name, target in TABLES.items()}
        if options.data
        else {options.table: options.target}
    )
    if absent := [path for path in asked if not path.is_file()]:
        sys.exit(
            f"{absent[0]} is missing: diamonds.csv and taxis.csv are seaborn's sample tables, housing.csv "
            "that of Hands-On Machine Learning"
        )
    warnings.simplefilter("ignore")
    print(f"{'table':<10} {'method':<9} {'pinball':>9} {'covered':>8} {'log p':>9} {'seconds':>8}")
    for path, target in asked.items():
        table = read(path, target, options.rows)
        for seed in range(options.seeds):
            compare(table, target, seed, path.stem)


if __name__ == "__main__":
    main()
