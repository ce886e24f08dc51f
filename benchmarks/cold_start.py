"""How long `condvae fit` takes on the penguins: importing, compiling, training, measuring, saving.

    python benchmarks/cold_start.py [--rounds 3] [--json FILE]

"cold" has an empty cache of compiled programs, "warm" what the run before it has left there, and "off" is
`condvae --no-cache`. Each run is a process of its own, and they take turns. Beside them the least that a
process can take: importing the library.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PENGUINS = Path(__file__).parents[1] / "src" / "condvae" / "data" / "penguins.csv"
FIT = ["fit", str(PENGUINS), "--given", "species,island,sex", "--drop", "year", "--quiet", "--out"]


def seconds(command: list[str], cache: Path) -> float:
    """Of a command whose user has this cache folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(cache)}
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def one_round(folder: Path) -> dict[str, float]:
    """A run of each kind."""
    program = [sys.executable, "-c", "from condvae.cli import main; main()"]
    model, cache = str(folder / "model"), folder / "cache"
    found = {"import": seconds([sys.executable, "-c", "from condvae import ConditionalVAE"], cache)}
    found["cold"] = seconds([*program, *FIT, model], cache)
    found["warm"] = seconds([*program, *FIT, model], cache)
    found["off"] = seconds([*program, "--no-cache", *FIT, model], cache)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the seconds")
    arguments = parser.parse_args()
    rounds = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(one_round(Path(folder)))
    print(f"condvae fit, 344 penguins, {os.cpu_count()} cores, {arguments.rounds} rounds")
    print(f"{'seconds':8} {'median':>7} {'lowest':>7} {'highest':>7}")
    for name in rounds[0]:
        times = [found[name] for found in rounds]
        print(f"{name:8} {statistics.median(times):7.1f} {min(times):7.1f} {max(times):7.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rounds, indent=2))


if __name__ == "__main__":
    main()
