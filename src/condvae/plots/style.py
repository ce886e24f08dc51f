"""What all pictures have in common: colours, Axes of their own, names as the user wrote them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

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
    legend = owner.legend(list(handles), [""] * len(handles), title=" ", frameon=False, **place)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)
    legend.get_title().set(text=title, parse_math=False, visible=bool(title))
    return legend


def edges(limits: tuple[float, float], count: int, whole: bool) -> list[float]:
    """About `count` bins; of whole numbers each has equally many, or a comb of teeth would be seen."""
    low, high = limits
    if not whole:
        return np.linspace(low, high, count + 1).tolist()
    step = max(1, round((high - low) / count))
    return (np.arange(np.floor(low), np.ceil(high) + step + 1, step) - 0.5).tolist()
