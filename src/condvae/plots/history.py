"""Learning curves."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from condvae.plots.style import DATA, MODEL, MUTED, new_axes, tidy


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
    tidy(ax, x="step", y="objective (nats per row)")
    ax.legend(frameon=False, fontsize=8)
    return ax


def _mean_so_far(values: np.ndarray) -> np.ndarray:
    """The mean over members at each round; one that has stopped counts with its last value."""
    filled = values.copy()
    for before, row in pairwise(filled):
        row[:] = np.where(np.isnan(row), before, row)
    return filled.mean(axis=1)
