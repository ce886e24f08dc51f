"""Distributions made of others: hierarchies, independent blocks, and cells of several kinds."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from condvae.distributions.adapters import as_distribution
from condvae.distributions.protocol import MAX_SUPPORT, Distribution, Scalar
from condvae.distributions.support import Support, joined
from condvae.observed import Observed


def _ways(parts: Iterable[Distribution]) -> int | None:
    """The branches of several distributions together."""
    each = [part.branches for part in parts]
    known = [count for count in each if count is not None]
    if len(known) < len(each) or math.prod(known) > MAX_SUPPORT:
        return None
    return math.prod(known)


def _support(whole: Distribution, parts: Iterable[Distribution]) -> PyTree[Array] | None:
    """Every value there is, where each part can be listed: in no branch anything is left to draw."""
    count = whole.branches
    if count is None or any(part.enumerate_support() is None for part in parts):
        return None
    key = jax.random.key(0)
    return jax.vmap(lambda index: whole.sample_branch(index, key)[0])(jnp.arange(count))


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

    @property
    def num_layers(self) -> int:
        """L."""
        return 1 + len(self.rest)

    def layer(self, depth: int, above: tuple) -> Distribution:
        """p(z_{depth+1} | z_1, ..., z_depth): the first layer is at depth 0, and has nothing above it."""
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
        for depth in range(self.num_layers):
            layer = self.layer(depth, above)
            yield layer
            above = (*above, layer.sample(key))

    def sample(self, key: PRNGKeyArray) -> tuple:
        return self.sample_and_log_prob(key)[0]

    def log_prob(self, value: tuple) -> Scalar:
        if len(value) != self.num_layers:
            raise ValueError(f"Chain expected {self.num_layers} layers, got {len(value)}")
        terms = [self.layer(i, value[:i]).log_prob(z) for i, z in enumerate(value)]
        return jnp.sum(jnp.stack(terms))

    def terms(self, value: tuple) -> Array:
        return jnp.concatenate([self.layer(i, value[:i]).terms(z) for i, z in enumerate(value)])

    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[tuple, Scalar]:
        value, total = (), jnp.zeros(())
        for depth, layer_key in enumerate(jax.random.split(key, self.num_layers)):
            z, log_density = self.layer(depth, value).sample_and_log_prob(layer_key)
            value, total = (*value, z), total + log_density
        return value, total

    def reparameterised_at(self, value: tuple) -> tuple | None:
        above: tuple = ()
        for depth, z in enumerate(value):
            # The noise is that of this value given those above as they are; they carry gradients on.
            layer = self.layer(depth, above).reparameterised_at(z)
            if layer is None:
                return None
            above = (*above, layer)
        return above

    @property
    def branches(self) -> int | None:
        return _ways(self._layers())

    def sample_branch(self, index: Int[Array, ""], key: PRNGKeyArray) -> tuple[tuple, Scalar]:
        value, share = (), jnp.zeros(())
        for depth, layer_key in enumerate(jax.random.split(key, self.num_layers)):
            layer = self.layer(depth, value)
            count = layer.branches or 1
            z, layer_share = layer.sample_branch(index % count, layer_key)
            value, share, index = (*value, z), share + layer_share, index // count
        return value, share

    def enumerate_support(self) -> tuple | None:
        return _support(self, self._layers())

    def unconstrained(self) -> tuple[PyTree[Array], Callable[[PyTree[Array]], Distribution]]:
        # What a layer's parameters are depends on the layers above: what is free is what is added to them.
        offsets = tuple(jax.tree.map(jnp.zeros_like, layer.unconstrained()[0]) for layer in self._layers())

        def moved(layer: Distribution, offset: PyTree[Array]) -> Distribution:
            parameters, rebuild = layer.unconstrained()
            return rebuild(jax.tree.map(jnp.add, parameters, offset))

        def rebuild(offsets: tuple) -> Distribution:
            rest = tuple(
                lambda above, function=function, shift=shift: moved(as_distribution(function(above)), shift)
                for function, shift in zip(self.rest, offsets[1:], strict=True)
            )
            return Chain(moved(self.first, offsets[0]), rest)

        return offsets, rebuild

    def widened(self, factor: float | Array) -> Distribution | None:
        def wider(layer: Distribution) -> Distribution:
            return layer.widened(factor) or layer

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

    def terms(self, value: dict[str, Any]) -> Array:
        self._require_names(value)
        return jnp.concatenate([self.blocks[name].terms(value[name]) for name in sorted(self.blocks)])

    def _require_names(self, value: dict[str, Any]) -> None:
        if not isinstance(value, dict) or set(value) != set(self.blocks):
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise ValueError(f"Product expected a dictionary of {sorted(self.blocks)}, got {got}")

    def _of_each(self, function: Callable[[str, Distribution], Any]) -> dict[str, Any] | None:
        """What the function gives for each block; None where it is None for one."""
        results = {name: function(name, block) for name, block in self.blocks.items()}
        return None if any(result is None for result in results.values()) else results

    def reparameterised_at(self, value: dict[str, Any]) -> dict[str, Any] | None:
        return self._of_each(lambda name, block: block.reparameterised_at(value[name]))

    def marginal(self, mask: dict[str, Any]) -> "Product":
        return Product({name: d.marginal(mask[name]) for name, d in self.blocks.items()})

    def conditional(self, value: dict[str, Any], mask: dict[str, Any]) -> "Product":
        return Product({name: d.conditional(value[name], mask[name]) for name, d in self.blocks.items()})

    def between(self, low: dict[str, Any], high: dict[str, Any], doubt: dict[str, Any]) -> "Product":
        limits = {name: (low[name], high[name], doubt[name]) for name in self.blocks}
        return Product({name: d.between(*limits[name]) for name, d in self.blocks.items()})

    def kl(self, other: Distribution) -> Scalar | None:
        if not isinstance(other, Product) or set(other.blocks) != set(self.blocks):
            return None
        terms = [d.kl(other.blocks[name]) for name, d in self.blocks.items()]
        known = [term for term in terms if term is not None]
        return jnp.sum(jnp.stack(known)) if len(known) == len(terms) else None

    def unconstrained(self) -> tuple[PyTree[Array], Callable[[PyTree[Array]], Distribution]]:
        parts = {name: block.unconstrained() for name, block in self.blocks.items()}

        def rebuild(parameters: dict[str, PyTree[Array]]) -> Distribution:
            return Product({name: back(parameters[name]) for name, (_, back) in parts.items()})

        return {name: parameters for name, (parameters, _) in parts.items()}, rebuild

    def widened(self, factor: float | Array) -> Distribution | None:
        wider = {name: d.widened(factor) for name, d in self.blocks.items()}
        if all(block is None for block in wider.values()):
            return None
        return Product({name: wider[name] or block for name, block in self.blocks.items()})

    @property
    def branches(self) -> int | None:
        return _ways(self.blocks.values())

    def sample_branch(self, index: Int[Array, ""], key: PRNGKeyArray) -> tuple[dict[str, Any], Scalar]:
        value, share = {}, jnp.zeros(())
        keys = jax.random.split(key, len(self.blocks))
        for (name, block), block_key in zip(self.blocks.items(), keys, strict=True):
            count = block.branches or 1
            value[name], block_share = block.sample_branch(index % count, block_key)
            share, index = share + block_share, index // count
        return value, share

    def support(self) -> dict[str, Any]:
        return {name: block.support() for name, block in self.blocks.items()}

    def enumerate_support(self) -> dict[str, Any] | None:
        return _support(self, self.blocks.values())

    def mean(self) -> dict[str, Any] | None:
        return self._of_each(lambda _, block: block.mean())

    def location(self) -> dict[str, Any] | None:
        return self._of_each(lambda _, block: block.location())

    def cdf(self, value: dict[str, Any]) -> dict[str, Any] | None:
        return self._of_each(lambda name, block: block.cdf(value[name]))


class Cells(Distribution):
    """One vector of independent cells, some of one distribution and some of another.

    Args:
        parts: distributions over vectors.
        places: for each, where its cells stand in the whole.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as npd
        >>> from condvae.distributions import Cells, Numpyro
        >>> parts = Numpyro(npd.Normal(jnp.zeros(2), 1.0)), Numpyro(npd.Poisson(jnp.ones(1)))
        >>> round(float(Cells(parts, ((0, 2), (1,))).log_prob(jnp.array([0.0, 3.0, 0.0]))), 4)
        -4.6296
    """

    parts: tuple[Distribution, ...]
    places: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    @property
    def reparameterised(self) -> bool:
        return all(part.reparameterised for part in self.parts)

    @property
    def on_reals(self) -> bool:
        return all(part.on_reals for part in self.parts)

    def sample(self, key: PRNGKeyArray) -> Array:
        keys = jax.random.split(key, len(self.parts))
        return self._joined([part.sample(k) for part, k in zip(self.parts, keys, strict=True)])

    def log_prob(self, value: Array | Observed) -> Scalar:
        if isinstance(value, Observed):
            return self.marginal(value.mask).log_prob(value.value)
        return jnp.sum(self.terms(value))

    def terms(self, value: Array | Observed) -> Array:
        if isinstance(value, Observed):
            return self.marginal(value.mask).terms(value.value)
        size = sum(map(len, self.places))
        if jnp.shape(value) != (size,):
            raise ValueError(f"Cells expected a value of shape ({size},), got {jnp.shape(value)}")
        return self._joined([part.terms(cells) for part, cells in self._split(value)])

    def marginal(self, mask: Array) -> "Cells":
        return Cells(tuple(part.marginal(cells) for part, cells in self._split(mask)), self.places)

    def conditional(self, value: Array, mask: Array) -> "Cells":
        pairs = zip(self._split(value), self._split(mask), strict=True)
        return Cells(
            tuple(part.conditional(cells, seen) for (part, cells), (_, seen) in pairs), self.places
        )

    def between(self, low: Array, high: Array, doubt: Array) -> "Cells":
        parts = [
            part.between(*(jnp.asarray(limit)[np.array(places)] for limit in (low, high, doubt)))
            for part, places in zip(self.parts, self.places, strict=True)
        ]
        return Cells(tuple(parts), self.places)

    def support(self) -> Support | None:
        return joined([part.support() for part in self.parts], self.places)

    def mean(self) -> Array | None:
        return self._joined([part.mean() for part in self.parts])

    def location(self) -> Array | None:
        return self._joined([part.location() for part in self.parts])

    def cdf(self, value: Array) -> Array | None:
        return self._joined([part.cdf(cells) for part, cells in self._split(value)])

    def _split(self, whole: Array) -> list[tuple[Distribution, Array]]:
        whole = jnp.asarray(whole)
        return [
            (part, whole[..., np.array(places)])
            for part, places in zip(self.parts, self.places, strict=True)
        ]

    def _joined(self, results: list[Any]) -> Any:
        """Cells of the parts in the order of the whole; None where one of them has none."""
        if any(result is None for result in results):
            return None
        order = np.argsort([place for places in self.places for place in places])
        return jnp.concatenate(results, axis=-1)[..., order]
