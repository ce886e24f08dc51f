"""What a condition does to a target, all other conditions being held."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator

from condvae.plots.style import (
    DATA,
    MODEL,
    MUTED,
    OTHERS,
    coloured,
    dot,
    legend_above,
    legend_beside,
    name_columns,
    new_axes,
    numbers,
    stroke,
    swatch,
    tidy,
)

MAX_ROWS = 300
"""Real rows drawn at most, evenly spaced among all."""
MAX_AREAS = 7
"""Levels with a colour of their own at most: one area less than lines, as black is no colour for one."""


def plot_effect(
    values: np.ndarray,
    quantiles: np.ndarray,
    levels: Sequence[float],
    *,
    real: tuple[np.ndarray, np.ndarray] | None = None,
    name: str = "",
    target: str = "",
    ax: Axes | None = None,
) -> Axes:
    """What a condition does to a numeric target: its median and the intervals around it.

    Bands over the values of a numeric condition (or dates); over those of a categorical one, or over one
    value alone, vertical intervals with a dot at the median.

    Args:
        values: of the condition, [V]: numbers, dates, or strings.
        quantiles: of the target under each, [V, Q].
        levels: of the quantiles, [Q]: symmetric about 0.5, which is one of them.
        real: values of the condition and the target in real rows, both [n]; missing ones are left out, and
            categories that are not among `values`.
        name: of the condition.
        target: its name.
        ax: where to draw.

    Raises:
        ValueError: if there are no values, shapes differ, or levels are not symmetric about 0.5.

    Example:
        >>> quantiles = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
        >>> ax = plot_effect(np.array([0.0, 1.0]), quantiles, [0.05, 0.5, 0.95], name="age", target="price")
        >>> ax.get_lines()[0].get_ydata()
        array([2., 4.])
    """
    places, names = _places(values)
    q = np.asarray(levels, np.float64)
    if q.ndim != 1 or len(q) % 2 == 0 or (np.diff(q) <= 0).any() or not np.allclose(q + q[::-1], 1):
        raise ValueError(f"levels are {q.tolist()}, expected them to rise, symmetric about 0.5 and with it")
    quantiles = numbers("quantiles", quantiles, len(places), len(q))
    ax = new_axes(6.0, 3.6) if ax is None else ax
    order = np.argsort(places, kind="stable")
    order = order[~_unknown(places[order])]
    at, drawn, middle = places[order], quantiles[order], len(q) // 2
    entries: list[tuple[str, Artist]] = []
    separate = names is not None or len(at) == 1
    for k in range(middle):
        # Bands lie on each other, so that inner ones are darker.
        low, high = drawn[:, k], drawn[:, -1 - k]
        if separate:
            ax.vlines(at, low, high, color=MODEL, linewidth=3.0 + 4.0 * k / middle, alpha=0.3)
        else:
            ax.fill_between(at, low, high, color=MODEL, alpha=0.3, linewidth=0)
        covered = f"{100 * (q[-1 - k] - q[k]):.3g}% of draws"
        entries.append((covered, swatch(MODEL, alpha=1 - 0.7 ** (k + 1))))
    look: dict[str, Any] = {"linewidth": 1.6}
    if separate:
        look = {"marker": "o", "linestyle": "", "markersize": 5}
    ax.plot(at, drawn[:, middle], color=MODEL, **look)
    entries.append(("median", stroke(MODEL, **look)))
    if real is not None and _real(ax, real, names):
        entries.append(("real rows", dot(DATA)))
    if names is not None:
        name_columns(ax, names)
    else:
        _ticks(ax, at)
    tidy(ax, x=name, y=target)
    legend_above(ax, entries)
    return ax


def _places(values: Any) -> tuple[np.ndarray, list[str] | None]:
    """Where values are drawn; and what they are called, if they are no numbers and no dates."""
    values = np.asarray(values)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values has shape {list(values.shape)}, expected [V] of 1 or more")
    if values.dtype.kind in "iuf":
        return values.astype(np.float64), None
    if values.dtype.kind == "M":
        return values, None
    return np.arange(len(values), dtype=np.float64), [str(value) for value in values]


def _ticks(ax: Axes, places: np.ndarray) -> None:
    """Few of them: dates spelled briefly, whole numbers where places are."""
    if places.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=7)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        whole = bool((places == np.round(places)).all())
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=whole))


def _unknown(values: np.ndarray) -> np.ndarray:
    return np.isnat(values) if values.dtype.kind == "M" else ~np.isfinite(values)


def _real(ax: Axes, real: tuple[np.ndarray, np.ndarray], names: list[str] | None) -> bool:
    """Draw real rows, beside the interval of their category; whether there are some."""
    x, y = np.asarray(real[0]), numbers("real[1]", real[1], "n")
    if x.shape != y.shape:
        raise ValueError(f"real has shapes {list(x.shape)} and {list(y.shape)}, expected both [n]")
    if names is not None:
        place = {name: float(i) for i, name in reversed(list(enumerate(names)))}
        x = np.array([place.get(str(value), np.nan) for value in x])
    elif x.dtype.kind != "M":
        x = numbers("real[0]", x, "n")
    known = np.flatnonzero(~_unknown(x) & np.isfinite(y))
    known = known[:: max(1, -(-len(known) // MAX_ROWS))]
    x, y = x[known], y[known]
    if names is not None:
        x = x + np.random.default_rng(0).uniform(0.12, 0.32, len(x))
    ax.scatter(x, y, s=6, color=DATA, alpha=0.45, linewidths=0, zorder=1.5)
    return len(known) > 0


def plot_effect_shares(
    values: np.ndarray,
    shares: np.ndarray,
    levels: Sequence[str],
    *,
    name: str = "",
    target: str = "",
    ax: Axes | None = None,
) -> Axes:
    """What a condition does to a categorical target: the probabilities of its levels, on top of each other.

    Areas over the values of a numeric condition (or dates), bars over those of a categorical one, or over
    one value alone. Of more than 7 levels, the largest 7 are coloured and the others grey, on top.

    Args:
        values: of the condition, [V]: numbers, dates, or strings.
        shares: probabilities of the target's levels under each, [V, L].
        levels: what they are called, [L].
        name: of the condition.
        target: its name.
        ax: where to draw.

    Raises:
        ValueError: if there are no values or no levels, or shapes differ.

    Example:
        >>> shares = np.array([[0.2, 0.8], [0.6, 0.4]])
        >>> ax = plot_effect_shares(np.array(["x", "y"]), shares, ["no", "yes"], name="kind", target="sold")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['yes', 'no']
    """
    places, names = _places(values)
    if not len(levels):
        raise ValueError("levels has no entries, expected 1 or more")
    shares = numbers("shares", shares, len(places), len(levels))
    ax = new_axes(6.0, 3.4) if ax is None else ax
    order = np.argsort(places, kind="stable")
    order = order[~_unknown(places[order])]
    at, shares = places[order], shares[order]
    colours = coloured(range(len(levels)), np.nan_to_num(shares).sum(axis=0).tolist(), MAX_AREAS)
    parts = [(str(levels[i]), shares[:, i], c) for i, c in colours.items() if c != MUTED]
    if rest := [i for i, colour in colours.items() if colour == MUTED]:
        parts.append((f"{len(rest)} {OTHERS}", shares[:, rest].sum(axis=1), MUTED))
    below = np.zeros(len(at))
    for _, heights, colour in parts:
        if names is not None or len(at) == 1:
            ax.bar(at, heights, 0.7, bottom=below, color=colour, alpha=0.85)
        else:
            ax.fill_between(at, below, below + heights, color=colour, alpha=0.85, linewidth=0)
        below = below + heights
    ax.set_ylim(0, 1)
    if names is not None:
        name_columns(ax, names)
    else:
        _ticks(ax, at)
        if len(at) > 1:
            ax.set_xlim(at[0], at[-1])
    tidy(ax, x=name, y="probability", grid="")
    # The uppermost area is the last: so is it in the legend, read from below.
    legend_beside(ax, [(label, swatch(colour, alpha=0.85)) for label, _, colour in reversed(parts)], target)
    return ax
