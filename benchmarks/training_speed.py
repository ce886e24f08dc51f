"""How long a training step takes: condvae, PyTorch by hand, and Pyro, side by side.

    python benchmarks/training_speed.py --peer-python peers/bin/python [--json speed.json]

The same conditional VAE in all three: prior p(z | c), likelihood p(x | z, c) and posterior q(z | x, c),
an MLP each, trained on the ELBO with one draw of z and the KL in closed form, by Adam, in float32, from
the same initial weights, on the same rows, in batches of the same size. A round is one training run,
shuffling and gathering of rows included. Each implementation is a process of its own, with the threads
that it takes by default, and they take turns, A B C A B C, so that a drift of the machine's speed
cancels in the ratios. The first round, in which condvae compiles, is shown but not counted. On a machine
that is busy with other work as well, believe the lowest times: load only ever adds.

Speed means nothing if the results differ, so ELBOs of held-out rows are compared, before training (is it
the same model?) and after (does it learn as much?). Differences are paired over rows and rounds.

In the peers' favour: PyTorch's Adam is the fused one, Pyro's validation of arguments is off, and both
take exp() of a log-scale that condvae's ready-made heads also bound smoothly.

The peers have an environment of their own:

    python -m venv peers
    peers/bin/pip install torch==2.13.0 pyro-ppl numpy
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
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from training.problems import SIZES, draw_rows, draw_weights
from training.protocol import Rows, Size, Weights

OURS = "condvae"
PEERS = ["torch", "pyro"]
NUM_DRAWS = 8  # of z, for each held-out row
BUSY = 1.5  # highest over lowest time from which on the machine was not this script's alone


class Worker:
    """One implementation in a process of its own, spoken to in lines: see `training/protocol.py`."""

    def __init__(self, name: str, python: str, folder: Path):
        self.name, self.folder = name, folder
        script = Path(__file__).parent / "training" / f"{name}_cvae.py"
        self.process = subprocess.Popen(
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def ask(self, **request) -> dict:
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            sys.exit(f"The {self.name} worker has stopped; why is above. Is {self.name} installed there?")

    def set_up(self, size: Size, rows: Rows) -> dict:
        return self.ask(setup=asdict(size), data=self._save("rows", rows))

    def reset(self, weights: Weights, seed: int) -> None:
        self.ask(reset=self._save("weights", weights), seed=seed)

    def train(self, steps: int) -> float:
        return self.ask(train=steps)["seconds"]

    def evaluate(self) -> np.ndarray:
        path = self.folder / f"{self.name}.npy"
        self.ask(evaluate=str(path), num_draws=NUM_DRAWS)
        return np.load(path)

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def _save(self, name: str, arrays: dict[str, np.ndarray]) -> str:
        path = self.folder / f"{name}.npz"
        np.savez(path, **arrays)
        return str(path)


@dataclass
class Runs:
    """What one implementation did at one size: an entry for each round."""

    seconds: list[float] = field(default_factory=list)
    untrained: list[np.ndarray] = field(default_factory=list)  # held-out ELBOs, (rows,)
    trained: list[np.ndarray] = field(default_factory=list)


def run_rounds(workers: list[Worker], size: Size, rounds: int, seed: int) -> dict[str, Runs]:
    runs = {worker.name: Runs() for worker in workers}
    for number in range(1 + rounds):
        weights = draw_weights(size, 1000 * seed + number)
        for worker in workers:
            show_progress(f"{size.name}: round {number} of {rounds}, {worker.name}")
            worker.reset(weights, 1000 * seed + number)
            runs[worker.name].untrained.append(worker.evaluate())
            runs[worker.name].seconds.append(worker.train(size.steps))
            runs[worker.name].trained.append(worker.evaluate())
    show_progress("")
    return runs


def show_progress(message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{message:<60}\r", end="", file=sys.stderr, flush=True)


def summarise(size: Size, runs: dict[str, Runs]) -> dict:
    """The numbers of one size, ready for JSON."""
    times = {name: 1e6 * np.array(run.seconds[1:]) / size.steps for name, run in runs.items()}
    summary = {"size": asdict(size), "implementations": {}}
    for name, run in runs.items():
        entry = {
            "microseconds": {
                "median": float(np.median(times[name])),
                "lowest": float(times[name].min()),
                "highest": float(times[name].max()),
            },
            "first_round_seconds": run.seconds[0],
            "elbo": float(np.mean(run.trained)),
            "elbo_untrained": float(np.mean(run.untrained)),
        }
        if name != OURS:
            entry["ratio"] = {
                "median": float(np.median(times[name] / times[OURS])),  # of runs in the same round
                "lowest": float(times[name].min() / times[OURS].min()),
            }
            entry["elbo_gap"] = gap(run.trained, runs[OURS].trained)
            entry["elbo_gap_untrained"] = gap(run.untrained, runs[OURS].untrained)
        summary["implementations"][name] = entry
    return summary


def gap(theirs: list[np.ndarray], ours: list[np.ndarray]) -> dict[str, float]:
    """The mean difference of held-out ELBOs, with its standard error.

    Rows and rounds are both samples, and crossed. The mean varies with the choice of rows, as the mean
    of each row over rounds shows, and with the randomness of training, as the mean of each round does.
    """
    gaps = np.stack(theirs) - np.stack(ours)  # (rounds, rows)
    by_row, by_round = gaps.mean(0), gaps.mean(1)
    variance = by_row.var(ddof=1) / len(by_row) + by_round.var(ddof=1) / len(by_round)
    return {"mean": float(gaps.mean()), "stderr": float(np.sqrt(variance))}


def show(summary: dict) -> None:
    size = Size(**summary["size"])
    print(
        f"\n{size.name}: x {size.x}, c {size.c}, z {size.z}, {size.depth}x{size.width} units, "
        f"{size.likelihood}, batch {size.batch}, {size.steps} steps a round"
    )
    speeds = [["µs a step", "median", "lowest", "highest", f"÷ {OURS}", "lowest", "first round"]]
    elbos = [["held-out ELBO, nats per row", "untrained", f"less {OURS}", "trained", f"less {OURS}"]]
    for name, entry in summary["implementations"].items():
        times, ratios = entry["microseconds"], entry.get("ratio", {})
        speeds.append([name, *(f"{times[key]:.0f}" for key in ("median", "lowest", "highest"))])
        speeds[-1] += [f"{ratios[key]:.2f}" if ratios else "" for key in ("median", "lowest")]
        speeds[-1] += [f"{entry['first_round_seconds']:.1f} s"]
        elbos.append([name])
        for kind in "elbo_untrained", "elbo":
            elbos[-1] += [f"{entry[kind]:.4f}", show_gap(entry.get(kind.replace("elbo", "elbo_gap")))]
    print_table(speeds)
    print_table(elbos)
    times = [entry["microseconds"] for entry in summary["implementations"].values()]
    if any(each["highest"] > BUSY * each["lowest"] for each in times):
        print("  Rounds differ by more than half: other work was running. Compare the lowest times.")


def show_gap(value: dict[str, float] | None) -> str:
    return f"{value['mean']:+.4f} ± {value['stderr']:.4f}" if value else ""


def print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        print(f"  {first:<{widths[0]}}", *map(str.rjust, cells, widths[1:]), sep="  ")


def beyond_two_errors(summaries: list[dict]) -> list[str]:
    return [
        f"{summary['size']['name']}, {name}, {kind}"
        for summary in summaries
        for name, entry in summary["implementations"].items()
        for kind, key in (("untrained", "elbo_gap_untrained"), ("trained", "elbo_gap"))
        if name != OURS and abs(entry[key]["mean"]) > 2 * entry[key]["stderr"]
    ]


def show_verdict(summaries: list[dict]) -> bool:
    """Whether all agree, said in a sentence."""
    apart = beyond_two_errors(summaries)
    if apart:
        print(f"\nELBOs further from {OURS}'s than 2 standard errors: {'; '.join(apart)}.")
        print("About 1 in 15 comparisons is so by chance: what another --seed does not repeat is noise.")
    else:
        print(f"\nAll held-out ELBOs are within 2 standard errors of {OURS}'s.")
    return not apart


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [size.name for size in SIZES]
    parser.add_argument("--peer-python", metavar="PATH", help="the Python with PyTorch and Pyro")
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=sizes)
    parser.add_argument("--rounds", type=int, default=8, help="counted rounds, at least 2")
    parser.add_argument("--seed", type=int, default=0, help="of rows, weights and training")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there as well")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("a standard error takes --rounds 2 or more")
    if not arguments.peer_python or not shutil.which(arguments.peer_python):
        sys.exit(
            "PyTorch and Pyro run in an environment of their own. Make it, and say where it is:\n\n"
            "    python -m venv peers\n"
            "    peers/bin/pip install torch==2.13.0 pyro-ppl numpy\n"
            f"    python {sys.argv[0]} --peer-python peers/bin/python"
        )
    return arguments


def main() -> None:
    arguments = parse_arguments()
    summaries = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        workers = [Worker(OURS, sys.executable, Path(folder))]
        workers += [Worker(name, arguments.peer_python, Path(folder)) for name in PEERS]
        for worker in workers:
            stack.callback(worker.stop)
        for size in SIZES:
            if size.name not in arguments.sizes:
                continue
            rows = draw_rows(size, arguments.seed)
            about = [worker.set_up(size, rows) for worker in workers]
            if not summaries:
                print(f"{platform.platform()}, {os.cpu_count()} cores")
                for library in about:
                    print(f"{library['versions']}, {library['threads']} threads")
            runs = run_rounds(workers, size, arguments.rounds, arguments.seed)
            summaries.append(summarise(size, runs))
            show(summaries[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(summaries, indent=2))
    sys.exit(not show_verdict(summaries))


if __name__ == "__main__":
    main()
