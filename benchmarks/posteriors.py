"""Posteriors of simulators: parameters given data, from 10,000 simulations as a table.

    python benchmarks/posteriors.py --data sbibm [--tasks two_moons slcp] [--observations 3]

Tasks of the benchmark of simulation-based inference of Lueckmann et al. (2021). `ConditionalVAE()` as it
comes is fitted to a data frame of simulations, parameters as targets and data as conditions, and asked for
as many draws given an observation as there are of the reference.

    two_moons                two crescents in a box
    gaussian_linear          ten means of Gaussians under a Gaussian prior
    gaussian_linear_uniform  the same under a uniform prior
    slcp                     five parameters of a Gaussian in a box; four modes, as two signs do not show
    gaussian_mixture         the mean of a narrow and a wide Gaussian in a box

    accuracy   of the paper's classifier, which tells reference draws from ours: 50% for a right posterior
    NPE        that of neural posterior estimation with a flow, published, at as many simulations; it is the
               mean of ten observations
    outside    draws outside of the prior's box, in percent
    seconds    to fit, compilation included

The folder holds observations and reference draws as the benchmark ships them. For slcp and gaussian_mixture
observations are simulated and the reference is made here: by Metropolis chains, whose signs are then drawn,
and in closed form.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from condvae import ConditionalVAE

DRAWS = 10_000


@dataclass(frozen=True)
class Task:
    """A simulator.

    Attributes:
        prior: n parameter vectors, [n, d].
        simulate: data of each, [n, k].
        box: the ends of a uniform prior; None for another.
        published: the accuracy of neural posterior estimation at 10,000 simulations.
        reference: draws of the posterior given one observation; None where they are in the folder.
    """

    prior: Callable[[np.random.Generator, int], np.ndarray]
    simulate: Callable[[np.random.Generator, np.ndarray], np.ndarray]
    box: float | None
    published: float | None
    reference: Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray] | None = None


def uniform(end: float, size: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, n: rng.uniform(-end, end, (n, size))


def gaussian(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.sqrt(0.1) * rng.normal(size=(n, 10))


def moons(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    angle = rng.uniform(-np.pi / 2, np.pi / 2, len(theta))
    radius = rng.normal(0.1, 0.01, len(theta))
    across = np.cos(angle) * radius + 0.25 - np.abs(theta.sum(1)) / np.sqrt(2)
    return np.stack([across, np.sin(angle) * radius + (theta[:, 1] - theta[:, 0]) / np.sqrt(2)], 1)


def noisy(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return theta + np.sqrt(0.1) * rng.normal(size=theta.shape)


def four_points(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    first, second, correlation = _slcp_scales(theta)
    z = rng.normal(size=(len(theta), 4, 2))
    x = theta[:, None, 0] + first[:, None] * z[..., 0]
    across = np.sqrt(1 - correlation**2)[:, None] * z[..., 1]
    y = theta[:, None, 1] + second[:, None] * (correlation[:, None] * z[..., 0] + across)
    return np.stack([x, y], 2).reshape(len(theta), 8)


def _slcp_scales(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return theta[:, 2] ** 2 + 1e-6, theta[:, 3] ** 2 + 1e-6, np.tanh(theta[:, 4])


def slcp_posterior(rng: np.random.Generator, x: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Draws by random-walk Metropolis, one of each of many chains; both signs are equally probable."""

    def log_density(theta: np.ndarray) -> np.ndarray:
        first, second, correlation = _slcp_scales(theta)
        a = (x.reshape(4, 2)[:, 0] - theta[:, :1]) / first[:, None]
        b = (x.reshape(4, 2)[:, 1] - theta[:, 1:2]) / second[:, None]
        rest = 1 - correlation**2
        square = (a**2 + b**2 - 2 * correlation[:, None] * a * b).sum(1) / rest
        log_p = -0.5 * square - 4 * np.log(first * second * np.sqrt(rest))
        return np.where((np.abs(theta) <= 3).all(1), log_p, -np.inf)

    theta = np.repeat(truth[None], DRAWS, 0) + 0.01 * rng.normal(size=(DRAWS, 5))
    theta = np.clip(theta, -3, 3)
    value = log_density(theta)
    for _ in range(4000):
        # Differences of two other chains have the posterior's scale (ter Braak 2006).
        one, other = rng.permutation(DRAWS), rng.permutation(DRAWS)
        size = rng.choice([0.3, 0.7, 1.0], DRAWS)[:, None]
        step = size * (theta[one] - theta[other]) + 1e-3 * rng.normal(size=theta.shape)
        moved = log_density(theta + step)
        taken = np.log(rng.random(DRAWS)) < moved - value
        theta, value = np.where(taken[:, None], theta + step, theta), np.where(taken, moved, value)
    theta[:, 2:4] *= rng.choice([-1.0, 1.0], (DRAWS, 2))
    return theta


def two_widths(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return theta + rng.choice([1.0, 0.1], (len(theta), 1)) * rng.normal(size=theta.shape)


def mixture_posterior(rng: np.random.Generator, x: np.ndarray, truth: np.ndarray) -> np.ndarray:
    theta = two_widths(rng, np.repeat(x[None], 2 * DRAWS, 0))
    return theta[(np.abs(theta) <= 10).all(1)][:DRAWS]


TASKS = {
    "two_moons": Task(uniform(1, 2), moons, 1, 0.606),
    "gaussian_linear": Task(gaussian, noisy, None, 0.552),
    "gaussian_linear_uniform": Task(uniform(1, 10), noisy, 1, None),
    "slcp": Task(uniform(3, 5), four_points, 3, 0.901, slcp_posterior),
    "gaussian_mixture": Task(uniform(10, 2), two_widths, 10, 0.615, mixture_posterior),
}


def observations(task: Task, folder: Path | None, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each observation, and reference draws of its posterior."""
    for i in range(1, count + 1):
        if task.reference is None:
            assert folder is not None
            part = folder / str(i)
            observed = pd.read_csv(part / "observation.csv").to_numpy(float)[0]
            yield observed, pd.read_csv(part / "reference_posterior_samples.csv.bz2").to_numpy(float)
        else:
            rng = np.random.default_rng([7, i])
            truth = task.prior(rng, 1)
            observed = task.simulate(rng, truth)[0]
            yield observed, task.reference(rng, observed, truth[0])


def accuracy(reference: np.ndarray, drawn: np.ndarray) -> float:
    """Of the benchmark's classifier, over five folds."""
    mean, sd = reference.mean(0), reference.std(0, ddof=1)
    both = (np.concatenate([reference, drawn]) - mean) / sd
    width = 10 * reference.shape[1]
    classifier = MLPClassifier((width, width), max_iter=10_000, random_state=1)
    real = np.repeat([0, 1], [len(reference), len(drawn)])
    folds = KFold(5, shuffle=True, random_state=1)
    return float(cross_val_score(classifier, both, real, cv=folds).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the benchmark's observations")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--observations", type=int, default=3, help="at most ten (default 3)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    shipped = [name for name in options.tasks if TASKS[name].reference is None]
    if shipped and options.data is None:
        parser.error(f"--data is missing, which {shipped[0]} needs")
    warnings.simplefilter("ignore")  # an observation may lie outside of what was simulated
    print(
        f"{'task':<25}{'accuracy of each observation':<34}{'mean':>6}{'NPE':>7}{'outside':>9}{'seconds':>9}"
    )
    for name in options.tasks:
        compare(name, options)


def compare(name: str, options: argparse.Namespace) -> None:
    task, rng = TASKS[name], np.random.default_rng(options.seed)
    theta = task.prior(rng, options.simulations)
    x = task.simulate(rng, theta)
    parameters, data = (
        [f"{letter}{i}" for i in range(array.shape[1])] for letter, array in (("t", theta), ("x", x))
    )
    start = time.perf_counter()
    model = ConditionalVAE(random_state=options.seed)
    model.fit(pd.DataFrame(x, columns=data), pd.DataFrame(theta, columns=parameters))
    seconds = time.perf_counter() - start
    values, outside = [], []
    folder = None if options.data is None else options.data / name
    for observed, reference in observations(task, folder, options.observations):
        given = pd.DataFrame([observed], columns=data)
        drawn = model.sample(given, len(reference))[parameters].to_numpy(float)
        values.append(accuracy(reference, drawn))
        outside.append(0.0 if task.box is None else float((np.abs(drawn) > task.box).any(1).mean()))
    shown = " ".join(f"{value:.3f}" for value in values)
    published = "-" if task.published is None else f"{task.published:.3f}"
    out = 100 * np.mean(outside)
    print(
        f"{name:<25}{shown:<34}{np.mean(values):>6.3f}{published:>7}{out:>9.2f}{seconds:>9.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
