"""Two models whose expected gradients are known: a linear-Gaussian one and a discrete one.

`benchmarks/gradients.py` holds sampled gradients to them. Gradients are vectors over all parameters, of
which those of the posterior, φ, are the last.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.flatten_util import ravel_pytree
from scipy.signal import fftconvolve
from scipy.stats import multinomial

from condvae import CVAE
from condvae.conditionals import AffineGaussian
from condvae.linear_gaussian import (
    exact_conditional,
    exact_elbo,
    exact_log_prob,
    exact_posterior,
    random_linear_gaussian,
)
from condvae.model import stop_parameters
from condvae.objectives.draws import PRIOR_SHARE

SIZE, WIDER, MOVED = 10, 4 / 3, 0.01
"""Dimensions; q's covariance over the best one's; how far parameters are from there."""


def flat_gradient(value: Callable[[CVAE], Any], model: CVAE) -> jax.Array:
    """The derivative of `value(model)` for all parameters, as the last axis."""
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(arrays)
    return jax.jacrev(lambda flat: value(eqx.combine(unravel(flat), static)))(flat)


def parts_of(model: CVAE) -> tuple[slice, slice]:
    """Where θ and φ are in a vector: the posterior is a model's last part."""
    size = len(ravel_pytree(eqx.filter(model.posterior, eqx.is_inexact_array))[0])
    return slice(None, -size), slice(-size, None)


# --- the linear-Gaussian model


def near_its_best() -> tuple[CVAE, jax.Array]:
    """A model that is a little away from where its ELBO is largest, and a row."""
    exact = random_linear_gaussian(jax.random.key(0), x_size=SIZE, z_size=SIZE, exact=True)
    own = exact_posterior(exact)
    x = exact_conditional(exact)(None).sample(jax.random.key(1))
    wide = CVAE(
        exact.prior, exact.likelihood, AffineGaussian(own.weights, own.bias, WIDER * own.covariance)
    )
    arrays, static = eqx.partition(wide, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(arrays)
    moved = flat + MOVED * jax.random.normal(jax.random.key(2), flat.shape)
    return eqx.combine(unravel(moved), static), x


def closed_forms(x: jax.Array) -> dict[str, Callable[[CVAE], Any]]:
    """What objectives claim to be the gradient of, of a linear-Gaussian model without c."""

    def blind(model: CVAE) -> jax.Array:
        prior: Any = model.prior
        q = AffineGaussian((jnp.zeros((SIZE, SIZE)), None), prior.bias, prior.covariance)
        return exact_elbo(CVAE(prior, model.likelihood, q), x[None])[0]

    def less_divergence(model: CVAE, x: jax.Array) -> Any:
        divergence = stop_parameters(exact_posterior(model))(x, None).kl(
            model.posterior(x, None, prior=None)
        )
        return -divergence

    def dreams(model: CVAE) -> jax.Array:
        # The divergence is quadratic in x: 2 SIZE points of the right mean and covariance are exact.
        own: Any = stop_parameters(exact_conditional(model))
        away = np.sqrt(SIZE) * own.scale_tril.T
        points = own.bias + jnp.concatenate([away, -away])
        return jnp.mean(jax.vmap(lambda x: less_divergence(model, x))(points))

    def of_elbo(model: CVAE) -> jax.Array:
        return exact_elbo(model, x[None])[0]

    return {
        "elbo": of_elbo,
        "log p": lambda model: exact_log_prob(model, x[None])[0],
        "blind": blind,
        "hybrid": lambda model: 0.5 * of_elbo(model) + 0.5 * blind(model),
        "−KL(p || q)": lambda model: less_divergence(model, x),
        "dreams": dreams,
    }


# --- the discrete model

STATES = 3


class States(eqx.Module):
    """A category by a table of logits, to which x adds."""

    logits: jax.Array
    weight: jax.Array | None = None

    def __call__(self, x: Any = None, c: Any = None, prior: Any = None) -> npd.Distribution:
        return npd.Categorical(logits=self.logits if self.weight is None else self.logits + self.weight @ x)


class Bits(eqx.Module):
    """Bits of which each value of z has its own logits."""

    logits: jax.Array

    def __call__(self, z: jax.Array, c: Any = None) -> npd.Distribution:
        return npd.Bernoulli(logits=self.logits[z])


def discrete() -> tuple[CVAE, jax.Array]:
    """A model of such a z, q not its posterior, and a row."""
    prior, emission, q, weight = (
        jax.random.normal(key, shape)
        for key, shape in zip(
            jax.random.split(jax.random.key(7), 4), [(3,), (3, 3), (3,), (3, 3)], strict=True
        )
    )
    return CVAE(States(prior), Bits(1.5 * emission), States(q, 0.5 * weight)), jnp.array([1.0, 0.0, 1.0])


def log_parts(model: CVAE, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log p(z, x) and log q(z | x), of every z."""
    z = jnp.arange(STATES)
    log_likelihood = jax.vmap(lambda z: model.p_x(z).log_prob(x))(z)
    return jax.vmap(model.p_z().log_prob)(z) + log_likelihood, jax.vmap(model.q_z(x).log_prob)(z)


def chances(k: int, p: np.ndarray) -> np.ndarray:
    """How probable it is that k draws are so often 0, and so often 1: shape (k + 1, k + 1)."""
    first, second = np.indices((k + 1, k + 1))
    return multinomial.pmf(np.stack([first, second, k - first - second], -1), k, p)


def expected(model: CVAE, x: jax.Array, k: int) -> dict[str, Any]:
    """The mean of every gradient with K draws, and its limit, by sums over counts n of the values of z.

    Weights depend on z alone. With S = Σ_z n_z w_z, what multiplies ∂ log p(x, z) is E[n_z w_z / S]. In
    the gradient of E log (S / K) for φ what multiplies ∂ log q(z | x) is E[n_z log (S / K) − n_z w_z / S].
    """
    joint, log_q = (np.asarray(part, float) for part in log_parts(model, x))
    q, prior = np.exp(log_q) / np.exp(log_q).sum(), np.asarray(jax.nn.softmax(model.prior.logits), float)
    of_prior = max(1, round(PRIOR_SHARE * k))
    mixed = fftconvolve(chances(k - of_prior, q), chances(of_prior, prior / prior.sum()))
    first, second = np.indices((k + 1, k + 1))
    n = np.stack([first, second, k - first - second], -1).clip(0)

    def shares(log_w: np.ndarray, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        terms = n * np.exp(log_w)
        total = terms.sum(-1, keepdims=True)
        score = n * np.log(total / k) - terms / total
        return tuple((chance[..., None] * a).sum((0, 1)) for a in (terms / total, score))  # pyright: ignore

    log_mixture = np.log(q + (prior - q) * of_prior / k)
    (own, score), (defended, _) = shares(joint - log_q, chances(k, q)), shares(joint - log_mixture, mixed)
    posterior = np.exp(joint) / np.exp(joint).sum()

    def gradient(of_joint: np.ndarray, of_q: np.ndarray) -> np.ndarray:
        def value(model: CVAE) -> jax.Array:
            joint, q = log_parts(model, x)
            return jnp.sum(of_joint * joint) + jnp.sum(of_q * q)

        return np.asarray(flat_gradient(value, model), float)

    def dreams(model: CVAE) -> jax.Array:
        every = jnp.array(list(np.ndindex(2, 2, 2)), float)
        joint, q = jax.vmap(partial(log_parts, model))(every)
        return jnp.sum(jax.lax.stop_gradient(jnp.exp(joint)) * q)

    return {
        "vimco": gradient(own, score),
        "wake_wake": gradient(own, own),
        "defensive_wake_wake": gradient(defended, defended),
        "wake_sleep": gradient(own, 0 * own) + np.asarray(flat_gradient(dreams, model), float),
        "limit": gradient(posterior, posterior),
    }
