"""Models of every kind of latent whose log p(x | c) is known: what the tests hold the library to."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from flowjax.distributions import Normal as FlowNormal
from flowjax.flows import coupling_flow

from condvae import CVAE, Draws, Observed
from condvae.conditionals import AffineGaussian, Conditional, FlowConditional
from condvae.diagnosis.quadrature import posterior_by_quadrature
from condvae.distributions import Chain
from condvae.heads import LOG_SCALE_BOUNDS, GaussianHead, bounded_exp
from condvae.linear_gaussian import (
    exact_conditional,
    exact_elbo,
    exact_log_prob,
    linear_gaussian,
    random_linear_gaussian,
)
from condvae.networks import MLP, Features
from condvae.vectorise import map_rows


@eqx.filter_jit
def compiled_draws(model: CVAE, x: Any, c: Any = None, *, key: jax.Array, num_samples: int = 1) -> Draws:
    """`model.draws` as one program: operation by operation, most of the time goes into compiling them."""
    return model.draws(x, c, key=key, num_samples=num_samples)


@eqx.filter_jit
def compiled(part: Any, name: str, *arguments: Any) -> Any:
    """A property of a part, or what its method returns, as one program for all calls of the same shapes."""
    value = getattr(part, name)
    return value(*arguments) if callable(value) else value


class Case(NamedTuple):
    """A kind of latent: how to build a model, and what is known of it."""

    name: str
    build: Callable[[jax.Array], CVAE]
    log_prob: Callable[[CVAE, Any, Any], np.ndarray]
    elbo: Callable[[CVAE, Any, Any], np.ndarray]
    mean: Callable[[CVAE, Any], np.ndarray]
    rows: Callable[[Any], Any] = lambda x: x
    has_c: bool = True
    has_path: bool = True
    has_mean: bool = True
    own_modules: bool = True


X_SIZE, Z_SIZE, C_SIZE = 3, 2, 2


def row_keys(seed: int, n: int) -> jax.Array:
    return jax.random.split(jax.random.key(seed), n)


def conditions(n: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (n, C_SIZE))


# --- diagonal Gaussian, of the library's own parts


def diagonal(key: jax.Array) -> CVAE:
    keys = jax.random.split(key, 3)

    def part(key: jax.Array, in_size: int, out_size: int) -> Conditional:
        body = MLP(in_size, width=1, depth=0, key=key)
        return Conditional(Features(), body, GaussianHead(in_size, (out_size,), scale="shared", key=key))

    return CVAE(
        part(keys[0], C_SIZE, Z_SIZE),
        part(keys[1], Z_SIZE + C_SIZE, X_SIZE),
        part(keys[2], X_SIZE + C_SIZE, Z_SIZE),
    )


def as_linear_gaussian(model: CVAE) -> CVAE:
    def affine(part: Any, *sizes: int) -> AffineGaussian:
        linear = part.head.parameters.linear
        scale = bounded_exp(part.head.parameters.log_scale, *LOG_SCALE_BOUNDS)
        weights = jnp.split(linear.weight, np.cumsum(sizes)[:-1], axis=1)
        return AffineGaussian(weights, linear.bias, jnp.diag(scale**2))

    return linear_gaussian(
        affine(model.prior, C_SIZE),
        affine(model.likelihood, Z_SIZE, C_SIZE),
        affine(model.posterior, X_SIZE, C_SIZE),
    )


# --- two layers: z = (z_2, z_1)


class TwoLayers(eqx.Module):
    """p(z_2 | inputs) p(z_1 | z_2, inputs), each layer affine and Gaussian."""

    top: AffineGaussian
    lower: AffineGaussian

    def __call__(self, *inputs, prior=None):
        return Chain(self.top(*inputs), (lambda above: self.lower(above[0], *inputs),))

    def joint(self) -> AffineGaussian:
        """The two layers as one vector."""
        down, *weights = self.lower.weights
        rows = [
            jnp.concatenate([top, down @ top + direct])
            for top, direct in zip(self.top.weights, weights, strict=True)
        ]
        bias = jnp.concatenate([self.top.bias, down @ self.top.bias + self.lower.bias])
        cov = self.top.covariance
        block = jnp.block([[cov, cov @ down.T], [down @ cov, down @ cov @ down.T + self.lower.covariance]])
        return AffineGaussian(rows, bias, block)


class FromLowest(eqx.Module):
    """p(x | z, c) where x depends on z through its lowest layer."""

    affine: AffineGaussian

    def __call__(self, z, c):
        return self.affine(z[1], c)


def hierarchical(key: jax.Array) -> CVAE:
    keys = jax.random.split(key, 5)
    return CVAE(
        TwoLayers(affine(keys[0], Z_SIZE, C_SIZE), affine(keys[1], Z_SIZE, Z_SIZE, C_SIZE)),
        FromLowest(affine(keys[2], X_SIZE, Z_SIZE, C_SIZE)),
        TwoLayers(affine(keys[3], Z_SIZE, X_SIZE, C_SIZE), affine(keys[4], Z_SIZE, Z_SIZE, X_SIZE, C_SIZE)),
    )


def affine(key: jax.Array, size: int, *inputs: int) -> AffineGaussian:
    *keys, bias_key, scale_key = jax.random.split(key, len(inputs) + 2)
    weights = [0.5 * jax.random.normal(k, (size, n)) for k, n in zip(keys, inputs, strict=True)]
    covariance = jnp.diag(jax.random.uniform(scale_key, (size,), minval=0.5, maxval=1.5))
    return AffineGaussian(weights, jax.random.normal(bias_key, (size,)), covariance)


def flatten_layers(model: CVAE) -> CVAE:
    emission, shift = model.likelihood.affine.weights
    wide = jnp.concatenate([jnp.zeros_like(emission), emission], axis=1)
    likelihood = AffineGaussian(
        (wide, shift), model.likelihood.affine.bias, model.likelihood.affine.covariance
    )
    return linear_gaussian(model.prior.joint(), likelihood, model.posterior.joint())


# --- a flow as posterior, in a plain VAE


def with_flow(key: jax.Array) -> CVAE:
    model_key, flow_key, body_key = jax.random.split(key, 3)
    base = random_linear_gaussian(model_key, x_size=X_SIZE, z_size=Z_SIZE)
    flow = coupling_flow(
        flow_key,
        base_dist=FlowNormal(jnp.zeros(Z_SIZE)),
        cond_dim=8,
        flow_layers=1,
        nn_width=16,
        nn_depth=1,
    )
    body = MLP(X_SIZE, width=8, depth=1, key=body_key)
    return CVAE(base.prior, base.likelihood, FlowConditional(Features(), body, flow))


def generative(model: CVAE) -> CVAE:
    """The prior and likelihood of a linear-Gaussian model, with their exact posterior."""
    return linear_gaussian(model.prior, model.likelihood)


# --- a discrete latent, enumerated

LEVELS = 4


class DiscretePrior(eqx.Module):
    weight: jax.Array

    def __call__(self, c):
        return npd.Categorical(logits=self.weight @ c)


class DiscreteLikelihood(eqx.Module):
    centres: jax.Array
    log_scale: jax.Array

    def __call__(self, z, c):
        return npd.Normal(self.centres[z], jnp.exp(self.log_scale))


class DiscretePosterior(eqx.Module):
    linear: eqx.nn.Linear

    def __call__(self, x, c, prior):
        return npd.Categorical(logits=self.linear(jnp.concatenate([x, c])))


def discrete(key: jax.Array) -> CVAE:
    keys = jax.random.split(key, 3)
    return CVAE(
        DiscretePrior(jax.random.normal(keys[0], (LEVELS, C_SIZE))),
        DiscreteLikelihood(2.0 * jax.random.normal(keys[1], (LEVELS, X_SIZE)), jnp.zeros(X_SIZE)),
        DiscretePosterior(eqx.nn.Linear(X_SIZE + C_SIZE, LEVELS, key=keys[2])),
    )


def _discrete_terms(model: CVAE, x: Any, c: Any) -> tuple[np.ndarray, np.ndarray]:
    """log p(z | c) + log p(x | z, c), and log q(z | x, c), of every z: NumPy alone."""
    x, c = np.asarray(x, float), np.asarray(c, float)
    prior = _log_softmax(c @ np.asarray(model.prior.weight, float).T)
    scale = np.exp(np.asarray(model.likelihood.log_scale, float))
    standardised = (x[:, None, :] - np.asarray(model.likelihood.centres, float)) / scale
    likelihood = -0.5 * (standardised**2 + np.log(2 * np.pi) + 2 * np.log(scale)).sum(-1)
    linear = model.posterior.linear
    inputs = np.concatenate([x, c], axis=1)
    posterior = _log_softmax(inputs @ np.asarray(linear.weight, float).T + np.asarray(linear.bias, float))
    return prior + likelihood, posterior


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def discrete_log_prob(model: CVAE, x: Any, c: Any) -> np.ndarray:
    return np.logaddexp.reduce(_discrete_terms(model, x, c)[0], axis=1)


def discrete_elbo(model: CVAE, x: Any, c: Any) -> np.ndarray:
    joint, posterior = _discrete_terms(model, x, c)
    return (np.exp(posterior) * (joint - posterior)).sum(axis=1)


def discrete_mean(model: CVAE, c: Any) -> np.ndarray:
    prior = np.exp(_log_softmax(np.asarray(c) @ np.asarray(model.prior.weight).T))
    return prior @ np.asarray(model.likelihood.centres)


# --- a user's own model with missing cells in x


class UnitPrior(eqx.Module):
    def __call__(self, c):
        return npd.Normal(jnp.zeros(Z_SIZE), 1.0)


class FactorLikelihood(eqx.Module):
    loadings: jax.Array
    of_c: jax.Array
    log_scale: jax.Array

    def __call__(self, z, c):
        return npd.Normal(self.loadings @ z + self.of_c @ c, jnp.exp(self.log_scale))


class MaskedPosterior(eqx.Module):
    mlp: eqx.nn.MLP

    def __call__(self, x, c, prior):
        inputs = jnp.concatenate([jnp.where(x.mask, x.value, 0.0), x.mask.astype(float), c])
        loc, log_scale = jnp.split(self.mlp(inputs), 2)
        return npd.Normal(loc, bounded_exp(log_scale, *LOG_SCALE_BOUNDS))


def masked(key: jax.Array) -> CVAE:
    keys = jax.random.split(key, 3)
    return CVAE(
        UnitPrior(),
        FactorLikelihood(
            jax.random.normal(keys[0], (X_SIZE, Z_SIZE)),
            jax.random.normal(keys[1], (X_SIZE, C_SIZE)),
            jnp.full(X_SIZE, -0.3),
        ),
        MaskedPosterior(eqx.nn.MLP(2 * X_SIZE + C_SIZE, 2 * Z_SIZE, 16, 1, key=keys[2])),
    )


def hide_cells(x: jax.Array) -> Observed:
    """A third of the cells missing; one row with none, one with all."""
    mask = jax.random.bernoulli(jax.random.key(99), 2 / 3, x.shape)
    mask = mask.at[0].set(True).at[1].set(False)
    return Observed(jnp.where(mask, x, 0.0), mask)


def masked_log_prob(model: CVAE, x: Observed, c: Any) -> np.ndarray:
    loadings, of_c = np.asarray(model.likelihood.loadings, float), np.asarray(model.likelihood.of_c, float)
    covariance = loadings @ loadings.T + np.diag(np.exp(2 * np.asarray(model.likelihood.log_scale, float)))
    total = []
    for value, mask, condition in zip(np.asarray(x.value), np.asarray(x.mask), np.asarray(c), strict=True):
        residual = (value - of_c @ condition)[mask]
        block = covariance[np.ix_(mask, mask)]
        log_det = np.linalg.slogdet(block)[1]
        quadratic = residual @ np.linalg.solve(block, residual)
        total.append(-0.5 * (quadratic + log_det + mask.sum() * np.log(2 * np.pi)))
    return np.array(total)


def elbo_by_quadrature(model: CVAE, x: Any, c: Any) -> np.ndarray:
    score, divergence, error = map_rows(
        posterior_by_quadrature, model, (x, c), jax.random.key(0), draws=241**2
    )
    # The error of the rule on every second point; that of the rule itself is about its fourth power.
    assert error.max() < 0.05
    return score - divergence


def _linear_mean(of: Callable[[CVAE], CVAE]) -> Callable[[CVAE, Any], np.ndarray]:
    def mean(model: CVAE, c: Any) -> np.ndarray:
        conditional = exact_conditional(of(model))
        return np.asarray(conditional.mean(None) if c is None else jax.vmap(conditional.mean)(c))

    return mean


CASES = [
    Case(
        "diagonal",
        diagonal,
        lambda m, x, c: np.asarray(exact_log_prob(as_linear_gaussian(m), x, c)),
        lambda m, x, c: np.asarray(exact_elbo(as_linear_gaussian(m), x, c)),
        _linear_mean(as_linear_gaussian),
        own_modules=False,
    ),
    Case(
        "hierarchical",
        hierarchical,
        lambda m, x, c: np.asarray(exact_log_prob(flatten_layers(m), x, c)),
        lambda m, x, c: np.asarray(exact_elbo(flatten_layers(m), x, c)),
        _linear_mean(flatten_layers),
        has_mean=False,
    ),
    Case(
        "flow",
        with_flow,
        lambda m, x, c: np.asarray(exact_log_prob(generative(m), x, c)),
        elbo_by_quadrature,
        _linear_mean(generative),
        has_c=False,
        has_mean=False,
    ),
    Case(
        "discrete",
        discrete,
        discrete_log_prob,
        discrete_elbo,
        discrete_mean,
        has_path=False,
        has_mean=False,
    ),
    Case(
        "masked",
        masked,
        masked_log_prob,
        elbo_by_quadrature,
        lambda m, c: np.asarray(c) @ np.asarray(m.likelihood.of_c).T,
        rows=hide_cells,
    ),
]
