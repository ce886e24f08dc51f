"""The log-density of every kind of head is SciPy's, of the parameters that it has, in double precision."""

import equinox as eqx
import jax
import numpy as np
import pytest
from instances import ENDS, INPUTS, conditional, instances
from scipy import special, stats

DRAWS = 40
"""At which they are compared."""

SUMMED = {"rounded_gaussian": 1e-5, "rounded_student_t": 1e-5}
"""Whose mass is a sum over nodes, and to what it is right; all others to 1e-6."""

ELSEWHERE = {"columns", "product", "relaxed", "coupling-flow", "spline-flow"}
"""Made of others here, held to formulas in tests/distributions, or without any."""


def normal(d):
    return stats.norm(d.loc, d.scale)


def student_t(d):
    return stats.t(d.df, d.loc, d.scale)


def log_normal(d):
    return stats.lognorm(d.scale, scale=np.exp(d.loc))


def gamma(d):
    return stats.gamma(d.concentration, scale=1 / np.asarray(d.rate))


def poisson(d):
    return stats.poisson(np.asarray(d.rate))


def negative_binomial(d):
    mean, r = np.asarray(d.mean), np.asarray(d.concentration)
    return stats.nbinom(r, r / (r + mean))


def continuous_bernoulli(d, v):
    share = special.expit(np.asarray(d.logits))
    constant = 2 * np.arctanh(1 - 2 * share) / (1 - 2 * share)
    return np.log(constant) + v * np.log(share) + (1 - v) * np.log1p(-share)


def inflated(base):
    def log_prob(d, v):
        gate = special.expit(np.asarray(d.gate_logits))
        return np.log(gate * (v == 0) + (1 - gate) * base(d.base_dist).pmf(v))

    return log_prob


def hurdle(base):
    def log_prob(d, v):
        gate, of = special.expit(np.asarray(d.gate_logits)), base(d.base_dist)
        some = np.where(v == 0, 1, v)
        above = of.logpmf(some) - np.log1p(-of.pmf(0)) if hasattr(of, "pmf") else of.logpdf(some)
        return np.where(v == 0, np.log(gate), np.log1p(-gate) + above)

    return log_prob


def truncated(d, v):
    base = d.base_dist
    low, high = ((end - np.asarray(base.loc)) / np.asarray(base.scale) for end in (d.low, d.high))
    return stats.truncnorm(low, high, base.loc, base.scale).logpdf(v)


def censored(d, v):
    of = normal(d.base_dist)
    beyond = np.where(v == d.low, of.logcdf(d.low), of.logsf(d.high))
    return np.where((v == d.low) | (v == d.high), beyond, of.logpdf(v))


def rounded(base):
    def log_prob(d, v):
        of, half = base(d.base_dist), np.asarray(d.width) / 2
        # Of two tails the lesser are subtracted.
        sign = np.where(v > of.mean(), -1, 1)
        ends = of.mean() + sign * (v - of.mean())
        return np.log(of.cdf(ends + half) - of.cdf(ends - half))

    return log_prob


def categories(d, v):
    logits = special.log_softmax(np.asarray(d.logits), axis=-1)
    return np.take_along_axis(logits, v.astype(int)[..., None], axis=-1)[..., 0]


def mixture(log_prob):
    def of_components(d, v):
        logits = special.log_softmax(np.asarray(d.mixing_distribution.logits), axis=-1)
        return special.logsumexp(logits + log_prob(d.component_distribution, v[..., None]), axis=-1)

    return of_components


def pixels(d, v):
    of, top = stats.logistic(d.loc, d.scale), d.levels - 1
    low, high = ((2 * (v[..., None] + side) / top) - 1 for side in (-0.5, 0.5))
    below = np.where(v[..., None] == 0, 0.0, of.cdf(low))
    mass = np.where(v[..., None] == top, 1.0, of.cdf(high)) - below
    return np.log((special.softmax(np.asarray(d.logits), axis=-1) * mass).sum(axis=-1))


def full(d, v):
    lower = np.asarray(d.scale_tril)
    return stats.multivariate_normal(d.loc, lower @ lower.T).logpdf(v)


def low_rank(d, v):
    factor = np.asarray(d.cov_factor)
    return stats.multivariate_normal(d.loc, factor @ factor.T + np.diag(d.cov_diag)).logpdf(v)


def joint_mixture(d, v):
    parts = stats.norm(d.component.loc, np.exp(d.component.log_scale)).logpdf(v).sum(axis=-1)
    return special.logsumexp(special.log_softmax(np.asarray(d.logits)) + parts)


def by(of, kind="logpdf"):
    return lambda d, v: getattr(of(d), kind)(v)


REFERENCES = {
    "gaussian": by(normal),
    "student_t": by(student_t),
    "laplace": by(lambda d: stats.laplace(d.loc, d.scale)),
    "log_normal": by(log_normal),
    "gamma": by(gamma),
    "beta": by(lambda d: stats.beta(d.concentration1, d.concentration0)),
    "bernoulli": by(lambda d: stats.bernoulli(special.expit(np.asarray(d.logits))), "logpmf"),
    "continuous_bernoulli": continuous_bernoulli,
    "poisson": by(poisson, "logpmf"),
    "negative_binomial": by(negative_binomial, "logpmf"),
    "zero_inflated_poisson": inflated(poisson),
    "zero_inflated_negative_binomial": inflated(negative_binomial),
    "hurdle_poisson": hurdle(poisson),
    "hurdle_negative_binomial": hurdle(negative_binomial),
    "hurdle_gamma": hurdle(gamma),
    "hurdle_log_normal": hurdle(log_normal),
    "truncated_gaussian": truncated,
    "censored_gaussian": censored,
    "rounded_gaussian": rounded(normal),
    "rounded_student_t": rounded(student_t),
    "gaussian-mixture": mixture(by(normal)),
    "poisson-mixture": mixture(by(poisson, "logpmf")),
    "categorical": categories,
    "pixels": pixels,
    "full": full,
    "low-rank": low_rank,
    "joint-mixture": joint_mixture,
}
"""From a distribution's parameters and a value to log p, of each cell or in all."""

SAME = {
    **dict.fromkeys(("gaussian-head", "gaussian-unit", "gaussian-shared"), "gaussian"),
    **dict.fromkeys(("ordinal", "embedding", "codes"), "categorical"),
    "student-t-head": "student_t",
    "bernoulli-head": "bernoulli",
    **{f"{name}-{where}": name for name in ("truncated_gaussian", "censored_gaussian") for where in ENDS},
}
"""Heads of another name that give the same kind of distribution."""


def doubled(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, float) if eqx.is_inexact_array(leaf) else leaf, tree)


def marked(instance):
    return pytest.param(instance, id=instance.name, marks=pytest.mark.slow if instance.name in SAME else ())


@pytest.mark.parametrize("instance", [marked(i) for i in instances() if i.name not in ELSEWHERE])
def test_the_log_density_is_scipys(instance, x64):
    module, inputs = doubled((conditional(instance.head), INPUTS))
    reference = REFERENCES[SAME.get(instance.name, instance.name)]

    @jax.jit
    def draw_and_score(key):
        distribution = module(*inputs)
        value = distribution.sample(key)
        return value, distribution.log_prob(value)

    distribution = eqx.filter_jit(module)(*inputs)
    base = getattr(distribution, "base", distribution)
    for key in jax.random.split(jax.random.key(5), DRAWS):
        value, log_density = draw_and_score(key)
        expected = np.sum(reference(base, np.asarray(value, float)))
        np.testing.assert_allclose(log_density, expected, rtol=SUMMED.get(instance.name, 1e-6), atol=1e-8)
