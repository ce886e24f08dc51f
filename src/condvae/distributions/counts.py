"""Counts: probabilities that stay exact in float32 however large they are, and counts without a zero.

The usual formulas subtract log-gamma functions of nearly the same size: of a count of 10,000 single
precision leaves some hundredths of a nat. Here they are written by deviances, as in Loader (2000), whose
terms are as small as what they add up to.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from jax.scipy.special import gammaln
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions.discrete import ZeroInflatedLogits

NEAR = 0.1
"""How near, relative to their sum, a count and its mean are where their deviance is a series."""

SMALL = 10.0
"""Below it the error of Stirling's formula is what its parts leave, above it a series."""

LOG_2PI = math.log(2.0 * math.pi)

NO_EVENTS = 1e-30
"""The rate from which on there are events: of a rate too small for a normal number one step of a compiled
program sees more than 0 and another does not, and their count is then −1."""


def stirling_error(n: Array) -> Array:
    """log Γ(n + 1) − (n + 1/2) log n + n − log(2π) / 2, for n > 0.

    Example:
        >>> round(float(stirling_error(1.0)), 5), round(float(stirling_error(100.0)), 8)
        (0.08106, 0.00083333)
    """
    n = jnp.asarray(n, jnp.result_type(float, n))
    low, high = jnp.minimum(n, SMALL), jnp.maximum(n, SMALL)
    exact = gammaln(low + 1.0) - (low + 0.5) * jnp.log(low) + low - 0.5 * LOG_2PI
    inverse = 1.0 / high
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    return jnp.where(n < SMALL, exact, series)


def deviance(x: Array, mean: Array) -> Array:
    """x log(x / mean) + mean − x, for x > 0 and a mean above 0: half the deviance of a Poisson.

    Example:
        >>> round(float(deviance(2.0, 1.0)), 6), f"{float(deviance(10001.0, 10000.0)):.5g}"
        (0.386294, '4.9998e-05')
    """
    apart, total = x - mean, x + mean
    near = jnp.abs(apart) < NEAR * total
    # Where a branch is not taken it is given what it can take, for the sake of the gradient.
    ratio = jnp.where(near, apart, 0.0) / total
    square = ratio * ratio
    # 2 x (artanh(v) − v) at v = (x − mean) / (x + mean), and what is left of x log(x / mean).
    series = 1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square / 11)))
    close = apart * ratio + 2.0 * x * ratio * square * series
    far = x * jnp.log(jnp.where(near, 2.0 * mean, x) / mean) - apart
    return jnp.where(near, close, far)


def _log_poisson(value: Array, mean: Array) -> Array:
    value = jnp.asarray(value, jnp.result_type(float, mean))
    some = jnp.maximum(value, 1.0)
    positive = -stirling_error(some) - deviance(some, mean) - 0.5 * (LOG_2PI + jnp.log(some))
    return jnp.where(value == 0, -mean, positive)


def _events(key: PRNGKeyArray, rate: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.poisson(key, jnp.where(rate > NO_EVENTS, rate, 0.0), shape)


class Poisson(npd.Poisson):
    """numpyro's Poisson with log-probabilities by deviances.

    log p(k) = −S(k) − D(k, λ) − log(2πk) / 2, S the error of Stirling's formula and D the deviance.

    Source: Loader 2000, Fast and accurate computation of binomial probabilities.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.distributions.counts import Poisson
        >>> round(float(Poisson(2.0).log_prob(jnp.array(3))), 5)  # log(e⁻² 2³ / 3!)
        -1.71232
    """

    def log_prob(self, value: Any) -> Array:
        return _log_poisson(value, jnp.asarray(self.rate))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        return _events(key, jnp.asarray(self.rate), sample_shape + self.batch_shape)

    def sample_positive(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws given that they are not 0: the first event of a process, and those after it."""
        first_key, rest_key = jax.random.split(key)
        shape = sample_shape + self.batch_shape
        rate = jnp.asarray(self.rate)
        uniform = jax.random.uniform(first_key, shape, jnp.result_type(float, rate))
        # log S(t) = −λt at the time t of the first event, S uniform on (S(1), 1).
        first = -jnp.log1p(uniform * jnp.expm1(-rate)) / rate
        rest = rate * jnp.clip(1.0 - first, 0.0, 1.0)
        return 1 + _events(rest_key, rest, shape)


class NegativeBinomial(npd.NegativeBinomial2):
    """numpyro's, by mean μ and concentration r, with log-probabilities by deviances.

    log p(k) = log(r / (r + k)) + log Binomial(r; r + k, r / (r + μ)), its variance μ + μ² / r; for
    r → ∞ it is the Poisson, to the last digit.

    Source: Loader 2000, Fast and accurate computation of binomial probabilities.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.distributions.counts import NegativeBinomial
        >>> round(float(NegativeBinomial(2.0, 1.0).log_prob(jnp.array(0))), 5)  # log(1 / (1 + 2))
        -1.09861
    """

    pytree_data_fields = ("given_mean",)

    def __init__(self, mean: Any, concentration: Any):
        # numpyro keeps r / μ alone; a compiler that undoes the two divisions at once may overflow.
        self.given_mean = jnp.asarray(mean, jnp.result_type(float, mean))
        super().__init__(mean, concentration)

    def log_prob(self, value: Any) -> Array:
        mean, r = self._mean_and_concentration
        value = jnp.asarray(value, jnp.result_type(float, mean, r))
        k = jnp.maximum(value, 1.0)
        total = r + k
        share = r / (r + mean)
        # Both deviances of the binomial: of r among r + k, and of k.
        exponent = deviance(r, total * share) + deviance(k, total * (mean / (r + mean)))
        errors = stirling_error(total) - stirling_error(r) - stirling_error(k)
        positive = errors - exponent + 0.5 * (jnp.log(r) - jnp.log(total) - jnp.log(k) - LOG_2PI)
        return jnp.where(value == 0, -r * jnp.log1p(mean / r), positive)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        rate_key, key = jax.random.split(key)
        mean, r = self._mean_and_concentration
        shape = sample_shape + self.batch_shape
        rate = mean * (jax.random.gamma(rate_key, jnp.broadcast_to(r, shape)) / r)
        return _events(key, rate, shape)

    def sample_positive(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws given that they are not 0: as for `Poisson`, of a rate that is itself drawn."""
        first_key, rate_key, rest_key = jax.random.split(key, 3)
        mean, r = self._mean_and_concentration
        shape = sample_shape + self.batch_shape
        uniform = jax.random.uniform(first_key, shape, jnp.result_type(float, mean, r))
        # S(t) = (1 + tμ/r)^(−r); given an event at t the rate is Gamma(r + 1, r/μ + t).
        last = -r * jnp.log1p(mean / r)
        log_survival = jnp.log1p(uniform * jnp.expm1(last))
        first = jnp.clip(jnp.expm1(-log_survival / r) * r / mean, 0.0, 1.0)
        rate = jax.random.gamma(rate_key, jnp.broadcast_to(r + 1.0, shape)) / (r / mean + first)
        return 1 + _events(rest_key, rate * (1.0 - first), shape)

    @property
    def _mean_and_concentration(self) -> tuple[Array, Array]:
        mean, r = jnp.broadcast_arrays(self.given_mean, jnp.asarray(self.concentration))
        return mean, r


class Hurdle(npd.HurdleLogits):
    """0 with probability g; else what another distribution gives that is not 0.

    P(0) = g, P(k) = (1 − g) B(k) / (1 − B(0)) for counts, and (1 − g) b(x) for a density b on x > 0: of
    values above 0 the result is then a density, at 0 it is a probability.

    Args:
        base_dist: `Poisson`, `NegativeBinomial`, or one of numpyro's on the positive reals.
        gate_logits: log(g / (1 − g)).

    Source: Cragg 1971; Mullahy 1986.
    """

    @property
    def support(self) -> npd.constraints.Constraint:
        if self._is_discrete:
            return npd.constraints.nonnegative_integer
        return npd.constraints.nonnegative

    def _sample_truncated(self, key: PRNGKeyArray, sample_shape: tuple[int, ...]) -> Array:
        base: Any = self.base_dist
        return base.sample_positive(key, sample_shape)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        value, gate = jnp.asarray(value), jnp.asarray(self.gate)
        at_zero = self.base_dist.cdf(jnp.zeros_like(value)) if self._is_discrete else 0.0
        above = (self.base_dist.cdf(jnp.maximum(value, 0)) - at_zero) / (1.0 - at_zero)
        return jnp.where(value < 0, 0.0, gate + (1.0 - gate) * above)


class ZeroInflated(ZeroInflatedLogits):
    """More zeros than another distribution of counts has: P(k) = g [k = 0] + (1 − g) B(k).

    Args:
        base_dist: `Poisson` or `NegativeBinomial`.
        gate_logits: log(g / (1 − g)).

    Source: Lambert 1992.
    """

    def cdf(self, value: Any) -> Array:
        """P(k ≤ value)."""
        value, gate = jnp.asarray(value), jnp.asarray(self.gate)
        below = gate + (1.0 - gate) * self.base_dist.cdf(jnp.maximum(value, 0))
        return jnp.where(value < 0, 0.0, below)
