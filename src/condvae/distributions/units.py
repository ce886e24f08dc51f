"""Numbers in units of their own: a count that is looked at standardised is a count all the same."""

# numpyro's own distributions differ in what their methods' arguments are called.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, PRNGKeyArray

from condvae.distributions.counts import Hurdle

NEXT_TO = 1e-6
"""Of the unit, within which a number is 0, after single precision."""

FARTHEST_COUNT = 1e9
"""Beyond it distribution functions of counts are 1."""

_WHOLE = tuple(map(type, (npd.constraints.nonnegative_integer, npd.constraints.integer_interval(0, 1))))


class InUnits(npd.Distribution):
    """v = (x − shift) / scale, x from another distribution: its support in other units.

    The probability of a value stays what it is; of densities those of v: log p(v) = log p(x) + log scale.

    Args:
        base_dist: of x: counts, levels, numbers above 0 or in (0, 1), or a `Hurdle`.
        shift: of each cell.
        scale: of each cell, above 0.

    Example:
        >>> import numpyro.distributions as npd
        >>> from condvae.distributions.counts import Poisson
        >>> from condvae.distributions.units import InUnits
        >>> counts = InUnits(Poisson(2.0), shift=4.0, scale=2.0)
        >>> bool(counts.log_prob(-0.5) == Poisson(2.0).log_prob(3.0))
        True
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    pytree_data_fields = ("base_dist", "shift", "scale")

    def __init__(self, base_dist: npd.Distribution, shift: Any, scale: Any):
        self.base_dist, self.shift, self.scale = base_dist, jnp.asarray(shift), jnp.asarray(scale)
        super().__init__(base_dist.batch_shape, ())

    @property
    def whole(self) -> bool:
        """Whether x is a whole number."""
        return isinstance(self.base_dist.support, _WHOLE)

    @property
    def has_rsample(self) -> bool:
        return bool(self.base_dist.has_rsample)

    @property
    def support(self) -> npd.constraints.Constraint:
        return _Within(self)

    def raw(self, value: Array) -> Array:
        """x of a v; single precision leaves whole numbers and 0 beside themselves."""
        x = value * self.scale + self.shift
        if self.whole:
            return jnp.rint(x)
        return jnp.where(jnp.abs(x) <= NEXT_TO * self.scale, 0.0, x) if self._has_zero else x

    @property
    def _has_zero(self) -> bool:
        return isinstance(self.base_dist, Hurdle) and not self.whole

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        return (jnp.asarray(self.base_dist.sample(key, sample_shape)) - self.shift) / self.scale

    def log_prob(self, value: Any) -> Array:
        x = self.raw(jnp.asarray(value))
        log_prob = jnp.asarray(self.base_dist.log_prob(x))
        if self.whole:
            return log_prob
        dense = log_prob + jnp.log(self.scale)
        return jnp.where(x == 0, log_prob, dense) if self._has_zero else dense

    def cdf(self, value: Any) -> Array:
        """P(v' ≤ value)."""
        x = jnp.asarray(value) * self.scale + self.shift
        if self.whole:
            x = jnp.clip(jnp.floor(x + 1e-3), -FARTHEST_COUNT, FARTHEST_COUNT)
        elif self._has_zero:
            x = jnp.where(jnp.abs(x) <= NEXT_TO * self.scale, jnp.abs(x), x)
        support: Any = self.base_dist.support
        high = getattr(support, "upper_bound", None)
        if self.whole and high is not None:  # levels, which begin anywhere
            return jnp.asarray(self.base_dist.cdf(x))
        below = self.base_dist.cdf(jnp.clip(x, 0.0, jnp.inf if high is None else high))
        return jnp.where(x < 0, 0.0, below)

    @property
    def mean(self) -> Array:
        return (jnp.asarray(self.base_dist.mean) - self.shift) / self.scale


class _Within(npd.constraints.Constraint):
    """What x may be, of v."""

    def __init__(self, of: InUnits):
        self.of = of

    def __call__(self, x: Any) -> Array:
        support: Any = self.of.base_dist.support
        return support(self.of.raw(x))

    def feasible_like(self, prototype: Any) -> Array:
        base: Any = self.of.base_dist.support
        return (base.feasible_like(prototype * self.of.scale) - self.of.shift) / self.of.scale

    def tree_flatten(self) -> Any:
        return (self.of,), ((), {})


class Levels(npd.Distribution):
    """Whole numbers from `low`, by the probability of each.

    Args:
        logits: of each, (..., levels); of levels that a cell lacks very small.
        low: the least of each cell.
        high: the greatest.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    pytree_data_fields = ("logits", "low", "high")

    def __init__(self, logits: Any, low: Any, high: Any):
        self.logits = jax.nn.log_softmax(logits)
        shape = self.logits.shape[:-1]
        self.low, self.high = (jnp.broadcast_to(end, shape).astype(logits.dtype) for end in (low, high))
        super().__init__(shape, ())

    @property
    def has_rsample(self) -> bool:
        return False

    @property
    def support(self) -> npd.constraints.Constraint:
        return npd.constraints.integer_interval(self.low, self.high)

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        return self.low + jax.random.categorical(key, self.logits, shape=sample_shape + self.batch_shape)

    def log_prob(self, value: Any) -> Array:
        code = jnp.rint(jnp.asarray(value) - self.low).astype(int)
        inside = (code >= 0) & (code <= self.high - self.low)
        hot = jnp.arange(self.logits.shape[-1]) == jnp.where(inside, code, 0)[..., None]
        return jnp.where(inside, jnp.sum(jnp.where(hot, self.logits, 0.0), axis=-1), -jnp.inf)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        up_to = jnp.arange(self.logits.shape[-1]) <= (jnp.asarray(value) - self.low)[..., None]
        return jnp.sum(jnp.where(up_to, jnp.exp(self.logits), 0.0), axis=-1)

    @property
    def mean(self) -> Array:
        return self.low + jnp.exp(self.logits) @ jnp.arange(self.logits.shape[-1], dtype=self.logits.dtype)
