"""How far log p(x | c) can be trusted: on linear-Gaussian models, of which it is known exactly.

    python benchmarks/log_prob.py coverage      # importance sampling: do its intervals cover what they say?
    python benchmarks/log_prob.py annealing     # both ends of the sandwich, from q and from the prior
    python benchmarks/log_prob.py cost          # seconds and memory for a table

`coverage`: models of 2, 10, 20 and 50 latent dimensions (as many targets, 2 conditions), q the exact
posterior with its scale multiplied by 0.7 to 1.3; 2,000 rows each, simulated from the model; 1,000 draws a
row to start with. `annealing`: z ~ Normal(0, I) of 2, 10 and 50 dimensions, x = W z + noise in 5 more
dimensions, W of independent Normal(0, 1 / dimensions), noise 1.0 and 0.1; q the best diagonal Gaussian; 200
rows, 16 chains.
"""

import argparse
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np

from condvae import log_prob, sample
from condvae.architectures import mlp_cvae
from condvae.conditionals import AffineGaussian
from condvae.linear_gaussian import (
    exact_log_prob,
    exact_posterior,
    linear_gaussian,
    mean_field_oracle,
    random_linear_gaussian,
)
from condvae.mixture import Mixture
from condvae.scoring import sandwich

KEY = jax.random.key(0)


def coverage() -> None:
    """A line for each latent size and scale of q."""
    print(f"{'dimensions':>10}{'scale of q':>12}{'covered':>10}{'flagged':>10}", end="")
    print(f"{'draws':>9}{'k':>8}{'stderr':>9}")
    for size in (2, 10, 20, 50):
        exact = random_linear_gaussian(jax.random.key(size), x_size=size, z_size=size, c_size=2)
        c = jax.random.normal(jax.random.key(1), (2000, 2))
        x = jnp.asarray(sample(exact, c, key=jax.random.key(2))[:, 0])
        truth = np.asarray(exact_log_prob(exact, x, c))
        for factor in (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
            own = exact_posterior(exact)
            q = AffineGaussian(own.weights, own.bias, factor**2 * own.covariance)
            model = linear_gaussian(exact.prior, exact.likelihood, q)  # pyright: ignore[reportArgumentType]
            score = log_prob(model, x, c, key=jax.random.key(3))
            low, high = score.interval(0.9)
            print(
                f"{size:>10}{factor:>12}{((low < truth) & (truth < high)).mean():>10.1%}"
                f"{(~score.trusted).mean():>10.1%}{score.num_samples.mean():>9.0f}"
                f"{np.median(score.pareto_k):>8.2f}{np.median(score.stderr):>9.3f}",
                flush=True,
            )


def annealing(num_temperatures: int, rows: int) -> None:
    """A line for each latent size, noise and start."""
    print(f"{num_temperatures:,} temperatures, {rows} rows: the mean error of either end, in nats")
    print(f"{'dimensions':>10}{'noise':>7}{'start':>11}{'lower':>18}{'upper':>18}{'seconds':>9}")
    for size in (2, 10, 50):
        for noise in (1.0, 0.1):
            model, exact = mean_field_oracle(size, noise, size + 5)
            for start in ("posterior", "prior"):
                before = time.perf_counter()
                found = sandwich(model, rows=rows, key=KEY, num_temperatures=num_temperatures, start=start)
                seconds = time.perf_counter() - before
                truth = np.asarray(exact_log_prob(exact, jnp.asarray(found.x)), float)
                errors = [end.value - truth for end in (found.lower, found.upper)]
                ends = [f"{e.mean():+.4f} ± {e.std(ddof=1) / np.sqrt(rows):.4f}" for e in errors]
                print(
                    f"{size:>10}{noise:>7}{start:>11}{ends[0]:>18}{ends[1]:>18}{seconds:>9.1f}", flush=True
                )


def cost(rows: int) -> None:
    """Seconds of a table model of the default size: 8 members, 10 conditions, 5 targets."""
    c = np.asarray(jax.random.normal(KEY, (rows, 10)))
    x = np.asarray(jax.random.normal(jax.random.key(1), (rows, 5)))
    build = [
        mlp_cvae(x[:1], c[:1], latent_size=2, likelihood="student_t", key=key)
        for key in jax.random.split(KEY, 8)
    ]
    model = Mixture.of(build)
    log_prob(model, x[:4096], c[:4096], key=KEY, budget=1000)
    before = time.perf_counter()
    log_prob(model, x, c, key=KEY, budget=1000)
    seconds = time.perf_counter() - before
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{rows:,} rows with 1,000 draws each: {seconds:.1f} s once compiled, "
        f"{resident:,.0f} MiB resident at most"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("coverage", "annealing", "cost"))
    parser.add_argument("--temperatures", type=int, default=1000)
    parser.add_argument("--rows", type=int, help="200 for annealing, 10,000 for cost")
    arguments = parser.parse_args()
    if arguments.what == "coverage":
        coverage()
    elif arguments.what == "annealing":
        annealing(arguments.temperatures, arguments.rows or 200)
    else:
        cost(arguments.rows or 10_000)
