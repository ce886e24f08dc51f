"""Where the rows of a run come from: which are trained on, and which each member holds out."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from condvae.sentences import InputError
from condvae.training.batches import ArrayBatches, Batches, StreamBatches
from condvae.training.devices import Devices
from condvae.training.holdout import held_out, require_fraction
from condvae.training.members import Keys
from condvae.training.rounds import PerMember
from condvae.training.streams import Stream, Without, rows_at
from condvae.vectorise import bucket, num_rows, require_finite

Validation = float | np.ndarray | tuple[PyTree, PyTree]
"""The rows to judge by: a fraction of the rows, a mask of them, or of a stream rows (x, c) of their own."""

MAX_HELD = 8192
"""Rows of a stream that are held out at most: they are judged once a round, and enough to choose by."""

LEAST_WEIGHT = 1e-30
"""Of the largest weight; single precision ends at 1e-38, and weights are multiplied and summed."""


def from_arrays(
    x: PyTree,
    c: PyTree,
    keys: Keys,
    *,
    validation: Validation,
    groups: np.ndarray | None,
    time: np.ndarray | None,
    sample_weight: np.ndarray | None,
    batch_size: int,
    num_steps: int,
    devices: Devices,
) -> tuple[Batches, PerMember]:
    """Rows that are in memory, of which each member holds out some of its own.

    Raises:
        ValueError: naming the argument that does not fit the rows, or the rows that are not finite.
    """
    if isinstance(validation, tuple):
        raise ValueError(
            "validation is rows, which go with a stream: give a fraction, or a mask of the rows"
        )
    n = num_rows(x=x, c=c)
    require_finite(x=x, c=c)
    masks = _validation_masks(n, validation, keys.permutation, groups, time)
    weights = _weights(n, sample_weight)
    held = [np.flatnonzero(mask) for mask in masks]
    longest = max(map(len, held))
    padded = np.zeros((len(masks), bucket(longest) if longest else 0), np.int32)
    for row, places in zip(padded, held, strict=True):
        row[: len(places)] = places
    train = [np.flatnonzero(~mask) for mask in masks]
    per_member = _per_member(
        padded, list(map(len, held)), [_mean_weights(weights, mask) for mask in masks], keys.noise
    )
    batches = ArrayBatches(
        (x, c),
        weights,
        train,
        padded,
        keys.order,
        batch_size=batch_size,
        num_steps=num_steps,
        devices=devices,
    )
    return batches, per_member


def from_stream(
    stream: Stream,
    keys: Keys,
    *,
    validation: Validation,
    refused: dict[str, Any],
    batch_size: int,
    num_steps: int,
    devices: Devices,
) -> tuple[Batches, PerMember]:
    """Rows that are read as they are needed; those held out are in memory, the same for all members.

    Args:
        stream: the rows.
        keys: for each member.
        validation: the fraction of the rows to hold out; or rows (x, c) to judge by, none of the stream's.
        refused: arguments, by name, that go with rows in memory only.
        batch_size: rows of a step.
        num_steps: of the run.
        devices: where the rows are put.

    Raises:
        ValueError: naming the argument that does not fit a stream.
    """
    for name, value in refused.items():
        if value is not None:
            raise ValueError(
                f"{name} is for rows in memory, and x is a stream: leave it out, or pass arrays"
            )
    size, n = len(keys.order), stream.num_rows
    if isinstance(validation, tuple):
        held, count = validation, num_rows(validation=validation)
        require_finite(validation=validation)
        numbers = np.arange(count)
    elif np.ndim(validation) == 0:
        require_fraction(float(validation))
        count = min(max(round(float(validation) * n), 1), MAX_HELD) if validation else 0
        words = np.asarray(jax.random.key_data(keys.hold[0])).tolist()
        numbers = np.sort(np.random.default_rng(words).choice(n, count, replace=False))
        held = None
        if count:
            held, stream = rows_at(stream, numbers), Without(stream, numbers)
    else:
        raise ValueError(
            "validation is a mask of rows, and x is a stream: give a fraction, or rows to judge by, (x, c)"
        )
    padded = np.zeros((size, bucket(count) if count else 0), np.int32)
    padded[:, :count] = np.arange(count)
    per_member = _per_member(padded, [count] * size, [[1.0, 1.0]] * size, keys.noise)
    batches = StreamBatches(
        stream,
        held,
        numbers,
        batch_size=batch_size,
        num_steps=num_steps,
        keys=keys.order,
        devices=devices,
    )
    return batches, per_member


def to_permute(
    x: PyTree, validation: Validation, groups: np.ndarray | None, time: np.ndarray | None
) -> int:
    """How many rows, or groups, there are of which some are held out at random; 0 where none are."""
    if isinstance(x, Stream) or np.ndim(validation) or isinstance(validation, tuple) or time is not None:
        return 0
    if not 0 < float(validation) < 1:
        return 0
    return num_rows(x=x) if groups is None else len(np.unique(groups))


def _per_member(
    held: np.ndarray, counts: list[int], scales: list[list[float]], keys: PRNGKeyArray
) -> PerMember:
    none = np.zeros(0)
    return PerMember(
        None, held, np.array(counts, np.int32), np.array(scales), peak=none, decay=none, key=keys
    )


def _validation_masks(
    n: int,
    validation: float | np.ndarray,
    permutations: Any,
    groups: np.ndarray | None,
    time: np.ndarray | None,
) -> np.ndarray:
    """Which rows each member holds out, shape (K, n)."""
    size = len(permutations)
    if np.ndim(validation) == 0:
        fraction = float(validation)
        along: dict[str, Any] = {"groups": groups, "time": time}
        return np.stack(
            [held_out(n, fraction, permutation=order, **along) for order in np.asarray(permutations)]
        )
    mask = np.asarray(validation)
    if mask.shape not in ((n,), (size, n)) or mask.dtype != bool:
        each = "" if size == 1 else f", or ({size}, {n}), one for each member"
        raise ValueError(
            f"validation has shape {mask.shape} and type {mask.dtype}, expected a fraction or a boolean "
            f"mask of shape ({n},){each}"
        )
    if mask.all(axis=-1).any():
        raise ValueError("validation holds out every row: leave some to train on")
    if mask.any() and not mask.any(axis=-1).all():
        member = int(np.argmin(mask.any(axis=-1)))
        raise ValueError(
            f"validation holds out no row of member {member}, but some of others: hold out rows of each, "
            "or of none"
        )
    return np.broadcast_to(mask, (size, n))


def _weights(n: int, sample_weight: np.ndarray | None) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected ({n},): one finite, non-negative number "
            "for each row"
        )
    return scale_weights(weights) if weights.any() else weights


def scale_weights(weights: np.ndarray) -> np.ndarray:
    """Weights of mean 1, as only their ratios matter: single precision holds no 1e-300 and no 1e300.

    Args:
        weights: finite and not negative, not all 0, [n].

    Raises:
        InputError: naming the row, if a weight above 0 is too small beside the largest.

    Example:
        >>> import numpy as np
        >>> from condvae.training.sources import scale_weights
        >>> scale_weights(np.array([1e300, 3e300]))
        array([0.5, 1.5])
    """
    largest = weights.max()
    scaled = weights / largest
    lost = (weights > 0) & (scaled < LEAST_WEIGHT)
    if lost.any():
        row = int(np.argmax(lost))
        raise InputError(
            "{argument} of row {row} is {weight:g}, which single precision cannot tell from 0 beside "
            "{largest:g}",
            remedy="give 0, or weights that differ less",
            argument="sample_weight",
            row=row,
            weight=weights[row],
            largest=largest,
        )
    return scaled / scaled.mean()


def _mean_weights(weights: np.ndarray, held: np.ndarray) -> list[float]:
    """The mean weight of the training rows, and of the validation rows."""
    means = [float(weights[part].mean()) if part.any() else 1.0 for part in (~held, held)]
    if min(means) == 0:
        raise ValueError("sample_weight is 0 on all training or all validation rows: weigh some")
    return means
