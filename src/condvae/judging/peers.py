"""Other models of the same rows: boosted trees; and NGBoost, Treeffuser and flowjax, where installed.

Trees take any targets. The others take numeric targets alone (Treeffuser one), given the conditions as the
features of a linear model; none of these packages is needed by anything else. Where the model gives a cell
the mass of an interval, so do they; the flow's is the mean of its density over the interval.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from condvae import tables
from condvae.baselines import design_matrix, fit_boosted_trees
from condvae.baselines.blocks import log_between
from condvae.judging.rows import Rows
from condvae.table_models.model import scored

DRAWS, MASS_DRAWS = 1000, 64
"""Of each row, of which Treeffuser's density is estimated, and the mass that a flow gives its cells."""

Ends = tuple[np.ndarray, np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Ends | None], np.ndarray]
"""From features and targets trained on, and those of other rows: log p of the latter.

Last are the ends of what each cell stands for, None where it is a single number.
"""


def trees(rows: Rows, training: Rows) -> Iterator[tuple[str, np.ndarray]]:
    """log p of the rows, in their own units, under boosted trees: a chain, and joined by a Gaussian copula.

    Of one target they are the same, and there is the chain alone.
    """
    model = rows.model
    levels: dict[str, Any] = {
        "x_levels": tables.levels(model.schema.target),
        "c_levels": tables.levels(model.schema.given),
    }
    x, ends, _ = scored(model.schema, training.x)
    x_new, new_ends, log_factor = scored(model.schema, rows.x)
    ways: tuple[tuple[str, Any], ...] = (("trees", "in_turn"), ("copula", "copula"))
    for name, dependence in ways[: len(model.schema.target)]:
        fitted = fit_boosted_trees(x, training.c, intervals=ends, dependence=dependence, **levels)
        value = fitted.log_prob(x_new, rows.c, new_ends) + log_factor
        yield name, model.in_column_units(value, rows.x)


def peers(rows: Rows, training: Rows) -> Iterator[tuple[str, np.ndarray]]:
    """The name of each that is installed and fits these targets, and log p of the rows in their own units.

    None of them takes targets that are categorical, or missing in training. Of rows of which a target is
    missing, log p is NaN.
    """
    model = rows.model
    if model.categorical or not training.x["numeric"].mask.all():
        return
    complete = rows.x["numeric"].mask.all(axis=1)
    if not complete.any():
        return
    whole, rows = len(rows), rows.take(np.flatnonzero(complete))
    trained, judged = (tables.scored(model.schema.target, table.x["numeric"]) for table in (training, rows))
    ends = judged.intervals
    features = _features(training), _features(rows)
    for name, fit, most in (
        ("NGBoost", _ngboost, 8),
        ("Treeffuser", _treeffuser, 1),
        ("a flow", partial(_flow, cells=trained.intervals), 64),
    ):
        if len(model.numeric) > most:
            continue
        sets = (features[0], trained.block.value, features[1], judged.block.value)
        try:
            value = fit(*(np.asarray(part, np.float64) for part in sets), ends=ends)
        except (ImportError, np.linalg.LinAlgError):  # not installed; or a covariance that it cannot invert
            continue
        values = np.full(whole, np.nan)
        values[complete] = model.in_column_units(value + judged.log_factor, rows.x)
        yield name, values


def _features(rows: Rows) -> np.ndarray:
    given = tables.levels(rows.model.schema.given)
    features = design_matrix(rows.c, given, len(rows))
    return features if features.shape[1] else np.zeros((len(rows), 1))


def _ngboost(
    c: np.ndarray, x: np.ndarray, c_new: np.ndarray, x_new: np.ndarray, ends: Ends | None
) -> np.ndarray:
    """A Gaussian whose parameters are boosted; of several targets with a covariance."""
    from ngboost import NGBRegressor  # pyright: ignore[reportMissingImports]
    from ngboost.distns import MultivariateNormal, Normal  # pyright: ignore[reportMissingImports]

    np.random.seed(0)  # noqa: NPY002 - its trees break ties by the global generator
    single, d = x.shape[1] == 1, x.shape[1]
    family = Normal if single else MultivariateNormal(d)
    model: Any = NGBRegressor(Dist=family, verbose=False, random_state=0).fit(c, x[:, 0] if single else x)
    predicted = model.pred_dist(c_new)
    if single:
        return _mass(predicted.logpdf(x_new[:, 0]), predicted.cdf, ends)
    low, high = (x_new, x_new) if ends is None else ends
    factor = np.linalg.cholesky(np.asarray(predicted.cov))
    z = np.linalg.solve(factor, (x_new - predicted.loc)[..., None])[..., 0]
    scale = np.diagonal(factor, axis1=1, axis2=2)
    cells = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - np.log(scale)
    # Each cell given the row's cells before it.
    between = log_between(z + (low - x_new) / scale, z + (high - x_new) / scale)
    return np.where(low < high, between, cells).sum(axis=1)


def _treeffuser(
    c: np.ndarray, x: np.ndarray, c_new: np.ndarray, x_new: np.ndarray, ends: Ends | None
) -> np.ndarray:
    """It has no density: a Gaussian kernel of Silverman's width on each of its draws."""
    from treeffuser import Treeffuser  # pyright: ignore[reportMissingImports]

    model: Any = Treeffuser(seed=0).fit(c, x[:, 0])
    drawn = model.sample(c_new, n_samples=DRAWS, n_parallel=DRAWS, seed=0).T
    low, high = np.quantile(drawn, [0.25, 0.75], axis=1)
    width = 0.9 * np.minimum(drawn.std(axis=1), (high - low) / 1.34)[:, None] * DRAWS**-0.2
    kernels = -0.5 * ((x_new - drawn) / width) ** 2 - np.log(width) - 0.5 * np.log(2 * np.pi)
    density = logsumexp(kernels, axis=1) - np.log(DRAWS)
    return _mass(density, lambda at: ndtr((at[:, None] - drawn) / width).mean(axis=1), ends)


def _mass(density: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray], ends: Ends | None) -> np.ndarray:
    """The log of the mass between the ends of a cell, of a single number the density."""
    if ends is None:
        return density
    low, high = (end[:, 0] for end in ends)
    mass = np.maximum(cdf(high) - cdf(low), np.finfo(float).tiny)
    return np.where(high > low, np.log(mass), density)


def _flow(
    c: np.ndarray,
    x: np.ndarray,
    c_new: np.ndarray,
    x_new: np.ndarray,
    ends: Ends | None,
    cells: Ends | None,
) -> np.ndarray:
    """A masked autoregressive flow of affine and spline layers; trained on a draw from within each cell."""
    import jax
    import jax.numpy as jnp
    import optax
    from flowjax.bijections import Affine, Chain, Invert, RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import masked_autoregressive_flow
    from flowjax.train import fit_to_data

    build_key, fit_key = jax.random.split(jax.random.key(0))
    flow = masked_autoregressive_flow(
        build_key,
        base_dist=Normal(jnp.zeros(x.shape[1])),
        transformer=Chain([Invert(Affine()), RationalQuadraticSpline(knots=8, interval=4)]),
        cond_dim=c.shape[1],
        flow_layers=1 if x.shape[1] == 1 else 4,
        nn_width=64,
        nn_depth=2,
        nn_activation=jax.nn.silu,
    )
    arrays = [jnp.asarray(part, jnp.float32) for part in (_within(x, cells)[0], c, x_new, c_new)]
    flow, _ = fit_to_data(
        fit_key,
        flow,
        (arrays[0], arrays[1]),
        optimizer=optax.adamw(3e-3, weight_decay=0.05),
        max_epochs=1000,
        max_patience=50,
        batch_size=min(64, len(x)),
        show_progress=False,
    )
    density = jax.jit(lambda target, given: flow.log_prob(target, given))
    if ends is None:
        return np.asarray(density(arrays[2], arrays[3]))
    parts = []
    for seed in range(MASS_DRAWS):
        at, log_weight = _within(x_new, ends, seed)
        parts.append(np.asarray(density(jnp.asarray(at, jnp.float32), arrays[3])) + log_weight)
    return logsumexp(parts, axis=0) - np.log(MASS_DRAWS)


def _within(x: np.ndarray, ends: Ends | None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A draw of the standard normal between the ends of each cell, and minus its log-density, summed."""
    x = np.asarray(x, np.float64)
    if ends is None:
        return x, np.zeros(len(x))
    low, high = (ndtr(end) for end in ends)
    u = np.clip(low + (high - low) * np.random.default_rng(seed).random(x.shape), 1e-12, 1 - 1e-12)
    drawn = ndtri(u)
    log_weight = np.log(np.maximum(high - low, 1e-300)) + 0.5 * drawn**2 + 0.5 * np.log(2 * np.pi)
    cell = ends[0] < ends[1]
    return np.where(cell, drawn, x), np.where(cell, log_weight, 0.0).sum(axis=1)
