"""How good p(y | X) is on four small tables of the UCI repository, beside other probabilistic regressions.

    python benchmarks/uci.py --data uci --peer-python peers/bin/python [--splits 20] [--json uci.json]

boston, concrete, energy and yacht, on the twenty splits that papers share: 90% of the rows to train on,
10% to test. Each method does everything else itself, with the same settings for all four tables, which the
files in `uci_peers/` state and justify. On the rows to test on:

    NLL      the mean of -log p(y | X), nats, y in its own units
    RMSE     of the predictive mean
    CRPS     the continuous ranked probability score, from 1000 samples
    90%      the share of rows within the central 90% interval of 1000 samples
    seconds  to fit, score, predict and sample one split, compilation included: all that a user waits for
             after the imports. "first" is the first split, in which JAX compiles.

Means over splits, with standard errors; splits share training rows, so the errors are rough. `*` is the
best NLL, `~` is within one standard error of it: that of their difference, paired over splits.

The target for each table is a little below the best published number known to us: 2.35, 2.94, 0.60 and 0.20
in the order above (CARD; MC dropout; NGBoost; NGBoost).

Whatever is chosen by looking at these tables is chosen on other splits: --dev-seed draws them.

--joint adds two tables with several targets of mixed kinds, and compares log p of whole rows: decoded in
turn, with a latent, and independent given c, so that the differences are what the first two earn.

With --json every result is written as it comes. What is there already is not run again, so that a run can
be resumed; after a change, --redo names the methods to run anew. A method that is not installed, or fails,
is named and left out. NGBoost and Treeffuser have an environment of their own, as Treeffuser wants older
versions of packages that condvae needs; the others run where condvae does:

    python -m venv peers
    peers/bin/pip install ngboost treeffuser
    pip install flowjax scipy
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from condvae.calibration import central_interval, covers, crps
from uci_peers.data import FILES, STANDARD_SEED, load, splits
from uci_peers.joint_tables import TARGETS as JOINT
from uci_peers.joint_tables import load as load_joint
from uci_peers.worker import METHODS

TARGETS = {"boston": 2.30, "concrete": 2.84, "energy": 0.42, "yacht": -0.72}  # NLL
OURS, BY_LATENT, INDEPENDENT = "condvae", "condvae-latent", "condvae-independent"
DRAWS = 1000
METRICS = ["nll", "rmse", "crps", "coverage"]


class SkipError(Exception):
    """Why a method has no result."""


class Worker:
    """One method in a process of its own, spoken to in lines: see `uci_peers/worker.py`."""

    def __init__(self, method: str, python: str, folder: str):
        self.folder, self.log = Path(folder), Path(folder) / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [python, "-W", "ignore", "-m", "uci_peers.worker", method],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                cwd=Path(__file__).parent,
            )

    def ask(self, **request) -> dict:
        """The answer's arrays, and the seconds."""
        request["out"] = str(self.folder / "answers.npz")
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
        reply = self.read()
        with np.load(request["out"]) as answers:
            return {**answers, **reply}

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            last_words = self.log.read_text().strip()[-300:]
            raise SkipError(f"its process has stopped: {last_words}")
        reply = json.loads(line)
        if "skip" in reply:
            raise SkipError(reply["skip"])
        return reply

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


class Results:
    """A dict for each part, table, method, seed and split, kept in a file if there is one."""

    def __init__(self, path: Path | None, redo: list[str]):
        self.path, self.lock, self.skipped = path, threading.Lock(), {}
        old = json.loads(path.read_text()) if path and path.is_file() else []
        self.cells = {self.key(**cell): cell for cell in old if cell["method"] not in redo}

    @staticmethod
    def key(part: str, table: str, method: str, seed: int, split: int, **_) -> tuple:
        return part, table, method, seed, split

    def add(self, cell: dict) -> None:
        with self.lock:
            self.cells[self.key(**cell)] = cell
            if self.path:
                new = self.path.with_name(self.path.name + ".new")
                new.write_text(json.dumps(list(self.cells.values()), indent=1))
                new.replace(self.path)
            where = f"{cell['table']}, {cell['method']}, split {cell['split']}"
            print(f"{where}: NLL {cell['nll']:.3f}, {cell['seconds']:.1f} s", file=sys.stderr, flush=True)

    def skip(self, part: str, table: str, method: str, reason: str) -> None:
        with self.lock:
            self.skipped[part, table, method] = reason
            print(f"{table}, {method}: left out: {reason}", file=sys.stderr, flush=True)

    def of(self, arguments: argparse.Namespace, part: str, table: str) -> dict[str, list[dict]]:
        """The cells of each method that has all splits."""

        def cells(method: str) -> list[dict | None]:
            seed, numbers = arguments.seed, range(arguments.splits)
            return [self.cells.get((part, table, method, seed, number)) for number in numbers]

        found = {method: cells(method) for method in arguments.methods}
        return {method: cells for method, cells in found.items() if all(cells)}


def run(arguments: argparse.Namespace, results: Results, part: str, table: str, method: str) -> None:
    """All splits of one table by one method that are not in `results` yet."""
    cells = [
        {"part": part, "table": table, "method": method, "seed": arguments.seed, "split": split}
        for split in range(arguments.splits)
    ]
    missing = [cell for cell in cells if results.key(**cell) not in results.cells]
    if not missing:
        return
    score = score_regression if part == "regression" else score_joint
    python = arguments.peer_python if METHODS[method].needs_peers else sys.executable
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        try:
            worker = Worker(method, python, folder)
            stack.callback(worker.stop)
            versions = worker.read()["versions"]
            for cell in missing:
                measured = score(worker, table, cell["seed"], cell["split"], arguments.data)
                results.add({**cell, **measured, "versions": versions})
        except SkipError as reason:
            results.skip(part, table, method, str(reason))


def score_regression(worker: Worker, table: str, seed: int, split: int, data: Path) -> dict[str, float]:
    X, y = load(table, data)
    train, test = splits(len(y), split + 1, seed)[split]
    path = str(worker.folder / "split.npz")
    np.savez(path, X_train=X[train], y_train=y[train], X_test=X[test], y_test=y[test])
    answer = worker.ask(fit=path, seed=split, draws=DRAWS)
    low, high = central_interval(answer["samples"], 0.9)
    return {
        "nll": -float(answer["log_density"].mean()),
        "rmse": float(np.sqrt(np.mean((answer["mean"] - y[test]) ** 2))),
        "crps": float(crps(answer["samples"], y[test]).mean()),
        "coverage": float(covers(low, high, y[test]).mean()),
        "seconds": answer["seconds"],
    }


def score_joint(worker: Worker, table: str, seed: int, split: int, data: Path) -> dict[str, float]:
    rows = load_joint(table, data)[0].num_rows
    train, test = (part.tolist() for part in splits(rows, split + 1, seed)[split])
    answer = worker.ask(joint=table, data=str(data), train=train, test=test, seed=split)
    return {"nll": -float(answer["log_density"].mean()), "seconds": answer["seconds"]}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


def show_pair(values: list[float], digits: int) -> str:
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if len(values) > 1 else "")


def column(cells: list[dict], name: str) -> list[float]:
    return [cell[name] for cell in cells]


def marks(nll: dict[str, list[float]]) -> dict[str, str]:
    """`*` for the best, `~` for those within one standard error of it."""
    best = min(nll, key=lambda method: np.mean(nll[method]))
    gaps = {method: mean_and_error(np.subtract(nll[method], nll[best])) for method in nll}
    return {m: "*" if m == best else "~" if gap <= error else "" for m, (gap, error) in gaps.items()}


def show_regression(found: dict[str, list[dict]], table: str, data: Path) -> None:
    X, y = load(table, data)
    print(f"\n{table}: {len(y)} rows, {X.shape[1]} columns")
    lines = [["method", "NLL", "", "RMSE", "CRPS", "90%", "seconds", "first"]]
    marked = marks({method: column(cells, "nll") for method, cells in found.items()}) if found else {}
    for method, cells in found.items():
        nll, rmse, score, coverage = (column(cells, name) for name in METRICS)
        seconds = column(cells, "seconds")
        lines.append([method, show_pair(nll, 3), marked[method], show_pair(rmse, 3), show_pair(score, 3)])
        lines[-1] += [show_pair(coverage, 3), f"{np.mean(seconds):.1f}", f"{seconds[0]:.1f}"]
    print_table(lines)
    line = f"  Target NLL {TARGETS[table]:.2f}"
    if OURS in found:
        nll = column(found[OURS], "nll")
        above = np.mean(nll) - TARGETS[table]
        line += f": {OURS} has {show_pair(nll, 3)}, "
        line += f"{above:.3f} above, not reached" if above > 0 else f"{-above:.3f} below, reached"
    print(line + ".")


def show_summary(found: dict[str, dict[str, list[dict]]], methods: list[str]) -> None:
    """The NLL of each method on each table, with its marks."""
    print("\nNLL")
    lines = [["", *(cell for table in found for cell in (table, ""))]]
    nll = {table: {m: column(c, "nll") for m, c in cells.items()} for table, cells in found.items()}
    marked = {table: marks(values) for table, values in nll.items() if values}
    for method in methods:
        if not any(method in values for values in nll.values()):
            continue
        line = [method]
        for table, values in nll.items():
            done = method in values
            line += [show_pair(values[method], 3), marked[table][method]] if done else ["", ""]
        lines.append(line)
    print_table(lines)


def show_joint(found: dict[str, list[dict]], table: str, data: Path) -> None:
    given, target = load_joint(table, data)
    print(f"\n{table}: {target.num_rows} rows, {', '.join(target.column_names)}")
    print(f"  given {', '.join(given.column_names)}")
    lines = [["method", "log p of a row, nats", "seconds", "first"]]
    for method, cells in found.items():
        seconds = column(cells, "seconds")
        lines.append([method, show_pair([-cell["nll"] for cell in cells], 3)])
        lines[-1] += [f"{np.mean(seconds):.1f}", f"{seconds[0]:.1f}"]
    print_table(lines)
    for method, what in ((OURS, "Decoding in turn"), (BY_LATENT, "The latent")):
        if method in found and INDEPENDENT in found:
            earned = np.subtract(column(found[INDEPENDENT], "nll"), column(found[method], "nll"))
            print(f"  {what} earns {show_pair(earned, 3)} nats per row, paired over splits.")


def print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for first, *cells in rows:
        print(f"  {first:<{widths[0]}}", *map(str.rjust, cells, widths[1:]), sep="  ")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def names(known):
        def parse(text: str) -> list[str]:
            if unknown := set(text.split(",")) - set(known):
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
            return text.split(",")

        return parse

    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help=f"with {', '.join(FILES.values())}")
    add("--splits", type=int, default=20, help="how many of the twenty")
    add("--sets", type=names(FILES), default=list(FILES), metavar="A,B", help="of the tables")
    add("--methods", type=names(METHODS), default=list(METHODS), metavar="A,B", help=", ".join(METHODS))
    add("--dev-seed", type=int, metavar="SEED", help="of splits other than the standard ones")
    add("--json", type=Path, metavar="FILE", help="write results there, and read them back")
    add("--redo", type=names(METHODS), default=[], metavar="A,B", help="methods whose results to forget")
    add("--jobs", type=int, default=1, help="processes at once; with several, each takes longer")
    add("--peer-python", metavar="PATH", help="the Python with NGBoost and Treeffuser")
    add("--joint", action="store_true", help="the tables with several targets as well")
    arguments = parser.parse_args()
    if arguments.splits < 1 or arguments.jobs < 1:
        parser.error("--splits and --jobs count from 1")
    if arguments.dev_seed == STANDARD_SEED:
        parser.error(f"--dev-seed {STANDARD_SEED} would be the standard splits")
    arguments.seed = STANDARD_SEED if arguments.dev_seed is None else arguments.dev_seed
    arguments.data = arguments.data.resolve()
    python = shutil.which(arguments.peer_python or sys.executable)
    if python is None:
        parser.error(f"--peer-python {arguments.peer_python} is no program")
    arguments.peer_python = str(Path(python).absolute())
    return arguments


def main() -> None:
    arguments = parse_arguments()
    for table in dict.fromkeys([*arguments.sets, *(["energy"] if arguments.joint else [])]):
        load(table, arguments.data)  # what is missing is said before hours of work
    results = Results(arguments.json, arguments.redo)
    tasks = [("regression", table, method) for table in arguments.sets for method in arguments.methods]
    if arguments.joint:
        ours = [method for method in (OURS, BY_LATENT, INDEPENDENT) if method in arguments.methods]
        tasks += [("joint", table, method) for table in JOINT for method in ours]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for job in [pool.submit(run, arguments, results, *task) for task in tasks]:
            job.result()
    show(arguments, results)


def show(arguments: argparse.Namespace, results: Results) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, {arguments.jobs} at a time")
    if arguments.dev_seed is None:
        print(f"The standard splits (seed {STANDARD_SEED}), the first {arguments.splits} of 20.")
    else:
        print(
            f"Development: splits of seed {arguments.seed}, the first {arguments.splits}, and not "
            f"the standard ones (seed {STANDARD_SEED}): not to be set beside published numbers."
        )
    for table in arguments.sets:
        show_regression(results.of(arguments, "regression", table), table, arguments.data)
    if len(arguments.sets) > 1 and len(arguments.methods) > 1:
        found = {table: results.of(arguments, "regression", table) for table in arguments.sets}
        show_summary(found, arguments.methods)
    if arguments.joint:
        print("\nSeveral targets of mixed kinds")
        for table in JOINT:
            show_joint(results.of(arguments, "joint", table), table, arguments.data)
    shown = [cell for cell in results.cells.values() if cell["method"] in arguments.methods]
    versions = {cell["method"]: cell["versions"] for cell in shown}
    print()
    for method, version in versions.items():
        print(f"{method}: {version}")
    for reason, where in group(results.skipped).items():
        print(f"Left out: {'; '.join(where)}: {reason}")


def group(skipped: dict[tuple[str, str, str], str]) -> dict[str, list[str]]:
    reasons = {}
    for (part, table, method), reason in skipped.items():
        joint = " (joint)" if part == "joint" else ""
        reasons.setdefault(reason, []).append(f"{method} on {table}{joint}")
    return reasons


if __name__ == "__main__":
    main()
