"""The density of draws of one numeric target, under several conditions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import gaussian_kde

from condvae.plots.style import GROUPS, edges, legend_beside, new_axes, numbers, per_name, swatch, tidy

MAX_CONDITIONS = 6
MAX_DRAWS, MAX_TICKS = 5000, 200
"""Draws that a density is estimated from, and real values drawn, at most: evenly spaced among all."""


def plot_densities(
    draws: Mapping[str, np.ndarray],
    real: Mapping[str, np.ndarray] | None = None,
    *,
    name: str = "",
    ax: Axes | None = None,
) -> Axes:
    """The density of draws of a numeric target under each of a few conditions, real values below.

    Smooth, or the shares of bins if all draws are whole numbers; draws that are all equal are one line.
    The axis shows 99% of all draws, and every real value.

    Args:
        draws: by condition (at most 6), draws [S]; NaN are left out.
        real: by condition, real values [n]; NaN are left out.
        name: of the target.
        ax: where to draw.

    Raises:
        ValueError: if there are no conditions or more than 6, no draws at all, or real values of a
            condition without draws.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> ax = plot_densities({"small": rng.normal(0, 1, 99), "large": rng.normal(3, 1, 99)}, name="size")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['small', 'large']
    """
    labels = per_name("draws", draws, MAX_CONDITIONS)
    if unknown := [label for label in real or {} if label not in draws]:
        raise ValueError(f"real has {unknown[0]!r}, expected names that draws has too")
    drawn = {label: _finite("draws", draws, label) for label in labels}
    seen = {label: _finite("real", real or {}, label) for label in real or {}}
    everything = np.concatenate(list(drawn.values()))
    if not len(everything):
        raise ValueError("draws has no numbers, expected 1 or more")
    ax = new_axes(6.0, 3.4) if ax is None else ax
    whole = np.array_equal(everything, np.round(everything))
    limits = _limits(everything, np.concatenate([*seen.values(), everything[:0]]), whole)
    spikes = []
    for label, colour in zip(labels, GROUPS, strict=False):
        values = drawn[label]
        inside = values[(values >= limits[0]) & (values <= limits[1])]
        if not len(inside):
            continue
        if whole:
            heights, places = np.histogram(inside, edges(limits, 30, True))
            ax.stairs(heights / len(values), places, fill=True, color=colour, alpha=0.25)
            ax.stairs(heights / len(values), places, color=colour, linewidth=1.2)
        elif np.ptp(inside) < 1e-6 * (limits[1] - limits[0]):
            spikes.append((inside[0], colour))
        else:
            x, y = _density(inside, limits)
            y *= len(inside) / len(values)
            ax.fill_between(x, y, color=colour, alpha=0.2, linewidth=0)
            ax.plot(x, y, color=colour, linewidth=1.4)
    ax.set_xlim(*limits)
    top = ax.dataLim.y1 if ax.has_data() else 1.0
    for value, colour in spikes:
        ax.vlines(value, 0, top, color=colour, linewidth=2)
    bottom = _ticks(ax, seen, dict(zip(labels, GROUPS, strict=False)), top)
    ax.set_ylim(bottom, 1.05 * top)
    ax.set_yticks([])
    ax.axhline(0, color="#000000", linewidth=0.6)
    tidy(ax, x=name, y="share" if whole else "density", grid="x")
    ax.spines[["left", "bottom"]].set_visible(False)
    looks = {"alpha": 0.6}
    legend_beside(ax, [(str(k), swatch(c, **looks)) for k, c in zip(labels, GROUPS, strict=False)])
    return ax


def _finite(argument: str, by_label: Mapping[str, np.ndarray], label: str) -> np.ndarray:
    values = numbers(f"{argument} of {label!r}", by_label[label], "n")
    return values[np.isfinite(values)]


def _limits(draws: np.ndarray, real: np.ndarray, whole: bool) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.005, 0.995])
    if len(real):
        low, high = min(low, real.min()), max(high, real.max())
    if whole:  # and their bars
        low, high = low - 0.5, high + 0.5
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _density(values: np.ndarray, limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A kernel density, where it is not negligible; its width is that of the bulk, whatever the tails."""
    values = values[:: -(-len(values) // MAX_DRAWS)]
    spread = values.std()
    low, high = np.quantile(values, [0.25, 0.75])
    bulk = min(spread, (high - low) / 1.34) or spread
    width = 0.9 * bulk * len(values) ** -0.2  # Silverman's (1986) rule
    estimate = gaussian_kde(values, width / values.std(ddof=1))
    low, high = max(limits[0], values.min() - 4 * width), min(limits[1], values.max() + 4 * width)
    x = np.linspace(low, high, 300)
    return x, estimate(x)


def _ticks(ax: Axes, seen: Mapping[str, np.ndarray], colours: Mapping[str, str], top: float) -> float:
    """Real values, those of each condition in a line of its own below zero; where the lowest ends."""
    row = 0.0
    for label, values in seen.items():
        if len(values):
            row -= 0.055 * top
            few = values[:: -(-len(values) // MAX_TICKS)]
            few = np.unique(np.append(few, [values.min(), values.max()]))
            look = {"color": colours[label], "linewidth": 0.8, "alpha": 0.8}
            ax.vlines(few, row - 0.022 * top, row + 0.022 * top, **look)
    return row - 0.04 * top if row else 0.0
