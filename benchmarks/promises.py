"""How often each stated number is right, where what is right is known.

    python benchmarks/promises.py                # all of them, some twenty minutes on two cores
    python benchmarks/promises.py tests bound    # some

A line for each: what was promised, and how often it was so, with the standard error of that share.

`held_out`: `validation_` of 40 small tables, its 90% interval against log p of 4,000 new rows. `annealed`:
log p by 16 chains of 100 temperatures, of one model and of mixtures; 300 rows. `missing`: cells that
`impute` draws; ten latents, the best q that factorises. `adjusted`: intervals and sets of levels adjusted
by 200 calibration rows, of predictions that are far too narrow. `tests`: how often a test finds something
where there is nothing. `bound`: how far above log p the bound of eight equal members is. Intervals of log p
by importance sampling are in `benchmarks/log_prob.py coverage`, verdicts on predictions that are wrong in
`benchmarks/verdicts.py`.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from scipy import stats

from condvae import CVAE, ConditionalVAE, Mixture, Observed, sample
from condvae.calibration import conformal_level, level_set, mass_above, mean_stderr, two_sample, uniformity
from condvae.conditionals import AffineGaussian
from condvae.diagnosis import condition_use
from condvae.judging import conditions
from condvae.linear_gaussian import (
    exact_log_prob,
    exact_posterior,
    linear_gaussian,
    mean_field_oracle,
    random_linear_gaussian,
)
from condvae.scoring import anneal, bound, imputed
from condvae.table_models.outside import OutsideWarning

KEY = jax.random.key(0)

Line = tuple[str, str, np.ndarray]
"""What was tried, what was promised of it, and whether it was so, or by how much it was off."""


def held_out(times: int = 40) -> Iterator[Line]:
    """Of the log-density that is measured at the end of fitting, with rows that are repeated or not."""
    for copies in (1, 3):
        hit = []
        for seed in range(times):
            rng = np.random.default_rng(seed)
            c = rng.normal(size=(4300, 2))
            x = c[:, 0] + 0.5 * rng.normal(size=len(c))
            few = np.repeat(np.arange(300), copies)
            model = ConditionalVAE(
                num_members=2, num_steps=200, width=16, test_fraction=0.3, progress=False, random_state=seed
            )
            model.fit(c[few], x[few])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OutsideWarning)
                new = model.log_prob(c[300:], x[300:]).value.astype(float)
            truth, error = mean_stderr(new)
            measured = model.validation_
            reach = stats.norm.ppf(0.95) * np.hypot(measured["stderr"], error)
            hit.append(abs(measured["log_prob"] - truth) < reach)
            jax.clear_caches()  # the programs of one fit serve no other
        yield f"300 rows{'' if copies == 1 else ', each three times'}", "90% cover", np.array(hit)


def annealed(rows: int = 300) -> Iterator[Line]:
    """Of log p by annealing, of members that weigh alike and of one that dominates."""
    models = [random_linear_gaussian(jax.random.key(i), x_size=3, z_size=2, c_size=1) for i in range(3)]
    far = eqx.tree_at(lambda m: m.likelihood.bias, models[1], models[1].likelihood.bias + 30.0)
    named = {
        "one model": [models[0]],
        "three members": models,
        "one of three counts": [models[0], far, far],
    }
    for name, members in named.items():
        c = jax.random.normal(jax.random.key(1), (rows, 1))
        x = jnp.asarray(sample(models[0], c, key=jax.random.key(2))[:, 0])
        each = np.stack([np.asarray(exact_log_prob(m, x, c), float) for m in members])
        truth = np.logaddexp.reduce(each, axis=0) - np.log(len(members))
        model = members[0] if len(members) == 1 else Mixture.of(members)
        found = anneal(model, x, c, key=KEY, num_temperatures=100)
        low, high = found.lower.interval(0.9)
        yield name, "90% cover", (low < truth) & (truth < high)


def missing(rows: int = 500) -> Iterator[Line]:
    """Of missing cells, by the 5% and 95% quantiles of 256 draws."""
    for noise in (1.0, 0.3, 0.1):
        oracle, _ = mean_field_oracle(10, noise, 16)
        weight = oracle.likelihood.weight
        rng = np.random.default_rng(0)
        x = rng.normal(size=(rows, 10)) @ np.asarray(weight).T + noise * rng.normal(size=(rows, 16))
        mask = np.broadcast_to(np.arange(16) < 12, x.shape)

        def posterior(x: Observed, c: None, prior: object, weight=weight, noise=noise) -> npd.Normal:
            of_observed = weight.T * x.mask / noise**2
            precision = jnp.eye(10) + of_observed @ weight
            return npd.Normal(
                jnp.linalg.solve(precision, of_observed @ x.value), jnp.diag(precision) ** -0.5
            )

        model = CVAE(oracle.prior, oracle.likelihood, posterior)
        seen = Observed(np.where(mask, x, 0.0).astype(np.float32), mask)
        drawn = np.asarray(imputed(model, seen, key=KEY, num_samples=256).value)[:, :, 12:]
        low, high = np.quantile(drawn, [0.05, 0.95], axis=1)
        yield f"noise {noise}", "90% cover", np.mean((low <= x[:, 12:]) & (x[:, 12:] <= high), axis=1)


def adjusted(times: int = 1000, m: int = 200) -> Iterator[Line]:
    """Of intervals, and sets of levels, by calibration rows: predictions of a third of the right spread."""
    kinds: dict[str, tuple[stats.rv_continuous | stats.rv_discrete, object]] = {
        "continuous": (stats.norm(0, 1), stats.norm(0, 0.33)),
        "counts": (stats.poisson(8), stats.nbinom(400, 400 / (400 + 4.0))),
        "0 or 1": (stats.bernoulli(0.3), stats.bernoulli(0.05)),
    }
    rng = np.random.default_rng(0)
    for name, (truth, predicted) in kinds.items():
        shares = []
        for _ in range(times):
            y = truth.rvs(size=m, random_state=rng)
            below = predicted.cdf(y) - (predicted.pmf(y) if hasattr(predicted.dist, "pmf") else 0.0)
            h = conformal_level(np.stack([np.clip(below, 0, 1), predicted.cdf(y)], axis=1), 0.9)
            new = truth.rvs(size=2000, random_state=rng)
            under = predicted.cdf(new) - (predicted.pmf(new) if hasattr(predicted.dist, "pmf") else 0.0)
            shares.append(np.mean((predicted.cdf(new) >= 0.5 - h) & (under <= 0.5 + h)))
        yield name, "at least 90%", np.array(shares)
    shares = []
    true, said = np.array([0.4, 0.3, 0.2, 0.1]), np.array([[0.85, 0.1, 0.04, 0.01]])
    for _ in range(times):
        codes = rng.choice(4, m, p=true)
        levels = level_set(said, 0.9, mass_above(said)[0][codes])[0]
        shares.append(true[levels].sum())
    yield "levels", "at least 90%", np.array(shares)


def tests(times: int = 400) -> Iterator[Line]:
    """Of tests where there is nothing to find."""
    rng = np.random.default_rng(0)
    p = np.array([uniformity(rng.random(300)).p_value for _ in range(times)])
    yield "calibration band, 300 rows", "5% outside", p < 0.05
    p = np.array(
        [two_sample(*rng.normal(size=(2, 300, 4)), seed=seed).p_value for seed in range(times // 2)]
    )
    yield "classifier, 300 pairs", "1% told", p < 0.01
    yield "classifier, 300 pairs", "5% told", p < 0.05
    used = []
    for seed in range(times):  # weights of c as chance makes them in a fit to 200 rows
        noise = np.random.default_rng(seed)
        model = _chance(noise, rows=200)
        c, x = noise.normal(size=(2, 300, 3)).astype(np.float32)
        use = condition_use(model, x, c, key=KEY, num_samples=4, columns={})
        used.append(conditions.findings(use)[0].code == "c-used")
    yield "conditions that tell nothing", "c-used, by at most 0.2%", np.array(used)


def bounds(times: int = 400) -> Iterator[Line]:
    """Of the bound of a mixture: its excess over log p, in nats."""
    model = random_linear_gaussian(KEY, x_size=16, z_size=16, c_size=1)
    exact = linear_gaussian(model.prior, model.likelihood, exact_posterior(model))
    mixture = Mixture.of([exact] * 8)
    c, x = jnp.ones((times, 1)), jnp.ones((times, 16))
    truth = np.asarray(exact_log_prob(model, x, c), float)
    for draws in (1, 40):
        excess = np.asarray(bound(mixture, x, c, key=KEY, num_samples=draws)) - truth
        yield f"eight equal members, {draws} draws", "at most 0 nats", excess


def _chance(rng: np.random.Generator, rows: int) -> CVAE:
    c = rng.normal(size=(rows, 3))
    x = rng.normal(size=(rows, 3))
    weight = jnp.asarray(np.linalg.lstsq(c, x, rcond=None)[0].T)
    likelihood = AffineGaussian((jnp.zeros((3, 1)), weight), jnp.zeros(3), jnp.eye(3))
    prior = AffineGaussian((jnp.zeros((1, 3)),), jnp.zeros(1), jnp.eye(1))
    model = linear_gaussian(prior, likelihood)
    return linear_gaussian(prior, likelihood, exact_posterior(model))


PROMISES: dict[str, Callable[[], Iterator[Line]]] = {
    "held_out": held_out,
    "annealed": annealed,
    "missing": missing,
    "adjusted": adjusted,
    "tests": tests,
    "bound": bounds,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[[], *PROMISES], help="all by default")
    for which in parser.parse_args().which or PROMISES:
        for name, promised, values in PROMISES[which]():
            mean, error = mean_stderr(values)
            said = f"{mean:+.3f} ± {error:.3f} nats" if which == "bound" else f"{mean:.1%} ± {error:.1%}"
            print(f"{which:<10}{name:<32}{promised:<26}{said}", flush=True)
