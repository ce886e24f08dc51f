"""How far log p(x | c) can be trusted: on linear-Gaussian models, of which it is known exactly.

    python benchmarks/log_prob.py coverage      # importance sampling: do its intervals cover what they say?
    python benchmarks/log_prob.py annealing     # both ends of the sandwich, from q and from the prior
    python benchmarks/log_prob.py cost          # seconds and memory for a table

`coverage`: models of 2, 10, 20 and 50 latent dimensions (as many targets, 2 conditions), q the exact
posterior, shifted by so many of its standard deviations in every latent and multiplied in scale, or the
nearest one of independent latents; and counts, x_i ~ Poisson(exp z_i) with exp z_i ~ Gamma(2, 1), whose
posterior is skewed, q Gaussian by its moments, likewise shifted and multiplied; 1,000 rows each, simulated
from the model; 1,000 draws a row to start with. `annealing`: z ~ Normal(0, I) of 2, 10 and 50 dimensions,
x = W z + noise in 5 more dimensions, W of independent Normal(0, 1 / dimensions), noise 1.0 and 0.1; q the
best diagonal Gaussian; 200 rows, 16 chains.
"""

import argparse
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.scipy.special import digamma, gammaln, polygamma

from condvae import CVAE, log_prob, sample
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


def coverage(rows: int) -> None:
    """A line for each model, shift and scale of q."""
    print(f"{'':>12}{'latents':>9}{'shift':>7}{'scale':>7}{'covered':>10}{'flagged':>9}", end="")
    print(f"{'draws':>8}{'k':>7}{'stderr':>8}{'seconds':>9}")
    for size in (2, 10, 20, 50):
        for shift, scale in ((0.0, 0.7), (0.0, 1.0), (0.0, 1.3), (0.3, 0.7), (1.0, 1.0)):
            _cover("exact", size, shift, scale, _gaussian(size, shift, scale, False, rows))
    for size in (2, 10, 20, 50):
        _cover("independent", size, 0.3, 1.0, _gaussian(size, 0.3, 1.0, True, rows))
    for size in (2, 5, 10, 20):
        _cover("counts", size, 0.3, 0.7, _counts(size, 0.3, 0.7, rows))


Case = tuple[CVAE, jax.Array, jax.Array | None, np.ndarray]
"""A model, x, c and log p(x | c)."""


def _cover(name: str, size: int, shift: float, scale: float, case: Case) -> None:
    model, x, c, truth = case
    before = time.perf_counter()
    score = log_prob(model, x, c, key=jax.random.key(3))
    seconds = time.perf_counter() - before
    low, high = score.interval(0.9)
    print(
        f"{name:>12}{size:>9}{shift:>7}{scale:>7}{((low < truth) & (truth < high)).mean():>10.1%}"
        f"{(~score.trusted).mean():>9.1%}{score.num_samples.mean():>8.0f}"
        f"{np.median(score.pareto_k):>7.2f}{np.median(score.stderr):>8.3f}{seconds:>9.1f}",
        flush=True,
    )


def _gaussian(size: int, shift: float, scale: float, independent: bool, rows: int) -> Case:
    exact = random_linear_gaussian(jax.random.key(size), x_size=size, z_size=size, c_size=2)
    c = jax.random.normal(jax.random.key(1), (rows, 2))
    x = jnp.asarray(sample(exact, c, key=jax.random.key(2))[:, 0])
    own = exact_posterior(exact)
    covariance = own.covariance
    if independent:  # the nearest that factorises, by KL(q || p)
        covariance = jnp.diag(1.0 / jnp.diagonal(jnp.linalg.inv(covariance)))
    bias = own.bias + shift * jnp.sqrt(jnp.diagonal(covariance))
    q = AffineGaussian(own.weights, bias, scale**2 * covariance)
    model = linear_gaussian(exact.prior, exact.likelihood, q)  # pyright: ignore[reportArgumentType]
    return model, x, c, np.asarray(exact_log_prob(exact, x, c))


def _counts(size: int, shift: float, scale: float, rows: int) -> Case:
    prior = npd.TransformedDistribution(
        npd.Gamma(jnp.full(size, 2.0), 1.0), npd.transforms.ExpTransform().inv
    )

    def posterior(x: jax.Array, c: None, prior: object) -> npd.Normal:
        mean, sd = digamma(x + 2.0) - jnp.log(2.0), jnp.sqrt(polygamma(1, x + 2.0))
        return npd.Normal(mean + shift * sd, scale * sd)

    model = CVAE(lambda c: prior, lambda z, c: npd.Poisson(jnp.exp(z)), posterior)
    x = jnp.asarray(sample(model, key=jax.random.key(2), num_samples=rows), jnp.float32)
    truth = gammaln(x + 2.0) - gammaln(2.0) - gammaln(x + 1.0) - (x + 2.0) * jnp.log(2.0)
    return model, x, None, np.asarray(truth.sum(axis=1))


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
    parser.add_argument("--rows", type=int, help="1,000 for coverage, 200 for annealing, 10,000 for cost")
    arguments = parser.parse_args()
    if arguments.what == "coverage":
        coverage(arguments.rows or 1000)
    elif arguments.what == "annealing":
        annealing(arguments.temperatures, arguments.rows or 200)
    else:
        cost(arguments.rows or 10_000)
