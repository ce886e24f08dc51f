"""Gaussians whose mean is affine in the inputs: what everything is known of."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, Float

from condvae.distributions import Distribution, Numpyro


class AffineGaussian(eqx.Module):
    """Normal(value | Σ_i W_i input_i + b, L Lᵀ): linear in each input, full covariance.

    Inputs are vectors; an absent one is None and has None for its matrix. With such modules for all
    three parts everything about a model is known exactly: see `condvae.linear_gaussian`.

    Args:
        weights: a matrix (size, input size) for each input, or None.
        bias: (size,).
        covariance: (size, size), positive definite.
    """

    weights: tuple[Float[Array, "size _"] | None, ...]
    bias: Float[Array, " size"]
    lower: Float[Array, "size size"]
    log_diagonal: Float[Array, " size"]

    def __init__(
        self,
        weights: Sequence[Array | None],
        bias: Array,
        covariance: Array,
    ):
        scale_tril = jnp.linalg.cholesky(jnp.asarray(covariance))
        self.weights = tuple(weights)
        self.bias = jnp.asarray(bias)
        self.lower = jnp.tril(scale_tril, -1)
        self.log_diagonal = jnp.log(jnp.diagonal(scale_tril))

    @property
    def scale_tril(self) -> Float[Array, "size size"]:
        """The Cholesky factor L of the covariance."""
        return jnp.tril(self.lower, -1) + jnp.diag(jnp.exp(self.log_diagonal))

    @property
    def covariance(self) -> Float[Array, "size size"]:
        """L Lᵀ."""
        return self.scale_tril @ self.scale_tril.T

    def mean(self, *inputs: Array | None) -> Float[Array, " size"]:
        """Σ_i W_i input_i + b."""
        mean = self.bias
        for weight, value in zip(self.weights, inputs, strict=True):
            if weight is not None and value is not None:
                mean = mean + weight @ value
        return mean

    def __call__(self, *inputs: Array | None, prior: Distribution | None = None) -> Distribution:
        return Numpyro(npd.MultivariateNormal(self.mean(*inputs), scale_tril=self.scale_tril))
