"""A table with columns of every kind, and settings that train hardly at all."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

FAST = {"num_members": 2, "width": 8, "depth": 1, "num_steps": 40, "batch_size": 32}
BARE = {"num_members": 2, "width": 4, "depth": 1, "validation_fraction": 0}
GRADES = ["poor", "fair", "good"]
KINDS = ["pandas", "polars", "pyarrow"]


def mixed(n=200, seed=0):
    """Conditions and targets; a tenth of the cells missing; an index of names, one of them twice."""
    rng = np.random.default_rng(seed)
    dose, site = rng.normal(size=n), rng.choice(["north", "south"], n)
    X = pd.DataFrame(
        {
            "dose": dose,
            "site": site,
            "visit": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 400, n), unit="D"),
        }
    )
    y = pd.DataFrame(
        {
            "response": 100 + 5 * dose + 10 * (site == "south") + 3 * rng.normal(size=n),
            "events": rng.poisson(np.exp(1 + 0.5 * dose)),
            "colour": rng.choice(["red", "blue", "black"], n, p=[0.5, 0.3, 0.2]),
            "alive": rng.random(n) < 0.8,
            "grade": pd.Categorical(rng.choice(GRADES, n), GRADES, ordered=True),
        }
    )
    index = pd.Index(["row 1"] + [f"row {i}" for i in range(1, n)], name="id")
    X, y = X.set_index(index), y.set_index(index)
    for frame in (X, y):
        for name in ("dose", "site", "visit", "response", "colour", "grade"):
            if name in frame:
                frame.loc[rng.random(n) < 0.1, name] = None
    return X, y


def convert(frame, kind):
    """A pandas frame as one of another kind, without its index."""
    if kind == "pandas":
        return frame
    if kind == "polars":
        found = pl.from_pandas(frame.reset_index(drop=True))
        ordered = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
        return found.with_columns(pl.col(name).cast(pl.Enum(GRADES)) for name in ordered)
    return pa.Table.from_pandas(frame, preserve_index=False)


TYPES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.Table}
