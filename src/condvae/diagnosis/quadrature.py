"""log p_θ(x | c) and KL(q || p_θ(z | x, c)) by quadrature over a latent of one or two dimensions.

The grid is z = m + s sinh(t), with m and s the mean and spread of q: fine where q is, and far-reaching.
The trapezoidal rule in t converges faster than any power of the spacing for smooth integrands, and the
same rule on every second point says how good it is.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.distributions import Distribution
from condvae.model import CVAE

REACH = 9.0
"""The grid ends at sinh(9) ≈ 4,000 spreads from the mean."""

POINTS = {1: 4001, 2: 241}
"""Points in each direction; odd, so that every second one is a rule too."""


def integrates(posterior: Distribution) -> int | None:
    """How many points the grid has for this latent; None where z is no array of one or two numbers."""
    z = eqx.filter_eval_shape(posterior.sample, jax.random.key(0))
    if not isinstance(z, jax.ShapeDtypeStruct) or not jnp.issubdtype(z.dtype, jnp.inexact):
        return None
    size = math.prod(z.shape)
    return POINTS[size] ** size if size in POINTS else None


def posterior_by_quadrature(model: CVAE, row: PyTree, key: PRNGKeyArray) -> tuple[Array, Array, Array]:
    """For one row: log p_θ(x | c), KL(q_φ(z | x, c) || p_θ(z | x, c)), and the error of the worse.

    Args:
        model: a `CVAE` whose z is an array of one or two numbers.
        row: (x, c).
        key: for the draws that find where q is.
    """
    x, c = row
    prior = model.p_z(c)
    posterior = model.q_z(x, c, prior)
    draws = jax.vmap(posterior.sample)(jax.random.split(key, 256))
    shape = draws.shape[1:]
    draws = draws.reshape(256, -1)
    size = draws.shape[1]
    mean, spread = draws.mean(axis=0), draws.std(axis=0)
    t = jnp.linspace(-REACH, REACH, POINTS[size])
    spacing = t[1] - t[0]
    axes = jnp.meshgrid(*[t] * size, indexing="ij")
    grid = jnp.stack(axes, axis=-1)  # (points, [points,] size)
    z = mean + spread * jnp.sinh(grid)
    log_jacobian = jnp.sum(jnp.log(spread) + jnp.log(jnp.cosh(grid)), axis=-1).reshape(-1)
    flat = z.reshape(-1, *shape)
    log_joint = jax.vmap(lambda z: prior.log_prob(z) + model.p_x(z, c).log_prob(x))(flat)
    log_q = jax.vmap(posterior.log_prob)(flat)

    def rule(every: int) -> tuple[Array, Array]:
        def pick(values: Array) -> Array:
            return values.reshape(*[POINTS[size]] * size)[(slice(None, None, every),) * size].reshape(-1)

        log_weight = pick(log_jacobian) + size * jnp.log(every * spacing)
        score = jax.nn.logsumexp(pick(log_joint) + log_weight)
        share = jnp.exp(pick(log_q) + log_weight)
        ratio = pick(log_q) - pick(log_joint) + score
        return score, jnp.sum(jnp.where(share > 0, share * ratio, 0.0))

    (score, divergence), (coarse_score, coarse_divergence) = rule(1), rule(2)
    error = jnp.maximum(jnp.abs(score - coarse_score), jnp.abs(divergence - coarse_divergence))
    return score, divergence, error
