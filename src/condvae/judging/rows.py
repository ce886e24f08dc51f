"""The rows that a model is judged by."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from condvae.table_models.model import TableModel
from condvae.vectorise import evenly_spaced, num_rows

DRAWS = 300
"""Draws of z over which what is exact given z is averaged: probabilities, and distribution functions."""


@dataclass(frozen=True)
class Rows:
    """Encoded rows of a table, before the model that they are judged by.

    Attributes:
        model: what is judged.
        x: targets, blocks of n rows.
        c: conditions, likewise; None without.
        number: which row of the table each of them is, from 0, [n].
        unforeseen: what cells that the model cannot give add to log p of each row, [n] (see
            `condvae.tables.log_unforeseen`); None for nothing.
        support: how far their conditions are from those trained on, as `ConditionalVAE.support` says:
            arrays [n], or of one row without conditions; None where that was not looked at.
    """

    model: TableModel
    x: Any
    c: Any
    number: np.ndarray
    unforeseen: np.ndarray | None = None
    support: dict[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return num_rows(x=self.x)

    def take(self, places: np.ndarray) -> "Rows":
        """Some of them."""
        parts = (self.x, self.c, self.number, self.unforeseen)
        x, c, number, unforeseen = jax.tree.map(lambda leaf: np.asarray(leaf)[places], parts)
        support = self.support
        if support is not None and c is not None:
            support = {name: values[places] for name, values in support.items()}
        return Rows(self.model, x, c, number, unforeseen, support)

    def evenly(self, most: int) -> np.ndarray:
        """The places of at most so many rows, evenly spaced."""
        return evenly_spaced(len(self), most)

    @property
    def seeds(self) -> np.ndarray | None:
        """Of noise that is each row's own, though its conditions are those of others; None without c.

        What rows share moves all of them together, which a test of many rows would take for the model.
        """
        return None if self.c is None else self.number.astype(np.uint32)

    def numbers(self) -> np.ndarray:
        """The numeric targets in the user's units, float64 [n, d]; NaN where missing."""
        block = self.x["numeric"]
        return np.where(block.mask, self.model.to_units(block.value), np.nan)


CHUNK = 256
"""Rows that a few are filled up to."""


def filled(places: np.ndarray, rows: int) -> np.ndarray:
    """A few places over and over: what was compiled for so many `rows` serves them, too.

    Example:
        >>> filled(np.array([7, 3]), rows=5)
        array([7, 3, 7, 3, 7])
    """
    return np.resize(places, max(len(places), min(CHUNK, rows)))
