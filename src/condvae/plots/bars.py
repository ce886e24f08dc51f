"""Bars beside names: quantities in nats, shares of categories."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from condvae.plots.style import (
    DATA,
    MODEL,
    MUTED,
    OTHERS,
    legend_above,
    name_rows,
    new_axes,
    numbers,
    swatch,
    tidy,
)

MAX_LEVELS = 12
"""Categories with bars of their own at most."""


def plot_nats(
    names: Sequence[str],
    values: np.ndarray,
    stderr: np.ndarray | None = None,
    *,
    label: str = "nats per row",
    highlight: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Horizontal bars, the first name on top, with their values at the ends.

    Args:
        names: what the bars are of, [n].
        values: [n]; NaN is drawn as nothing and called "not known".
        stderr: standard errors [n], drawn as bars of one; NaN where there is none.
        label: what the values are, with their unit.
        highlight: the name whose bar is coloured, the others being grey; by default all are coloured.
        ax: where to draw.

    Raises:
        ValueError: if there are no names, shapes differ, or `highlight` is none of the names.

    Example:
        >>> ax = plot_nats(["this model", "regression"], np.array([0.41, -0.2]), highlight="this model")
        >>> [text.get_text() for text in ax.texts]
        ['0.410', '−0.200']
    """
    names = [str(name) for name in names]
    if not names:
        raise ValueError("names has no entries, expected 1 or more")
    if highlight is not None and highlight not in names:
        raise ValueError(f"highlight is {highlight!r}, expected one of names")
    values = numbers("values", values, len(names))
    half = np.zeros(len(names)) if stderr is None else numbers("stderr", stderr, len(names))
    half = np.where(np.isfinite(half) & np.isfinite(values), half, 0.0)
    ax = new_axes(6.0, 0.8 + 0.27 * len(names)) if ax is None else ax
    shown = np.where(np.isfinite(values), values, 0.0)
    colours = [MODEL if highlight is None or name == highlight else MUTED for name in names]
    places = np.arange(len(names))
    ax.barh(places, shown, 0.68, color=colours)
    if half.any():
        some = half > 0
        ax.errorbar(shown[some], places[some], xerr=half[some], fmt="none", ecolor=DATA, elinewidth=1.0)
    ax.axvline(0, color=DATA, linewidth=0.6)
    low, high = float(np.minimum(shown - half, 0).min()), float(np.maximum(shown + half, 0).max())
    room = 0.2 * (high - low) or 1.0  # for the values
    ax.set_xlim(low - room * (shown < 0).any(), high + room * ((shown >= 0).any() or high > 0))
    digits = _digits(shown)
    for place, value, bar, width in zip(places, values, shown, half, strict=True):
        left = bar < 0
        ax.annotate(
            _spelled(value, digits),
            (bar - width if left else bar + width, place),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center_baseline",
            fontsize=8,
        )
    tidy(ax, x=label, grid="x")
    name_rows(ax, names)
    ax.spines["left"].set_visible(False)
    return ax


def _digits(values: np.ndarray) -> int:
    """Decimals that give the largest three figures."""
    largest = float(np.abs(values).max())
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 4)) if largest > 0 else 2


def _spelled(value: float, digits: int) -> str:
    if np.isnan(value):
        return "not known"
    # 0 has no sign, though what was rounded to it may have one.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−").replace("inf", "∞")


def plot_shares(
    levels: Sequence[str],
    predicted: np.ndarray,
    observed: np.ndarray | None = None,
    stderr: np.ndarray | None = None,
    *,
    name: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Bars of the shares of categories that are predicted, beside those observed.

    Of more than 12 levels the largest 12 are drawn, in their order, and the others as one.

    Args:
        levels: what the categories are called, [L].
        predicted: their predicted shares, [L].
        observed: their shares among real rows, [L].
        stderr: standard errors [L] of the observed shares, or of the predicted ones if there are no
            others, drawn as bars of one; NaN where there is none.
        name: of the target, above.
        ax: where to draw.

    Raises:
        ValueError: if there are no levels, or shapes differ.

    Example:
        >>> ax = plot_shares(["a", "b"], np.array([0.3, 0.7]), np.array([0.25, 0.75]), name="kind")
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['a', 'b']
    """
    names = [str(level) for level in levels]
    if not names:
        raise ValueError("levels has no entries, expected 1 or more")
    size = len(names)
    given = {"predicted": predicted, "observed": observed, "stderr": stderr}
    bars = {key: numbers(key, values, size) for key, values in given.items() if values is not None}
    if size > MAX_LEVELS:
        names, bars = _largest(names, bars)
    both = "observed" in bars
    ax = new_axes(6.0, 0.9 + (0.36 if both else 0.27) * len(names)) if ax is None else ax
    places, height = np.arange(len(names)), 0.38 if both else 0.68
    looks = {"predicted": (MODEL, 1.0), "observed": (DATA, 0.55)}
    drawn = [key for key in looks if key in bars]
    for key, offset in zip(drawn, (-height / 2, height / 2) if both else (0.0,), strict=True):
        colour, alpha = looks[key]
        ax.barh(places + offset, bars[key], height, color=colour, alpha=alpha)
    if "stderr" in bars:
        some = bars["stderr"] > 0
        aside = places[some] + (height / 2 if both else 0.0)
        look = {"fmt": "none", "ecolor": DATA, "elinewidth": 1.0}
        ax.errorbar(bars[drawn[-1]][some], aside, xerr=bars["stderr"][some], **look)
    ax.set_xlim(left=0)
    tidy(ax, title=name, x="share", grid="x")
    name_rows(ax, names)
    ax.spines["left"].set_visible(False)
    legend_above(ax, [(key, swatch(looks[key][0], alpha=looks[key][1])) for key in drawn])
    return ax


def _largest(names: list[str], bars: dict[str, np.ndarray]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The largest levels in their order, and what is left as one, whose error is not known."""
    size = np.maximum(bars["predicted"], bars.get("observed", bars["predicted"]))
    kept = np.sort(np.argsort(-size, kind="stable")[:MAX_LEVELS])
    rest = np.setdiff1d(np.arange(len(names)), kept)
    gathered = {
        key: np.append(values[kept], np.nan if key == "stderr" else values[rest].sum())
        for key, values in bars.items()
    }
    return [*(names[i] for i in kept), f"{len(rest)} {OTHERS}"], gathered
