"""Conditionals: modules that map inputs to a distribution. Here networks meet heads.

Prior, likelihood and posterior are all of this one kind: `module(*inputs)` for some of c, (z, c) and
(x, c); a posterior is also given `prior=`, the prior's distribution, which it may use or ignore.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, Float, PyTree

from condvae.distributions import Distribution, Flow, Numpyro, as_distribution
from condvae.heads import LOG_SCALE_BOUNDS, Head, bounded_exp
from condvae.networks import Features, affine


class Conditional(eqx.Module):
    """Inputs → features → network → head → distribution. Serves as prior, likelihood or posterior.

    Args:
        features: flattens the inputs, usually `Features`.
        network: a vector to a vector.
        head: a vector to a distribution.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.conditionals import Conditional
        >>> from condvae.heads import GaussianHead
        >>> from condvae.networks import MLP, Features
        >>> k1, k2 = jax.random.split(jax.random.key(0))
        >>> likelihood = Conditional(
        ...     Features(), MLP(2 + 1, width=16, depth=2, key=k1), GaussianHead(16, (4,), key=k2)
        ... )
        >>> likelihood(jnp.zeros(2), jnp.zeros(1)).sample(jax.random.key(1)).shape
        (4,)
    """

    features: Features
    network: Callable[[Array], Array]
    head: Head

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        return as_distribution(self.head(self.network(self.features(inputs))), "the head")


class StandardNormal(eqx.Module):
    """A fixed prior: Normal(0, 1) in every cell, whatever c is.

    Args:
        shape: the shape of z.
    """

    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, shape: Sequence[int]):
        self.shape = tuple(shape)

    def __call__(self, c: PyTree = None) -> Distribution:
        return Numpyro(npd.Normal(jnp.zeros(self.shape), 1.0))


class SameAsPrior(eqx.Module):
    """The posterior that is the prior: q_φ(z | x, c) = p_θ(z | c), which learns nothing from x.

    For a latent of size 0, and as the Gaussian stochastic network of Sohn, Lee and Yan (2015).
    """

    def __call__(self, x: PyTree, c: PyTree = None, prior: Distribution | None = None) -> Distribution:
        if prior is None:
            raise ValueError("SameAsPrior needs the prior's distribution: call it with prior=")
        return prior


class PriorCorrection(eqx.Module):
    """A posterior that corrects the prior: the precision-weighted product of the two.

    The network gives a pseudo-observation m(x, c) with precision λ(x, c) in each cell, and with the
    prior Normal(μ, σ²)

        1/s² = 1/σ² + λ,        mean = s² (μ/σ² + λ m),

    which is the exact form where the likelihood is linear and Gaussian and the noise independent: as
    λ → 0 the posterior is the prior, and a posterior is never wider than it.

    Args:
        features: flattens (x, c).
        network: a vector to a vector.
        linear: from the network's output to m and log √(1/λ), hence twice the size of z.

    Raises:
        TypeError: if the prior is not a diagonal Gaussian.

    Source:
        Sønderby et al. 2016 (ladder variational autoencoders).
    """

    features: Features
    network: Callable[[Array], Array]
    linear: eqx.nn.Linear

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        if not isinstance(prior, Numpyro) or not isinstance(prior.base, npd.Normal):
            raise TypeError(
                "PriorCorrection needs a prior that is a diagonal Gaussian: use one, or a posterior "
                "that does not depend on the prior"
            )
        loc = jnp.asarray(prior.base.loc)
        precision = 1.0 / jnp.square(jnp.asarray(prior.base.scale))
        out = affine(self.linear, self.network(self.features(inputs)))
        pseudo, log_scale = (part.reshape(loc.shape) for part in jnp.split(out, 2))
        evidence = bounded_exp(log_scale, *LOG_SCALE_BOUNDS) ** -2
        total = precision + evidence
        return Numpyro(npd.Normal((loc * precision + pseudo * evidence) / total, total**-0.5))


class FlowConditional(eqx.Module):
    """A conditional flow: the network's output is what the flow is conditioned on.

    Args:
        features: flattens the inputs.
        network: a vector to a vector, of the flow's condition size.
        flow: a flowjax distribution with `cond_shape` (network output,); a coupling flow is fast both
            ways.
    """

    features: Features
    network: Callable[[Array], Array]
    flow: Any

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        return Flow(self.flow, self.network(self.features(inputs)))


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
