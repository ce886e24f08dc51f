"""Columns of any kind: single values, grids and a mixture of Gaussians on the scale of their normal scores.

Of one cell, with classes that are points p_i and grids of steps g_j,

    P(v) = Σ_i π_i [v = p_i] + Σ_j π_j [v on grid j] Σ_k w_k (Φ((u(v + g_j / 2) - m_k) / s_k)
                                                             - Φ((u(v - g_j / 2) - m_k) / s_k))

u the column's normal scores. Without a grid the last factor is a density, N(u(v); m_k, s_k²) u'(v). As no s_k is
above 1 and the scores of the column as a whole are N(0, 1), no tail is heavier than the column's.
"""

# numpyro's own distributions differ in what their methods' arguments are called.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.scipy.special import erfc, logsumexp
from jaxtyping import Array, PRNGKeyArray

from condvae.normal_scores import NormalScores, from_scores, to_scores

NO_CLASS = -1e9
"""The logit of a class that a cell lacks."""

PLACES = np.linspace(-6.0, 6.0, 161)
VARIANCES = np.linspace(0.0, 1.0, 25)
"""Where the mean of a component is tabulated; it is nearly linear in between."""

NODES = np.linspace(-6.0, 6.0, 241)
"""At which a Gaussian is summed (trapezoidal rule)."""


class Universal(npd.Distribution):
    """Independent cells that may hold single values, numbers on grids, and any number.

    Args:
        logits: of the classes, [..., P + G]: the points, then the grids.
        log_weights: of the Gaussian components, [..., K]; K = 0 for cells that are points only.
        loc: m, [..., K], in normal scores.
        scale: s, [..., K], likewise.
        points: single values, [..., P], NaN for none.
        steps: of the grids, coarsest first, [..., G]; 0 for numbers on no grid, NaN for none.
        origins: a value on each grid, [..., G].
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
        steps: Array,
        origins: Array,
        scores: NormalScores,
    ):
        there = jnp.concatenate([~jnp.isnan(points), ~jnp.isnan(steps)], axis=-1)
        self.logits = jax.nn.log_softmax(jnp.where(there, logits, NO_CLASS))
        self.log_weights, self.loc, self.scale = jax.nn.log_softmax(log_weights), loc, scale
        self.points, self.steps, self.origins, self.scores = points, steps, origins, scores
        super().__init__(self.logits.shape[:-1], ())

    @property
    def has_rsample(self) -> bool:
        return False

    @property
    def _num_points(self) -> int:
        return self.points.shape[-1]

    @property
    def _grids(self) -> tuple[Array, Array, NormalScores]:
        """Steps (1 where there is none), origins, and the scores with an axis for the grids."""
        step = jnp.where(self.steps > 0, self.steps, 1.0)
        return step, jnp.where(jnp.isnan(self.origins), 0.0, self.origins), _with_axis(self.scores)

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        class_key, component_key, noise_key = jax.random.split(key, 3)
        shape = (*sample_shape, *self.batch_shape)
        chosen = jax.random.categorical(class_key, self.logits, shape=shape)
        if not self.steps.shape[-1]:
            return _pick(self.points, chosen)
        component = jax.random.categorical(component_key, self.log_weights, shape=shape)
        noise = jax.random.normal(noise_key, shape, self.loc.dtype)
        u = _pick(self.loc, component) + _pick(self.scale, component) * noise
        grid = jnp.maximum(chosen - self._num_points, 0)
        step, origin = _pick(self.steps, grid), _pick(self.origins, grid)
        value = _snapped(from_scores(self.scores, u, jnp), step, origin, self.scores)
        if not self._num_points:
            return value
        point = _pick(self.points, jnp.minimum(chosen, self._num_points - 1))
        return jnp.where(chosen < self._num_points, point, value)

    def log_prob(self, value: Any) -> Array:
        value = jnp.asarray(value, self.logits.dtype)[..., None]
        eps = jnp.finfo(value.dtype).eps
        at = jnp.abs(value - self.points) <= 2 * eps * jnp.maximum(jnp.abs(value), 1e-3)
        terms = jnp.where(at, 0.0, -jnp.inf)
        if self.steps.shape[-1]:
            terms = jnp.concatenate(
                [terms, self._log_grids(value, at.any(axis=-1, keepdims=True))], axis=-1
            )
        there = jnp.isfinite(terms)
        total = logsumexp(jnp.where(there, self.logits + jnp.where(there, terms, 0.0), NO_CLASS), axis=-1)
        return jnp.where(there.any(axis=-1), total, -jnp.inf)

    def _log_grids(self, value: Array, at_point: Array) -> Array:
        """log P(v | grid), [..., G]; -inf off the grid, a log-density where there is no grid."""
        step, origin, scores = self._grids
        u, log_slope = to_scores(scores, value, jnp)
        ends = [to_scores(scores, value + side * step, jnp)[0] for side in (-0.5, 0.5)]
        # The difference of two scores that are close to each other loses its digits.
        apart = ends[1] - ends[0]
        narrow = apart < 1e-2
        width = jnp.where(narrow, step * jnp.exp(log_slope), jnp.where(narrow, 1.0, apart))
        middle = jnp.where(narrow, u, 0.5 * (ends[0] + ends[1]))
        loc, scale = self.loc[..., None, :], self.scale[..., None, :]
        mass = log_gaussian_mass((middle[..., None] - loc) / scale, width[..., None] / scale)
        unit = (u[..., None] - loc) / scale
        density = -0.5 * unit**2 - 0.5 * jnp.log(2 * jnp.pi) - jnp.log(scale) + log_slope[..., None]
        free = self.steps == 0
        found = logsumexp(
            self.log_weights[..., None, :] + jnp.where(free[..., None], density, mass), axis=-1
        )
        off = jnp.abs(value - origin - step * jnp.rint((value - origin) / step))
        finest = jnp.nanmin(self.steps, axis=-1, keepdims=True)
        slack = jnp.maximum(0.3 * finest, 4 * jnp.finfo(value.dtype).eps * jnp.abs(value))
        # Every value counts as on the finest grid; where there is none, points have no density.
        on = jnp.where(free, ~at_point, (off <= slack) | (self.steps == finest))
        on &= (value >= scores.low) & (value <= scores.high)
        return jnp.where(on, found, -jnp.inf)

    def cdf(self, value: Any) -> Array:
        """P(x ≤ value)."""
        value = jnp.asarray(value, self.logits.dtype)[..., None]
        parts = jnp.exp(self.logits)
        eps = jnp.finfo(value.dtype).eps
        reached = self.points <= value + 2 * eps * jnp.maximum(jnp.abs(value), 1e-3)
        below = jnp.sum(jnp.where(reached, parts[..., : self._num_points], 0.0), axis=-1)
        if not self.steps.shape[-1]:
            return below
        step, origin, scores = self._grids
        edge = origin + step * (jnp.floor((value - origin) / step + 1e-3) + 0.5)
        u, _ = to_scores(scores, jnp.where(self.steps > 0, edge, value), jnp)
        unit = (u[..., None] - self.loc[..., None, :]) / self.scale[..., None, :]
        inside = jnp.sum(jnp.exp(self.log_weights)[..., None, :] * 0.5 * erfc(-unit / np.sqrt(2)), axis=-1)
        return below + jnp.sum(parts[..., self._num_points :] * inside, axis=-1)

    @property
    def mean(self) -> Array:
        parts = jnp.exp(self.logits)
        points = jnp.where(jnp.isnan(self.points), 0.0, self.points)
        total = jnp.sum(parts[..., : self._num_points] * points, axis=-1)
        if not self.steps.shape[-1]:
            return total
        means = jnp.sum(jnp.exp(self.log_weights)[..., None, :] * self._component_means(), axis=-1)
        return total + jnp.sum(parts[..., self._num_points :] * means, axis=-1)

    def _component_means(self) -> Array:
        """E of each component on each grid, [..., G, K], from a table of places and scales."""
        dtype = self.loc.dtype
        places, scales = jnp.asarray(PLACES, dtype), jnp.asarray(np.sqrt(VARIANCES), dtype)
        nodes = jnp.asarray(NODES, dtype)
        weights = jnp.exp(-0.5 * nodes**2)
        u = places[:, None, None] + scales[:, None] * nodes  # [M, S, N]
        grown = NormalScores(
            *(part[..., None, None, None] for part in self.scores[:4]),
            *(part[..., None, None, None, :] for part in self.scores[4:]),
        )
        values = from_scores(grown, u, jnp)  # [..., M, S, N]
        values = values[..., None, :, :, :]
        step, origin = (part[..., None, None, None] for part in (self.steps, self.origins))
        limits = NormalScores(
            *(part[..., None, None, None, None] for part in self.scores[:4]), *self.scores[4:]
        )
        table = jnp.sum(_snapped(values, step, origin, limits) * weights, axis=-1) / jnp.sum(weights)
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
        return jnp.where(jnp.isnan(self.steps)[..., None], 0.0, means)


def log_gaussian_mass(middle: Array, width: Array) -> Array:
    """log P(|ε - middle| < width / 2) of a standard Gaussian, finite and exact however far out.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(v), 2) for v in log_gaussian_mass(jnp.array([0.0, 20.0]), jnp.array([2.0, 0.5]))]
        [-0.38, -198.94]
    """
    narrow = width * (1.0 + jnp.abs(middle)) < 0.2
    thin = jnp.where(narrow, width, 0.1)
    # The mean density over a narrow interval, to the second order.
    bulge = jnp.where(narrow, (middle**2 - 1.0) * thin**2 / 24.0, 0.0)
    of_narrow = -0.5 * middle**2 - 0.5 * jnp.log(2 * jnp.pi) + jnp.log(thin) + jnp.log1p(bulge)
    # On the side where tails are small: their logarithms are exact there.
    wide = jnp.where(narrow, 1.0, width)
    inner = _log_ndtr(-jnp.abs(middle) + 0.5 * wide)
    outer = _log_ndtr(-jnp.abs(middle) - 0.5 * wide)
    of_wide = inner + jax.nn.log1mexp(jnp.maximum(inner - outer, 1e-6))
    return jnp.where(narrow, of_narrow, of_wide)


def _log_ndtr(x: Array) -> Array:
    """log Φ(x), by the complementary error function, or far out by its asymptotic series."""
    far = x < -5.0
    near = jnp.log(0.5 * erfc(-jnp.where(far, 0.0, x) / np.sqrt(2.0)))
    out = jnp.where(far, x, -5.0)
    square = 1.0 / out**2
    series = 1.0 - square * (1.0 - 3.0 * square * (1.0 - 5.0 * square))
    return jnp.where(far, -0.5 * out**2 - jnp.log(-out) - 0.5 * np.log(2 * np.pi) + jnp.log(series), near)


def _snapped(value: Array, step: Array, origin: Array, scores: NormalScores) -> Array:
    """The values on the grid that values between the limits round to; themselves where there is none."""
    gridded = step > 0
    step, origin = jnp.where(gridded, step, 1.0), jnp.where(gridded, origin, 0.0)
    inside = jnp.clip(value, scores.low + 1e-3 * step, scores.high - 1e-3 * step)
    return jnp.where(gridded, origin + step * jnp.rint((inside - origin) / step), value)


def _with_axis(scores: NormalScores) -> NormalScores:
    return NormalScores(
        *(part[..., None] for part in scores[:4]), *(part[..., None, :] for part in scores[4:])
    )


def _pick(table: Array, index: Array) -> Array:
    table = jnp.broadcast_to(table, (*index.shape, table.shape[-1]))
    return jnp.take_along_axis(table, index[..., None], axis=-1)[..., 0]
