"""Pictures: arrays in, matplotlib Axes out. Nothing here knows of models or of JAX.

Every function takes an Axes to draw on, or makes one, and returns it.
"""

from condvae.plots.files import require_drawable, save_figure
from condvae.plots.history import plot_history
from condvae.plots.pairs import MAX_DOTS, MAX_PAIRED, plot_pairs
from condvae.plots.style import DATA, GROUPS, MODEL, MUTED, OTHERS, new_axes

__all__ = [
    "DATA",
    "GROUPS",
    "MAX_DOTS",
    "MAX_PAIRED",
    "MODEL",
    "MUTED",
    "OTHERS",
    "new_axes",
    "plot_history",
    "plot_pairs",
    "require_drawable",
    "save_figure",
]
