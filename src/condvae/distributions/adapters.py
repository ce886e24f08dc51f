"""Distributions of other libraries, over one value: numpyro's, and flows."""

import math
from collections.abc import Callable
from copy import copy
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree
from numpyro.distributions.kl import kl_divergence

from condvae.distributions.between import Between
from condvae.distributions.protocol import MAX_SUPPORT, Distribution, Scalar
from condvae.distributions.support import Support, support_of
from condvae.distributions.universal import Universal
from condvae.observed import Observed


def as_distribution(value: Any, source: str = "a module") -> Distribution:
    """`value` as a `Distribution`: itself, or numpyro's behind the adapter.

    Args:
        value: what a prior, likelihood or posterior returned.
        source: who returned it, for the message.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(value, Distribution):
        return value
    if isinstance(value, npd.Distribution):
        return Numpyro(value)
    raise TypeError(
        f"{source} returned {type(value).__name__}, expected a distribution: return one of "
        "numpyro.distributions, or a subclass of condvae.Distribution"
    )


class Numpyro(Distribution):
    """One of numpyro's distributions as a distribution over one value.

    Its batch shape counts as part of the value: `Normal(loc, scale)` with a `loc` of shape (d,) is a
    distribution over vectors, and its `log_prob` is the sum over their cells. A value must have the
    distribution's whole shape: nothing is broadcast.

    Args:
        base: the distribution; `Independent` around it is taken off.
        levels: of categories, how many each cell has, where that is not all that there are logits for.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as npd
        >>> from condvae import Observed
        >>> from condvae.distributions import Numpyro
        >>> unit = Numpyro(npd.Normal(jnp.zeros(2), 1.0))
        >>> round(float(unit.log_prob(jnp.zeros(2))), 4)
        -1.8379
        >>> row = Observed(jnp.zeros(2), jnp.array([True, False]))  # the second cell is missing
        >>> round(float(unit.log_prob(row)), 4)
        -0.9189
    """

    base: npd.Distribution
    levels: tuple[int, ...] | None = eqx.field(static=True, default=None)

    def __init__(self, base: npd.Distribution, levels: tuple[int, ...] | None = None):
        while isinstance(base, npd.Independent):
            base = base.base_dist
        self.base, self.levels = base, levels

    @property
    def reparameterised(self) -> bool:
        return bool(self.base.has_rsample)

    def sample(self, key: PRNGKeyArray) -> Array:
        return jnp.asarray(self.base.sample(key))

    def log_prob(self, value: Array | Observed) -> Scalar:
        if isinstance(value, Observed):
            return self.marginal(value.mask).log_prob(value.value)
        return jnp.sum(self._cells(value))

    def terms(self, value: Array | Observed) -> Array:
        if isinstance(value, Observed):
            return self.marginal(value.mask).terms(value.value)
        return self._cells(value).reshape(-1)

    def _cells(self, value: Array) -> Array:
        expected, got = self.base.shape(), jnp.shape(value)
        if expected != got:
            raise ValueError(
                f"{type(self.base).__name__} expected a value of shape {expected}, got {got}: "
                "make the parameters' shape that of the value, since nothing is broadcast"
            )
        if not self._has_ends:
            return jnp.asarray(self.base.log_prob(value))
        # Outside of its support numpyro gives any number, or NaN: a value there is moved inside first.
        support: Any = self.base.support
        value = jnp.asarray(value)
        outside = ~support(value)
        moved = jnp.where(outside, support.feasible_like(value), value)
        return jnp.where(outside, -jnp.inf, jnp.asarray(self.base.log_prob(moved)))

    @property
    def _has_ends(self) -> bool:
        """Whether cells are numbers that end somewhere; coins and categories are looked at by nobody."""
        support: Any = self.base.support
        if self.base.event_shape != () or support is None or self.on_reals:
            return False
        codes = (npd.constraints.boolean, npd.constraints.integer_interval(0, 1))
        return not isinstance(support, tuple(map(type, codes)))

    def support(self) -> Support | None:
        return support_of(self.base, self.levels)

    def enumerate_support(self) -> Array | None:
        if 0 in self.base.shape():  # without cells there is one value
            return jnp.zeros((1, *self.base.shape()))
        if not self.base.has_enumerate_support or self.base.event_shape != ():
            return None
        values = self.base.enumerate_support(expand=False).reshape(-1)
        shape = self.base.batch_shape
        cells = math.prod(shape)
        if values.shape[0] ** cells > MAX_SUPPORT:
            return None
        choices = np.indices((values.shape[0],) * cells).reshape(cells, -1).T
        return values[choices].reshape(-1, *shape)

    def marginal(self, mask: Bool[Array, "..."]) -> "Distribution":
        if isinstance(self.base, _GAUSSIANS) and self.base.batch_shape == ():
            return _MaskedGaussian(self, mask)
        if self.base.event_shape != ():
            raise TypeError(
                f"{type(self.base).__name__} does not factorise over its cells, so none of them can "
                "be missing: use independent cells, or drop the rows with missing ones"
            )
        return _Masked(self, mask)

    def conditional(self, value: Array, mask: Bool[Array, "..."]) -> "Distribution":
        if isinstance(self.base, _GAUSSIANS) and self.base.batch_shape == ():
            return _Given(self, value, mask, lambda key: self._gaussian_given(value, mask, key))
        if self.base.event_shape != ():
            raise TypeError(
                f"{type(self.base).__name__} does not factorise over its cells, so missing ones cannot be "
                "drawn given the observed ones: use independent cells, or a Gaussian or a mixture of them"
            )
        return _Given(self, value, mask, self.sample)

    def between(self, low: Array, high: Array, doubt: Array) -> "Numpyro":
        return Numpyro(Between(self.base, low, high, doubt)) if isinstance(self.base, Universal) else self

    def _gaussian_given(self, value: Array, mask: Bool[Array, " d"], key: PRNGKeyArray) -> Array:
        """y + Σ M (M Σ M)⁻¹ M (value − y) of a draw y: Matheron's rule, M the observed cells."""
        base: Any = self.base
        drawn = self.sample(key)
        covariance = jnp.asarray(base.covariance_matrix)
        both = mask[:, None] & mask[None, :]
        of_observed = jnp.where(both, covariance, jnp.diag(jnp.where(mask, 0.0, 1.0)))
        off = jnp.where(mask, value - drawn, 0.0)
        weights = jnp.where(mask, jnp.linalg.solve(of_observed, off), 0.0)
        return drawn + covariance @ weights

    def kl(self, other: Distribution) -> Scalar | None:
        if not isinstance(other, Numpyro) or self.base.shape() != other.base.shape():
            return None
        if isinstance(self.base, npd.MultivariateNormal) and isinstance(other.base, npd.Normal):
            return _kl_to_independent(self.base, other.base)
        try:
            return jnp.sum(kl_divergence(self.base, other.base))
        except NotImplementedError:
            return None

    def mean(self) -> Array | None:
        try:
            mean = jnp.asarray(self.base.mean)
        except NotImplementedError:
            return None
        return None if isinstance(self.base, _CATEGORIES) else jnp.broadcast_to(mean, self.base.shape())

    def location(self) -> Array | None:
        if isinstance(self.base, npd.Normal | npd.StudentT | npd.Laplace):
            return jnp.broadcast_to(jnp.asarray(self.base.loc), self.base.shape())
        return self.mean()

    def cdf(self, value: Array) -> Array | None:
        if isinstance(self.base, _GAUSSIANS):
            return ndtr((value - jnp.asarray(self.base.mean)) / jnp.sqrt(jnp.asarray(self.base.variance)))
        if isinstance(self.base, _CATEGORIES):
            up_to, value = jnp.cumsum(jnp.asarray(self.base.probs), axis=-1), jnp.asarray(value)
            level = jnp.clip(value, 0, up_to.shape[-1] - 1)
            return jnp.where(value < 0, 0.0, jnp.take_along_axis(up_to, level[..., None], axis=-1)[..., 0])
        try:
            return jnp.asarray(self.base.cdf(value))
        except NotImplementedError:
            return None

    def reparameterised_at(self, value: Array) -> Array | None:
        value, base = jax.lax.stop_gradient(value), self.base
        if isinstance(base, npd.MultivariateNormal):
            loc, lower = jnp.asarray(base.loc), jnp.asarray(base.scale_tril)
            return loc + lower @ jax.lax.stop_gradient(solve_triangular(lower, value - loc, lower=True))
        if isinstance(base, _BY_SCALE):
            loc, scale = jnp.asarray(base.loc), jnp.asarray(base.scale)
            return loc + scale * jax.lax.stop_gradient((value - loc) / scale)
        return None

    def widened(self, factor: float | Array) -> Distribution | None:
        centre = getattr(self.base, "loc", None)
        centre = self.mean() if centre is None else jnp.broadcast_to(centre, self.base.shape())
        if centre is None or not self.on_reals:
            return None
        return Spread(self, jnp.where(jnp.isfinite(centre), centre, 0.0), factor)

    def unconstrained(self) -> tuple[PyTree[Array], Callable[[PyTree[Array]], Distribution]]:
        constrained = {name: getattr(self.base, name) for name in _FREED if hasattr(self.base, name)}
        if not constrained:
            raise TypeError(
                f"{type(self.base).__name__} has no location, scale or logits that may be refined: use a "
                "Gaussian or another location-scale family, or define unconstrained() on a distribution of "
                "your own"
            )
        shape = {name: self.base.shape() for name in ("loc", "scale")}
        constrained = {
            name: jnp.broadcast_to(value, shape.get(name, value.shape))
            for name, value in constrained.items()
        }

        def rebuild(parameters: dict[str, Array]) -> Distribution:
            base = copy(self.base)
            for name, value in parameters.items():
                setattr(base, name, _FREED[name][1](value))
            return Numpyro(base)

        return {name: _FREED[name][0](value) for name, value in constrained.items()}, rebuild

    @property
    def on_reals(self) -> bool:
        support: Any = self.base.support
        while hasattr(support, "base_constraint"):  # of each cell of a vector
            support = support.base_constraint
        return isinstance(support, type(npd.constraints.real))


def _kl_to_independent(joint: Any, independent: Any) -> Scalar:
    """KL(Normal(μ, L Lᵀ) || Normal(m, diag s²)), which numpyro has not."""
    rows = joint.scale_tril / jnp.broadcast_to(independent.scale, joint.loc.shape)[:, None]
    apart = (joint.loc - independent.loc) / independent.scale
    return 0.5 * (jnp.sum(rows**2) + jnp.sum(apart**2 - 1.0)) - jnp.sum(jnp.log(jnp.diagonal(rows)))


def _log_diagonal(lower: Array) -> Array:
    return jnp.tril(lower, -1) + jnp.diag(jnp.log(jnp.diagonal(lower)))


def _exp_diagonal(lower: Array) -> Array:
    return jnp.tril(lower, -1) + jnp.diag(jnp.exp(jnp.diagonal(lower)))


def _same(value: Array) -> Array:
    return value


_BY_SCALE = (npd.Normal, npd.Laplace, npd.Logistic, npd.Gumbel, npd.Cauchy)
"""Families of loc + scale · noise, the noise without parameters."""

_FREED: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "loc": (_same, _same),
    "scale": (jnp.log, jnp.exp),
    "scale_tril": (_log_diagonal, _exp_diagonal),
    "logits": (_same, _same),
}


class Spread(Distribution):
    """z = centre + factor (u − centre), u from another distribution: its density by change of variables."""

    of: Distribution
    centre: Array
    factor: float | Array

    @property
    def reparameterised(self) -> bool:
        return self.of.reparameterised

    def sample(self, key: PRNGKeyArray) -> Array:
        return self.centre + self.factor * (self.of.sample(key) - self.centre)

    def log_prob(self, value: Array) -> Scalar:
        inner = self.centre + (value - self.centre) / self.factor
        return self.of.log_prob(inner) - self.centre.size * jnp.log(self.factor)


class _Marginal(Distribution):
    """A distribution of which only the cells where `mask` is true count; draws are of all of them."""

    of: Numpyro
    mask: Bool[Array, "..."]

    @property
    def reparameterised(self) -> bool:
        return self.of.reparameterised

    def sample(self, key: PRNGKeyArray) -> Array:
        return self.of.sample(key)


class _Masked(_Marginal):
    """Of independent cells."""

    def log_prob(self, value: Array) -> Scalar:
        return jnp.sum(self.terms(value))

    def terms(self, value: Array) -> Array:
        # A cell that is not counted is first moved inside the support: `where` alone would let an
        # infinite derivative through as 0 * inf.
        support = self.of.base.support
        inside = jnp.zeros_like(value) if support is None else support.feasible_like(jnp.zeros_like(value))
        cells = self.of._cells(jnp.where(self.mask, value, inside))
        return jnp.where(self.mask, cells, 0.0).reshape(-1)


class _Given(Distribution):
    """A distribution given the cells of `value` where `mask` is true; the others are drawn by `fill`."""

    of: Numpyro
    value: Array
    mask: Bool[Array, "..."]
    fill: Callable[[PRNGKeyArray], Array]

    @property
    def reparameterised(self) -> bool:
        return self.of.reparameterised

    def sample(self, key: PRNGKeyArray) -> Array:
        return jnp.where(self.mask, self.value, self.fill(key))

    def log_prob(self, value: Array) -> Scalar:
        """Of a value that keeps the observed cells."""
        return self.of.log_prob(value) - self.of.marginal(self.mask).log_prob(value)


_CATEGORIES = (npd.CategoricalLogits, npd.CategoricalProbs)

_GAUSSIANS = (npd.MultivariateNormal, npd.LowRankMultivariateNormal)


class _MaskedGaussian(_Marginal):
    """Of a Gaussian whose cells hang together.

    Those that do not count are made independent, of mean 0 and variance 1, and are given the value 0: what
    is left is the density of the observed ones, and log √(2π) for each of the others.
    """

    def log_prob(self, value: Array) -> Scalar:
        base: Any = self.of.base
        if jnp.shape(value) != base.shape():
            raise ValueError(
                f"{type(base).__name__} expected a value of shape {base.shape()}, got {jnp.shape(value)}"
            )
        mask = self.mask
        loc, apart = jnp.where(mask, base.loc, 0.0), jnp.where(mask, value, 0.0)
        if isinstance(base, npd.LowRankMultivariateNormal):
            factor = jnp.where(mask[:, None], base.cov_factor, 0.0)
            left = npd.LowRankMultivariateNormal(loc, factor, jnp.where(mask, base.cov_diag, 1.0))
        else:
            both = mask[:, None] & mask[None, :]
            covariance = jnp.where(both, base.covariance_matrix, jnp.diag(jnp.where(mask, 0.0, 1.0)))
            left = npd.MultivariateNormal(loc, covariance_matrix=covariance)
        return left.log_prob(apart) + 0.5 * math.log(2.0 * math.pi) * jnp.sum(~mask)


class Flow(Distribution):
    """A normalising flow, and the context that it is conditioned on.

    Args:
        flow: a flowjax distribution, used natively (its own numpyro wrapper stops the gradient of the
            condition, so that an encoder which feeds it never learns).
        condition: the vector that the flow sees, or None.
    """

    flow: Any
    condition: Array | None = None

    @property
    def reparameterised(self) -> bool:
        return True

    def sample(self, key: PRNGKeyArray) -> Array:
        return self.flow.sample(key, condition=self.condition)

    def log_prob(self, value: Array) -> Scalar:
        if jnp.shape(value) != self.flow.shape:
            raise ValueError(f"Flow expected a value of shape {self.flow.shape}, got {jnp.shape(value)}")
        return self.flow.log_prob(value, condition=self.condition)

    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[Array, Scalar]:
        return self.flow.sample_and_log_prob(key, condition=self.condition)

    def reparameterised_at(self, value: Array) -> Array | None:
        from flowjax.distributions import AbstractTransformed

        if not isinstance(self.flow, AbstractTransformed):
            return None
        arrays, static = eqx.partition(self, eqx.is_inexact_array)
        still = eqx.combine(jax.lax.stop_gradient(arrays), static)
        noise = still.flow.bijection.inverse(jax.lax.stop_gradient(value), still.condition)
        return self.flow.bijection.transform(jax.lax.stop_gradient(noise), self.condition)

    def widened(self, factor: float | Array) -> "Distribution | None":
        from flowjax.bijections import Affine
        from flowjax.distributions import AbstractTransformed, Transformed

        if not isinstance(self.flow, AbstractTransformed):
            return None
        # Of the noise that the flow transforms: what it does to the shape of the latent is kept.
        base = self.flow.base_dist
        wide = Transformed(base, Affine(scale=jnp.broadcast_to(factor, base.shape)))
        return Flow(Transformed(wide, self.flow.bijection), self.condition)
