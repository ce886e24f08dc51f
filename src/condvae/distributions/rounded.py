"""The mass of intervals: values that were rounded, cut off, or recorded at a limit.

What is known of a cell is often that it lies in an interval. Its probability is the mass of that interval,
which is bounded by 1 where a density is not: a model of rounded values that narrows upon one of them gains
nothing beyond certainty.
"""

# numpyro's own distributions differ in what their methods' arguments are called.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.nn import log_sigmoid
from jax.scipy.special import log_ndtr
from jaxtyping import Array, PRNGKeyArray

NODES, NODES_OF_TAILS = 16, 32
"""Of each half of an interval whose mass is a sum (Gauss and Legendre): of a narrow one, and of any, where
the tails of the family are not known."""

MEAN_STEPS = 8
"""Steps to each side of which the mean of rounded values is a sum; beyond them it is an integral."""

NARROW = 0.5
"""Half the width of an interval, in scales, below which its nodes are spread evenly over it."""

FARTHEST, BISECTIONS = 100.0, 45
"""How far, in scales, draws within limits are looked for, and how often their place is halved."""

KNOWN_TAILS = (npd.Normal, npd.Logistic, npd.Laplace)
"""Families whose tails are known as logarithms, however far out."""


def log_cdf(base: Any, value: Array) -> Array:
    """log P(x ≤ value), without underflow, of a Normal, Logistic or Laplace.

    Raises:
        TypeError: for another family.

    Example:
        >>> import numpyro.distributions as npd
        >>> round(float(log_cdf(npd.Normal(0.0, 1.0), -40.0)), 2)  # its exponential is 0 in float32
        -804.61
    """
    family: Any = type(base)
    if not issubclass(family, KNOWN_TAILS):
        raise TypeError(
            f"the tails of {type(base).__name__} are not known: use Normal, Logistic or Laplace"
        )
    value = jnp.asarray(value, jnp.result_type(float, base.loc))
    endless = jnp.isinf(value)
    # Of an end that is infinite the slope is 0, where the formulas have 0 * inf.
    unit = (jnp.where(endless, base.loc, value) - base.loc) / jnp.asarray(base.scale)
    return jnp.where(endless, jnp.where(value > 0, 0.0, -jnp.inf), _log_cdf_of_unit(family, unit))


def _log_cdf_of_unit(family: Any, unit: Array) -> Array:
    if issubclass(family, npd.Normal):
        return log_ndtr(unit)
    if issubclass(family, npd.Logistic):
        return log_sigmoid(unit)
    low, high = jnp.minimum(unit, 0.0), jnp.maximum(unit, 0.0)
    return jnp.where(unit < 0, low - jnp.log(2.0), jnp.log1p(-0.5 * jnp.exp(-high)))


def _mirrored(base: Any) -> Any:
    """The distribution of −x."""
    return type(base)(-base.loc, base.scale)


def log_survival(base: Any, value: Array) -> Array:
    """log P(x > value), likewise."""
    return log_cdf(_mirrored(base), -value)


def log_mass(base: Any, middle: Array, width: Array) -> Array:
    """log P(|x − middle| < width / 2) of any family with a location and a scale, for a width above 0.

    A sum over Gauss and Legendre's nodes on each side of the location, or of the middle: evenly where the
    interval is narrow, and after x = location + scale · sinh(v) where it is wide, so that a narrow peak in
    it is not missed. To 1e-4 where the mass is above e⁻⁵⁰ and the width at most 1,000 scales, and finite
    far beyond.
    """
    loc, scale = jnp.asarray(base.loc), jnp.asarray(base.scale)
    middle, half = jnp.broadcast_arrays((middle - loc) / scale, 0.5 * width / scale)
    known = issubclass(type(base), KNOWN_TAILS)  # of which this is asked for narrow intervals alone
    points, weights = np.polynomial.legendre.leggauss(NODES if known else NODES_OF_TAILS)
    tail = (1,) * middle.ndim
    points = jnp.asarray(0.5 + 0.5 * points, middle.dtype).reshape(-1, *tail)
    log_weights = jnp.asarray(np.log(0.5 * weights), middle.dtype).reshape(-1, *tail)
    narrow = half < NARROW
    split = jnp.clip(-middle, -half, half)  # where the location is, from the middle
    by_sinh = [jnp.arcsinh(middle + end) for end in (-half, split, half)]
    terms = []
    for i, (start, end) in enumerate([(-half, split), (split, half)]):
        length = jnp.where(narrow, end - start, by_sinh[i + 1] - by_sinh[i])
        v = by_sinh[i] + points * (by_sinh[i + 1] - by_sinh[i])
        at = jnp.where(narrow, middle + start + points * (end - start), jnp.sinh(v))
        log_step = log_weights + jnp.log(jnp.maximum(length, 1e-30))
        log_slope = jnp.where(narrow, 0.0, jnp.log(jnp.cosh(v)))
        terms.append(base.log_prob(loc + scale * at) + jnp.log(scale) + log_step + log_slope)
    return jnp.minimum(jax.nn.logsumexp(jnp.concatenate(terms), axis=0), 0.0)


def log_between(base: Any, low: Array, high: Array) -> Array:
    """log P(low < x < high) of a Normal, Logistic or Laplace, low < high, either of them finite or not.

    Exact however far out the interval lies: by the difference of two tails, the lesser of which is taken;
    where the interval is narrow, by `log_mass`.
    """
    loc, scale = jnp.asarray(base.loc), jnp.asarray(base.scale)
    low, high = jnp.broadcast_arrays(jnp.asarray(low, loc.dtype), jnp.asarray(high, loc.dtype))
    upper = low + high > 2.0 * loc  # most of it lies above the centre: count from the other side
    inner = jnp.where(upper, log_survival(base, low), log_cdf(base, high))
    outer = jnp.where(upper, log_survival(base, high), log_cdf(base, low))
    narrow = high - low < 2.0 * NARROW * scale
    # A branch that is not taken is given what it can take, for the sake of the gradient.
    wide = inner + jax.nn.log1mexp(jnp.where(narrow, 1.0, inner - outer))
    ends = jnp.where(narrow, low, loc - scale), jnp.where(narrow, high, loc + scale)
    return jnp.where(narrow, log_mass(base, 0.5 * (ends[0] + ends[1]), ends[1] - ends[0]), wide)


class Rounded(npd.Distribution):
    """What another distribution gives, recorded to a step: P(v) = P(v − w/2 < x < v + w/2).

    A probability, and at most 1; `log_prob(v) − log w` is the density that goes with it, in which such a
    column compares with one that is taken as continuous.

    Args:
        base_dist: a distribution with a location and a scale (Normal, StudentT, Logistic, Laplace).
        width: w, the step to which values are recorded, above 0.
        origin: one of the values that there are; the others are whole steps away.

    Source: Heitjan 1989 (grouped data).

    Example:
        >>> import numpyro.distributions as npd
        >>> from condvae.distributions.rounded import Rounded
        >>> round(float(Rounded(npd.Normal(0.0, 1.0), 2.0).log_prob(0.0)), 4)  # log P(-1 < x < 1)
        -0.3817
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support: Any = npd.constraints.real
    pytree_data_fields = ("base_dist", "width", "origin")

    def __init__(self, base_dist: npd.Distribution, width: Any, origin: Any = 0.0):
        for name in ("loc", "scale"):
            if not hasattr(base_dist, name):
                raise TypeError(
                    f"{type(base_dist).__name__} has no {name}, so values of it cannot be rounded: use "
                    "Normal, StudentT, Logistic or Laplace"
                )
        self.base_dist, self.width, self.origin = base_dist, width, origin
        super().__init__(base_dist.batch_shape, ())

    @property
    def has_rsample(self) -> bool:
        return False

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        return self._nearest(jnp.asarray(self.base_dist.sample(key, sample_shape)))

    def _nearest(self, value: Array) -> Array:
        return self.origin + self.width * jnp.rint((value - self.origin) / self.width)

    def log_prob(self, value: Any) -> Array:
        base: Any = self.base_dist
        value, width = jnp.asarray(value), jnp.asarray(self.width)
        if not issubclass(type(base), KNOWN_TAILS):
            return log_mass(base, value, width)
        narrow = width < 2.0 * NARROW * jnp.asarray(base.scale)
        half = 0.5 * jnp.where(narrow, base.scale, width)
        wide = log_between(base, value - half, value + half)
        return jnp.where(narrow, log_mass(base, value, jnp.where(narrow, width, 1e-3 * base.scale)), wide)

    @property
    def mean(self) -> Array:
        """By the tails to each side of m, the value nearest to the location l, of a symmetric family:

            E[v] = m + w Σ_k≥0 [P(x > m + (k + ½) w) − P(x < m − (k + ½) w)],

        in which the sum from k = K on is ∫ P(x > l + u) du from K w − (l − m) to K w + (l − m), to
        5e-4 of a step at most, at any scale.
        """
        base: Any = self.base_dist
        loc, width = jnp.asarray(base.loc), jnp.asarray(self.width)
        middle = self._nearest(loc)
        off = loc - middle
        ends = (jnp.arange(MEAN_STEPS) + 0.5).reshape(-1, *(1,) * middle.ndim) * width
        # P(x > l + u) = P(x < l − u): small numbers, and not 1 less a large one.
        summed = width * jnp.sum(base.cdf(loc + off - ends) - base.cdf(middle - ends), axis=0)
        points, weights = np.polynomial.legendre.leggauss(5)
        points = jnp.asarray(points, off.dtype).reshape(-1, *(1,) * middle.ndim)
        beyond = base.cdf(loc - MEAN_STEPS * width - points * off)
        weights = jnp.asarray(weights, off.dtype)
        return middle + summed + off * jnp.tensordot(weights, beyond, axes=1)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value): all that rounds to the step at or below it."""
        step = self.origin + self.width * jnp.floor((value - self.origin) / self.width + 1e-4)
        return self.base_dist.cdf(step + 0.5 * self.width)


class _Limited(npd.Distribution):
    """A distribution whose values end at limits, the same for all cells."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    pytree_data_fields = ("base_dist",)
    pytree_aux_fields = ("low", "high")

    def __init__(self, base_dist: npd.Distribution, low: float = -np.inf, high: float = np.inf):
        if not low < high:
            raise ValueError(f"low is {low} and high {high}: give a low below the high")
        if not isinstance(base_dist, KNOWN_TAILS):
            raise TypeError(
                f"{type(base_dist).__name__} cannot be cut off here: use Normal, Logistic or Laplace"
            )
        self.base_dist, self.low, self.high = base_dist, float(low), float(high)
        super().__init__(base_dist.batch_shape, ())

    @property
    def support(self) -> npd.constraints.Constraint:
        if np.isinf(self.low) and np.isinf(self.high):
            return npd.constraints.real
        if np.isinf(self.high):
            return npd.constraints.greater_than_eq(self.low)
        if np.isinf(self.low):
            return npd.constraints.less_than_eq(self.high)
        return npd.constraints.interval(self.low, self.high)

    @property
    def _somewhere(self) -> Array:
        """A number within the limits, a scale from the one that there is."""
        base: Any = self.base_dist
        if np.isfinite(self.low) and np.isfinite(self.high):
            return jnp.asarray(0.5 * (self.low + self.high))
        if np.isfinite(self.low):
            return self.low + jnp.asarray(base.scale)
        return self.high - jnp.asarray(base.scale) if np.isfinite(self.high) else jnp.asarray(base.loc)

    def _inside(self) -> tuple[Array, Array]:
        """The log-mass between the limits, and the base's mean there times it (of a Normal)."""
        base: Any = self.base_dist
        log_inside = log_between(base, jnp.asarray(self.low), jnp.asarray(self.high))
        if not issubclass(type(base), npd.Normal):  # so says numpyro that there is no closed form
            raise NotImplementedError("the mean of what is cut off is known of a Normal")
        low, high = (
            jnp.exp(base.log_prob(end) - log_inside) if np.isfinite(end) else 0.0
            for end in (self.low, self.high)
        )
        return log_inside, base.loc + jnp.square(base.scale) * (low - high)


class Truncated(_Limited):
    """What another distribution gives within limits: p(x) / P(low < x < high), and nothing outside.

    Args:
        base_dist: Normal, Logistic or Laplace.
        low: below it nothing is ever recorded.
        high: likewise above.

    Example:
        >>> import numpyro.distributions as npd
        >>> from condvae.distributions.rounded import Truncated
        >>> half = Truncated(npd.Normal(0.0, 1.0), low=0.0)
        >>> round(float(half.log_prob(0.0) - half.base_dist.log_prob(0.0)), 4)  # log 2
        0.6931
    """

    @property
    def has_rsample(self) -> bool:
        return False

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        base: Any = self.base_dist
        shape = sample_shape + self.batch_shape
        log_u = jnp.log(jax.random.uniform(key, shape, jnp.result_type(float, base.loc), minval=1e-7))
        log_total = log_between(base, jnp.asarray(self.low), jnp.asarray(self.high))
        # The side that is counted from is the one farther out, where logarithms are exact.
        upper = base.loc < 0.5 * (max(self.low, -1e30) + min(self.high, 1e30))
        reach = FARTHEST * base.scale
        low = jnp.maximum(self.low, jnp.minimum(base.loc, self.high) - reach)
        high = jnp.minimum(self.high, jnp.maximum(base.loc, self.low) + reach)

        def halve(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            middle = 0.5 * (ends[0] + ends[1])
            above = log_between(base, middle, jnp.asarray(self.high))
            below = log_between(base, jnp.asarray(self.low), middle)
            # P(x > middle) > u · total, or P(x < middle) < u · total: the draw lies above.
            up = jnp.where(upper, above - log_total > log_u, below - log_total < log_u)
            return (jnp.where(up, middle, ends[0]), jnp.where(up, ends[1], middle)), None

        ends = jnp.broadcast_to(low, shape), jnp.broadcast_to(high, shape)
        (low, high), _ = jax.lax.scan(halve, ends, length=BISECTIONS)
        return jnp.clip(0.5 * (low + high), self.low, self.high)

    def log_prob(self, value: Any) -> Array:
        log_total = log_between(self.base_dist, jnp.asarray(self.low), jnp.asarray(self.high))
        outside = (value < self.low) | (value > self.high)
        return jnp.where(outside, -jnp.inf, self.base_dist.log_prob(value) - log_total)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        log_total = log_between(self.base_dist, jnp.asarray(self.low), jnp.asarray(self.high))
        inside = (value > self.low) & (value < self.high)
        end = jnp.where(inside, value, self._somewhere)
        below = jnp.exp(log_between(self.base_dist, jnp.asarray(self.low), end) - log_total)
        return jnp.where(inside, below, jnp.where(value >= self.high, 1.0, 0.0))

    @property
    def mean(self) -> Array:
        return jnp.clip(self._inside()[1], self.low, self.high)


class Censored(_Limited):
    """What another distribution gives, recorded at a limit where it is beyond it.

    At a limit P(x ≤ low), or P(x ≥ high), a probability; between them the density.

    Args:
        base_dist: Normal (the tobit model), Logistic or Laplace.
        low: what is below is recorded as this.
        high: likewise above.

    Source: Tobin 1958.

    Example:
        >>> import numpyro.distributions as npd
        >>> from condvae.distributions.rounded import Censored
        >>> round(float(Censored(npd.Normal(0.0, 1.0), low=0.0).log_prob(0.0)), 4)  # log P(x < 0)
        -0.6931
    """

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        return jnp.clip(self.base_dist.sample(key, sample_shape), self.low, self.high)

    def log_prob(self, value: Any) -> Array:
        base, value = self.base_dist, jnp.asarray(value)
        low, high = (jnp.asarray(end, value.dtype) for end in (self.low, self.high))
        inside = base.log_prob(jnp.clip(value, self.low, self.high))
        at_low = log_cdf(base, low) if np.isfinite(self.low) else -jnp.inf
        at_high = log_survival(base, high) if np.isfinite(self.high) else -jnp.inf
        score = jnp.where(value == low, at_low, jnp.where(value == high, at_high, inside))
        return jnp.where((value < low) | (value > high), -jnp.inf, score)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        inside = self.base_dist.cdf(value)
        return jnp.where(value < self.low, 0.0, jnp.where(value >= self.high, 1.0, inside))

    @property
    def mean(self) -> Array:
        log_inside, mean = self._inside()
        parts = [jnp.exp(log_inside) * mean]
        if np.isfinite(self.low):
            parts.append(self.low * jnp.exp(log_cdf(self.base_dist, jnp.asarray(self.low))))
        if np.isfinite(self.high):
            parts.append(self.high * jnp.exp(log_survival(self.base_dist, jnp.asarray(self.high))))
        return sum(parts[1:], parts[0])
