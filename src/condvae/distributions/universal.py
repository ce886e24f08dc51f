"""Columns of any kind: single values, grids, and logistics on the scale of the column's own shape.

Of one cell, with classes that are points p_i and grids of steps g_j,

    P(v) = Σ_i π_i [v = p_i] + Σ_j π_j [v on grid j] Σ_k w_k (σ((l(v + g_j / 2) - m_k) / s_k)
                                                              - σ((l(v - g_j / 2) - m_k) / s_k))

with l(v) = log F(v) - log(1 - F(v)), F the distribution function that the column's normal scores stand for.
Without a grid the last factor is a density. The column as a whole is a standard logistic on this scale, and
no s_k is above 1: so no tail is heavier than the column's.
"""

# numpyro's own distributions differ in what their methods' arguments are called.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.scipy.special import logsumexp, ndtri
from jaxtyping import Array, PRNGKeyArray

from condvae.normal_scores import NormalScores, from_scores, to_scores

NO_CLASS = -1e9
"""The logit of a class that a cell lacks."""

PLACES = np.linspace(-16.0, 16.0, 257)
VARIANCES = np.linspace(0.0, 1.0, 25)
"""Where the mean of a component is tabulated; it is nearly linear in between."""

FAR = 12.0
"""Where the tail of a Gaussian is taken from its asymptotic series."""

NODES = np.linspace(-18.0, 18.0, 289)
"""At which a logistic is summed (trapezoidal rule)."""


class Universal(npd.Distribution):
    """Independent cells that may hold single values, numbers on grids, and any number.

    Args:
        logits: of the classes, [..., P + G]: the points, then the grids.
        log_weights: of the components, [..., K]; K = 0 for cells that are points only.
        loc: m, [..., K].
        scale: s, [..., K].
        points: single values, [..., P], NaN for none.
        steps: of the grids, coarsest first, [..., G], NaN for none; None for numbers on no grid.
        origins: a value on each grid, [..., G]; None likewise.
        scores: the normal scores of the cells, fields of shape [...], knots [..., knots].

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from condvae.distributions.universal import Universal
        >>> from condvae.normal_scores import NormalScores
        >>> knots = jnp.array([[-1e-3, 1e-3]]), jnp.array([[-1.0, 1.0]]), jnp.full((1, 2), 1e3)
        >>> plain = NormalScores(*jnp.array([[-jnp.inf], [jnp.inf], [0.0], [1e3]]), *knots)
        >>> one = jnp.zeros((1, 1))
        >>> whole = Universal(jnp.array([[0.0, 0.0]]), one, one, one + 1, one, one + 1, one, plain)
        >>> round(float(jnp.exp(whole.log_prob(jnp.zeros(1)))[0]), 4)  # 1/2 + P(-1/2 < u < 1/2) / 2
        0.6915
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support: Any = npd.constraints.real
    pytree_data_fields = (
        "logits",
        "log_weights",
        "loc",
        "scale",
        "points",
        "steps",
        "origins",
        "scores",
    )

    def __init__(
        self,
        logits: Array,
        log_weights: Array,
        loc: Array,
        scale: Array,
        points: Array,
        steps: Array | None,
        origins: Array | None,
        scores: NormalScores,
    ):
        there = ~jnp.isnan(points)
        others = jnp.ones((*points.shape[:-1], 1), bool) if steps is None else ~jnp.isnan(steps)
        there = jnp.concatenate([there, others], axis=-1)
        self.logits = jax.nn.log_softmax(jnp.where(there, logits, NO_CLASS))
        self.log_weights, self.loc, self.scale = jax.nn.log_softmax(log_weights), loc, scale
        self.points, self.steps, self.origins, self.scores = points, steps, origins, scores
        super().__init__(self.logits.shape[:-1], ())

    @property
    def has_rsample(self) -> bool:
        return False

    @property
    def num_points(self) -> int:
        """P."""
        return self.points.shape[-1]

    @property
    def closed(self) -> bool:
        """Whether the cells are points only."""
        return self.steps is not None and not self.steps.shape[-1]

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        class_key, component_key, noise_key = jax.random.split(key, 3)
        shape = (*sample_shape, *self.batch_shape)
        chosen = jax.random.categorical(class_key, self.logits, shape=shape)
        if self.closed:
            return pick(self.points, chosen)
        component = jax.random.categorical(component_key, self.log_weights, shape=shape)
        noise = jax.random.logistic(noise_key, shape, self.loc.dtype)
        return self.value_of(chosen, pick(self.loc, component) + pick(self.scale, component) * noise)

    def value_of(self, chosen: Array, odds: Array) -> Array:
        """The point of a class, or the number on its grid, if it has one, that has these log-odds."""
        value = from_scores(self.scores, from_log_odds(odds), jnp)
        if self.steps is not None:
            grid = jnp.maximum(chosen - self.num_points, 0)
            step, origin = (pick(part, grid) for part in self.grids)
            value = snapped(value, step, origin, self.scores)
        if not self.num_points:
            return value
        point = pick(self.points, jnp.minimum(chosen, self.num_points - 1))
        return jnp.where(chosen < self.num_points, point, value)

    def log_prob(self, value: Any) -> Array:
        value = jnp.asarray(value, self.logits.dtype)[..., None]
        eps = jnp.finfo(value.dtype).eps
        at = jnp.abs(value - self.points) <= 2 * eps * jnp.maximum(jnp.abs(value), 1e-3)
        on, log_mass = at, jnp.zeros(at.shape, value.dtype)
        if not self.closed:
            others, in_steps = (
                self._log_density(value, at) if self.steps is None else self._log_masses(value)
            )
            on = jnp.concatenate([at, others], axis=-1)
            log_mass = jnp.concatenate([log_mass, in_steps], axis=-1)
        total = logsumexp(jnp.where(on, self.logits + jnp.where(on, log_mass, 0.0), NO_CLASS), axis=-1)
        return jnp.where(on.any(axis=-1), total, -jnp.inf)

    def _log_density(self, value: Array, at: Array) -> tuple[Array, Array]:
        """Where there is a density, [..., 1]: not at points; and its logarithm."""
        u, log_slope = to_scores(with_axis(self.scores), value, jnp)
        odds, log_steep = to_log_odds(u)
        far = jnp.abs((odds - self.loc) / self.scale)
        parts = jnp.exp(self.log_weights) / self.scale / (1.0 + jnp.exp(-far)) ** 2
        density = log_sum(parts, -far)[..., None] + log_slope + log_steep
        return ~at.any(axis=-1, keepdims=True) & self._inside(value), density

    @property
    def grids(self) -> tuple[Array, Array]:
        """Steps and origins, of grids that a cell lacks 1 and 0."""
        assert self.steps is not None and self.origins is not None
        there = ~jnp.isnan(self.steps)
        return jnp.where(there, self.steps, 1.0), jnp.where(there, self.origins, 0.0)

    def _log_masses(self, value: Array) -> tuple[Array, Array]:
        """On which grids a value is, [..., G]; and log P(v | grid)."""
        assert self.steps is not None
        step, origin = self.grids
        scores = with_axis(self.scores)
        u, log_slope = to_scores(scores, value, jnp)
        odds, log_steep = to_log_odds(u)
        low, high = (to_log_odds(to_scores(scores, value + side * step, jnp)[0])[0] for side in (-0.5, 0.5))
        # The difference of two numbers that are close to each other loses its digits.
        narrow = high - low < 1e-2
        width = jnp.where(narrow, step * jnp.exp(log_slope + log_steep), high - low)
        low = jnp.where(narrow, odds - 0.5 * width, low)
        high = jnp.where(narrow, odds + 0.5 * width, high)
        loc, scale = self.loc[..., None, :], self.scale[..., None, :]
        parts, log_factor = logistic_mass(
            (low[..., None] - loc) / scale, (high[..., None] - loc) / scale, width[..., None] / scale
        )
        log_mass = log_sum(jnp.exp(self.log_weights)[..., None, :] * parts, log_factor)
        off = jnp.abs(value - origin - step * jnp.rint((value - origin) / step))
        finest = jnp.nanmin(self.steps, axis=-1, keepdims=True)
        slack = jnp.maximum(0.3 * finest, 4 * jnp.finfo(value.dtype).eps * jnp.abs(value))
        # Every value counts as on the finest grid.
        return ((off <= slack) | (self.steps == finest)) & self._inside(value), log_mass

    def _inside(self, value: Array) -> Array:
        return (value >= self.scores.low[..., None]) & (value <= self.scores.high[..., None])

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        value = jnp.asarray(value, self.logits.dtype)[..., None]
        parts = jnp.exp(self.logits)
        below = jnp.sum(jnp.where(self.reached(value), parts[..., : self.num_points], 0.0), axis=-1)
        if self.closed:
            return below
        unit = (self.odds_of_step(value)[..., None] - self.loc[..., None, :]) / self.scale[..., None, :]
        inside = jnp.sum(jnp.exp(self.log_weights)[..., None, :] * jax.nn.sigmoid(unit), axis=-1)
        return below + jnp.sum(parts[..., self.num_points :] * inside, axis=-1)

    def reached(self, value: Array) -> Array:
        """Which points are not above a value [..., 1], [..., P]."""
        eps = jnp.finfo(value.dtype).eps
        return self.points <= value + 2 * eps * jnp.maximum(jnp.abs(value), 1e-3)

    def odds_of_step(self, value: Array) -> Array:
        """The log-odds up to which a value [..., 1] and its step reach, on each grid, [..., G]."""
        if self.steps is not None:
            step, origin = self.grids
            value = origin + step * (jnp.floor((value - origin) / step + 1e-3) + 0.5)
        return to_log_odds(to_scores(with_axis(self.scores), value, jnp)[0])[0]

    @property
    def mean(self) -> Array:
        parts = jnp.exp(self.logits)
        points = jnp.where(jnp.isnan(self.points), 0.0, self.points)
        total = jnp.sum(parts[..., : self.num_points] * points, axis=-1)
        if self.closed:
            return total
        means = jnp.sum(jnp.exp(self.log_weights)[..., None, :] * self._component_means(), axis=-1)
        return total + jnp.sum(parts[..., self.num_points :] * means, axis=-1)

    def _component_means(self) -> Array:
        """E of each component on each grid, [..., G, K], from a table of places and scales."""
        dtype = self.loc.dtype
        places, scales = jnp.asarray(PLACES, dtype), jnp.asarray(np.sqrt(VARIANCES), dtype)
        nodes = jnp.asarray(NODES, dtype)
        weights = jax.nn.sigmoid(nodes) * jax.nn.sigmoid(-nodes)
        u = from_log_odds(places[:, None, None] + scales[:, None] * nodes)  # [M, S, N]
        fields = [part[..., None, None, None] for part in self.scores[:4]]
        knots = [part[..., None, None, None, :] for part in self.scores[4:]]
        values = from_scores(NormalScores(*fields, *knots), u, jnp)  # pyright: ignore[reportCallIssue]
        values = values[..., None, :, :, :]
        if self.steps is not None:
            step, origin = (part[..., None, None, None] for part in self.grids)
            ends = (part[..., None, None, None, None] for part in (self.scores.low, self.scores.high))
            values = snapped(values, step, origin, self.scores._replace(low=next(ends), high=next(ends)))
        table = jnp.sum(values * weights, axis=-1) / jnp.sum(weights)
        row = jnp.clip((self.loc - PLACES[0]) / (PLACES[1] - PLACES[0]), 0.0, len(PLACES) - 1.001)
        column = jnp.clip(self.scale**2 / VARIANCES[1], 0.0, len(VARIANCES) - 1.001)
        i, j = jnp.floor(row).astype(int), jnp.floor(column).astype(int)
        down, right = (row - i)[..., None, :], (column - j)[..., None, :]
        flat = table.reshape(*table.shape[:-2], -1)

        def entry(i: Array, j: Array) -> Array:
            place = (i * len(VARIANCES) + j)[..., None, :]
            return jnp.take_along_axis(
                flat, jnp.broadcast_to(place, (*flat.shape[:-1], place.shape[-1])), -1
            )

        upper = entry(i, j) * (1 - right) + entry(i, j + 1) * right
        lower = entry(i + 1, j) * (1 - right) + entry(i + 1, j + 1) * right
        means = upper * (1 - down) + lower * down
        return means if self.steps is None else jnp.where(jnp.isnan(self.steps)[..., None], 0.0, means)


def logistic_mass(low: Array, high: Array, width: Array) -> tuple[Array, Array]:
    """P(low < x < high) of a standard logistic as p eᶠ: returns p, which never underflows, and f.

        σ(high) − σ(low) = σ(high) σ(−low) (1 − exp(−(high − low)))

    Exact however far out or narrow the interval is, and with exponentials alone: they take a CPU less time
    than logarithms.

    Example:
        >>> import jax.numpy as jnp
        >>> low = jnp.array([-1.0, 90.0])
        >>> part, log_factor = logistic_mass(low, low + 2.0, jnp.array(2.0))
        >>> [round(float(v), 2) for v in jnp.log(part) + log_factor]
        [-0.77, -90.15]
    """
    factor = (1.0 + jnp.exp(-jnp.abs(high))) * (1.0 + jnp.exp(-jnp.abs(low)))
    least = jnp.minimum(width, 0.05)  # no power of it overflows, in the gradient neither
    series = least * (1.0 - 0.5 * least * (1.0 - least / 3.0 * (1.0 - 0.25 * least)))
    inside = jnp.where(width < 0.05, series, 1.0 - jnp.exp(-width))
    return inside / factor, -jnp.maximum(-high, 0.0) - jnp.maximum(low, 0.0)


def log_sum(parts: Array, log_factors: Array) -> Array:
    """log Σ_k p_k exp(f_k) over the last axis, for p_k > 0 far from overflow and underflow."""
    most = jax.lax.stop_gradient(jnp.max(log_factors, axis=-1, keepdims=True))
    total = jnp.sum(parts * jnp.exp(log_factors - most), axis=-1)
    return jnp.log(jnp.maximum(total, jnp.finfo(total.dtype).tiny)) + most[..., 0]


def to_log_odds(u: Array) -> tuple[Array, Array]:
    """l = log(Φ(u) / Φ(−u)), a standard logistic of a standard Gaussian, and log dl/du.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(v), 3) for v in to_log_odds(jnp.array(1.0))]
        [1.668, 0.595]
    """
    away = jnp.abs(u)
    log_density = -0.5 * away**2 - 0.5 * np.log(2 * np.pi)
    near, far = jnp.minimum(away, FAR), jnp.maximum(away, FAR)
    tail = 0.5 * jax.lax.erfc(near / np.sqrt(2.0))
    series, ratio = 1.0, 1.0 / far**2
    for odd in (9.0, 7.0, 5.0, 3.0, 1.0):  # Φ(−u) = φ(u) / u (1 − 1/u² + 3/u⁴ − 15/u⁶ + 105/u⁸ − ...)
        series = 1.0 - odd * ratio * series
    log_tail = jnp.where(away < FAR, jnp.log(tail), log_density - jnp.log(far) + jnp.log(series))
    log_rest = jnp.log1p(-tail)
    return jnp.sign(u) * (log_rest - log_tail), log_density - log_tail - log_rest


def from_log_odds(odds: Array) -> Array:
    """The standard Gaussian of a standard logistic: the inverse of `to_log_odds`."""
    tail = ndtri(jax.nn.sigmoid(-jnp.minimum(jnp.abs(odds), 80.0)))
    return -jnp.sign(odds) * tail


def snapped(value: Array, step: Array, origin: Array, scores: NormalScores) -> Array:
    """The values on the grid that values between the limits round to."""
    inside = jnp.clip(value, scores.low + 1e-3 * step, scores.high - 1e-3 * step)
    return origin + step * jnp.rint((inside - origin) / step)


def with_axis(scores: NormalScores) -> NormalScores:
    """The map of values with an axis more."""
    return NormalScores(
        *(part[..., None] for part in scores[:4]), *(part[..., None, :] for part in scores[4:])
    )


def pick(table: Array, index: Array) -> Array:
    """The entry of a table [..., entries] at each index."""
    table = jnp.broadcast_to(table, (*index.shape, table.shape[-1]))
    return jnp.take_along_axis(table, index[..., None], axis=-1)[..., 0]
