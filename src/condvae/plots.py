"""Pictures: arrays in, matplotlib Axes out. Nothing here knows of models or of JAX.

Every function takes an Axes to draw on, or makes one, and returns it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DATA, MODEL, MUTED = "#333333", "#1f77b4", "#b0b0b0"
GROUPS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Colours told apart by most eyes (Okabe and Ito 2008)."""


def new_axes(width: float = 6.0, height: float = 4.0) -> Axes:
    """An Axes on a figure of its own, without touching matplotlib's global state."""
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def save_figure(axes: Axes, path: str | Path) -> None:
    """Write the figure that `axes` stand on; the kind of file follows its ending."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(path, dpi=150)


def plot_history(
    records: Sequence[Mapping[str, float]], *, best_step: int = 0, ax: Axes | None = None
) -> Axes:
    """Learning curves: the objective in training and on the held-out rows against the step.

    Args:
        records: dictionaries with `step`, `train` and, where rows were held out, `validation`.
        best_step: marked, if positive.
        ax: where to draw.
    """
    ax = new_axes() if ax is None else ax
    steps = [record["step"] for record in records]
    ax.plot(steps, [record["train"] for record in records], color=MUTED, label="training batches")
    if records and "validation" in records[0]:
        values = [record["validation"] for record in records]
        ax.plot(steps, values, color=MODEL, label="held-out rows")
    if best_step > 0:
        ax.axvline(best_step, color=DATA, linewidth=0.8, linestyle=":", label=f"kept: step {best_step}")
    ax.set_xlabel("step")
    ax.set_ylabel("objective (nats a row)")
    ax.legend(frameon=False)
    return ax


def plot_pairs(
    real: Mapping[str, np.ndarray] | None,
    samples: Mapping[str, np.ndarray],
    *,
    real_groups: np.ndarray | None = None,
    sample_groups: np.ndarray | None = None,
    group_name: str = "",
) -> Axes:
    """A grid of every pair of numeric columns: real rows as dots over the density of samples.

    Lower triangle: one column against another; diagonal: histograms of both. Returns the first Axes.

    Args:
        real: the columns of real rows, each (n,), NaN where missing; None draws samples alone.
        samples: the same columns, sampled, each (m,).
        real_groups: the group of each real row, for its colour.
        sample_groups: the group of each sampled row.
        group_name: what the groups are, for the legend.
    """
    names = list(samples)
    size = len(names)
    figure = Figure(figsize=(2.4 * size + 1.2, 2.3 * size + 0.4), layout="constrained")
    grid = figure.subplots(size, size, squeeze=False)
    if sample_groups is None:
        sample_groups = np.zeros(len(samples[names[0]]), int)
    if real is not None and real_groups is None:
        real_groups = np.zeros(len(real[names[0]]), int)
    groups = list(np.unique(sample_groups))[: len(GROUPS)]
    colour = dict(zip(groups, GROUPS, strict=False))
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            ax = grid[i][j]
            if j > i:
                ax.set_axis_off()
                continue
            limits = [_limits(name, real, samples) for name in (column, row)]
            for group in groups:
                chosen = sample_groups == group
                mine = None if real is None else real_groups == group
                drawn = {n: samples[n][chosen] for n in (row, column)}
                seen = None if real is None else {n: real[n][mine] for n in (row, column)}
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
    _legend(figure, groups, colour, group_name, real is not None)
    return grid[0][0]


def _limits(name: str, real: Mapping[str, np.ndarray] | None, samples: Mapping[str, np.ndarray]) -> Any:
    values = np.asarray(samples[name], float)
    low, high = np.nanquantile(values, [0.002, 0.998])
    if real is not None and np.isfinite(np.asarray(real[name], float)).any():
        low = min(low, float(np.nanmin(real[name])))
        high = max(high, float(np.nanmax(real[name])))
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _histograms(ax: Axes, samples: Any, real: Any, limits: Any, colour: str) -> None:
    bins = np.linspace(limits[0], limits[1], 31).tolist()
    ax.hist(samples, bins=bins, density=True, color=colour, alpha=0.35)
    if real is not None and np.isfinite(real).any():
        coarse = np.linspace(limits[0], limits[1], 16).tolist()
        ax.hist(real[np.isfinite(real)], bins=coarse, density=True, histtype="step", color=colour, lw=1.2)
    ax.set_yticks([])


def _clouds(ax: Axes, samples: Any, real: Any, x: str, y: str, colour: str) -> None:
    ax.scatter(samples[x], samples[y], s=3, color=colour, alpha=0.12, linewidths=0, rasterized=True)
    if real is not None:
        ax.scatter(real[x], real[y], s=9, facecolors="none", edgecolors=colour, linewidths=0.7)


def _label(ax: Axes, row: str, column: str, i: int, j: int, size: int) -> None:
    ax.tick_params(labelsize=7)
    if i == size - 1:
        ax.set_xlabel(column, fontsize=9)
    else:
        ax.set_xticklabels([])
    if j == 0 and i > 0:
        ax.set_ylabel(row, fontsize=9)
    elif j > 0 or i == 0:
        ax.set_yticklabels([])


def _legend(figure: Figure, groups: Any, colour: Mapping[Any, str], name: str, with_real: bool) -> None:
    from matplotlib.lines import Line2D

    def dot(fill: str, edge: str, label: str) -> Line2D:
        return Line2D(
            [], [], marker="o", linestyle="", markerfacecolor=fill, markeredgecolor=edge, label=label
        )

    handles = []
    if name:
        handles += [dot(colour[group], colour[group], str(group)) for group in groups]
    handles.append(dot("#00000040", "none", "samples (filled)"))
    if with_real:
        handles.append(dot("none", DATA, "real rows (outlined)"))
    figure.legend(
        handles=handles, loc="upper right", title=name or None, frameon=False, bbox_to_anchor=(0.98, 0.98)
    )
