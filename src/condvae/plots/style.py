"""What all pictures have in common: colours, Axes of their own, names as the user wrote them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

DATA, MODEL, MUTED = "#333333", "#1f77b4", "#b0b0b0"
GROUPS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Colours told apart by most eyes (Okabe and Ito 2008)."""
OTHERS = "others"
"""What groups beyond the colours are called."""


def new_axes(width: float = 6.0, height: float = 4.0) -> Axes:
    """An Axes on a figure of its own, without touching matplotlib's global state."""
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def abbreviated(name: Any, most: int = 24) -> str:
    """A name that takes no more room than `most` characters: of a longer one, its beginning and its end."""
    name = str(name)
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-((most - 1) // 2) :]}"


def named_legend(
    owner: Axes | Figure, entries: Sequence[tuple[str, Artist]], title: str = "", **place: Any
) -> Legend:
    """A legend with names as the user wrote them: "_a" is not hidden, and "$" is no formula."""
    names, handles = zip(*entries, strict=True)
    heading = " " if title else None
    legend = owner.legend(list(handles), [""] * len(handles), title=heading, frameon=False, **place)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)
    if title:
        legend.get_title().set(text=title, parse_math=False)
    return legend


def legend_beside(ax: Axes, entries: Sequence[tuple[str, Artist]], title: str = "") -> None:
    """A legend to the right of the Axes, where it hides nothing."""
    entries = [(abbreviated(name), artist) for name, artist in entries]
    small = {"fontsize": 8, "title_fontsize": 8, "alignment": "left", "handlelength": 1.2}
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    named_legend(ax, entries, abbreviated(title), **small, **place)


def legend_above(ax: Axes, entries: Sequence[tuple[str, Artist]]) -> None:
    """A legend in one line above the Axes, at the right: a title is at the left."""
    small = {"fontsize": 8, "handlelength": 1.4, "columnspacing": 1.2, "borderpad": 0, "borderaxespad": 0.3}
    named_legend(ax, entries, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(entries), **small)


def tidy(
    ax: Axes, *, title: str = "", x: str = "", y: str = "", grid: Literal["x", "y", "both", ""] = "y"
) -> None:
    """Small text, a muted grid, no frame; the title and the labels are taken as they are."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(0.6)
    ax.tick_params(labelsize=8, length=3, width=0.6)
    if grid:
        ax.grid(axis=grid, color=MUTED, linewidth=0.5, alpha=0.4)
        ax.set_axisbelow(True)
    if title:
        ax.set_title(abbreviated(title, 40), loc="left", fontsize=10, parse_math=False)
    if x:
        ax.set_xlabel(abbreviated(x, 60), fontsize=9, parse_math=False)
    if y:
        ax.set_ylabel(abbreviated(y, 40), fontsize=9, parse_math=False)


def name_columns(ax: Axes, names: Sequence[Any]) -> None:
    """Names below the places 0, 1, ...; slanted where they would touch."""
    shown = [abbreviated(name, 20) for name in names]
    room = ax.get_window_extent().width * 72 / ax.get_figure(root=True).dpi / len(shown)  # pyright: ignore
    slanted = max(map(len, shown)) * 5.2 > room  # points, of a letter of size 8
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    ax.set_xticks(range(len(shown)), shown, fontsize=8, parse_math=False, **turned)
    ax.set_xlim(-0.6, len(shown) - 0.4)


def name_rows(ax: Axes, names: Sequence[Any]) -> None:
    """Names beside the places 0, 1, ..., of which the first is on top."""
    shown = [abbreviated(name) for name in names]
    ax.set_yticks(range(len(shown)), shown, fontsize=8, parse_math=False)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def coloured(names: Sequence[Any], weight: Sequence[float], most: int = len(GROUPS)) -> dict[Any, str]:
    """A colour for each name: where there are more than `most`, those of little weight are grey."""
    first = sorted(range(len(names)), key=lambda i: -weight[i])[:most]
    colours = iter(GROUPS)
    return {name: next(colours) if i in first else MUTED for i, name in enumerate(names)}


def swatch(colour: str, **look: Any) -> Patch:
    """What stands for an area in a legend."""
    return Patch(**{"facecolor": colour, "linewidth": 0, **look})


def stroke(colour: str, **look: Any) -> Line2D:
    """What stands for a line, or for dots, in a legend."""
    return Line2D([], [], **{"color": colour, **look})


def dot(colour: str, marker: str = "o") -> Line2D:
    """What stands for the dots of a cloud in a legend."""
    return stroke(colour, marker=marker, linestyle="", markersize=4, markeredgewidth=0.8)


def numbers(argument: str, values: Any, *shape: int | str) -> np.ndarray:
    """An argument as float64 of a shape; lengths that are given by a name may be any.

    Raises:
        ValueError: if it holds no numbers, or has another shape.

    Example:
        >>> numbers("real", [1, 2], "n")
        array([1., 2.])
        >>> numbers("real", [1, 2], "n", 3)
        Traceback (most recent call last):
        ValueError: real has shape [2], expected [n, 3]
    """
    expected = ", ".join(map(str, shape))
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{argument} holds what is no number, expected numbers [{expected}]") from None
    if array.ndim != len(shape) or any(
        isinstance(length, int) and length != size for length, size in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(f"{argument} has shape {list(array.shape)}, expected [{expected}]")
    return array


def per_name(argument: str, mapping: Mapping[Any, Any], most: int | None = None) -> list[Any]:
    """The keys of a mapping that must have some.

    Raises:
        ValueError: if it is empty, or longer than `most`.
    """
    if not mapping or (most is not None and len(mapping) > most):
        raise ValueError(
            f"{argument} has {len(mapping)} entries, expected {f'1 to {most}' if most else '1 or more'}"
        )
    return list(mapping)


def edges(limits: tuple[float, float], count: int, whole: bool) -> list[float]:
    """About `count` bins; of whole numbers each has equally many, or a comb of teeth would be seen."""
    low, high = limits
    if not whole:
        return np.linspace(low, high, count + 1).tolist()
    step = max(1, round((high - low) / count))
    return (np.arange(np.floor(low), np.ceil(high) + step + 1, step) - 0.5).tolist()
