"""The joint distribution of several targets given mixed conditions, beside chains of regressions.

    pip install lightgbm ngboost flowjax 'sdv>=2' torch
    python benchmarks/joint.py --data tables [--tables taxis mpg] [--splits 5] [--ways "in turn" latent]

Five questions of public tables: the fare, tip, tolls and payment of a taxi ride (taxis.csv); whether a
passenger survived, age, fare and deck (titanic.csv); four measurements of cars (mpg.csv), of diamonds
(diamonds.csv) and of blocks of houses (housing.csv). Repeated rows are left out, then 20% of the rows held
out at random. `ConditionalVAE()` as it comes, with

    in turn      each target given those before it: the default
    and z        likewise, with a latent of four dimensions before them
    one member   likewise, one network for an ensemble of eight
    latent       joint="latent": targets are independent given z and the conditions
    by the ELBO  likewise, trained by the ELBO and not by 16 importance-weighted draws
    independent  latent_size=0: targets are independent given the conditions

and, with the scale, the grid and the piled-up values of each column that condvae finds,

    chain        each target regressed on the conditions and the targets before it
    trees        likewise, by gradient-boosted trees
    copula       boosted trees of each target given the conditions, joined by a Gaussian copula
    regressions  each target regressed on the conditions alone
    neighbours   the nearest training rows
    NGBoost      a boosted Gaussian with a covariance, where all targets are numbers without holes
    a flow       of flowjax: autoregressive, of affine and spline layers, likewise

and, where sdv is installed,

    TVAE         its autoencoder of whole rows, conditions included; it has no log p

    log p    of whole rows held out, in nats: what the first way is better by, with its paired error
    told     the share of pairs, of a row and a draw given its conditions, that a boosted classifier tells
             apart, out of fold: 50% for samples that are right
    seconds  to fit and score, compilation included

Rows of a value that no training row has, which NGBoost and a flow do not take, are left out for these two.
Of several splits the mean is printed. A row that several hold out counts as one for the errors.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from condvae import ConditionalVAE, tables
from condvae.calibration import paired_difference
from condvae.judging.peers import peers, trees
from condvae.judging.rows import Rows

QUESTIONS = {
    "taxis": (
        "hour weekday passengers distance color pickup_zone pickup_borough",
        "fare tip tolls payment",
    ),
    "titanic": ("pclass sex sibsp parch embarked", "survived age fare deck"),
    "mpg": ("origin model_year cylinders", "mpg horsepower weight acceleration"),
    "diamonds": ("cut color clarity", "price carat depth table"),
    "housing": (
        "longitude latitude housing_median_age ocean_proximity",
        "median_house_value median_income total_rooms population",
    ),
}
SIMPLER = {
    "chain": "linear",
    "trees": "trees",
    "copula": "copula",
    "regressions": "independent",
    "neighbours": "neighbours",
    "NGBoost": "NGBoost",
    "a flow": "a flow",
}
WAYS: dict[str, dict[str, Any]] = {
    "in turn": {},
    "and z": {"joint": "in_turn", "latent_size": 4},
    "one member": {"num_members": 1},
    "latent": {"joint": "latent"},
    "by the ELBO": {"joint": "latent", "objective": "elbo"},
    "independent": {"latent_size": 0},
}


class Result(NamedTuple):
    """What one way says of the rows held out; without draws, the share told is nan."""

    rows: np.ndarray
    log_p: np.ndarray
    told: float = float("nan")
    seconds: float = float("nan")


def read(folder: Path, name: str, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Conditions and targets."""
    table = pd.read_csv(folder / f"{name}.csv").drop_duplicates()
    if name == "taxis":
        pickup = pd.to_datetime(table.pickup)
        table = table.assign(hour=pickup.dt.hour + pickup.dt.minute / 60, weekday=pickup.dt.day_name())
    table = table.sample(min(rows, len(table)), random_state=1).reset_index(drop=True)
    given, target = (table[names.split()] for names in QUESTIONS[name])
    return given, target


def told(rows: pd.DataFrame, drawn: pd.DataFrame) -> float:
    """The share of pairs that a classifier tells apart; the two of a pair are in one fold."""
    import lightgbm

    both = pd.concat([rows, drawn]).reset_index(drop=True)
    words = both.select_dtypes(exclude="number").columns
    both[words] = both[words].apply(lambda column: column.astype("category").cat.codes)
    n, real = len(rows), np.repeat([1, 0], len(rows))
    fold, p = np.tile(np.random.default_rng(0).integers(0, 5, n), 2), np.zeros(2 * n)
    for k in range(5):
        model = lightgbm.LGBMClassifier(n_estimators=200, num_leaves=15, learning_rate=0.05, verbose=-1)
        model.fit(both[fold != k], real[fold != k])
        p[fold == k] = model.predict_proba(both[fold == k])[:, 1]
    return float((p[:n] > p[n:]).mean() + 0.5 * (p[:n] == p[n:]).mean())


def simpler(
    model: ConditionalVAE,
    train: tuple[pd.DataFrame, pd.DataFrame],
    test: tuple[pd.DataFrame, pd.DataFrame],
    packages: bool = True,
) -> dict[str, np.ndarray]:
    """log p of the rows held out, of what a model is held to, of boosted trees and of other packages."""
    schema, table = model.schema_, model.table_
    training, rows = (
        Rows(
            table,
            tables.encode(schema.target, target, unseen="missing"),
            tables.encode(schema.given, given, unseen="missing"),
            np.arange(len(given)),
        )
        for given, target in (train, test)
    )
    # A cell that no support foresaw counts alike for all.
    never = tables.impossible(schema.target, test[1])
    alike = tables.log_unforeseen(schema.target, never, len(test[1]), model.num_rows_)
    scores = table.baselines(rows.x, rows.c) | dict(trees(rows, training))
    scores |= dict(peers(rows, training)) if packages else {}
    return {name: value + alike for name, value in scores.items()}


def results(given: pd.DataFrame, target: pd.DataFrame, split: int, ways: list[str]) -> dict[str, Result]:
    """Of each way, and of what is simpler, on one split."""
    order = np.random.default_rng(split).permutation(len(given))
    train, test = np.split(order, [round(0.8 * len(order))])
    known, asked = (given.iloc[own].reset_index(drop=True) for own in (train, test))
    learned, rows = (target.iloc[own].reset_index(drop=True) for own in (train, test))
    found: dict[str, Result] = {}
    for way in ways:
        start = time.perf_counter()
        model = ConditionalVAE(random_state=split, **WAYS[way]).fit(known, learned)
        value = model.log_prob(asked, rows).value
        seconds = time.perf_counter() - start
        drawn = model.sample(asked, 1)[list(target)].reset_index(drop=True)
        whole = (pd.concat([asked, part], axis=1) for part in (rows, drawn.mask(rows.isna())))
        found[way] = Result(test, value, told(*whole), seconds)  # draws have no holes
        if way == ways[-1]:
            others = simpler(model, (known, learned), (asked, rows))
        jax.clear_caches()  # a process can hold only so many compiled programs
    found |= {way: Result(test, others[key]) for way, key in SIMPLER.items() if key in others}
    start = time.perf_counter()
    if (drawn := tvae(pd.concat([known, learned], axis=1), len(test), split)) is not None:
        share = told(pd.concat([asked, rows], axis=1), drawn)
        found["TVAE"] = Result(test, np.full(len(test), np.nan), share, time.perf_counter() - start)
    return found


def tvae(table: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame | None:
    """So many rows of SDV's TVAE, fitted to a table; None where it is not installed."""
    try:
        import torch
        from sdv.metadata import Metadata
        from sdv.single_table import TVAESynthesizer
    except ImportError:
        return None
    torch.manual_seed(seed)
    synthesizer = TVAESynthesizer(Metadata.detect_from_dataframes({"table": table}), enable_gpu=False)
    synthesizer.fit({"table": table})
    return synthesizer.sample(rows)["table"]


def show(name: str, splits: list[dict[str, Result]]) -> None:
    """A line for each way, of the mean over splits."""
    first, *_ = splits[0]
    together = {way: np.concatenate([split[way].log_p for split in splits]) for way in splits[0]}
    rows = np.concatenate([split[first].rows for split in splits])
    for way, value in together.items():
        scored = ~np.isnan(value)
        line = f"{name:<10}{way:<13}" + (f"{value[scored].mean():>9.2f}" if scored.any() else " " * 9)
        share = np.mean([split[way].told for split in splits])
        seconds = np.mean([split[way].seconds for split in splits])
        line += " " * 17 if np.isnan(share) else f"{share:>8.1%}{seconds:>9.0f}"
        if way != first and scored.any():
            pair = together[first][scored], value[scored]
            gain, stderr = paired_difference(*pair, groups=rows[scored])
            line += f"{gain:+8.2f} ± {stderr:.2f}"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the tables")
    parser.add_argument("--tables", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rows", type=int, default=8000, help="of each table at most (default 8000)")
    parser.add_argument("--splits", type=int, default=1, help="(default 1)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # what is said of the tables as they are read
    print(f"{'':<23}{'log p':>9}{'told':>8}{'seconds':>9}   {options.ways[0]} ahead by")
    for name in options.tables:
        given, target = read(options.data, name, options.rows)
        show(name, [results(given, target, split, options.ways) for split in range(options.splits)])


if __name__ == "__main__":
    main()
