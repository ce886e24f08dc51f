"""Whether predictions are calibrated: transforms, reliability, coverage."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import binom

from condvae.calibration import Reliability, Uniformity
from condvae.plots.style import (
    DATA,
    MODEL,
    MUTED,
    OTHERS,
    coloured,
    legend_above,
    legend_beside,
    new_axes,
    numbers,
    per_name,
    stroke,
    swatch,
    tidy,
)


def plot_pit(u: np.ndarray, *, bins: int = 20, name: str = "", ax: Axes | None = None) -> Axes:
    """A histogram of probability integral transforms, which are uniform where predictions are right.

    Each bar lies in the shaded band with probability 95% if they are. Bars that are high at both ends say
    that predictions are too narrow, a hump that they are too wide, a slope that they are too low or high.

    Args:
        u: transforms [n] in [0, 1]; NaN are left out.
        bins: how many bars.
        name: of the target, above.
        ax: where to draw.

    Raises:
        ValueError: if `u` has no numbers or some that are not in [0, 1], or there is no bin.

    Example:
        >>> ax = plot_pit(np.array([0.1, 0.4, 0.6, np.nan]), bins=2, name="price")
        >>> [bar.get_height().round(2).item() for bar in ax.patches]
        [1.33, 0.67]
    """
    u = numbers("u", u, "n")
    u = u[~np.isnan(u)]
    if not len(u) or not ((u >= 0) & (u <= 1)).all():
        raise ValueError(f"u has {len(u)} numbers, expected 1 or more, all between 0 and 1")
    if bins < 1:
        raise ValueError(f"bins is {bins}, expected 1 or more")
    ax = new_axes() if ax is None else ax
    # As densities: the height of a bar does not depend on how many there are.
    low, high = binom.ppf([0.025, 0.975], len(u), 1 / bins) * bins / len(u)
    heights, places = np.histogram(u, bins, (0.0, 1.0))
    heights = heights * bins / len(u)
    ax.fill_between([0, 1], low, high, color=MUTED, alpha=0.35, linewidth=0)
    ax.bar(places[:-1], heights, 1 / bins, align="edge", color=MODEL, edgecolor="none", zorder=2)
    # Over the bars, or where the band begins would not be seen.
    ax.hlines([low, high], 0, 1, color=MUTED, linewidth=0.9, zorder=3)
    ax.axhline(1, color=DATA, linewidth=0.9, linestyle="--")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.05 * max(high, heights.max()))
    tidy(ax, title=name, x="probability integral transform", y="density", grid="")
    legend_above(
        ax, [("95% if uniform", swatch(MUTED, alpha=0.35)), ("uniform", stroke(DATA, linestyle="--"))]
    )
    return ax


def plot_ecdf(uniform: Uniformity, *, name: str = "", ax: Axes | None = None) -> Axes:
    """How far a distribution function is from the diagonal, beside the band of uniform numbers.

    All of the line lies in the band at once with the band's probability if the numbers are uniform. Above
    zero there are more small ones than there should be: what was predicted is too high.

    Args:
        uniform: what `condvae.calibration.uniformity` gave.
        name: of the target, above.
        ax: where to draw.

    Example:
        >>> from condvae.calibration import uniformity
        >>> ax = plot_ecdf(uniformity(np.linspace(0.01, 0.99, 50)), name="price")
        >>> ax.get_ylabel()
        'share − uniform'
    """
    ax = new_axes() if ax is None else ax
    points = uniform.points
    ax.fill_between(
        points,
        uniform.low - points,
        uniform.high - points,
        color=MUTED,
        alpha=0.35,
        linewidth=0,
        step="mid",
    )
    ax.axhline(0, color=DATA, linewidth=0.9, linestyle="--")
    ax.plot(points, uniform.share - points, color=MODEL, linewidth=1.6, drawstyle="steps-mid")
    ax.set_xlim(0, 1)
    ax.margins(y=0.1)
    tidy(ax, title=name, x="probability integral transform", y="share − uniform")
    band = f"{uniform.level:.0%} if uniform, of the whole line"
    legend_above(ax, [(band, swatch(MUTED, alpha=0.35))])
    return ax


def plot_reliability(curves: Mapping[str, Reliability], *, ax: Axes | None = None) -> Axes:
    """How often categories were observed against the probability with which they were predicted.

    On the diagonal, probabilities come true as often as they say; bars are two standard errors, were they
    right. Of more than 8 levels, those seen most often are coloured and the others grey.

    Args:
        curves: what `condvae.calibration.reliability` gave, by level.
        ax: where to draw.

    Raises:
        ValueError: if there is no curve.
    """
    names = per_name("curves", curves)
    ax = new_axes(6.0, 4.2) if ax is None else ax
    colours = coloured(names, [float(np.sum(curves[name].rows * curves[name].observed)) for name in names])
    top = max(float(max(*curve.predicted, *(curve.observed + curve.stderr))) for curve in curves.values())
    top = min(1.0, 1.1 * top) or 1.0  # rare levels are looked at closely
    ax.plot([0, top], [0, top], color=DATA, linewidth=0.9, linestyle="--")
    for name in sorted(names, key=lambda name: colours[name] != MUTED):
        curve, colour = curves[name], colours[name]
        look = {"color": colour, "linewidth": 1.3, "elinewidth": 0.8, "alpha": 0.9, "markersize": 3.5}
        bars = None if colour == MUTED else 2 * curve.stderr  # of all of them they would be a thicket
        ax.errorbar(curve.predicted, curve.observed, bars, marker="o", **look)
    ax.set_xlim(-0.02 * top, 1.02 * top)
    ax.set_ylim(-0.02 * top, 1.02 * top)
    ax.set_aspect("equal")
    tidy(ax, x="predicted probability", y="observed share", grid="both")
    legend_beside(ax, _by_colour(colours))
    return ax


def _by_colour(colours: Mapping[str, str]) -> list:
    """Entries of a legend; what is grey is one."""
    entries = [
        (str(name), stroke(c, marker="o", markersize=3.5)) for name, c in colours.items() if c != MUTED
    ]
    return entries + (
        [(OTHERS, stroke(MUTED, marker="o", markersize=3.5))] if len(entries) < len(colours) else []
    )


def plot_coverage(
    coverage: Mapping[str, Mapping[float, float]],
    stderr: Mapping[str, Mapping[float, float]] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """How much more, or less, of the observed values central intervals cover than they should.

    Below zero, intervals are too narrow. Bars are two standard errors. Of more than 8 targets, the first
    are coloured and the others grey.

    Args:
        coverage: by target, the share that was covered by each nominal level.
        stderr: likewise, of those shares; what is not there has no bar.
        ax: where to draw.

    Raises:
        ValueError: if there is no target, or a target has no level.

    Example:
        >>> ax = plot_coverage({"price": {0.5: 0.47, 0.9: 0.91}}, {"price": {0.5: 0.02, 0.9: 0.01}})
        >>> ax.get_lines()[1].get_ydata().round(2)
        array([-0.03,  0.01])
    """
    names = per_name("coverage", coverage)
    levels = sorted({level for by_level in coverage.values() for level in by_level})
    if empty := [name for name in names if not coverage[name]]:
        raise ValueError(f"coverage of {empty[0]!r} has no level, expected the covered share of 1 or more")
    ax = new_axes(6.0, 3.4) if ax is None else ax
    ax.axhline(0, color=DATA, linewidth=0.9, linestyle="--")
    colours = coloured(names, [0.0] * len(names))
    # At equal distances: 0.9 and 0.95 are apart as far as 0.5 and 0.8 are. And side by side, or the bars of
    # several targets would hide each other.
    places = {level: float(place) for place, level in enumerate(levels)}
    aside = np.linspace(-0.25, 0.25, len(names)) if len(names) > 1 else [0.0]
    for name, offset in zip(names, aside, strict=True):
        nominal = np.array(sorted(coverage[name]))
        off = np.array([coverage[name][level] for level in nominal.tolist()]) - nominal
        known = (stderr or {}).get(name, {})
        bars = 2 * np.array([known.get(level, np.nan) for level in nominal.tolist()])
        look = {"color": colours[name], "linewidth": 1.0, "elinewidth": 1.0, "markersize": 4}
        at = np.array([places[level] for level in nominal.tolist()]) + offset
        ax.errorbar(at, off, bars, marker="o", **look)
    ax.set_xticks(list(places.values()), [f"{level:.4g}" for level in levels])
    ax.margins(x=0.06, y=0.1)
    tidy(ax, x="nominal level", y="covered share − nominal")
    legend_beside(ax, _by_colour(colours))
    return ax
