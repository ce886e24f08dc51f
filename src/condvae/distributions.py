"""The one small protocol that everything else speaks: a distribution over one value.

*One* value: code here is written for a single example, and is vectorised once, at the edge, by
`jax.vmap` over the function that uses it. A distribution is built and used inside that function and
never returned from it: a distribution that leaves `vmap` has forgotten its batch, and would give every
row the same noise.

What the protocol asks is what the objectives need: draw, score, and say whether the draw carries
gradients. What a distribution may offer besides is asked for by name and is absent by default: exact
enumeration, the marginal over observed cells, a Kullback-Leibler divergence, a mean.

- `Numpyro` adapts any of numpyro's distributions.
- `Flow` holds a flow with the context that it is conditioned on.
- `Chain` is a hierarchy, z = (z_1, ..., z_L), each layer given those before it.
- `Product` is independent blocks, a dictionary of them: a row of mixed kinds.
"""

import abc
import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from numpyro.distributions.kl import kl_divergence

from condvae.observed import Observed

MAX_SUPPORT = 4096
"""Supports up to this size are enumerated; a larger one counts as one that cannot be."""

Scalar = Float[Array, ""]


class Distribution(eqx.Module):
    """A distribution over one value: an array or a pytree of arrays.

    A user's own subclass needs `sample`, `log_prob` and `reparameterised`; the rest have defaults
    that say "not available", and what needs them finds another way or refuses in a sentence.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.distributions import Distribution
        >>> class Point(Distribution):
        ...     at: jax.Array
        ...     reparameterised = True
        ...     def sample(self, key):
        ...         return self.at
        ...     def log_prob(self, value):
        ...         return jnp.where(jnp.all(value == self.at), 0.0, -jnp.inf)
        >>> z, log_density = Point(jnp.ones(2)).sample_and_log_prob(jax.random.key(0))
        >>> float(log_density)
        0.0
    """

    @property
    @abc.abstractmethod
    def reparameterised(self) -> bool:
        """Whether gradients flow through `sample` to every parameter of the distribution."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> PyTree[Array]:
        """One draw."""

    @abc.abstractmethod
    def log_prob(self, value: PyTree[Array]) -> Scalar:
        """The log-density (or log-mass) of one value, in nats: a scalar."""

    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[PyTree[Array], Scalar]:
        """One draw and its log-density, together where that is cheaper."""
        value = self.sample(key)
        return value, self.log_prob(value)

    def enumerate_support(self) -> PyTree[Array] | None:
        """Every value there is, stacked on a leading axis; None where they cannot be listed."""
        return None

    def marginal(self, mask: PyTree[Bool[Array, "..."]]) -> "Distribution":
        """The distribution of the cells where `mask` is true, the others summed out exactly.

        Raises:
            TypeError: if the marginal has no exact form here.
        """
        raise TypeError(
            f"{type(self).__name__} has no exact marginal, so cells of it cannot be missing: use a "
            "distribution that factorises over cells, or define marginal(mask)"
        )

    def kl(self, other: "Distribution") -> Scalar | None:
        """KL(self || other) in nats, in closed form; None where there is none."""
        return None

    def mean(self) -> PyTree[Array] | None:
        """The mean, of the shape of a draw; None where there is no closed form."""
        return None

    @property
    def on_reals(self) -> bool:
        """Whether every value of this shape has a density above 0: so a latent may be moved anywhere."""
        return True

    def spread(self, factor: float | Array) -> "Distribution | None":
        """The distribution `factor` times as wide about its centre: a proposal that goes further out.

        None where that has no meaning (a discrete distribution) or is not known.
        """
        return None


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

    def __init__(self, base: npd.Distribution):
        while isinstance(base, npd.Independent):
            base = base.base_dist
        self.base = base

    @property
    def reparameterised(self) -> bool:
        return bool(self.base.has_rsample)

    def sample(self, key: PRNGKeyArray) -> Array:
        return jnp.asarray(self.base.sample(key))

    def log_prob(self, value: Array | Observed) -> Scalar:
        if isinstance(value, Observed):
            return self.marginal(value.mask).log_prob(value.value)
        return jnp.sum(self._cells(value))

    def _cells(self, value: Array) -> Array:
        expected, got = self.base.shape(), jnp.shape(value)
        if expected != got:
            raise ValueError(
                f"{type(self.base).__name__} expected a value of shape {expected}, got {got}: "
                "make the parameters' shape that of the value, since nothing is broadcast"
            )
        return jnp.asarray(self.base.log_prob(value))

    def enumerate_support(self) -> Array | None:
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
        if self.base.event_shape != ():
            raise TypeError(
                f"{type(self.base).__name__} does not factorise over its cells, so none of them can "
                "be missing: use independent cells, or drop the rows with missing ones"
            )
        return _Masked(self, mask)

    def kl(self, other: Distribution) -> Scalar | None:
        if not isinstance(other, Numpyro) or self.base.shape() != other.base.shape():
            return None
        try:
            return jnp.sum(kl_divergence(self.base, other.base))
        except NotImplementedError:
            return None

    def mean(self) -> Array | None:
        try:
            mean = jnp.asarray(self.base.mean)
        except NotImplementedError:
            return None
        is_category = isinstance(self.base, npd.CategoricalLogits | npd.CategoricalProbs)
        return None if is_category else jnp.broadcast_to(mean, self.base.shape())

    def spread(self, factor: float | Array) -> Distribution | None:
        centre = getattr(self.base, "loc", None)
        centre = self.mean() if centre is None else jnp.broadcast_to(centre, self.base.shape())
        if centre is None or not self.on_reals:
            return None
        return _Spread(self, jnp.where(jnp.isfinite(centre), centre, 0.0), factor)

    @property
    def on_reals(self) -> bool:
        support: Any = self.base.support
        while hasattr(support, "base_constraint"):  # of each cell of a vector
            support = support.base_constraint
        return isinstance(support, type(npd.constraints.real))


class _Spread(Distribution):
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


class _Masked(Distribution):
    """Independent cells, of which only those where `mask` is true count."""

    of: Numpyro
    mask: Bool[Array, "..."]

    @property
    def reparameterised(self) -> bool:
        return self.of.reparameterised

    def sample(self, key: PRNGKeyArray) -> Array:
        return self.of.sample(key)

    def log_prob(self, value: Array) -> Scalar:
        # A cell that is not counted is first moved inside the support: `where` alone would let an
        # infinite derivative through as 0 * inf.
        support = self.of.base.support
        inside = jnp.zeros_like(value) if support is None else support.feasible_like(jnp.zeros_like(value))
        cells = self.of._cells(jnp.where(self.mask, value, inside))
        return jnp.sum(jnp.where(self.mask, cells, 0.0))


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
        return self.flow.log_prob(value, condition=self.condition)

    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[Array, Scalar]:
        return self.flow.sample_and_log_prob(key, condition=self.condition)

    def spread(self, factor: float | Array) -> "Distribution | None":
        from flowjax.bijections import Affine
        from flowjax.distributions import AbstractTransformed, Transformed

        if not isinstance(self.flow, AbstractTransformed):
            return None
        # Of the noise that the flow transforms: what it does to the shape of the latent is kept.
        base = self.flow.base_dist
        wide = Transformed(base, Affine(scale=jnp.broadcast_to(factor, base.shape)))
        return Flow(Transformed(wide, self.flow.bijection), self.condition)


class Chain(Distribution):
    """A hierarchy: p(z_1) p(z_2 | z_1) ... p(z_L | z_1, ..., z_{L-1}).

    A value is the tuple (z_1, ..., z_L). The later layers are held as functions of the earlier ones,
    so that `log_prob` computes again what depends on them.

    Args:
        first: the distribution of z_1.
        rest: for each later layer, a function of the tuple of the layers before it that returns a
            distribution (numpyro's serve).
    """

    first: Distribution
    rest: tuple[Callable[[tuple], Any], ...]

    def __init__(self, first: Any, rest: tuple[Callable[[tuple], Any], ...]):
        self.first = as_distribution(first, "the first layer")
        self.rest = tuple(rest)

    def _layer(self, depth: int, above: tuple) -> Distribution:
        if depth == 0:
            return self.first
        return as_distribution(self.rest[depth - 1](above), f"layer {depth + 1}")

    @property
    def reparameterised(self) -> bool:
        return all(layer.reparameterised for layer in self._layers())

    @property
    def on_reals(self) -> bool:
        return all(layer.on_reals for layer in self._layers())

    def _layers(self) -> Iterator[Distribution]:
        # A later layer can only be asked once the ones before it have a value.
        above, key = (), jax.random.key(0)
        for depth in range(1 + len(self.rest)):
            layer = self._layer(depth, above)
            yield layer
            above = (*above, layer.sample(key))

    def sample(self, key: PRNGKeyArray) -> tuple:
        return self.sample_and_log_prob(key)[0]

    def log_prob(self, value: tuple) -> Scalar:
        if len(value) != 1 + len(self.rest):
            raise ValueError(f"Chain expected {1 + len(self.rest)} layers, got {len(value)}")
        terms = [self._layer(i, value[:i]).log_prob(z) for i, z in enumerate(value)]
        return jnp.sum(jnp.stack(terms))

    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[tuple, Scalar]:
        value, total = (), jnp.zeros(())
        for depth, layer_key in enumerate(jax.random.split(key, 1 + len(self.rest))):
            z, log_density = self._layer(depth, value).sample_and_log_prob(layer_key)
            value, total = (*value, z), total + log_density
        return value, total

    def spread(self, factor: float | Array) -> Distribution | None:
        def wider(layer: Distribution) -> Distribution:
            return layer.spread(factor) or layer

        def after(function: Callable[[tuple], Any]) -> Callable[[tuple], Any]:
            return lambda above: wider(as_distribution(function(above), "a layer"))

        return Chain(wider(self.first), tuple(after(function) for function in self.rest))


class Product(Distribution):
    """Independent blocks: the density of a dictionary is the product over its entries.

    Args:
        blocks: a distribution for each name; a value is a dictionary with the same names, each entry
            an array or an `Observed`.
    """

    blocks: dict[str, Distribution]

    @property
    def reparameterised(self) -> bool:
        return all(block.reparameterised for block in self.blocks.values())

    @property
    def on_reals(self) -> bool:
        return all(block.on_reals for block in self.blocks.values())

    def sample(self, key: PRNGKeyArray) -> dict[str, Any]:
        keys = jax.random.split(key, len(self.blocks))
        return {name: d.sample(k) for (name, d), k in zip(self.blocks.items(), keys, strict=True)}

    def log_prob(self, value: dict[str, Any]) -> Scalar:
        self._require_names(value)
        return jnp.sum(jnp.stack([d.log_prob(value[name]) for name, d in self.blocks.items()]))

    def _require_names(self, value: dict[str, Any]) -> None:
        if not isinstance(value, dict) or set(value) != set(self.blocks):
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise ValueError(f"Product expected a dictionary of {sorted(self.blocks)}, got {got}")

    def marginal(self, mask: dict[str, Any]) -> "Product":
        return Product({name: d.marginal(mask[name]) for name, d in self.blocks.items()})

    def kl(self, other: Distribution) -> Scalar | None:
        if not isinstance(other, Product) or set(other.blocks) != set(self.blocks):
            return None
        terms = [d.kl(other.blocks[name]) for name, d in self.blocks.items()]
        known = [term for term in terms if term is not None]
        return jnp.sum(jnp.stack(known)) if len(known) == len(terms) else None

    def spread(self, factor: float | Array) -> Distribution | None:
        wider = {name: d.spread(factor) for name, d in self.blocks.items()}
        if all(block is None for block in wider.values()):
            return None
        return Product({name: wider[name] or block for name, block in self.blocks.items()})

    def mean(self) -> dict[str, Any] | None:
        means = {name: d.mean() for name, d in self.blocks.items()}
        return None if any(mean is None for mean in means.values()) else means
