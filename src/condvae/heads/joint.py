"""Cells that hang together given the features, and rows of mixed kinds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Gaussians, MixtureOf, Numpyro, Product
from condvae.heads.scales import Head, LocationScale
from condvae.networks import affine


class ProductHead(eqx.Module):
    """Independent blocks given the features: a row of mixed kinds.

    Args:
        heads: a head for each name; a value is a dictionary with the same names.
    """

    heads: dict[str, Head]

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        return Product({name: head(features) for name, head in self.heads.items()})


class FullGaussianHead(eqx.Module):
    """A Gaussian of full covariance: Normal(x | μ(h), L Lᵀ), L lower triangular and from the features.

    Args:
        in_size: the length of the feature vector.
        size: the length of a value; L has size (size + 1) / 2 numbers.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import FullGaussianHead
        >>> FullGaussianHead(8, 3, key=jax.random.key(0))(jnp.ones(8)).sample(jax.random.key(1)).shape
        (3,)
    """

    parameters: LocationScale
    lower: eqx.nn.Linear
    size: int = eqx.field(static=True)

    def __init__(self, in_size: int, size: int, *, key: PRNGKeyArray):
        own_key, lower_key = jax.random.split(key)
        self.parameters = LocationScale(in_size, (size,), "input", own_key)
        self.lower = eqx.nn.Linear(in_size, size * (size - 1) // 2, key=lower_key)
        self.size = size

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        loc, scale = self.parameters(features)
        below = jnp.tril_indices(self.size, -1)
        # In units of the row's own scale, so that cells of any scale correlate alike.
        unit = jnp.eye(self.size, dtype=loc.dtype).at[below].set(affine(self.lower, features))
        return Numpyro(npd.MultivariateNormal(loc, scale_tril=scale[:, None] * unit))


class LowRankGaussianHead(eqx.Module):
    """A Gaussian of low rank plus diagonal: Normal(x | μ(h), F(h) F(h)ᵀ + diag σ²(h)).

    Args:
        in_size: the length of the feature vector.
        size: the length of a value.
        rank: the number of F's columns, from 1.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import LowRankGaussianHead
        >>> head = LowRankGaussianHead(8, 100, rank=2, key=jax.random.key(0))
        >>> head(jnp.ones(8)).log_prob(jnp.zeros(100)).shape
        ()
    """

    parameters: LocationScale
    factor: eqx.nn.Linear
    shape: tuple[int, int] = eqx.field(static=True)

    def __init__(self, in_size: int, size: int, *, rank: int, key: PRNGKeyArray):
        if rank < 1:
            raise ValueError(f"rank is {rank}, expected at least 1")
        own_key, factor_key = jax.random.split(key)
        self.parameters = LocationScale(in_size, (size,), "input", own_key)
        self.factor = eqx.nn.Linear(in_size, size * rank, key=factor_key)
        self.shape = (size, rank)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        loc, scale = self.parameters(features)
        factor = affine(self.factor, features).reshape(self.shape)
        return Numpyro(npd.LowRankMultivariateNormal(loc, scale[:, None] * factor, jnp.square(scale)))


class GaussianMixtureHead(eqx.Module):
    """A mixture of diagonal Gaussians over the whole value: Σ_k π_k(h) Normal(x | μ_k(h), σ_k²(h)).

    One component for the whole value, where `MixtureHead` has one for each cell. As a prior p_θ(z | c) it
    has several modes; without features it is the same for all c.

    Args:
        in_size: the length of the feature vector.
        size: the length of a value.
        components: K, from 1.
        key: for the initial weights.

    Raises:
        ValueError: if there is no component.

    Source: Bishop 1994; Dilokthanakul et al. 2016 (as a prior).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import GaussianMixtureHead
        >>> head = GaussianMixtureHead(8, 2, components=5, key=jax.random.key(0))
        >>> head(jnp.ones(8)).log_prob(jnp.zeros(2)).shape
        ()
    """

    parameters: LocationScale
    logits: eqx.nn.Linear

    def __init__(self, in_size: int, size: int, *, components: int, key: PRNGKeyArray):
        if components < 1:
            raise ValueError(f"components is {components}, expected at least 1")
        own_key, logits_key, apart_key = jax.random.split(key, 3)
        parameters = LocationScale(in_size, (components, size), "input", own_key)
        # Components that begin alike would stay alike for long.
        apart = jax.random.normal(apart_key, (components * size,))
        bias = jnp.asarray(parameters.linear.bias).at[: apart.size].add(apart)
        self.parameters = eqx.tree_at(lambda head: head.linear.bias, parameters, bias)
        self.logits = eqx.nn.Linear(in_size, components, key=logits_key)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        loc, scale = self.parameters(features)
        return MixtureOf(affine(self.logits, features), Gaussians(loc, jnp.log(scale)))
