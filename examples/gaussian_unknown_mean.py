"""The Gaussian-unknown-mean example of Tuan Anh Le's note, "Conditional Variational Autoencoders".

The model is three small modules; it is learned from pairs (c, x) of

    p(z | c) = Normal(μ_0 + c, σ_0²),    p(x | z, c) = Normal(z, σ²),    c ~ Normal(c_mean, c_sd²)

and everything about it is known. For each of its seven parameters the script prints what the note says it
should be, where the expected ELBO of the population has its maximum, what training on draws gave, and
what it should have given: their maximum-likelihood value, with its standard error.
"""

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import optax
from jax.flatten_util import ravel_pytree
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from condvae import CVAE, fit
from condvae.conditionals import AffineGaussian
from condvae.diagnosis import decompose
from condvae.linear_gaussian import Truth, exact_elbo, expected_elbo, linear_gaussian


class Prior(eqx.Module):
    theta_1: jax.Array
    theta_2: jax.Array
    sigma_0: float  # known; not an array, hence not trained

    def __call__(self, c):
        return npd.Normal(self.theta_1 + self.theta_2 * c, self.sigma_0)


class Likelihood(eqx.Module):
    theta_3: jax.Array

    def __call__(self, z, c):
        return npd.Normal(z, jnp.exp(self.theta_3 / 2))


class Posterior(eqx.Module):
    phi_1: jax.Array
    phi_2: jax.Array
    phi_3: jax.Array
    phi_4: jax.Array

    def __call__(self, x, c, prior):
        return npd.Normal(self.phi_1 * x + self.phi_2 * c + self.phi_3, jnp.exp(self.phi_4 / 2))


SYMBOLS = {
    "theta_1": "θ_1 (constant)",
    "theta_2": "θ_2 (times c)",
    "theta_3": "θ_3 (log variance)",
    "phi_1": "φ_1 (times x)",
    "phi_2": "φ_2 (times c)",
    "phi_3": "φ_3 (constant)",
    "phi_4": "φ_4 (log variance)",
}
NAMES = list(SYMBOLS)
TERMS = {
    "elbo": "  E ELBO(x|c)",
    "kl_model": "= − E KL(p(x|c) ‖ p_θ(x|c))",
    "kl_inference": "  − E KL(q_φ(z|x,c) ‖ p_θ(z|x,c))",
    "data_term": "  + E log p(x|c)",
    "residual": "  residual",
}


class Units(NamedTuple):
    """Units in which x and c are centred and of scale 1, so that training is as easy wherever they lie.

    x' = (x − x_centre) / scale, z' likewise, c' = (c − c_centre) / scale: the model of (x', c') is of the
    same form, and its parameters are those of the model of (x, c) as `own` says.
    """

    x_centre: float
    c_centre: float
    scale: float

    def own(self, values):
        """The seven parameters of the model of (x, c) from those of the model of (x', c')."""
        theta_1, theta_2, theta_3, phi_1, phi_2, phi_3, phi_4 = values
        log_variance = 2 * math.log(self.scale)
        return [
            self.x_centre + self.scale * theta_1 - theta_2 * self.c_centre,
            theta_2,
            theta_3 + log_variance,
            phi_1,
            phi_2,
            (1 - phi_1) * self.x_centre + self.scale * phi_3 - phi_2 * self.c_centre,
            phi_4 + log_variance,
        ]


def build(values, sigma_0):
    """The model with these seven parameters, in the order of `NAMES`."""
    return CVAE(Prior(values[0], values[1], sigma_0), Likelihood(values[2]), Posterior(*values[3:]))


def parameters(model):
    parts = (model.prior, model.likelihood, model.posterior)
    return [getattr(part, name) for part in parts for name in NAMES if hasattr(part, name)]


def train(x, c, sigma_0, key, num_steps=15_000):
    units = Units(np.mean(x), np.mean(c), max(math.sqrt(regression(x, c)[1]), sigma_0))
    start_key, key = jax.random.split(key)
    start = build(jax.random.normal(start_key, (7,)), sigma_0 / units.scale)
    how = {"num_steps": num_steps, "batch_size": 256, "num_samples": 8, "optimiser": optimiser(num_steps)}
    standard = (x - units.x_centre) / units.scale, (c - units.c_centre) / units.scale
    model, _ = fit(start, *standard, key=key, validation=0, **how)
    return build(units.own(parameters(model)), sigma_0)


def regression(x, c):
    """Least squares of x on c: the intercept and the slope, and the mean square of what is left."""
    centre = np.mean(c)
    slope, middle = np.polynomial.polynomial.polyfit(c - centre, x, 1)[::-1]
    left = x - middle - slope * (c - centre)
    return np.array([middle - slope * centre, slope]), np.mean(left**2)


def optimiser(num_steps, b1=0.9, b2=0.99):
    """Adam with the whole matrix M of second moments, and in the end the natural gradient.

    Along an eigenvector of M, with eigenvalue m, a step is g / √m as in Adam or g / m, each at a rate of
    its own, whichever is shorter. Seven parameters can afford it, and they pull together: intercept and
    slope where c is far from 0 for its spread, φ and exp θ_3 where x tells almost all of z. There 20,000
    steps of Adam alone end several standard errors away.
    """
    adam_rate = optax.exponential_decay(0.1, num_steps, 0.1)
    natural_rate = optax.exponential_decay(100.0, num_steps, 3e-8)  # the shorter from about halfway on

    def init(params):
        size = len(jax.tree.leaves(params))
        return jnp.zeros(size), jnp.zeros((size, size)), jnp.asarray(0)

    def update(gradient, state, params=None):
        g, unravel = ravel_pytree(gradient)
        first, second, step = state
        first, second = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * jnp.outer(g, g)
        m, vectors = jnp.linalg.eigh(second / (1 - b2 ** (step + 1)))  # ascending
        m = jnp.maximum(m, 1e-16 * m[-1])
        rates = jnp.minimum(adam_rate(step) / jnp.sqrt(m), natural_rate(step) / m)
        descent = vectors @ (rates * (vectors.T @ first)) / (1 - b1 ** (step + 1))
        return unravel(-descent), (first, second, step + 1)

    return optax.GradientTransformation(init, update)


def as_linear_gaussian(model):
    """The same model in the library's linear-Gaussian form, of which everything is known exactly."""
    p, likelihood, q = model.prior, model.likelihood, model.posterior

    def matrix(value):
        return jnp.reshape(value, (1, 1))

    return linear_gaussian(
        AffineGaussian((matrix(p.theta_2),), jnp.reshape(p.theta_1, 1), matrix(p.sigma_0**2)),
        AffineGaussian((jnp.ones((1, 1)), None), jnp.zeros(1), matrix(jnp.exp(likelihood.theta_3))),
        AffineGaussian(
            (matrix(q.phi_1), matrix(q.phi_2)), jnp.reshape(q.phi_3, 1), matrix(jnp.exp(q.phi_4))
        ),
    )


@eqx.filter_jit
def maximise_expected_elbo(moments, sigma_0, start):
    """The seven parameters at the maximum of E[ELBO] over (x, c): Adam into its basin, then Newton."""

    def objective(values):
        return expected_elbo(as_linear_gaussian(build(values, sigma_0)), moments)

    adam = optax.adam(optax.cosine_decay_schedule(0.1, 2_000))

    def first_order(_, carry):
        values, state = carry
        updates, state = adam.update(-jax.grad(objective)(values), state)
        return values + updates, state

    def second_order(_, values):
        curvature, directions = jnp.linalg.eigh(jax.hessian(objective)(values))
        # Uphill in every direction, also where the surface is convex; then the longest step of those
        # halved that loses nothing but digits.
        ascent = directions.T @ jax.grad(objective)(values) / jnp.maximum(jnp.abs(curvature), 1e-12)
        candidates = values + 0.5 ** jnp.arange(40)[:, None] * (directions @ ascent)
        now = objective(values)
        sound = jax.vmap(objective)(candidates) >= now - 1e-13 * (1 + jnp.abs(now))
        return jnp.where(sound.any(), candidates[jnp.argmax(sound)], values)

    values, _ = jax.lax.fori_loop(0, 2_000, first_order, (start, adam.init(start)))
    return jax.lax.fori_loop(0, 100, second_order, values)


@jax.jit
def with_exact_posterior(theta, sigma_0):
    """All seven parameters, given θ: φ is that of p_θ(z | x, c)."""
    noise = jnp.exp(theta[2])
    of_x = sigma_0**2 / (sigma_0**2 + noise)
    of_prior = noise / (sigma_0**2 + noise)
    phi = jnp.stack([of_x, of_prior * theta[1], of_prior * theta[0], jnp.log(of_prior * sigma_0**2)])
    return jnp.concatenate([theta, phi])


sensitivity = jax.jit(jax.jacfwd(with_exact_posterior))


def maximum_likelihood(x, c, sigma_0):
    """The draws' maximum-likelihood values, and their standard errors by the delta method.

    x given c is Normal(θ_1 + θ_2 c, σ_0² + exp θ_3): least squares. On the boundary exp θ_3 = 0 there are
    values for θ_1 and θ_2 alone.
    """
    coefficients, variance = regression(x, c)
    design = np.stack([np.ones_like(c), c], axis=1)
    noise = variance - sigma_0**2
    covariance = np.zeros((3, 3))
    covariance[:2, :2] = max(variance, sigma_0**2) * np.linalg.inv(design.T @ design)
    if noise <= 0:
        return coefficients, np.sqrt(np.diag(covariance)[:2])
    covariance[2, 2] = 2 * variance**2 / len(x) / noise**2
    theta = jnp.array([*coefficients, math.log(noise)])
    jacobian = sensitivity(theta, sigma_0)
    stderr = jnp.sqrt(jnp.diag(jacobian @ covariance @ jacobian.T))
    return np.asarray(with_exact_posterior(theta, sigma_0)), np.asarray(stderr)


def run(options):
    """Everything that is printed, and the trained model."""
    mu_0, sigma_0, sigma = options.mu0, options.sigma0, options.sigma
    units = Units(mu_0 + options.c_mean, options.c_mean, math.hypot(sigma_0, sigma))
    rng = np.random.default_rng(options.seed)
    c = rng.normal(options.c_mean, options.c_sd, options.num_data)
    z = rng.normal(mu_0 + c, sigma_0)
    x = rng.normal(z, sigma)
    start_key, train_key = jax.random.split(jax.random.key(options.seed))
    start = jax.random.normal(start_key, (7,))
    theta = jnp.array([mu_0, 1.0, 2 * math.log(sigma)])
    model = train(x, c, sigma_0, train_key)
    mle, stderr = maximum_likelihood(x, c, sigma_0)
    variance = max(regression(x, c)[1], sigma_0**2)
    most = -0.5 * (math.log(2 * math.pi * variance) + regression(x, c)[1] / variance)
    reached = exact_elbo(as_linear_gaussian(model), x[:, None], c[:, None]).mean()
    population = population_of(0.0, 0.0, *(value / units.scale for value in (sigma_0, sigma, options.c_sd)))
    best = maximise_expected_elbo(population.moments(), sigma_0 / units.scale, start)
    terms = decompose(
        as_linear_gaussian(model), population_of(mu_0, options.c_mean, sigma_0, sigma, options.c_sd)
    )
    return model, {
        "closed_form": named(with_exact_posterior(theta, sigma_0)),
        "population": named(units.own(best)),
        "fitted": named(parameters(model)),
        "nats_below_maximum": float(most - reached),
        "mle": named(mle),
        "mle_stderr": named(stderr),
        "identity": {name: getattr(terms, name) for name in TERMS},
    }


def population_of(mu_0, c_mean, sigma_0, sigma, c_sd):
    """p(x | c) and p(c)."""
    marginal = AffineGaussian((jnp.eye(1),), jnp.array([mu_0]), jnp.array([[sigma_0**2 + sigma**2]]))
    return Truth(marginal, jnp.array([c_mean]), jnp.array([[c_sd**2]]))


def named(values):
    """Values by name; None for those that are not there."""
    return dict.fromkeys(NAMES) | {name: float(value) for name, value in zip(NAMES, values, strict=False)}


def show(results, options, console):
    table = Table(title=f"The Gaussian unknown mean, {options.num_data:,} draws", title_justify="left")
    table.add_column("parameter")
    for heading in ("closed form", "population", "fitted", "mle ± stderr"):
        table.add_column(heading, justify="right")
    mle, stderr = results["mle"], results["mle_stderr"]
    known = [name for name in NAMES if mle[name] is not None]
    for name, symbol in SYMBOLS.items():
        values = [results[kind][name] for kind in ("closed_form", "population", "fitted")]
        cells = [f"{round(value, 3) + 0.0:.3f}" for value in values]  # and not -0.000
        last = f"{mle[name]:.3f} ± {stderr[name]:.3f}" if name in known else "on the boundary"
        table.add_row(symbol, *cells, last)
    console.print(table)
    miss = max(abs(results["population"][name] - results["closed_form"][name]) for name in NAMES)
    away = max(abs(results["fitted"][name] - mle[name]) / stderr[name] for name in known)
    console.print(
        f"The population's expected ELBO has its maximum within {miss:.0e} of the closed form. The ELBO "
        f"that training reached is {results['nats_below_maximum']:.0e} nats per row below the greatest "
        f"log-likelihood of the draws; the parameters are within {away:.2f} standard errors."
    )
    if len(known) < len(NAMES):
        console.print(
            "The maximum lies on the boundary: the variance of x given c is no more than σ_0² in these "
            "draws, so exp θ_3 tends to 0, θ_3 and φ have no maximum-likelihood value, and `fitted` is "
            "what training reached on the way."
        )
    terms = Table(title="The identity at the fitted parameters, nats per row", title_justify="left")
    terms.add_column("term")
    terms.add_column("value", justify="right")
    for name, symbol in TERMS.items():
        value = results["identity"][name]
        terms.add_row(symbol, f"{value:.0e}" if name == "residual" else f"{value:.6f}")
    console.print(terms)


def plot(model, options, path):
    """Learned densities over the true ones, a row for each c: p(x | c), and q(z | x, c) for two x."""
    theta = jnp.array([options.mu0, 1.0, 2 * math.log(options.sigma)])
    true = build(with_exact_posterior(theta, options.sigma0), options.sigma0)
    sd = math.hypot(options.sigma0, options.sigma)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(3, 2, sharex="col", sharey=True)

    def draw(ax, truth, learned, colour):
        """Both as shares of the true one's peak, so that narrow and wide ones can be seen at once."""
        peak = truth.log_prob(truth.mean)
        true_at, at = (p.mean + np.linspace(-4, 4, 200) * np.sqrt(p.variance) for p in (truth, learned))
        shade = {"color": colour, "alpha": 0.25, "linewidth": 0}
        ax.fill_between(true_at, np.exp(truth.log_prob(true_at) - peak), label="true", **shade)
        ax.plot(at, np.exp(learned.log_prob(at) - peak), color=colour, label="learned")

    for row, c in zip(axes, options.c_mean + options.c_sd * np.array([-2.0, 0.0, 2.0]), strict=True):
        draw(row[0], p_x(true, c), p_x(model, c), "C0")
        row[0].set_ylabel(f"c = {c:.3g}", rotation=0, ha="right", va="center")
        for side, colour, align in ((-1, "C1", "right"), (1, "C2", "left")):
            x = options.mu0 + c + 1.5 * side * sd
            draw(row[1], true.posterior(x, c, None), model.posterior(x, c, None), colour)
            centre = float(true.posterior(x, c, None).mean)
            where = row[1].get_xaxis_transform()
            row[1].text(centre, 0.88, f"  x = {x:.3g}  ", color=colour, ha=align, transform=where)
    for ax in axes.flat:
        ax.set_yticks([])
        ax.spines[["left", "right", "top"]].set_visible(False)
    axes[0, 0].set_ylim(0, 1.3 * max(line.get_ydata().max() for ax in axes.flat for line in ax.lines))
    axes[0, 0].legend(loc="upper right", frameon=False)
    axes[0, 0].set_title("p(x | c)")
    axes[0, 1].set_title("q(z | x, c)")
    axes[2, 0].set_xlabel("x")
    axes[2, 1].set_xlabel("z")
    figure.savefig(path, dpi=150)


def p_x(model, c):
    prior = model.prior(c)
    return npd.Normal(prior.mean, jnp.sqrt(prior.variance + jnp.exp(model.likelihood.theta_3)))


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], usage=argparse.SUPPRESS)
    add = parser.add_argument
    add("--mu0", type=float, default=1.0, metavar="F", help="mean of z where c is 0 (1)")
    add("--sigma0", type=float, default=1.0, metavar="F", help="standard deviation of z given c (1)")
    add("--sigma", type=float, default=1.0, metavar="F", help="standard deviation of x given z (1)")
    add("--c-mean", type=float, default=0.0, metavar="F", help="mean of c (0)")
    add("--c-sd", type=float, default=1.0, metavar="F", help="standard deviation of c (1)")
    add("--num-data", type=int, default=10_000, metavar="N", help="draws of (c, x) (10,000)")
    add("--seed", type=int, default=0, metavar="I", help="decides the draws and the training (0)")
    add("--json", action="store_true", help="print one JSON object, and nothing else")
    add("--plot", type=Path, metavar="FILE", help="draw the learned densities over the true ones")
    options = parser.parse_args(arguments)
    for name in ("mu0", "sigma0", "sigma", "c_mean", "c_sd"):
        value, positive = getattr(options, name), name in ("sigma0", "sigma", "c_sd")
        if not math.isfinite(value) or (positive and value <= 0):
            expected = "a positive number" if positive else "a finite number"
            parser.error(f"--{name.replace('_', '-')} is {value}, expected {expected}")
    if options.num_data < 3:
        parser.error(f"--num-data is {options.num_data}, expected at least 3")
    if not 0 <= options.seed < 2**32:
        parser.error(f"--seed is {options.seed}, expected a number from 0 to 2**32 - 1")
    if options.plot is not None:
        endings = FigureCanvasBase.get_supported_filetypes()
        if options.plot.suffix[1:].lower() not in endings or not options.plot.parent.is_dir():
            parser.error(
                f"--plot is {options.plot}, expected a picture (.png, .svg, .pdf) in a folder that exists"
            )
    return options


def main(arguments=None):
    options = parse(arguments)
    with jax.enable_x64(True):
        model, results = run(options)
        if options.plot is not None:
            plot(model, options, options.plot)
    if options.json:
        print(json.dumps(results, indent=2, allow_nan=False))
    else:
        show(results, options, Console())


if __name__ == "__main__":
    main()
