"""Pictures: arrays in, matplotlib Axes out. Nothing here knows of models or of JAX.

Every function takes an Axes to draw on, or makes one, and returns it.
"""

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

DATA, MODEL, MUTED = "#333333", "#1f77b4", "#b0b0b0"
GROUPS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Colours told apart by most eyes (Okabe and Ito 2008)."""
OTHERS = "others"
"""What groups beyond the colours are called."""
MAX_PAIRED = 8
"""Columns in a grid of pairs at most, for it to be read."""
MAX_DOTS = {"samples": 4000, "real": 300}
"""Dots of one group in one cloud at most, evenly spaced through the rows: more are a blot."""


def new_axes(width: float = 6.0, height: float = 4.0) -> Axes:
    """An Axes on a figure of its own, without touching matplotlib's global state."""
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def save_figure(axes: Axes, path: str | Path) -> None:
    """Write the figure that `axes` stand on; the kind of file follows its ending.

    Raises:
        ValueError: if there is no such kind of picture, or the file cannot be written.
    """
    require_drawable(path)
    figure = axes.get_figure(root=True)
    assert figure is not None
    drawn = io.BytesIO()  # a drawing that fails leaves no file
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box: the picture stands, and names stay in the table.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(drawn, dpi=150, format=Path(path).suffix[1:].lower())
    Path(path).write_bytes(drawn.getvalue())


def require_drawable(path: str | Path) -> None:
    """Check that a picture can be written at `path`, before any work is done for it.

    Raises:
        ValueError: if its ending is of no kind of picture, or its folder is not there or not to be
            written to.

    Example:
        >>> require_drawable("samples.xls")
        Traceback (most recent call last):
        ValueError: 'samples.xls' is no kind of picture: let it end in .png, .svg or .pdf
    """
    path = Path(path)
    if path.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(f"{str(path)!r} is no kind of picture: let it end in .png, .svg or .pdf")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"{str(path)!r} cannot be written: choose a file in a folder that exists and is yours"
        )


def plot_history(
    records: Sequence[Mapping[str, Any]], *, best_step: int | Sequence[int] = 0, ax: Axes | None = None
) -> Axes:
    """Learning curves: the objective in training and on the held-out rows against the step.

    Of a mixture there is a thin line for each member, with a dot where its parameters were kept, and a
    thick one for the mean of the members.

    Args:
        records: dictionaries with `step`, `train` and, where rows were held out, `validation`: numbers,
            or lists with one for each member, NaN after it has stopped.
        best_step: marked, if positive; a list with one for each member.
        ax: where to draw.
    """
    ax = new_axes() if ax is None else ax
    steps = np.array([record["step"] for record in records])
    kept = np.asarray(best_step)
    curves = {"train": (MUTED, "training batches"), "validation": (MODEL, "held-out rows")}
    shown = [name for name in curves if records and name in records[0]]
    for name in shown:
        colour, label = curves[name]
        values = np.array([record[name] for record in records], float)
        if values.ndim == 1:
            ax.plot(steps, values, color=colour, label=label)
            continue
        for member in values.T:
            ax.plot(steps, member, color=colour, linewidth=0.7, alpha=0.6)
        ax.plot(steps, _mean_so_far(values), color=colour, linewidth=2.2, label=f"{label}, mean")
    if kept.ndim == 0 and kept > 0:
        ax.axvline(float(kept), color=DATA, linewidth=0.8, linestyle=":", label=f"kept: step {kept}")
    elif kept.ndim > 0 and (kept > 0).any() and "validation" in shown:
        marked = [
            (step, record["validation"][k])
            for k, step in enumerate(kept.tolist())
            for record in records
            if record["step"] == step
        ]
        ax.plot(*zip(*marked, strict=True), ".", color=DATA, zorder=3, label="kept, of each member")
    ax.set_xlabel("step")
    ax.set_ylabel("objective (nats a row)")
    ax.legend(frameon=False)
    return ax


def _mean_so_far(values: np.ndarray) -> np.ndarray:
    """The mean over members at each round; one that has stopped counts with its last value."""
    filled = values.copy()
    for before, row in pairwise(filled):
        row[:] = np.where(np.isnan(row), before, row)
    return filled.mean(axis=1)


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
        bins = _edges(limits, 30, whole)
        ax.hist(samples, bins=bins, density=True, color=colour, alpha=0.35)
    if real is not None and np.isfinite(real).any():
        coarse = _edges(limits, 15, whole)
        ax.hist(real[np.isfinite(real)], bins=coarse, density=True, histtype="step", color=colour, lw=1.2)
    ax.set_yticks([])


def _edges(limits: tuple[float, float], count: int, whole: bool) -> list[float]:
    """About `count` bins; of whole numbers each has equally many, or a comb of teeth would be seen."""
    low, high = limits
    if not whole:
        return np.linspace(low, high, count + 1).tolist()
    step = max(1, round((high - low) / count))
    return (np.arange(np.floor(low), np.ceil(high) + step + 1, step) - 0.5).tolist()


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
        ax.set_xlabel(_abbreviated(column), fontsize=9, parse_math=False)
    else:
        ax.set_xticklabels([])
    if j == 0 and i > 0:
        ax.set_ylabel(_abbreviated(row), fontsize=9, parse_math=False)
    elif j > 0 or i == 0:
        ax.set_yticklabels([])


def _abbreviated(name: Any) -> str:
    """A name that fits under one column of the grid."""
    name = str(name)
    return name if len(name) <= 24 else f"{name[:12]}…{name[-11:]}"


def _legend(figure: Figure, colour: Mapping[Any, str], name: str, with_real: bool, outside: bool) -> None:
    from matplotlib.lines import Line2D

    def dot(fill: str, edge: str) -> Line2D:
        return Line2D([], [], marker="o", linestyle="", markerfacecolor=fill, markeredgecolor=edge)

    handles = {str(group): dot(fill, fill) for group, fill in colour.items()} if name else {}
    handles["samples (filled)"] = dot("#00000040", "none")
    if with_real:
        handles["real rows (outlined)"] = dot("none", DATA)
    if outside:
        place: dict[str, Any] = {"loc": "outside right upper"}
    else:
        place = {"loc": "upper right", "bbox_to_anchor": (0.98, 0.98)}
    legend = figure.legend(list(handles.values()), [""] * len(handles), title=" ", frameon=False, **place)
    # Set afterwards: the names are the user's, "_a" is not hidden and "$" is no formula.
    for text, label in zip(legend.get_texts(), handles, strict=True):
        text.set(text=label, parse_math=False)
    legend.get_title().set(text=name, parse_math=False, visible=bool(name))
