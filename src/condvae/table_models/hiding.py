"""What is hidden from the model in a step of training: rare levels of conditions, cells of targets."""

from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from condvae import tables
from condvae.observed import Observed
from condvae.training.devices import Devices
from condvae.vectorise import num_rows

Transform = Callable[[PRNGKeyArray, PyTree], PyTree]

RARE = 10
"""Training rows of a level at which it is hidden behind "other" every other time."""

HIDDEN = 0.01
"""How often any level is, at least."""

HIDDEN_ROWS = 0.5
"""The share of rows of which target cells are hidden in a step."""


def hiding(
    schema: tables.Schema, c: Any, rows_each: float, in_turn: bool, mesh: Mesh | None
) -> Transform | None:
    """What is hidden of a batch, for `fit(..., batch_transform=...)`; None for nothing.

    Args:
        schema: of the table.
        c: the conditions of the rows to train on.
        rows_each: how many rows of the table each of them stands for.
        in_turn: whether targets are decoded in turn.
        mesh: devices over which batches are divided.
    """
    columns = [column for column in schema.given if column.kind == "categorical"]
    parts: list[Transform] = []
    if any(column.other for column in columns):
        parts.append(SometimesOther.of(columns, c["categorical"], rows_each))
    if in_turn and HIDDEN_ROWS and len(schema.target) > 1:  # a row must keep a target to learn from
        parts.append(SometimesMissing(HIDDEN_ROWS))
    if not parts:
        return None
    return Devices(mesh).whole(parts[0] if len(parts) == 1 else Transforms(tuple(parts)))


class SometimesOther(eqx.Module):
    """A batch in which some levels of the conditions are replaced by the level "other".

    That trains what stands for levels never seen. A level of n training rows is replaced with probability
    1 / (1 + (n / r)²), r = `RARE`: a level never seen is most like the rare ones, and what a few rows tell
    of their own level counts the less. No level is replaced less often than `HIDDEN`, so that "other" is
    learned where every level is frequent too.

    Arrays are arguments of the compiled round: other rows of the same columns compile nothing.

    Args:
        shares: how often each level is replaced, [columns, most levels]; 0 for a column without "other".
        others: the code of "other" of each column.
    """

    shares: jax.Array
    others: jax.Array

    @classmethod
    def of(cls, columns: list[tables.Column], codes: Observed, rows_each: float = 1.0) -> Self:
        """What is replaced of categorical conditions.

        Args:
            columns: the categorical conditions.
            codes: their block, of training rows.
            rows_each: how many rows of the table each row of the block stands for.
        """
        value, mask = codes
        shares = np.zeros((len(columns), max(len(column.levels) for column in columns) + 1), np.float32)
        for k, column in enumerate(columns):
            if column.other:
                counts = np.bincount(value[mask[:, k], k], minlength=len(column.levels))
                rows = np.maximum(counts[: len(column.levels)], 1) * rows_each
                shares[k, : len(rows)] = np.maximum(HIDDEN, 1 / (1 + (rows / RARE) ** 2))
        others = np.array([len(column.levels) for column in columns], np.int32)
        return cls(jnp.asarray(shares), jnp.asarray(others))

    def __call__(self, key: PRNGKeyArray, batch: PyTree) -> PyTree:
        x, c = batch
        value, mask = c["categorical"]
        share = self.shares[jnp.arange(len(self.others)), value]
        swap = (jax.random.uniform(key, value.shape) < share) & mask
        return x, {**c, "categorical": Observed(jnp.where(swap, self.others, value), mask)}


class SometimesMissing(eqx.Module):
    """A batch in which some cells of the targets are missing: it trains what is said given fewer cells.

    Of a share of the rows a part of the cells is hidden, any part being as likely.

    Args:
        share: of the rows.
    """

    share: float = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray, batch: PyTree) -> PyTree:
        x, c = batch
        row_key, part_key, cell_key = jax.random.split(key, 3)
        rows = num_rows(x=x)
        whole = jax.random.uniform(row_key, (rows, 1)) >= self.share
        part = jax.random.uniform(part_key, (rows, 1))

        def hide(name: str, block: Observed, key: PRNGKeyArray) -> Observed:
            kept = whole | (jax.random.uniform(key, block.mask.shape) >= part)
            return Observed(block.value, block.mask & kept)

        keys = jax.random.split(cell_key, len(x))
        blocks = {
            name: hide(name, x[name], block_key) for name, block_key in zip(sorted(x), keys, strict=True)
        }
        return blocks, c


class Transforms(eqx.Module):
    """Transforms of a batch one after another."""

    parts: tuple[Transform, ...]

    def __call__(self, key: PRNGKeyArray, batch: PyTree) -> PyTree:
        for part, part_key in zip(self.parts, jax.random.split(key, len(self.parts)), strict=True):
            batch = part(part_key, batch)
        return batch
