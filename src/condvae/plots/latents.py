"""Where latents lie, by what they stand for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from condvae.plots.style import (
    MODEL,
    MUTED,
    OTHERS,
    abbreviated,
    coloured,
    dot,
    legend_beside,
    new_axes,
    numbers,
    tidy,
)

MAX_DOTS = 3000
MISSING = "missing"
SCALE = LinearSegmentedColormap.from_list(
    "condvae", ["#3b4cc0", "#2a85c2", "#20a39a", "#69b764", "#c4ad3a", "#f08a3c"]
)
"""From blue to orange by way of green: no colour on it is lost on a white page, nor on a dark one."""


def plot_latents(
    z: np.ndarray,
    colour: np.ndarray | None = None,
    *,
    name: str = "",
    labels: Sequence[str] = ("z 1", "z 2"),
    ax: Axes | None = None,
) -> Axes:
    """A cloud of latents, coloured by a quantity of their rows.

    A colour bar for numbers, from their 2% to their 98% quantile; a legend for anything else, of which
    the 8 most frequent are coloured. Rows of which it is missing are grey crosses. At most 3000 dots,
    evenly spaced among all rows.

    Args:
        z: [n, 2]; or [n, 1], drawn at random heights.
        colour: [n], numbers or strings; NaN, None and "missing" are missing.
        name: what the colours are.
        labels: what the latents are called.
        ax: where to draw.

    Raises:
        ValueError: if shapes are others.

    Example:
        >>> z = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> ax = plot_latents(z, np.array(["a", "b", "missing"]), name="kind")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['a', 'b', 'missing']
    """
    z = numbers("z", z, "n", "1 or 2")
    if z.shape[1] not in (1, 2) or not len(z):
        raise ValueError(f"z has shape {list(z.shape)}, expected [n, 2] or [n, 1] of 1 row or more")
    if colour is not None and np.shape(colour) != (len(z),):
        raise ValueError(f"colour has shape {list(np.shape(colour))}, expected [{len(z)}], as z has rows")
    ax = new_axes(6.0, 4.2) if ax is None else ax
    few = np.unique(np.linspace(0, len(z) - 1, min(len(z), MAX_DOTS)).round().astype(int))
    x = z[few, 0]
    y = z[few, 1] if z.shape[1] == 2 else np.random.default_rng(0).uniform(size=len(few))
    look: dict[str, Any] = {"s": 9, "alpha": 0.75, "linewidths": 0}
    if colour is None:
        ax.scatter(x, y, color=MODEL, **look)
    elif (values := _numbers(np.asarray(colour))) is not None:
        _scaled(ax, x, y, values[few], name, look, np.nanquantile(values, [0.02, 0.98]).tolist())
    else:
        _grouped(ax, x, y, _strings(np.asarray(colour)), few, name, look)
    if z.shape[1] == 1:
        ax.set_yticks([])
    tidy(ax, x=labels[0], y=labels[1] if z.shape[1] == 2 else "", grid="both")
    return ax


def _numbers(colour: np.ndarray) -> np.ndarray | None:
    """The colours as numbers, if they are some."""
    if colour.dtype.kind in "OU" and all(
        value is None or (isinstance(value, float | int | np.number) and not isinstance(value, bool))
        for value in colour.tolist()
    ):
        colour = colour.astype(np.float64)
    if colour.dtype.kind not in "iuf":
        return None
    values = np.where(np.isfinite(colour), colour, np.nan).astype(np.float64)
    return values if np.isfinite(values).any() else None


def _strings(colour: np.ndarray) -> np.ndarray:
    return np.array(
        [MISSING if value is None or value != value else str(value) for value in colour.tolist()], object
    )


def _absent(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    ax.scatter(x, y, s=9, marker="x", color=MUTED, alpha=0.75, linewidths=0.8, zorder=0.9)


def _scaled(
    ax: Axes, x: Any, y: Any, values: np.ndarray, name: str, look: Any, limits: list[float]
) -> None:
    low, high = limits
    known = np.isfinite(values)
    _absent(ax, x[~known], y[~known])
    if high <= low:  # all alike, but for a few
        low, high = low - 0.5, high + 0.5
    cloud = ax.scatter(x[known], y[known], c=values[known], cmap=SCALE, vmin=low, vmax=high, **look)
    figure = ax.get_figure()
    assert figure is not None
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    ends = bool((values[known] < low).any()), bool((values[known] > high).any())
    bar = figure.colorbar(cloud, ax=ax, extend=beyond[ends], fraction=0.05, pad=0.02, aspect=30)
    assert bar.solids is not None
    bar.solids.set_alpha(1)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.ax.tick_params(labelsize=8, length=3, width=0.6)
    bar.set_label(abbreviated(name, 40), fontsize=9, parse_math=False)


def _grouped(ax: Axes, x: Any, y: Any, groups: np.ndarray, few: np.ndarray, name: str, look: Any) -> None:
    names, counts = np.unique(groups[groups != MISSING].astype(str), return_counts=True)
    colours = coloured(names.tolist(), counts.tolist())
    groups = groups[few]
    entries: list[tuple[str, Artist]] = []
    absent = groups == MISSING
    others = np.isin(groups, [group for group, colour in colours.items() if colour == MUTED])
    _absent(ax, x[absent], y[absent])
    ax.scatter(x[others], y[others], color=MUTED, **look)
    for group, colour in colours.items():
        if colour != MUTED:
            chosen = groups == group
            ax.scatter(x[chosen], y[chosen], color=colour, **look)
            entries.append((group, dot(colour)))
    if others.any():
        entries.append((OTHERS, dot(MUTED)))
    if absent.any():
        entries.append((MISSING, dot(MUTED, "x")))
    legend_beside(ax, entries, name)
