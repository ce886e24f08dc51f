"""Seconds to judge a model of a table: `condvae evaluate` and `condvae report` of 10,000 rows.

A table of 30,000 rows (6 conditions, 5 targets of mixed kinds, with holes) is fitted for 2,000 steps, with
the sizes that the estimator chooses for it; then the commands run twice, first with an empty cache of
compiled programs, then with what the first run left in it. Two cores were meant.

    python benchmarks/judging.py
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

GIVEN = "age,dose,site,sex,temp,hum"


def table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(50, 15, rows).round(),
            "dose": rng.gamma(2, 1, rows),
            "site": rng.choice(list("abcdef"), rows),
            "sex": rng.choice(["f", "m"], rows),
            "temp": rng.normal(size=rows),
            "hum": rng.uniform(0, 1, rows),
        }
    )
    z = rng.normal(size=rows)
    level = frame["site"].map(dict(zip("abcdef", [0, 0.3, -0.5, 1, 0.2, -0.2], strict=True)))
    noise = rng.normal(size=(2, rows))
    frame["bp"] = 120 + 0.3 * frame["age"] + 5 * z + 4 * noise[0] * (1 + frame["hum"])
    frame["glucose"] = np.exp(4 + 0.2 * frame["dose"] + 0.2 * z + 0.1 * noise[1])
    frame["visits"] = rng.poisson(np.exp(0.5 + level + 0.2 * z))
    frame["grade"] = np.where(rng.random(rows) < 1 / (1 + np.exp(-(frame["temp"] + z))), "hi", "lo")
    frame["score"] = np.sin(3 * frame["temp"]) + 0.3 * z + 0.2 * rng.standard_t(5, rows)
    for name in ("glucose", "dose"):
        frame.loc[rng.random(rows) < 0.05, name] = np.nan
    return frame


def seconds(folder: Path, *arguments: str) -> float:
    began = perf_counter()
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-c", "from condvae.cli import main; main()", *arguments, "-q"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return perf_counter() - began


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = table(40_000)
        rows[:30_000].to_csv(folder / "train.csv", index=False)
        rows[30_000:].to_csv(folder / "test.csv", index=False)
        fit = ("fit", "train.csv", "--given", GIVEN, "--steps", "2000", "--out", "model")
        print(f"{'fit':<10}{seconds(folder, *fit):>10.1f} s")
        print(f"{'':<10}{'first':>12}{'again':>12}")
        for command, more in (("evaluate", ()), ("report", ("--out", "report.html"))):
            if (folder / "cache").exists():
                (folder / "cache").rename(folder / f"cache-before-{command}")
            took = [seconds(folder, command, "model", "test.csv", *more) for _ in range(2)]
            print(f"{command:<10}" + "".join(f"{one:>10.1f} s" for one in took), flush=True)
        print(f"the page: {(folder / 'report.html').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
