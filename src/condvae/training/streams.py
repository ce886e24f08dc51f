"""Streams: rows that are too many for memory, read a group at a time, in a shuffled order.

A stream is anything whose rows come in *groups* that can be read one by one: the row groups of Parquet
files, slices of arrays on disk. What is here decides in which order rows are used, from a seed alone, so
that any position can be found again without what came before it.

In each epoch the groups are put in a random order and, end to end, cut into *lanes* of equal length, which
are read side by side: a batch takes as many rows from each. (So that several processes can train on one
stream, each reading the groups of its own lanes.) A lane is read a *window* at a time: some groups, whose
rows are shuffled among themselves.
"""

import bisect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from condvae.progress import Progress
from condvae.vectorise import content_hashes, num_rows

WINDOW_BYTES = 2**27
"""Of the rows that are shuffled among themselves, in all lanes; as many are being read ahead."""

MAX_LANES = 8
"""Lanes at most, hence processes that can train on one stream."""


class Stream(ABC):
    """Rows (x, c) in groups that can be read by themselves, in any order and from several threads.

    Attributes:
        sizes: how many rows each group has, shape (groups,).
    """

    sizes: np.ndarray

    @abstractmethod
    def read(self, group: int) -> tuple[PyTree, PyTree]:
        """The rows (x, c) of a group, on leading axes; c is None for a plain VAE."""

    def number(self, group: int, index: int) -> int:
        """What a row is called in an error: by default its place over all groups."""
        return int(np.sum(self.sizes[:group])) + index

    @property
    def num_rows(self) -> int:
        """How many rows there are in all."""
        return int(np.sum(self.sizes))

    @cached_property
    def row_bytes(self) -> float:
        """What a row takes in memory, on average."""
        rows = self.read(int(np.argmax(self.sizes)))
        return sum(leaf.nbytes for leaf in jax.tree.leaves(rows)) / max(num_rows(rows=rows), 1)


class ArrayStream(Stream):
    """Rows of arrays, such as memory-mapped ones (`numpy.load(path, mmap_mode="r")`).

    Args:
        x: n rows on the leading axis, an array or a pytree.
        c: their conditions, or None.
        group_rows: rows that are read at once.

    Raises:
        ValueError: if x and c are not of the same rows.

    Example:
        >>> import numpy as np
        >>> from condvae.training.streams import ArrayStream
        >>> stream = ArrayStream(np.arange(10.0)[:, None], group_rows=4)
        >>> stream.sizes.tolist(), stream.read(2)[0].ravel().tolist()
        ([4, 4, 2], [8.0, 9.0])
    """

    def __init__(self, x: PyTree, c: PyTree = None, *, group_rows: int = 2**16):
        self.x, self.c = x, c
        n = num_rows(x=x, c=c)
        self._starts = np.arange(0, n, group_rows)
        self.sizes = np.minimum(self._starts + group_rows, n) - self._starts

    def read(self, group: int) -> tuple[PyTree, PyTree]:
        start, stop = self._starts[group], self._starts[group] + self.sizes[group]
        return jax.tree.map(lambda leaf: np.asarray(leaf[start:stop]), (self.x, self.c))


class Without(Stream):
    """A stream but for some of its rows.

    Args:
        stream: all rows.
        places: of those to leave out, counted over all groups; sorted.
    """

    def __init__(self, stream: Stream, places: np.ndarray):
        self.stream = stream
        self._left_out = split_places(stream, places)
        self.sizes = stream.sizes - [len(left_out) for left_out in self._left_out]

    def read(self, group: int) -> tuple[PyTree, PyTree]:
        rows, out = self.stream.read(group), self._left_out[group]
        return jax.tree.map(lambda leaf: np.delete(leaf, out, axis=0), rows) if len(out) else rows

    def number(self, group: int, index: int) -> int:
        kept = np.delete(np.arange(self.stream.sizes[group]), self._left_out[group])
        return self.stream.number(group, int(kept[index]))


def split_places(stream: Stream, places: np.ndarray) -> list[np.ndarray]:
    """Sorted places over all groups, as places within each group."""
    starts = np.concatenate([[0], np.cumsum(stream.sizes)])
    bounds = np.searchsorted(places, starts)
    return [
        places[low:high] - start for low, high, start in zip(bounds[:-1], bounds[1:], starts, strict=False)
    ]


def rows_at(stream: Stream, places: np.ndarray, threads: int = 2) -> PyTree:
    """The rows at some places, counted over all groups and sorted: reads the groups that they are in."""

    def take(group_and_places: tuple[int, np.ndarray]) -> PyTree:
        group, inside = group_and_places
        return jax.tree.map(lambda leaf: leaf[inside], stream.read(group))

    wanted = [(group, inside) for group, inside in enumerate(split_places(stream, places)) if len(inside)]
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(take, wanted))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def places_of(stream: Stream, rows: PyTree, *, threads: int = 2, progress: bool = False) -> np.ndarray:
    """The places, counted over all groups and sorted, of rows that are equal to some rows (x, c).

    Every group is read once.

    Example:
        >>> import numpy as np
        >>> from condvae.training.streams import ArrayStream, places_of
        >>> stream = ArrayStream(np.resize([[1.0], [2.0], [3.0]], (7, 1)), group_rows=4)
        >>> places_of(stream, (np.array([[2.0]]), None)).tolist()
        [1, 4]
    """
    wanted = np.unique(content_hashes(rows))
    if not len(wanted):
        return np.zeros(0, int)

    def look(group: int) -> np.ndarray:
        return np.flatnonzero(np.isin(content_hashes(stream.read(group)), wanted))

    places, start = [], 0
    with (
        ThreadPoolExecutor(threads) as pool,
        Progress("looking for copies of held-out rows", stream.num_rows, enabled=progress) as bar,
    ):
        for size, matches in zip(stream.sizes, pool.map(look, range(len(stream.sizes))), strict=True):
            places.append(start + matches)
            start += size
            bar.advance(int(size))
    return np.concatenate(places)


class Slice(NamedTuple):
    """Rows `start` to `stop` − 1 of a group."""

    group: int
    start: int
    stop: int


class Order:
    """In which order the rows of a stream are used, from a seed alone.

    Args:
        sizes: rows of each group.
        lanes: how many lanes an epoch is cut into.
        window_rows: rows of a window, at least; a window is of whole slices.
        seed: words that decide everything random.

    Example:
        >>> from condvae.training.streams import Order
        >>> order = Order([4, 4, 4], lanes=2, window_rows=3, seed=[0])
        >>> [sum(s.stop - s.start for s in window) for window in order.windows(0, 0)]
        [4, 2]
    """

    def __init__(
        self, sizes: Sequence[int] | np.ndarray, lanes: int, window_rows: int, seed: Sequence[int]
    ):
        self.sizes, self.lanes, self.window_rows = np.asarray(sizes), lanes, window_rows
        self.seed = list(seed)
        self.lane_rows = int(self.sizes.sum()) // lanes
        self._known: dict[tuple[int, int], tuple[list[list[Slice]], list[int]]] = {}
        if self.lane_rows == 0:
            raise ValueError(f"a stream of {self.sizes.sum()} rows is too short: give it more, or an array")

    def windows(self, lane: int, epoch: int) -> list[list[Slice]]:
        """The windows of a lane in an epoch, one after the other.

        Of an epoch's rows, the last few that lanes of equal length leave over are not used in it.
        """
        return self._windows(lane, epoch)[0]

    def _windows(self, lane: int, epoch: int) -> tuple[list[list[Slice]], list[int]]:
        """The windows, and the position in the epoch that each starts at."""
        windowed = self._known.get((lane, epoch))
        if windowed is None:
            if len(self._known) > 4 * self.lanes:
                self._known.clear()
            groups = np.random.default_rng([*self.seed, 0, epoch]).permutation(len(self.sizes))
            ends = np.cumsum(self.sizes[groups])
            begin, finish = lane * self.lane_rows, (lane + 1) * self.lane_rows
            windows, starts, filled, position = [[]], [0], 0, 0
            for group, end in zip(groups, ends, strict=True):
                first = end - self.sizes[group]
                low, high = max(begin, first), min(finish, end)
                if low >= high:
                    continue
                if filled >= self.window_rows:
                    windows.append([])
                    starts.append(position)
                    filled = 0
                windows[-1].append(Slice(int(group), int(low - first), int(high - first)))
                filled += int(high - low)
                position += int(high - low)
            windowed = self._known[lane, epoch] = windows, starts
        return windowed

    def find(self, lane: int, position: int) -> tuple[int, int, int]:
        """Epoch, window, and place in it, of a position in a lane's endless sequence."""
        epoch, rest = divmod(position, self.lane_rows)
        starts = self._windows(lane, epoch)[1]
        window = bisect.bisect_right(starts, rest) - 1
        return epoch, window, rest - starts[window]

    def shuffled(self, lane: int, epoch: int, window: int) -> np.ndarray:
        """Where in the shuffled window each of its rows comes to stand, in the order of its slices."""
        count = sum(part.stop - part.start for part in self.windows(lane, epoch)[window])
        return np.random.default_rng([*self.seed, 1, epoch, lane, window]).permutation(count)


class Reader:
    """A lane's endless sequence of rows; while a window is used the next is read.

    Args:
        stream: the rows.
        order: theirs.
        lane: which lane.
        pool: threads that read.
    """

    def __init__(self, stream: Stream, order: Order, lane: int, pool: ThreadPoolExecutor):
        self.stream, self.order, self.lane, self.pool = stream, order, lane, pool
        self._windows: dict[tuple[int, int], Any] = {}  # futures

    def pieces(self, position: int, count: int) -> Iterator[PyTree]:
        """The rows at `position` and after it, in pieces that lie in one window each."""
        while count > 0:
            epoch, window, place = self.order.find(self.lane, position)
            rows = self._window(epoch, window)
            length = min(count, len(jax.tree.leaves(rows)[0]) - place)
            yield jax.tree.map(lambda leaf, p=place, n=length: leaf[p : p + n], rows)
            position, count = position + length, count - length

    def sources(self, position: int, count: int) -> np.ndarray:
        """Group and index of the same rows, shape (count, 2)."""
        pieces: list[np.ndarray] = []
        while (done := sum(map(len, pieces))) < count:
            epoch, window, place = self.order.find(self.lane, position + done)
            slices = self.order.windows(self.lane, epoch)[window]
            groups = np.repeat([part.group for part in slices], [part.stop - part.start for part in slices])
            index = np.concatenate([np.arange(part.start, part.stop) for part in slices])
            came_from = np.argsort(self.order.shuffled(self.lane, epoch, window))
            chosen = came_from[place : place + count - done]
            pieces.append(np.stack([groups[chosen], index[chosen]], axis=1))
        return np.concatenate(pieces)

    def _window(self, epoch: int, window: int) -> PyTree:
        following = (epoch, window + 1)
        if following[1] == len(self.order.windows(self.lane, epoch)):
            following = (epoch + 1, 0)
        wanted = [(epoch, window), following]
        self._windows = {
            key: self._windows.get(key) or self.pool.submit(self._read, *key) for key in wanted
        }
        return self._windows[epoch, window].result()

    def _read(self, epoch: int, window: int) -> PyTree:
        target, done = self.order.shuffled(self.lane, epoch, window), 0
        result: list[np.ndarray] = []
        structure = None
        for part in self.order.windows(self.lane, epoch)[window]:
            rows = self.stream.read(part.group)
            leaves, structure = jax.tree.flatten(rows)
            if not result:
                result = [np.empty((len(target), *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
            places = target[done : done + part.stop - part.start]
            for to, leaf in zip(result, leaves, strict=True):
                to[places] = leaf[part.start : part.stop]
            done += len(places)
        assert structure is not None
        return jax.tree.unflatten(structure, result)


class Blocks:
    """The rows of a stream in blocks of many batches, assembled ahead of their use.

    Args:
        stream: the rows.
        batch_size: rows of a batch, which lanes share evenly.
        num_batches: batches of a block.
        seed: words that decide the order.
        part: which of how many parts of each batch to read: that of some of the lanes.

    Raises:
        ValueError: if the stream has no rows to fill a lane with, or there are fewer lanes than parts.
    """

    def __init__(
        self,
        stream: Stream,
        batch_size: int,
        num_batches: int,
        seed: Sequence[int],
        part: tuple[int, int] = (0, 1),
    ):
        self.stream, self.batch_size, self.num_batches = stream, batch_size, num_batches
        self.lanes = lanes(stream.sizes, batch_size, stream.row_bytes)
        window_rows = int(WINDOW_BYTES / stream.row_bytes) // self.lanes - int(np.max(stream.sizes)) // 2
        self.order = Order(stream.sizes, self.lanes, max(window_rows, 1), seed)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="blocks")
        index, parts = part
        if self.lanes % parts:
            raise ValueError(
                f"{parts} processes cannot share a stream of {self.lanes} lanes: lanes are a power of two "
                "that divides batch_size, at most as many as there are groups of rows; take fewer "
                "processes, or smaller groups"
            )
        each = self.lanes // parts
        self._readers = [
            Reader(stream, self.order, lane, self._pool) for lane in range(index * each, (index + 1) * each)
        ]
        self._blocks: dict[int, Any] = {}  # futures, by the first batch

    def block(self, first: int, more: bool = True) -> PyTree:
        """Batches `first` and after it, rows on the axes (num_batches, batch_size / parts).

        Args:
            first: the number of the first batch.
            more: whether to read on, for the block after this one.
        """
        wanted = [first, first + self.num_batches] if more else [first]
        kept = {key: self._blocks[key] for key in wanted if key in self._blocks}
        self._blocks = {key: kept.get(key) or self._ahead.submit(self._assemble, key) for key in wanted}
        return self._blocks[first].result()

    def _assemble(self, first: int) -> PyTree:
        each = self.batch_size // self.lanes
        result: list[np.ndarray] = []
        structure = None
        for lane, reader in enumerate(self._readers):
            done = 0
            for piece in reader.pieces(first * each, self.num_batches * each):
                leaves, structure = jax.tree.flatten(piece)
                if not result:
                    shape = (len(self._readers), self.num_batches * each)
                    result = [np.empty((*shape, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
                for to, leaf in zip(result, leaves, strict=True):
                    to[lane, done : done + len(leaf)] = leaf
                done += len(leaves[0])
        assert structure is not None
        return jax.tree.unflatten(structure, [self._batched(leaf) for leaf in result])

    def _batched(self, leaf: np.ndarray) -> np.ndarray:
        """From (lanes, batches · rows of a lane, ...) to (batches, rows of all lanes, ...)."""
        apart = leaf.reshape(len(self._readers), self.num_batches, -1, *leaf.shape[2:])
        return np.moveaxis(apart, 0, 1).reshape(self.num_batches, -1, *leaf.shape[2:])

    def sources(self, first: int, count: int) -> np.ndarray:
        """Group and index of the rows of some batches, shape (count, batch_size / parts, 2)."""
        each = self.batch_size // self.lanes
        lanes = [reader.sources(first * each, count * each) for reader in self._readers]
        return np.array(lanes).reshape(len(lanes), count, each, 2).swapaxes(0, 1).reshape(count, -1, 2)

    def close(self) -> None:
        """Stop reading."""
        for pool in (self._ahead, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)


def lanes(sizes: np.ndarray, batch_size: int, row_bytes: float) -> int:
    """How many lanes: a power of two that divides the batch, and for which a window has room for a group.

    Example:
        >>> lanes(np.full(400, 2**17), batch_size=512, row_bytes=100), lanes(np.full(3, 10), 512, 4)
        (8, 2)
    """
    largest = int(np.max(sizes)) * row_bytes
    at_most = min(MAX_LANES, len(sizes), max(int(WINDOW_BYTES / max(largest, 1)), 1))
    return max(count for count in (1, 2, 4, 8) if count <= at_most and batch_size % count == 0)
