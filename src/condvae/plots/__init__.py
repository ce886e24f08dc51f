"""Pictures: arrays in, matplotlib Axes out. Nothing here knows of models or of JAX.

Every function takes an Axes to draw on, or makes one, and returns it.
"""

from condvae.plots.bars import plot_nats, plot_shares
from condvae.plots.calibration import plot_coverage, plot_ecdf, plot_pit, plot_reliability
from condvae.plots.densities import plot_densities
from condvae.plots.effects import plot_effect, plot_effect_shares
from condvae.plots.files import require_drawable, save_figure
from condvae.plots.history import plot_history
from condvae.plots.images import plot_images
from condvae.plots.latents import plot_latents
from condvae.plots.pairs import MAX_DOTS, MAX_PAIRED, plot_pairs
from condvae.plots.style import DATA, GROUPS, MODEL, MUTED, OTHERS, new_axes
from condvae.plots.svg import figure_svg

__all__ = [
    "DATA",
    "GROUPS",
    "MAX_DOTS",
    "MAX_PAIRED",
    "MODEL",
    "MUTED",
    "OTHERS",
    "figure_svg",
    "new_axes",
    "plot_coverage",
    "plot_densities",
    "plot_ecdf",
    "plot_effect",
    "plot_effect_shares",
    "plot_history",
    "plot_images",
    "plot_latents",
    "plot_nats",
    "plot_pairs",
    "plot_pit",
    "plot_reliability",
    "plot_shares",
    "require_drawable",
    "save_figure",
]
