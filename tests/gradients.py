"""Values and gradients of objectives over many keys, and models of which their expectations are known."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from scipy import stats

from condvae import CVAE
from condvae.conditionals import AffineGaussian
from condvae.linear_gaussian import exact_elbo, exact_posterior, linear_gaussian, random_linear_gaussian
from condvae.objectives.draws import evaluate
from helpers import X_SIZE, TwoLayers, flatten_layers, hierarchical, row_keys

REPEATS = 4000


def flat_gradient(value: Callable[[CVAE], Any], model: CVAE) -> jax.Array:
    """The gradient of `value(model)`, as one vector."""
    return value_and_gradient(value, model)[1]


@eqx.filter_jit
def value_and_gradient(value: Callable[[CVAE], Any], model: CVAE) -> tuple[jax.Array, jax.Array]:
    """`value(model)`, and its gradient as one vector."""
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    at, gradient = jax.value_and_grad(lambda p: value(eqx.combine(p, static)))(parameters)
    return at, jax.flatten_util.ravel_pytree(gradient)[0]


def sampled(
    objective: Callable[..., Any],
    model: CVAE,
    x: Any,
    c: Any = None,
    num_samples: int = 1,
    repeats: int = REPEATS,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """A value and a gradient for each of many keys: (repeats,) and (repeats, parameters)."""
    of_keys = _sampled(objective, model, x, c, row_keys(0, repeats), num_samples, options)
    return jax.tree.map(np.asarray, of_keys)


@eqx.filter_jit
def _sampled(
    objective: Callable[..., Any], model: CVAE, x: Any, c: Any, keys: jax.Array, size: int, options: dict
) -> Any:
    return jax.lax.map(
        lambda key: value_and_gradient(
            lambda m: evaluate(objective, m, x, c, key=key, num_samples=size, **options), model
        ),
        keys,
        batch_size=min(len(keys), 500),
    )


def of_posterior(gradients: Any, model: CVAE) -> np.ndarray:
    """The part of φ: the last of a vector."""
    size = len(jax.flatten_util.ravel_pytree(eqx.filter(model.posterior, eqx.is_inexact_array))[0])
    return np.asarray(gradients)[..., -size:]


def assert_unbiased(samples: np.ndarray, expected: Any) -> None:
    """A t-test of each component of a mean, Bonferroni over them at 1e-4 in all."""
    stderr = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    threshold = stats.t.ppf(1 - 0.5e-4 / max(1, np.size(expected)), len(samples) - 1)
    assert (np.abs(samples.mean(axis=0) - expected) <= threshold * stderr + 1e-7).all()


class Claim(NamedTuple):
    """Of an objective what its value is on average, and the number whose gradient its gradient is."""

    objective: Callable[..., Any]
    value: Callable[[CVAE], Any]
    slope: Callable[[CVAE], Any] | None = None
    num_samples: int = 1

    def check(self, model: CVAE, x: Any, c: Any = None) -> None:
        """Over many keys, against what is known."""
        values, gradients = sampled(self.objective, model, x, c, self.num_samples)
        assert_unbiased(values, eqx.filter_jit(self.value)(model))
        assert_unbiased(gradients, flat_gradient(self.slope or self.value, model))


def stopped(tree: Any) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


# --- linear-Gaussian models of several dimensions


def one_row(x_size: int = 3, z_size: int = 2) -> tuple[CVAE, jax.Array, jax.Array]:
    """A linear-Gaussian model whose q is not its posterior, and an example."""
    model = random_linear_gaussian(jax.random.key(3), x_size=x_size, z_size=z_size, c_size=1)
    return model, jnp.linspace(0.3, -1.0, x_size), jnp.array([0.7])


def at_posterior(model: CVAE) -> CVAE:
    """The same model, whose q is its posterior."""
    return linear_gaussian(model.prior, model.likelihood)


def towards(start: CVAE, end: CVAE, share: float) -> CVAE:
    """A model on the way from one to another of the same structure."""
    return jax.tree.map(lambda a, b: a + share * (b - a) if eqx.is_inexact_array(a) else a, start, end)


def the_elbo(x: jax.Array, c: jax.Array) -> Callable[[CVAE], Any]:
    return lambda m: exact_elbo(m, x[None], c[None])[0]


def with_q_the_prior(x: jax.Array, c: jax.Array) -> Callable[[CVAE], Any]:
    """E_{p(z | c)}[log p(x | z, c)]: the ELBO where q is the prior."""

    def value(model: CVAE) -> Any:
        prior = model.prior
        tied = AffineGaussian((None, prior.weights[0]), prior.bias, prior.covariance)
        return exact_elbo(linear_gaussian(prior, model.likelihood, tied), x[None], c[None])[0]

    return value


def dreams(c: jax.Array) -> Callable[[CVAE], Any]:
    """E_{p(z, x | c)}[log q(z | x, c)], of which θ is held."""

    def value(model: CVAE) -> Any:
        prior, likelihood, q = stopped(model.prior), stopped(model.likelihood), model.posterior
        emission, encode = likelihood.weights[0], q.weights[0]
        mean = prior.mean(c)
        off = mean - q.mean(likelihood.mean(mean, c), c)
        kept = jnp.eye(len(mean)) - encode @ emission
        spread = kept @ prior.covariance @ kept.T + encode @ likelihood.covariance @ encode.T
        second = spread + jnp.outer(off, off)
        log_det = jnp.linalg.slogdet(2.0 * jnp.pi * q.covariance)[1]
        return -0.5 * (jnp.trace(jnp.linalg.solve(q.covariance, second)) + log_det)

    return value


def exact_layers(key: jax.Array) -> CVAE:
    """The two-layer model, whose q is its posterior: of the layer above, and of the one below given it."""
    model = hierarchical(key)
    joint = exact_posterior(flatten_layers(model))
    size = len(joint.bias) // 2
    top, cov = slice(size), joint.covariance
    gain = cov[size:, top] @ jnp.linalg.inv(cov[top, top])
    rest = [weight[size:] - gain @ weight[top] for weight in joint.weights]
    bias = joint.bias[size:] - gain @ joint.bias[top]
    lower = AffineGaussian((gain, *rest), bias, cov[size:, size:] - gain @ cov[top, size:])
    upper = AffineGaussian([weight[top] for weight in joint.weights], joint.bias[top], cov[top, top])
    return CVAE(model.prior, model.likelihood, TwoLayers(upper, lower))


def layered_row() -> tuple[jax.Array, jax.Array]:
    return jnp.linspace(0.3, -1.0, X_SIZE), jnp.array([0.7, 0.1])


# --- expectations over all (z_1 ... z_K), z one of a few


class Listed(NamedTuple):
    """Of each z that there is: its log-share in expectations under q; log p(x, z), log q(z), log p(z)."""

    share: jax.Array
    joint: jax.Array
    q: jax.Array
    prior: jax.Array


def expected(shares: list[jax.Array], known: Listed, value: Callable[..., Any]) -> jax.Array:
    """E[value(log p(x, z_k), log q(z_k), log p(z_k))], z_k drawn by the k-th shares, over all tuples."""
    grid = np.meshgrid(*(np.arange(len(share)) for share in shares), indexing="ij")
    tuples = np.stack(grid, axis=-1).reshape(-1, len(shares))
    total = sum(share[tuples[:, k]] for k, share in enumerate(shares))
    values = jax.vmap(value)(known.joint[tuples], known.q[tuples], known.prior[tuples])
    return jnp.sum(jnp.exp(total) * values)


Knows = Callable[..., Listed]


def log_mean(logs: jax.Array) -> jax.Array:
    return jax.nn.logsumexp(logs) - np.log(len(logs))


def the_iwae(knows: Knows, size: int) -> Callable[[CVAE], Any]:
    """E[log (1/K) Σ w_k]."""

    def value(model: CVAE) -> Any:
        known = knows(model)
        return expected([known.share] * size, known, lambda joint, q, prior: log_mean(joint - q))

    return value


def the_renyi(knows: Knows, size: int, alpha: float) -> Callable[[CVAE], Any]:
    def value(model: CVAE) -> Any:
        known, rest = knows(model), 1.0 - alpha
        return expected(
            [known.share] * size, known, lambda joint, q, prior: log_mean(rest * (joint - q)) / rest
        )

    return value


def the_wake(knows: Knows, size: int, phi: bool = True) -> Callable[[CVAE], Any]:
    """Σ w̃_k (log p(x, z_k) + log q(z_k)), w̃ and the draws held."""

    def value(model: CVAE) -> Any:
        known = knows(model, held=True)

        def one(joint: Any, q: Any, prior: Any) -> Any:
            share = jax.lax.stop_gradient(jax.nn.softmax(joint - q))
            return jnp.sum(share * (joint + q if phi else joint))

        return expected([jax.lax.stop_gradient(known.share)] * size, known, one)

    return value


# --- z of three values, of which nothing says that they can be listed


class Unlisted(npd.CategoricalProbs):
    """A categorical as any other discrete distribution is: without a gradient, and too large to list."""

    has_enumerate_support = False


class States(eqx.Module):
    logits: jax.Array

    def __call__(self, *inputs: Any, prior: Any = None) -> Any:
        return Unlisted(probs=jax.nn.softmax(self.logits))


class Means(eqx.Module):
    means: jax.Array

    def __call__(self, z: jax.Array, c: Any) -> Any:
        return npd.Normal(self.means[z], 0.7)


def of_states(exact: bool = False) -> tuple[CVAE, jax.Array]:
    """A model of such a z, and an x; q is the posterior, or is not."""
    logits, means, x = jnp.array([0.2, -0.4, 0.9]), jnp.array([-1.0, 0.4, 1.5]), jnp.array(0.6)
    posterior = jax.nn.log_softmax(logits) + npd.Normal(means, 0.7).log_prob(x)
    q = posterior if exact else jnp.array([0.8, 0.1, -0.7])
    return CVAE(States(logits), Means(means), States(q)), x


def listed(x: jax.Array) -> Knows:
    """What there is of its z."""

    def knows(model: CVAE, held: bool = False) -> Listed:
        prior, q = jax.nn.log_softmax(model.prior.logits), jax.nn.log_softmax(model.posterior.logits)
        return Listed(q, prior + npd.Normal(model.likelihood.means, 0.7).log_prob(x), q, prior)

    return knows


def by_nodes(x: jax.Array, c: jax.Array, nodes: int = 16) -> Knows:
    """Of a linear-Gaussian model the nodes of Gauss and Hermite in q's own noise, in every dimension."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)

    def knows(model: CVAE, held: bool = False) -> Listed:
        prior, q = model.prior(c), model.posterior(x, c)
        size = len(model.posterior.bias)
        grid = np.stack(np.meshgrid(*[points] * size, indexing="ij"), -1).reshape(-1, size)
        share = np.log(weights / weights.sum())
        share = np.stack(np.meshgrid(*[share] * size, indexing="ij"), -1).reshape(-1, size).sum(1)
        z = model.posterior.mean(x, c) + grid @ model.posterior.scale_tril.T
        z = jax.lax.stop_gradient(z) if held else z
        log_prior = jax.vmap(prior.log_prob)(z)
        joint = log_prior + jax.vmap(lambda z: model.likelihood(z, c).log_prob(x))(z)
        return Listed(jnp.asarray(share), joint, jax.vmap(q.log_prob)(z), log_prior)

    return knows
