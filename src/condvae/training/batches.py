"""Batches: which rows each step of a round takes, from arrays or from a stream.

Arrays are on the device as a whole, and each member has an order of its own. Of a stream a *block* is, the
rows of one round, while the next is being read; members take the rows of the same block, each in an order
of its own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.training.devices import Devices
from condvae.training.streams import Blocks, Stream
from condvae.vectorise import bucket

MIN_ROUND, MAX_ROUND = 100, 4096
"""Steps in a round: on small tables several epochs make one, on very large ones a part of one does."""

MAX_DRAWN = 2**22
"""Rows drawn for a round at most, over all steps and members: their places and keys are held at once."""

ORDER_BLOCK = 4096
"""Rows of which the order is drawn at once, at least."""

BLOCK_ROWS, BLOCK_BYTES = 2**17, 2**26
"""Of a block of a stream, at most: up to four are in memory at once."""


class Data(NamedTuple):
    """What a round's rows are taken from; each is rows with their weights.

    Attributes:
        train: for training; past the last row there may be padding. Of a stream, a block: the leading axes
            are then (steps, batch).
        held: for judging.
    """

    train: tuple[PyTree, Array]
    held: tuple[PyTree, Array]


class Batches(Protocol):
    """Where the rows of a run come from.

    Attributes:
        round_steps: how many steps a round has.
        streamed: whether the order that `round` gives is one of each column of a block.
    """

    round_steps: int
    streamed: bool

    def round(self, start: int) -> tuple[Data, np.ndarray]:
        """The rows of the round from step `start`, and the order in which each member takes them."""
        ...

    def rows_of(self, first: int, last: int, member: int) -> tuple[PyTree, np.ndarray]:
        """The rows of some steps of a member, one after the other, and where they come from."""
        ...

    def held_rows(self, places: np.ndarray) -> tuple[PyTree, np.ndarray]:
        """Rows that are held out, and where they come from."""
        ...

    def number(self, source: np.ndarray) -> int:
        """What a row from there is called in an error."""
        ...

    def identity(self) -> dict[str, Any]:
        """Trees of arrays by which the rows of a run are known again."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


class ArrayBatches:
    """Rows of arrays, all of them on the device.

    Args:
        rows: (x, c).
        weights: of the rows.
        train: the places of each member's training rows.
        held: the same of the rows that it holds out, for `identity`.
        keys: for each member, of the order of its rows.
        batch_size: rows of a step.
        num_steps: of the run.
        devices: where the rows are put.
    """

    streamed = False

    def __init__(
        self,
        rows: PyTree,
        weights: np.ndarray,
        train: list[np.ndarray],
        held: np.ndarray,
        keys: Sequence[PRNGKeyArray],
        *,
        batch_size: int,
        num_steps: int,
        devices: Devices,
    ):
        both = devices.whole(_pad_rows((rows, weights), len(weights)))
        self._data, self._train, self._held, self._keys = Data(both, both), train, held, keys
        self._batch_size = batch_size
        self.round_steps = round_steps(max(map(len, train)), batch_size, num_steps, len(train))

    def round(self, start: int) -> tuple[Data, np.ndarray]:
        # By Python's integers: step · batch_size outgrows 32 bits in a long run.
        places = start * self._batch_size, self.round_steps * self._batch_size
        order = [
            draw_order(train, key, *places) for train, key in zip(self._train, self._keys, strict=True)
        ]
        return self._data, np.stack(order).reshape(len(order), self.round_steps, -1)

    def rows_of(self, first: int, last: int, member: int) -> tuple[PyTree, np.ndarray]:
        size = self._batch_size
        return self.held_rows(
            draw_order(self._train[member], self._keys[member], first * size, (last - first) * size)
        )

    def held_rows(self, places: np.ndarray) -> tuple[PyTree, np.ndarray]:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[places], self._data.held[0]), places

    def number(self, source: np.ndarray) -> int:
        return int(source)

    def identity(self) -> dict[str, Any]:
        (x, c), weights = self._data.train
        return {"x": x, "c": c, "sample_weight": weights, "validation": (self._train, self._held)}

    def close(self) -> None:
        pass


class StreamBatches:
    """Rows of a stream, a block at a time.

    Args:
        stream: the rows to train on.
        held: those to judge by, in memory: (x, c); None for none.
        held_numbers: what these are called in errors.
        batch_size: rows of a step.
        num_steps: of the run.
        keys: for each member, of the order in which it takes them; the first one's is that of the stream.
        devices: where the rows are put; a process reads its part of each batch.
    """

    streamed = True

    def __init__(
        self,
        stream: Stream,
        held: PyTree,
        held_numbers: np.ndarray,
        *,
        batch_size: int,
        num_steps: int,
        keys: Sequence[PRNGKeyArray],
        devices: Devices,
    ):
        steps = round_steps(stream.num_rows, batch_size, num_steps, len(keys))
        affordable = max(min(BLOCK_ROWS, int(BLOCK_BYTES / stream.row_bytes)) // batch_size, 1)
        self.round_steps = min(steps, 1 << (affordable.bit_length() - 1))
        self._blocks = Blocks(stream, batch_size, self.round_steps, _words(keys[0]), devices.parts)
        self._keys = keys
        self._held, self._held_numbers = held, held_numbers
        self._judged = None
        if len(held_numbers):
            both = held, np.ones(len(held_numbers))
            self._judged = devices.whole(_pad_rows(both, len(held_numbers)))
        self._devices, own_rows = devices, batch_size // devices.parts[1]
        self._weights = devices.divided(np.ones((self.round_steps, own_rows)))
        self._num_steps, self._batch_size = num_steps, batch_size
        self._start, self._rows = -1, None

    def round(self, start: int) -> tuple[Data, np.ndarray]:
        if start != self._start:  # a round may be run in parts
            more = start + self.round_steps < self._num_steps
            self._rows = None  # before the next is there, to make room for it
            self._rows, self._start = self._devices.divided(self._blocks.block(start, more)), start
        block = (self._rows, self._weights)
        return Data(block, self._judged or block), np.stack(
            [self._member_order(start, member) for member in range(len(self._keys))]
        )

    def _member_order(self, start: int, member: int) -> np.ndarray:
        """For each step and column of the block, of which of the block's batches the row is taken."""
        shape = (self.round_steps, self._batch_size)
        order = np.broadcast_to(np.arange(self.round_steps, dtype=np.int32)[:, None], shape)
        if len(self._keys) == 1:  # shuffled it is
            return order
        return np.random.default_rng([*_words(self._keys[member]), start]).permuted(order, axis=0)

    def rows_of(self, first: int, last: int, member: int) -> tuple[PyTree, np.ndarray]:
        start = (last - 1) // self.round_steps * self.round_steps
        first = max(first, start)
        rows, sources = self._blocks.block(start), self._blocks.sources(start, self.round_steps)
        first_column, columns = self._devices.parts[0] * sources.shape[1], np.arange(sources.shape[1])
        order = self._member_order(start, member)[first - start : last - start][:, first_column + columns]
        taken = jax.tree.map(lambda leaf: leaf[order, columns].reshape(-1, *leaf.shape[2:]), rows)
        return taken, sources[order, columns].reshape(-1, 2)

    def held_rows(self, places: np.ndarray) -> tuple[PyTree, np.ndarray]:
        return jax.tree.map(lambda leaf: leaf[places], self._held), self._held_numbers[places]

    def number(self, source: np.ndarray) -> int:
        return self._blocks.stream.number(*map(int, source)) if source.ndim else int(source)

    def identity(self) -> dict[str, Any]:
        stream, order = self._blocks.stream, self._blocks.order
        middle = stream.read(len(stream.sizes) // 2)
        known = stream.sizes, stream.read(0), middle, np.array([order.lanes, order.window_rows])
        return {"x": known, "validation": self._held}

    def close(self) -> None:
        self._blocks.close()


def round_steps(rows: int, batch_size: int, num_steps: int, num_members: int = 1) -> int:
    """How many steps a round has: an epoch or more, where that is neither too few nor too many.

    A power of two, so that tables of about one length share a compiled round.

    Example:
        >>> from condvae.training.batches import round_steps
        >>> round_steps(455, 64, 3000), round_steps(10**6, 64, 3000), round_steps(455, 64, 10)
        (128, 4096, 16)
    """
    epoch = -(-rows // batch_size)
    wanted = min(max(epoch, MIN_ROUND), MAX_ROUND, num_steps)
    drawn = max(MAX_DRAWN // (batch_size * num_members), 1)
    return min(1 << (wanted - 1).bit_length(), 1 << (drawn.bit_length() - 1))


def draw_order(train: np.ndarray, key: PRNGKeyArray, position: int, length: int) -> np.ndarray:
    """A piece of the endless sequence of permutations of the training rows.

    By NumPy, which is a hundred times faster than sorting random numbers on the device; block b, one
    permutation or as many small ones as fill it, is drawn from (key, b).
    """
    words = _words(key)
    copies = np.tile(train, (max(1, ORDER_BLOCK // len(train)), 1))
    first, offset = divmod(position, copies.size)
    blocks = range(first, first + -(-(offset + length) // copies.size))
    pieces = [np.random.default_rng([*words, block]).permuted(copies, axis=1) for block in blocks]
    return np.concatenate(pieces, axis=None)[offset : offset + length].astype(np.int32)


def _pad_rows(tree: PyTree, rows: int) -> PyTree:
    """The tree with every array's rows padded by repeats of the first, up to a bucketed length.

    No batch ever takes them: they are there so that tables of about one length share a compiled round.
    """
    extra = bucket(rows) - rows

    def pad(leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        return np.concatenate([leaf, np.broadcast_to(leaf[:1], (extra, *leaf.shape[1:]))])

    return jax.tree.map(pad, tree) if extra else tree


def _words(key: PRNGKeyArray) -> list[int]:
    return np.asarray(jax.random.key_data(key)).tolist()
