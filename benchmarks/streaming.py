"""Training on a table that is too long for memory, against one in memory: rows a second, and memory.

    python benchmarks/streaming.py --folder FOLDER [--rows 50000000] [--width 256] [--json FILE]

The table has 20 columns: nine numbers and a category given, nine numbers and a count as targets, in files
of five million rows (50 million rows take 5.5 GB). It is made in FOLDER, if it is not there. Both models
are trained with the same settings for the same number of steps, each in a process of its own; the one in
memory on the first million rows, as the time of a step does not depend on how many there are. The rate is
that of the steps after the first round, in which programs are compiled; memory is the most that was
resident.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE_ROWS, GROUP_ROWS = 5_000_000, 2**17
IN_MEMORY = 1_000_000
ROUND = 1024
"""Steps of a round in memory: those before it ends are not timed."""

LEVELS = pa.array(["north", "east", "south", "west"])


def make(folder: Path, rows: int, group_rows: int) -> None:
    """The table's files; each is there as a whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        path = folder / f"part-{number:04d}.parquet"
        if path.exists():
            continue
        print(f"making {path.name}", file=sys.stderr, flush=True)
        temporary, rng = folder / f".{path.name}", np.random.default_rng(number)
        writer = None
        count = min(FILE_ROWS, rows - start)
        for first in range(0, count, group_rows):
            part = table(min(group_rows, count - first), rng)
            writer = writer or pq.ParquetWriter(temporary, part.schema)
            writer.write_table(part)
        assert writer is not None
        writer.close()
        temporary.replace(path)


def table(rows: int, rng: np.random.Generator) -> pa.Table:
    given = rng.normal(size=(rows, 9)).astype(np.float32)
    kind = rng.integers(0, 4, rows).astype(np.int32)
    target = 0.5 * given + rng.normal(size=(rows, 9)).astype(np.float32)
    target[:, 0] += kind
    columns = {f"c{i}": given[:, i] for i in range(9)}
    columns |= {"region": pa.DictionaryArray.from_arrays(kind, LEVELS)}
    columns |= {f"x{i}": target[:, i] for i in range(9)} | {"count": rng.poisson(3.0, rows)}
    return pa.table(columns)


def train(arguments: argparse.Namespace) -> dict[str, float]:
    """In this process."""
    from condvae import ConditionalVAE, tables

    started = time.perf_counter()
    rows = tables.scan(arguments.folder)
    given = [f"c{i}" for i in range(9)] + ["region"]
    target = [name for name in rows.column_names if name not in given]
    X, y = rows.select(given), rows.select(target)
    if arguments.part == "memory":
        first = next_rows(rows, IN_MEMORY)
        X, y = first.select(given), first.select(target)
    sizes = {"width": arguments.width, "num_members": arguments.members, "batch_size": arguments.batch_size}
    model = ConditionalVAE(num_steps=arguments.steps, progress=arguments.progress, **sizes).fit(X, y)
    steps, seconds = model.history_["step"], model.history_["seconds"]
    timed = steps >= ROUND
    rate = arguments.batch_size * np.ptp(steps[timed]) / np.ptp(seconds[timed])
    return {
        "rows": len(X),
        "rows_a_second": float(rate),
        "resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "before_training_s": time.perf_counter() - started - float(seconds[-1]),
        "log_prob": model.validation_["log_prob"],
    }


def next_rows(rows, count: int) -> pa.Table:
    """The first rows, and no more groups than it takes."""
    parts, found = [], 0
    for number in range(len(rows.groups)):
        if found >= count:
            break
        parts.append(rows.read_group(number))
        found += len(parts[-1])
    return pa.concat_tables(parts).slice(0, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the table is, or is made")
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--group-rows", type=int, default=GROUP_ROWS, help="rows of a row group")
    parser.add_argument("--steps", type=int, default=3 * ROUND)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--progress", action="store_true", help="show progress bars")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--part", choices=["stream", "memory"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(train(arguments)))
        return
    make(arguments.folder, arguments.rows, arguments.group_rows)
    found = {}
    for part in ("memory", "stream"):
        command = [sys.executable, *sys.argv, "--part", part]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[part] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{arguments.members} members of width {arguments.width}, batches of {arguments.batch_size}, "
        f"{arguments.steps} steps"
    )
    print(f"{'':8} {'rows':>12} {'rows/s':>9} {'resident, MiB':>14} {'log p':>9}")
    for part, own in found.items():
        print(
            f"{part:8} {own['rows']:12,} {own['rows_a_second']:9,.0f} {own['resident_mib']:14,.0f} "
            f"{own['log_prob']:9.3f}"
        )
    ratio = found["stream"]["rows_a_second"] / found["memory"]["rows_a_second"]
    print(f"the stream is trained on at {ratio:.0%} of the rate in memory")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
