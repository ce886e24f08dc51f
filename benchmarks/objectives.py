"""Every objective on the same data for the same time: log p, what inference costs, and what z is used for.

    python benchmarks/objectives.py                                  # scikit-learn's digits, 60 s each
    python benchmarks/objectives.py --mnist mnist.npz --seconds 600
    python benchmarks/objectives.py --only iwae vimco --seconds 20

*Digits*: the lower half of 8 x 8 pixels given the upper half, z of 8, 64-64 units, 297 digits held out.
*MNIST*: all but the bottom left quadrant given that quadrant, z of 50, 200-200 units. Pixels are binarised
anew in every step; held-out ones are drawn once.

All begin with the same weights, and have the same rates, batches of 128 and rows by which the best
parameters are chosen, each by its own objective. How many steps fill the time is found by short runs, the
first of which compiles; in the run that counts the rate comes down until the time is over. One that turns
out to be off by more than 5%, as where other work is running, is done again with as many steps as then seem
right. A run's *time* is that of its steps and of its looks at the rows it chooses by.

All are judged by the same held-out rows, with the same noise: log p(x | c) by importance sampling, less
that of `elbo` row by row; the ELBO, whatever was trained on; and log p less the ELBO, the inference gap,
which on the first rows is split into the part of q's family (approximation) and that of the encoder
(amortisation). Active units are those of z whose posterior mean moves with x; I(x; z | c) is what x tells
of z under the model, without q. Errors are standard errors over rows. What chance in training does
to a model they do not say; a second run of `elbo` does, that differs in nothing but its batches and noise.

The file holds images as `x_train` and `x_test`, as it comes with Keras (`mnist.npz`).
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

from condvae import CVAE, fit, log_prob
from condvae.architectures import mlp_cvae
from condvae.calibration import mean_stderr, paired_difference
from condvae.diagnosis import gaps, latent_use
from condvae.diagnosis.gaps import Gaps
from condvae.diagnosis.latent import LatentUse
from condvae.objectives import objective
from condvae.scoring import LogProb, bound
from condvae.text import listed, plus_minus
from condvae.training import History
from condvae.training.batches import round_steps
from inference_gaps import binarised
from training_speed import print_table, show_progress

BATCH, VALIDATION = 128, 0.05
HELD_DIGITS = 297
MANY = 16
"""Draws of z for each row, of objectives that live by having several."""

CLOSE, GROWTH, TRIES = 0.05, 10, 5
"""How near a run's time has to be to what it should be, as a part of it; how much longer a run may be than
the one that it is sized by; and how many runs there are at most."""


class Task(NamedTuple):
    """Rows (x, c), and the size of a model of them; the pixels of `train` are probabilities of ink."""

    name: str
    train: tuple[Any, Any]
    held: tuple[Any, Any]
    latents: int
    width: int

    def model(self) -> CVAE:
        """Before any training; the same one every time."""
        shapes = [part[:1] for part in self.train]
        size = {"latent_size": self.latents, "width": self.width, "depth": 2}
        return mlp_cvae(*shapes, **size, likelihood="bernoulli", key=jax.random.key(1))


class Way(NamedTuple):
    """How to train."""

    objective: str  # as `condvae.objectives.objective` has it
    num_samples: int = 1
    warm_up: float = 0.0  # the part of each cycle in which the weight of the KL term rises to 1
    cycles: int = 1
    seed: int = 0  # of batches and noise


WAYS = {
    "elbo": Way("elbo"),
    "elbo, again": Way("elbo", seed=1),
    "elbo(beta=0.5)": Way("elbo(beta=0.5)"),
    "elbo(free_bits=2)": Way("elbo(free_bits=2)"),
    "elbo, warm-up": Way("elbo", warm_up=0.25),
    "elbo, 4 cycles": Way("elbo", warm_up=0.5, cycles=4),
    **{name: Way(name) for name in ("sticking_the_landing", "gaussian_stochastic_network", "hybrid")},
    "info_vae": Way("info_vae"),
    **{name: Way(name, MANY) for name in ("iwae", "renyi", "doubly_reparameterised")},
    "generalised_doubly_reparameterised": Way("generalised_doubly_reparameterised", MANY),
    **{name: Way(name, MANY) for name in ("vimco", "wake_wake", "defensive_wake_wake", "wake_sleep")},
}


def digits() -> Task:
    found: Any = load_digits()
    order = np.random.default_rng(0).permutation(len(found.images))
    images = (found.images[order].reshape(-1, 64) / 16).astype(np.float32)
    given = np.arange(64) < 32
    return split("digits", images[HELD_DIGITS:], images[:HELD_DIGITS], given, latents=8, width=64)


def mnist(path: Path, rows: int) -> Task:
    with np.load(path) as found:
        train, held = (
            found[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test")
        )
    given = np.zeros((28, 28), bool)
    given[14:, :14] = True
    return split("MNIST", train, held[:rows], given.ravel(), latents=50, width=200)


def split(name: str, train: np.ndarray, held: np.ndarray, given: np.ndarray, **size: int) -> Task:
    drawn = binarised(jax.random.key(2), (jnp.asarray(held[:, ~given]), jnp.asarray(held[:, given])))
    return Task(name, (train[:, ~given], train[:, given]), drawn, **size)


def train(task: Task, way: Way, num_steps: int) -> tuple[CVAE, History]:
    rising: dict[str, Any] = {}
    if way.warm_up:
        steps = max(1, int(way.warm_up * num_steps / way.cycles))
        rising = {"kl_warmup": steps, "kl_cycles": way.cycles}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they are the history's notes, and printed below
        return fit(
            task.model(),
            *task.train,
            key=jax.random.key(way.seed),
            objective=objective(way.objective),
            num_samples=way.num_samples,
            num_steps=num_steps,
            batch_size=BATCH,
            learning_rate=1e-3,
            averaging=0.999,
            validation=VALIDATION,
            batch_transform=binarised,
            progress=False,
            **rising,
        )


def train_for(task: Task, way: Way, seconds: float) -> tuple[CVAE, History, int, float]:
    """The model, what happened, and the steps and seconds that it took: a round at least."""
    at_least = round_steps(round((1 - VALIDATION) * len(task.train[0])), BATCH, sys.maxsize)
    train(task, way, at_least)  # compiles
    steps, tries = at_least, 0
    while True:
        before = time.perf_counter()
        model, history = train(task, way, steps)
        took, tries = time.perf_counter() - before, tries + 1
        wanted = max(at_least, round(steps * min(seconds / took, GROWTH)))
        if abs(took / seconds - 1) <= CLOSE or tries == TRIES or wanted == steps:
            return model, history, steps, took
        steps = wanted


class Run(NamedTuple):
    """What one way of training came to."""

    num_samples: int
    steps: int
    seconds: float
    kept: float  # after which part of the steps the parameters were best
    learned: bool  # whether q was trained at all
    notes: list[str]  # of `fit`
    score: LogProb
    elbo: np.ndarray
    gaps: Gaps | None
    use: LatentUse

    @property
    def gap(self) -> tuple[float, float]:
        return paired_difference(self.score.value, self.elbo)


def measure(task: Task, way: Way, seconds: float, num_samples: int, gap_rows: int) -> Run:
    model, history, steps, took = train_for(task, way, seconds)
    learned = not eqx.tree_equal(model.posterior, task.model().posterior)
    first = task.held[0][:gap_rows], task.held[1][:gap_rows]
    draws: dict[str, Any] = {"key": jax.random.key(3), "num_samples": num_samples}
    return Run(
        way.num_samples,
        steps,
        took,
        int(np.max(history.best_step)) / steps,
        learned,
        history.notes,
        log_prob(model, *task.held, **draws, budget=4 * num_samples),
        bound(model, *task.held, **draws),
        gaps(model, *first, **draws, budget=4 * num_samples) if gap_rows and learned else None,
        latent_use(model, *task.held, key=jax.random.key(4)),
    )


COLUMNS = ["", "K", "steps", "ms a step", "seconds", "kept at", "log p", "less elbo's", "untrusted"]
COLUMNS += ["I(x; z | c)", "ELBO", "gap", "approximation", "amortisation", "active"]


def line(name: str, run: Run, first: Run) -> list[str]:
    """Of the table: what `COLUMNS` says."""
    less = paired_difference(run.score.value, first.score.value)
    split = (run.gaps.approximation, run.gaps.amortisation) if run.gaps is not None else ()
    parts = [plus_minus(*part, digits=3) for part in split] or ["", ""]
    elbo, active = plus_minus(*mean_stderr(run.elbo)), f"{run.use.active} of {len(run.use.activity)}"
    of_q = [elbo, plus_minus(*run.gap, digits=3), *parts, active]
    return [
        name,
        f"{run.num_samples}",
        f"{run.steps:,}",
        f"{1e3 * run.seconds / run.steps:.2f}",
        f"{run.seconds:.1f}",
        f"{run.kept:.0%}",
        plus_minus(*mean_stderr(run.score.value)),
        "" if run is first else plus_minus(*less, digits=3),
        f"{(~run.score.trusted).sum():,}",
        plus_minus(*run.use.mutual_information),
        *(of_q if run.learned else ["q is not trained", "", "", "", ""]),
    ]


def of_training(runs: dict[str, Run], seconds: float) -> None:
    """What `fit` had to say, and whether all had the same time."""
    for name, run in runs.items():
        for note in run.notes:
            print(f"  {name}: {note}")
    times = [run.seconds for run in runs.values()]
    print(f"\nTraining took {min(times):.1f} to {max(times):.1f} s, and {seconds:g} s were meant.")
    name_if(runs, lambda run: abs(run.seconds / seconds - 1) > CLOSE, f"Off by more than {CLOSE:.0%}")
    name_if(runs, lambda run: run.kept < 0.5, "Best in the first half of the time")
    taken = sorted((run.steps, name) for name, run in runs.items())
    (fewest, slow), (most, fast) = taken[0], taken[-1]
    print(f"{fast} took {most / fewest:.1f} times the steps of {slow}.")


def of_log_prob(runs: dict[str, Run]) -> None:
    """Which models are better or worse than that of `elbo`, and not by chance."""
    own = runs["elbo"].score.value
    less = {n: paired_difference(run.score.value, own) for n, run in runs.items() if n != "elbo"}
    chance = 0.0
    if "elbo, again" in less:
        gap, stderr = less.pop("elbo, again")
        chance = abs(gap)
        print(f"Two runs of elbo are {chance:.3f} ± {stderr:.3f} nats per row apart: less is chance.")
    told = sorted((gap, name) for name, (gap, error) in less.items() if abs(gap) > max(chance, 2 * error))
    sides = {
        "above elbo's": [f"{name} ({gap:+.3f})" for gap, name in reversed(told) if gap > 0],
        "below elbo's": [f"{name} ({gap:+.3f})" for gap, name in told if gap < 0],
        "not to be told from elbo's": [name for name in less if name not in {name for _, name in told}],
    }
    for side, names in sides.items():
        print(f"log p is {side}: {listed(names, len(WAYS)) or 'none'}.")
    name_if(runs, lambda run: not run.score.trusted.all(), "Some rows' log p is not to be trusted")


def of_latents(runs: dict[str, Run]) -> None:
    """Whose q is nearest, and whose z is used most, among those that train q."""
    trained = {name: run for name, run in runs.items() if run.learned}
    measures: dict[str, Callable[[Run], float]] = {
        "inference gap": lambda run: run.gap[0],
        "number of active units": lambda run: run.use.active,
        "information of x and z": lambda run: run.use.mutual_information[0],
    }
    for what, of in measures.items():
        ranked = sorted((of(run), name) for name, run in trained.items())
        least, most = (f"{value:.3g} ({name})" for value, name in (ranked[0], ranked[-1]))
        print(f"The {what} is from {least} to {most}.")
    unfinished = "Some rows were still being refined, and the encoder may cost more"
    name_if(trained, lambda run: run.gaps is not None and not run.gaps.converged.all(), unfinished)


def name_if(runs: dict[str, Run], true: Callable[[Run], Any], sentence: str) -> None:
    """A sentence and the runs that it is true of, where there are any."""
    if names := [name for name, run in runs.items() if true(run)]:
        print(f"{sentence}: {listed(names, len(WAYS))}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="mnist.npz, instead of the digits")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, for each: 60 by default")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), help="beside elbo")
    parser.add_argument("--num-samples", type=int, default=1000, help="draws for each held-out row")
    parser.add_argument("--gap-rows", type=int, default=100, help="of which the gap is split; 0 for none")
    parser.add_argument("--test-rows", type=int, default=500, help="of MNIST")
    arguments = parser.parse_args()
    if arguments.mnist is not None and not arguments.mnist.exists():
        sys.exit(f"{arguments.mnist} is not there: it wants mnist.npz, which keras.datasets.mnist fetches")
    task = digits() if arguments.mnist is None else mnist(arguments.mnist, arguments.test_rows)
    rows = f"{len(task.train[0]):,} rows to train on, {len(task.held[0]):,} held out"
    print(f"{task.name}: {rows}; {arguments.seconds:g} s each; nats per row\n", flush=True)
    options = arguments.seconds, arguments.num_samples, arguments.gap_rows
    runs: dict[str, Run] = {}
    for name in dict.fromkeys(["elbo", *arguments.only]):
        show_progress(f"{task.name}: {name}, after {len(runs)} others")
        runs[name] = measure(task, WAYS[name], *options)
    show_progress("")
    print_table([COLUMNS, *(line(name, run, runs["elbo"]) for name, run in runs.items())])
    of_training(runs, arguments.seconds)
    of_log_prob(runs)
    of_latents(runs)


if __name__ == "__main__":
    main()
