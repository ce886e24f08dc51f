"""What a process holds that fits many tables: memory, memory maps and compiled programs.

    python benchmarks/many_fits.py [--fits 100] [--json FILE]

Each table has other rows, and another number of them, so that its quantiles and grids are constants of new
programs; `condvae.vectorise.compiled` keeps those of the last few tables. Linux allows a process some
65,000 memory maps; past that, nothing is compiled any more.
"""

import argparse
import json
import os
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from condvae import ConditionalVAE

SMALL = {"num_members": 2, "width": 8, "depth": 1, "num_steps": 60, "batch_size": 32}


def table(rows: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    given = pd.DataFrame({"a": rng.normal(size=rows), "kind": np.resize(["u", "v", "w"], rows)})
    return given, pd.DataFrame({"x": given["a"] + rng.normal(size=rows), "y": rng.normal(size=rows)})


def resident() -> float:
    """MiB of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def maps() -> int:
    """How many memory maps this process has."""
    return Path("/proc/self/maps").read_text().count("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    programs = [0]

    def listen(event: str, _: float, **__: object) -> None:
        programs[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    print(f"{'fits':>5}{'MiB':>8}{'maps':>8}{'compiled':>10}")
    records = []
    for fits in range(1, options.fits + 1):
        given, target = table(600 + fits, fits)
        model = ConditionalVAE(**SMALL, random_state=0).fit(given, target)
        model.log_prob(given, target)
        model.sample(given)
        if fits == 1 or fits % 5 == 0:
            records.append((fits, round(resident()), maps(), programs[0]))
            print("{:>5}{:>8,}{:>8,}{:>10,}".format(*records[-1]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(records))


if __name__ == "__main__":
    main()
