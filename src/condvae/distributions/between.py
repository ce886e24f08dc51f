"""Columns of any kind between limits of the row, as of one that is never below another.

Of a cell with P(v) as in `condvae.distributions.universal`, a limit a below, b above and a doubt ε,

    P(v | a, b) = (1 - ε) [a ≤ v ≤ b] P(v) / P(a ≤ v ≤ b) + ε P(v).
"""

# numpyro's own distributions differ in what their methods' arguments are called.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray

from condvae.distributions.universal import (
    NO_CLASS,
    Universal,
    from_log_odds,
    logistic_mass,
    pick,
    snapped,
    to_log_odds,
    with_axis,
)
from condvae.normal_scores import NormalScores, from_scores, to_scores

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
NODES = (0.5 + 0.5 * _NODES) ** 2 * (2 - _NODES)
WEIGHTS = 0.75 * (1 - _NODES**2) * _WEIGHTS
"""Probabilities at which a component between limits is summed: Gauss-Legendre, closer at the ends."""

FAR = 1e6
"""Log-odds beyond which nothing is."""

LEAST_LOG_SHARE = -70.0
"""log P(a ≤ v ≤ b) below which the limits are as good as unknown."""

SLACK = 1e-5
"""By how much a value may be beyond a limit, relative to 1 + |limit|: the errors of single precision."""


class Between(npd.Distribution):
    """Independent cells, each between two limits but for a doubt.

    Args:
        base: the cells without limits.
        low: a, [...]; -inf for none.
        high: b, [...]; inf for none.
        doubt: ε, [...]; above 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from condvae.heads import UniversalCell, UniversalHead
        >>> coin = UniversalCell((0.0, 1.0), (), (), (0.5, 0.5), (None, None, 0, 1, (0, 1), (0, 1), (1, 1)))
        >>> fair = UniversalHead(8, [coin])(jnp.zeros(8)).base
        >>> limits = jnp.array([0.5]), jnp.array([jnp.inf]), jnp.array([0.01])
        >>> round(float(jnp.exp(Between(fair, *limits).log_prob(jnp.ones(1)))[0]), 3)
        0.995
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support: Any = npd.constraints.real
    pytree_data_fields = ("base", "low", "high", "doubt")

    def __init__(self, base: Universal, low: Array, high: Array, doubt: Array):
        self.base = base
        self.low, self.high, self.doubt = (
            jnp.broadcast_to(jnp.asarray(part, base.logits.dtype), base.batch_shape)
            for part in (low, high, doubt)
        )
        super().__init__(base.batch_shape, ())

    @property
    def has_rsample(self) -> bool:
        return False

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        base, (class_key, component_key, noise_key, sure_key) = self.base, jax.random.split(key, 4)
        shape, dtype = (*sample_shape, *self.batch_shape), base.logits.dtype
        log_shares, log_parts = self._log_shares()
        sure = jax.random.uniform(sure_key, shape, dtype) < self._sure_share()[0]
        logits = base.logits + jnp.where(sure[..., None], log_shares, 0.0)
        chosen = jax.random.categorical(class_key, logits, shape=shape)
        if base.closed:
            return pick(base.points, chosen)
        grid = jnp.maximum(chosen - base.num_points, 0)
        parts = jnp.broadcast_to(log_parts, (*shape, *log_parts.shape[-2:]))
        parts = jnp.take_along_axis(parts, grid[..., None, None], axis=-2)[..., 0, :]
        log_weights = base.log_weights + jnp.where(sure[..., None], parts, 0.0)
        component = jax.random.categorical(component_key, log_weights, shape=shape)
        loc, scale = pick(base.loc, component), pick(base.scale, component)
        low, high = (
            jnp.where(sure, pick(end, grid), far)
            for end, far in zip(self._ends(), (-FAR, FAR), strict=True)
        )
        u = jax.random.uniform(noise_key, shape, dtype)
        unit = cut_logistic(u, (low - loc) / scale, (high - loc) / scale)
        return base.value_of(chosen, loc + scale * unit)

    def log_prob(self, value: Any) -> Array:
        value = jnp.asarray(value, self.base.logits.dtype)
        sure, log_share = self._sure_share()
        low, high = self._loosened
        inside = (value >= low) & (value <= high) & (sure > 0)
        log_ratio = jnp.where(inside, jnp.log(jnp.where(inside, sure, 1.0)) - log_share, NO_CLASS)
        return self.base.log_prob(value) + jnp.logaddexp(log_ratio, jnp.log1p(-sure))

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        base, total = self.base, self.base.cdf(value)
        value = jnp.asarray(value, base.logits.dtype)[..., None]
        sure, log_share = self._sure_share()
        log_shares, _ = self._log_shares(None if base.closed else base.odds_of_step(value))
        beyond = jnp.where(base.reached(value), 0.0, NO_CLASS)
        others = jnp.zeros((*beyond.shape[:-1], base.logits.shape[-1] - base.num_points))
        log_shares = log_shares + jnp.concatenate([beyond, others], axis=-1)
        share = jnp.exp(logsumexp(base.logits + log_shares, axis=-1) - log_share)
        return sure * jnp.clip(share, 0.0, 1.0) + (1.0 - sure) * total

    @property
    def mean(self) -> Array:
        base, total = self.base, self.base.mean
        sure, log_share = self._sure_share()
        log_shares, log_parts = self._log_shares()
        points = jnp.where(jnp.isnan(base.points), 0.0, base.points)
        parts = jnp.exp(base.logits + log_shares - log_share[..., None])
        within = jnp.sum(parts[..., : base.num_points] * points, axis=-1)
        if not base.closed:
            each = base.logits[..., base.num_points :, None] + base.log_weights[..., None, :] + log_parts
            weights = jnp.exp(each - log_share[..., None, None])
            within = within + jnp.sum(weights * self._component_means(), axis=(-2, -1))
        limited = jnp.isfinite(self.low) | jnp.isfinite(self.high)
        return jnp.where(limited, sure * within + (1.0 - sure) * total, total)

    @property
    def _loosened(self) -> tuple[Array, Array]:
        """The limits, with room for errors."""
        room = SLACK * (1.0 + jnp.abs(self.low)), SLACK * (1.0 + jnp.abs(self.high))
        low = jnp.where(jnp.isfinite(self.low), self.low - room[0], self.low)
        return low, jnp.where(jnp.isfinite(self.high), self.high + room[1], self.high)

    def _ends(self) -> tuple[Array, Array]:
        """Log-odds of the limits for numbers, or on each grid: halfway between steps. [..., G]."""
        scores, ends = with_axis(self.base.scores), []
        for limit, sign in zip(self._loosened, (-1.0, 1.0), strict=True):
            at = limit[..., None]
            if self.base.steps is not None:
                step, origin = self.base.grids
                at = origin + sign * step * (jnp.floor(sign * (at - origin) / step + 1e-3) + 0.5)
            inside = (at > scores.low) & (at < scores.high) & jnp.isfinite(at)
            odds = to_log_odds(to_scores(scores, jnp.where(inside, at, scores.centre), jnp)[0])[0]
            ends.append(jnp.where(inside, odds, jnp.where(at >= scores.high, FAR, -FAR)))
        return ends[0], ends[1]

    def _log_shares(self, up_to: Array | None = None) -> tuple[Array, Array]:
        """log P(a ≤ v ≤ b) of each class, [..., P + G], and of each component on each grid, [..., G, K].

        Args:
            up_to: log-odds [..., G] instead of those of b, where they are less.
        """
        base, (low, high) = self.base, self._loosened
        inside = (base.points >= low[..., None]) & (base.points <= high[..., None])
        of_points = jnp.where(inside, 0.0, NO_CLASS).astype(base.logits.dtype)
        if base.closed:
            return of_points, of_points[..., :0, None]
        low, high = self._ends()
        high = high if up_to is None else jnp.minimum(high, up_to)
        loc, scale = base.loc[..., None, :], base.scale[..., None, :]
        low, high = (low[..., None] - loc) / scale, (high[..., None] - loc) / scale
        parts, log_factor = logistic_mass(low, high, jnp.maximum(high - low, 0.0))
        log_parts = jnp.log(jnp.maximum(parts, jnp.finfo(parts.dtype).tiny)) + log_factor
        log_parts = jnp.where(high > low, jnp.maximum(log_parts, NO_CLASS), NO_CLASS)
        log_share = logsumexp(base.log_weights[..., None, :] + log_parts, axis=-1)
        of_points = jnp.broadcast_to(of_points, (*log_share.shape[:-1], base.num_points))
        return jnp.concatenate([of_points, log_share], axis=-1), log_parts

    def _sure_share(self) -> tuple[Array, Array]:
        """1 - ε, 0 where almost nothing is between the limits; and log P(a ≤ v ≤ b)."""
        log_share = logsumexp(self.base.logits + self._log_shares()[0], axis=-1)
        known = log_share > LEAST_LOG_SHARE
        return jnp.where(known, 1.0 - self.doubt, 0.0), jnp.where(known, log_share, 0.0)

    def _component_means(self) -> Array:
        """E of each component on each grid between the limits, [..., G, K]."""
        base = self.base
        loc, scale = base.loc[..., None, :, None], base.scale[..., None, :, None]
        fields = [part[..., None, None, None] for part in base.scores[:4]]
        knots = [part[..., None, None, None, :] for part in base.scores[4:]]
        scores = NormalScores(*fields, *knots)  # pyright: ignore[reportCallIssue]
        low, high = ((end[..., None, None] - loc) / scale for end in self._ends())
        unit = cut_logistic(jnp.asarray(NODES, loc.dtype), low, high)
        values = from_scores(scores, from_log_odds(loc + scale * unit), jnp)
        if base.steps is not None:
            step, origin = (part[..., None, None] for part in base.grids)
            values = snapped(values, step, origin, scores)
        return jnp.sum(values * jnp.asarray(WEIGHTS, loc.dtype), axis=-1)


def cut_logistic(u: Array, low: Array, high: Array) -> Array:
    """The quantiles u of a standard logistic between two ends.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(cut_logistic(jnp.array(0.5), jnp.array(50.0), jnp.array(1e6))), 3)  # 50 + log 2
        50.693
    """
    above = low > 0  # numbers near 1 are told apart by their distance from it: mirror
    low, high = jnp.where(above, -high, low), jnp.where(above, -low, high)
    first, last = jax.nn.sigmoid(low), jax.nn.sigmoid(high)
    least, gap = jnp.finfo(first.dtype).tiny, 0.5 * jnp.finfo(first.dtype).eps
    p = jnp.maximum(first + jnp.where(above, 1.0 - u, u) * (last - first), least)
    value = jnp.clip(jnp.log(p) - jnp.log(jnp.maximum(1.0 - p, gap)), low, high)
    return jnp.where(above, -value, value)
