"""Every pair of numeric columns: real rows over samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from condvae.plots.style import DATA, GROUPS, MUTED, OTHERS, abbreviated, edges, named_legend

MAX_PAIRED = 8
"""Columns in a grid of pairs at most, for it to be read."""
MAX_DOTS = {"samples": 4000, "real": 300}
"""Dots of one group in one cloud at most, evenly spaced through the rows: more are a blot."""


def plot_pairs(
    real: Mapping[str, np.ndarray] | None,
    samples: Mapping[str, np.ndarray],
    *,
    real_groups: np.ndarray | None = None,
    sample_groups: np.ndarray | None = None,
    group_name: str = "",
) -> Axes:
    """A grid of every pair of numeric columns: real rows as dots over the density of samples.

    Lower triangle: one column against another; diagonal: histograms of both. Where there are more groups
    than colours, the smaller ones are drawn in grey, as one. Returns the first Axes.

    Args:
        real: the columns of real rows, each (n,), NaN where missing; None draws samples alone.
        samples: the same columns, sampled, each (m,).
        real_groups: the group of each real row, for its colour.
        sample_groups: the group of each sampled row.
        group_name: what the groups are, for the legend.
    """
    names = list(samples)
    size = len(names)
    outside = size < 3  # the legend; else there is room for it in the upper triangle
    figure = Figure(
        figsize=(2.4 * size + (3.0 if outside else 1.2), 2.3 * size + 0.6), layout="constrained"
    )
    grid = figure.subplots(size, size, squeeze=False)
    if sample_groups is None:
        sample_groups = np.zeros(len(samples[names[0]]), int)
    if real is not None and real_groups is None:
        real_groups = np.zeros(len(real[names[0]]), int)
    sample_groups, real_groups = _gather(np.asarray(sample_groups), real_groups)
    groups = sorted(np.unique(sample_groups), key=lambda group: (group == OTHERS, group))
    colour: dict[Any, str] = dict(zip(groups, GROUPS, strict=False))
    if OTHERS in groups:
        colour[OTHERS] = MUTED
        groups = [OTHERS, *groups[:-1]]  # drawn first, under the rest
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            ax = grid[i][j]
            if j > i:
                ax.set_axis_off()
                continue
            limits = [_limits(name, real, samples) for name in (column, row)]
            for group in groups:
                chosen = sample_groups == group
                drawn = {n: samples[n][chosen] for n in (row, column)}
                seen = None
                if real is not None:
                    seen = {n: real[n][real_groups == group] for n in (row, column)}
                if i == j:
                    _histograms(
                        ax, drawn[row], None if seen is None else seen[row], limits[0], colour[group]
                    )
                else:
                    _clouds(ax, drawn, seen, column, row, colour[group])
            ax.set_xlim(*limits[0])
            if i != j:
                ax.set_ylim(*limits[1])
            _label(ax, row, column, i, j, size)
    _legend(figure, colour, group_name, real is not None, outside)
    return grid[0][0]


def _gather(samples: np.ndarray, real: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The groups of both, with those that get no colour of their own called `OTHERS`."""
    names, counts = np.unique(samples, return_counts=True)
    if len(names) <= len(GROUPS):
        return samples, real
    largest = names[np.argsort(-counts, kind="stable")[: len(GROUPS) - 1]]
    real = None if real is None else np.where(np.isin(real, largest), real, OTHERS)
    return np.where(np.isin(samples, largest), samples, OTHERS), real


def _limits(name: str, real: Mapping[str, np.ndarray] | None, samples: Mapping[str, np.ndarray]) -> Any:
    values = np.asarray(samples[name], float)
    low, high = np.nanquantile(values, [0.002, 0.998])
    if real is not None and np.isfinite(np.asarray(real[name], float)).any():
        low = min(low, float(np.nanmin(real[name])))
        high = max(high, float(np.nanmax(real[name])))
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _histograms(ax: Axes, samples: Any, real: Any, limits: Any, colour: str) -> None:
    whole = np.array_equal(samples, np.round(samples))
    samples = samples[(samples >= limits[0]) & (samples <= limits[1])]
    if len(samples):
        bins = edges(limits, 30, whole)
        ax.hist(samples, bins=bins, density=True, color=colour, alpha=0.35)
    if real is not None and np.isfinite(real).any():
        coarse = edges(limits, 15, whole)
        ax.hist(real[np.isfinite(real)], bins=coarse, density=True, histtype="step", color=colour, lw=1.2)
    ax.set_yticks([])


def _clouds(ax: Axes, samples: Any, real: Any, x: str, y: str, colour: str) -> None:
    few = _thin(samples, MAX_DOTS["samples"])
    alpha = float(np.clip(150 / max(len(few[x]), 1), 0.1, 0.5))
    ax.scatter(few[x], few[y], s=8, color=colour, alpha=alpha, linewidths=0, rasterized=True)
    if real is not None:
        few = _thin(real, MAX_DOTS["real"])
        ax.scatter(few[x], few[y], s=9, facecolors="none", edgecolors=colour, linewidths=0.7)


def _thin(columns: Mapping[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
    length = len(next(iter(columns.values())))
    return {name: values[:: max(1, -(-length // most))] for name, values in columns.items()}


def _label(ax: Axes, row: str, column: str, i: int, j: int, size: int) -> None:
    ax.tick_params(labelsize=7)
    ax.locator_params(axis="x", nbins=4)
    if i == size - 1:
        ax.set_xlabel(abbreviated(column), fontsize=9, parse_math=False)
    else:
        ax.set_xticklabels([])
    if j == 0 and i > 0:
        ax.set_ylabel(abbreviated(row), fontsize=9, parse_math=False)
    elif j > 0 or i == 0:
        ax.set_yticklabels([])


def _legend(figure: Figure, colour: Mapping[Any, str], name: str, with_real: bool, outside: bool) -> None:
    def dot(fill: str, edge: str) -> Line2D:
        return Line2D([], [], marker="o", linestyle="", markerfacecolor=fill, markeredgecolor=edge)

    entries = [(str(group), dot(fill, fill)) for group, fill in colour.items()] if name else []
    entries.append(("samples (filled)", dot("#00000040", "none")))
    if with_real:
        entries.append(("real rows (outlined)", dot("none", DATA)))
    if outside:
        place: dict[str, Any] = {"loc": "outside right upper"}
    else:
        place = {"loc": "upper right", "bbox_to_anchor": (0.98, 0.98)}
    named_legend(figure, entries, name, **place)
