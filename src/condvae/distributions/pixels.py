"""Brightness: of pixels in (0, 1), and of pixels of 8 bits."""

# numpyro's own distributions differ in what their methods' arguments are called.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from jax.nn import log_sigmoid
from jaxtyping import Array, PRNGKeyArray

FLAT = 0.1
"""The logit below which the continuous Bernoulli is nearly uniform, and written as a series."""


class ContinuousBernoulli(npd.Distribution):
    """p(x) = C(λ) λˣ (1 − λ)¹⁻ˣ on 0 ≤ x ≤ 1, λ = sigmoid(logits): cross-entropy, made a density.

    In ℓ = log(λ / (1 − λ)) it is the exponential tilt of the uniform: p(x) = eˡˣ ℓ / (eˡ − 1).

    Args:
        logits: ℓ.

    Source: Loaiza-Ganem and Cunningham 2019.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.distributions.pixels import ContinuousBernoulli
        >>> uniform, tilted = ContinuousBernoulli(0.0), ContinuousBernoulli(2.0)
        >>> float(uniform.log_prob(0.3)), round(float(tilted.mean), 4)
        (0.0, 0.6565)
    """

    arg_constraints = {"logits": npd.constraints.real}  # noqa: RUF012
    support: Any = npd.constraints.unit_interval
    reparametrized_params = ["logits"]  # noqa: RUF012
    pytree_data_fields = ("logits",)

    def __init__(self, logits: Any):
        self.logits = jnp.asarray(logits, jnp.result_type(float, logits))
        super().__init__(jnp.shape(self.logits), ())

    @property
    def _flat(self) -> Array:
        return jnp.abs(self.logits) < FLAT

    @property
    def _steep(self) -> Array:
        """ℓ, and 1 where the distribution is nearly uniform."""
        return jnp.where(self._flat, 1.0, self.logits)

    def log_prob(self, value: Any) -> Array:
        size = jnp.abs(self._steep)
        # log(ℓ / (eˡ − 1)), the same for ±ℓ but for ℓ itself.
        steep = jnp.log(size) - jnp.log(-jnp.expm1(-size)) - jnp.maximum(self._steep, 0.0)
        square = jnp.square(self.logits)
        flat = -0.5 * self.logits - square / 24.0 * (1.0 - square / 120.0)
        return self.logits * value + jnp.where(self._flat, flat, steep)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        value, size = jnp.clip(value, 0.0, 1.0), jnp.abs(self._steep)
        at = jnp.where(self.logits < 0, value, 1.0 - value)  # from the heavy end
        heavy = -jnp.expm1(-size * at) / -jnp.expm1(-size)
        steep = jnp.where(self.logits < 0, heavy, 1.0 - heavy)
        # Where ℓ is small, to its second order.
        bent = 0.5 * self.logits * value * (value - 1.0)
        flat = value + bent + jnp.square(self.logits) * value * (value - 1.0) * (2.0 * value - 1.0) / 12.0
        return jnp.where(self._flat, flat, steep)

    def icdf(self, q: Any) -> Array:
        """The value below which a part q of the mass lies."""
        size = jnp.abs(self._steep)
        part = jnp.where(self.logits < 0, q, 1.0 - q)
        at = -jnp.log1p(part * jnp.expm1(-size)) / size
        steep = jnp.where(self.logits < 0, at, 1.0 - at)
        bent = 0.5 * self.logits * q * (1.0 - q)
        flat = q + bent + jnp.square(self.logits) * q * (1.0 - q) * (1.0 - 2.0 * q) / 6.0
        return jnp.clip(jnp.where(self._flat, flat, steep), 0.0, 1.0)

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        return self.icdf(jax.random.uniform(key, sample_shape + self.batch_shape, self.logits.dtype))

    @property
    def mean(self) -> Array:
        steep = 1.0 / -jnp.expm1(-self._steep) - 1.0 / self._steep
        square = jnp.square(self.logits)
        return jnp.where(self._flat, 0.5 + self.logits / 12.0 * (1.0 - square / 60.0), steep)


class DiscretisedLogisticMixture(npd.Distribution):
    """Whole numbers 0 ... levels − 1, by the mass that a mixture of logistics has around each.

    The levels are laid out over −1 ... 1; the lowest takes all that is below it, the highest all above.

    Args:
        logits: of the components, (..., K).
        loc: their locations, likewise.
        scale: their scales, above 0.
        levels: 256 for 8 bits.

    Source: Salimans et al. 2017 (PixelCNN++), without the dependence between channels.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.distributions.pixels import DiscretisedLogisticMixture
        >>> pixel = DiscretisedLogisticMixture(jnp.zeros(2), jnp.array([-0.5, 0.5]), jnp.full(2, 0.1))
        >>> round(float(jnp.exp(pixel.log_prob(jnp.arange(256))).sum()), 4), round(float(pixel.mean), 1)
        (1.0, 127.5)
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    pytree_data_fields = ("logits", "loc", "scale")
    pytree_aux_fields = ("levels",)

    def __init__(self, logits: Any, loc: Any, scale: Any, levels: int = 256):
        self.logits, self.loc, self.scale = jnp.broadcast_arrays(logits, loc, scale)
        self.levels = levels
        super().__init__(self.logits.shape[:-1], ())

    @property
    def support(self) -> npd.constraints.Constraint:
        return npd.constraints.integer_interval(0, self.levels - 1)

    @property
    def has_rsample(self) -> bool:
        return False

    def _edge(self, value: Array) -> Array:
        """The upper edge of a level's interval, in the scales of each component."""
        at = (2.0 * value + 1.0) / (self.levels - 1.0) - 1.0
        return (at[..., None] - self.loc) / self.scale

    def log_prob(self, value: Any) -> Array:
        value = jnp.asarray(value, self.loc.dtype)
        low, high = self._edge(value - 1.0), self._edge(value)
        # F(b) − F(a) = F(b) (1 − F(a)) (1 − eᵃ⁻ᵇ): a product, exact however far out.
        width = 2.0 / (self.levels - 1.0) / self.scale
        lowest, highest = value[..., None] <= 0, value[..., None] >= self.levels - 1
        inner = jnp.where(highest | lowest, 0.0, jnp.log(-jnp.expm1(-width)))
        below = jnp.where(highest, 0.0, log_sigmoid(high))
        above = jnp.where(lowest, 0.0, log_sigmoid(-low))
        score = jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + below + above + inner, axis=-1)
        return jnp.where((value < 0) | (value > self.levels - 1), -jnp.inf, score)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        value = jnp.floor(jnp.asarray(value, self.loc.dtype))
        parts = jax.nn.softmax(self.logits) * jax.nn.sigmoid(self._edge(value))
        inside = jnp.where(value >= self.levels - 1, 1.0, parts.sum(axis=-1))
        return jnp.where(value < 0, 0.0, inside)

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        which_key, noise_key = jax.random.split(key)
        shape = sample_shape + self.batch_shape
        which = jax.random.categorical(which_key, self.logits, shape=shape)[..., None]
        loc, scale = (
            jnp.take_along_axis(jnp.broadcast_to(part, (*shape, part.shape[-1])), which, axis=-1)[..., 0]
            for part in (self.loc, self.scale)
        )
        value = loc + scale * jax.random.logistic(noise_key, shape, self.loc.dtype)
        level = jnp.rint(0.5 * (value + 1.0) * (self.levels - 1.0))
        return jnp.clip(level, 0, self.levels - 1).astype(int)

    @property
    def mean(self) -> Array:
        # Σ_v P(x > v), v = 0 ... levels − 2.
        lower = jnp.arange(self.levels - 1, dtype=self.loc.dtype)
        at = lower.reshape(-1, *[1] * len(self.batch_shape))
        above = jax.nn.softmax(self.logits) * jax.nn.sigmoid(-self._edge(at))
        return above.sum(axis=(0, -1))
