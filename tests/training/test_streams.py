import threading

import numpy as np
import pytest

from condvae.training import streams
from condvae.training.streams import ArrayStream, Blocks, Order, Without, lanes, places_of, rows_at

SIZES = np.array([30, 7, 50, 1, 20, 33, 59])
N = int(SIZES.sum())


class Numbered(streams.Stream):
    """Rows that are their own number."""

    def __init__(self, sizes=SIZES):
        self.sizes = np.asarray(sizes)
        self.reads = []

    def read(self, group):
        self.reads.append((group, threading.current_thread().name))
        start = self.sizes[:group].sum()
        rows = np.arange(start, start + self.sizes[group])
        return {"a": rows[:, None], "b": rows}, None


def sequence(order, lane, epochs):
    """The rows of a lane in their order, an epoch a list."""
    starts = np.cumsum([0, *order.sizes])
    windows = []
    for epoch in range(epochs):
        rows = []
        for window, slices in enumerate(order.windows(lane, epoch)):
            rows_of_window = np.concatenate([starts[s.group] + np.arange(s.start, s.stop) for s in slices])
            shuffled = np.empty_like(rows_of_window)
            shuffled[order.shuffled(lane, epoch, window)] = rows_of_window
            rows.append(shuffled)
        windows.append(np.concatenate(rows))
    return windows


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_row_is_used_once_an_epoch_but_for_what_lanes_leave_over(count):
    order = Order(SIZES, count, window_rows=15, seed=[3])
    by_lane = [sequence(order, lane, 5) for lane in range(count)]
    orders = set()
    for epoch in range(5):
        rows = np.concatenate([lane[epoch] for lane in by_lane])
        assert len(rows) == len(np.unique(rows)) == N - N % count
        assert all(len(lane[epoch]) == N // count for lane in by_lane)
        orders.add(tuple(rows))
    assert len(orders) == 5


def test_rows_are_shuffled_within_windows_of_whole_groups():
    order = Order(SIZES, 1, window_rows=60, seed=[0])
    windows = order.windows(0, 0)
    rows = [sum(s.stop - s.start for s in window) for window in windows]
    assert all(count >= 60 for count in rows[:-1])
    assert sum(rows) == N
    first = sequence(order, 0, 1)[0][: rows[0]]
    assert (np.diff(first) != 1).mean() > 0.8
    assert Order(SIZES, 1, 60, seed=[1]).windows(0, 0) != windows


def test_a_position_is_found_without_what_came_before():
    order = Order(SIZES, 2, window_rows=15, seed=[0])
    whole = np.concatenate(sequence(order, 1, 4))
    for position in range(0, len(whole), 13):
        epoch, window, place = order.find(1, position)
        starts = np.cumsum([0] + [sum(s.stop - s.start for s in w) for w in order.windows(1, epoch)])
        assert epoch * order.lane_rows + starts[window] + place == position
        again = Order(SIZES, 2, window_rows=15, seed=[0])
        assert again.find(1, position) == (epoch, window, place)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(streams, "WINDOW_BYTES", 16 * 120)  # a row takes 16 bytes


@pytest.mark.usefixtures("small_windows")
def test_blocks_are_the_same_wherever_a_run_begins_and_name_their_rows():
    blocks = Blocks(Numbered(), batch_size=8, num_batches=5, seed=[7])
    assert blocks.lanes == 2
    blocks_read = [blocks.block(first)[0] for first in range(0, 60, 5)]
    for first, block in zip(range(0, 60, 5), blocks_read, strict=True):
        assert block["a"].shape == (5, 8, 1)
        np.testing.assert_array_equal(block["a"][..., 0], block["b"])
        named = [blocks.stream.number(*source) for source in blocks.sources(first, 5).reshape(-1, 2)]
        np.testing.assert_array_equal(named, block["b"].ravel())
    blocks.close()
    later = Blocks(Numbered(), batch_size=8, num_batches=5, seed=[7])
    np.testing.assert_array_equal(later.block(35, more=False)[0]["b"], blocks_read[7]["b"])
    later.close()
    # Of each batch half comes from either lane.
    order = Order(SIZES, 2, blocks.order.window_rows, seed=[7])
    for lane in (0, 1):
        expected = np.concatenate(sequence(order, lane, 4))[: 4 * 60]
        got = [block["b"][:, 4 * lane : 4 * lane + 4] for block in blocks_read]
        np.testing.assert_array_equal(np.concatenate(got).ravel(), expected)


@pytest.mark.usefixtures("small_windows")
def test_groups_are_read_ahead_in_another_thread_and_each_about_once_an_epoch():
    stream = Numbered(np.full(40, 10))
    blocks = Blocks(stream, batch_size=8, num_batches=5, seed=[0])
    read_for_size = len(stream.reads)
    for first in range(0, 50, 5):  # 400 rows, an epoch
        blocks.block(first, more=first < 45)
    blocks.close()
    reads = stream.reads[read_for_size:]
    assert all(name.startswith("rows") for _, name in reads)
    assert {group for group, _ in reads} == set(range(40))
    assert len(reads) < 40 + blocks.lanes * (1 + 2 * 120 // 10)


def test_an_error_while_rows_are_read_comes_to_the_one_who_asks():
    class Broken(Numbered):
        def read(self, group):
            if len(self.reads) > 3:
                raise OSError("gone")
            return super().read(group)

    blocks = Blocks(Broken(), batch_size=8, num_batches=50, seed=[0])
    with pytest.raises(OSError, match="gone"):
        blocks.block(0)
    blocks.close()


def test_rows_can_be_taken_and_left_out():
    places = np.array([0, 3, 29, 30, 36, 87, 199])
    stream = Numbered()
    np.testing.assert_array_equal(rows_at(stream, places)[0]["b"], places)
    rest = Without(stream, places)
    rows = [rest.read(group)[0]["b"] for group in range(len(SIZES))]
    np.testing.assert_array_equal(np.concatenate(rows), np.delete(np.arange(N), places))
    assert [len(of_group) for of_group in rows] == rest.sizes.tolist()
    for group, of_group in enumerate(rows):
        assert [rest.number(group, i) for i in range(len(of_group))] == of_group.tolist()


def test_equal_rows_are_looked_for_in_all_groups():
    number = np.random.default_rng(0).integers(0, 20, (N, 2)).astype(np.float32)
    stream = ArrayStream(number[:, :1], number[:, 1:], group_rows=30)
    expected = np.flatnonzero((number == number[3]).all(axis=1) | (number == number[40]).all(axis=1))
    np.testing.assert_array_equal(places_of(stream, (number[[3, 40], :1], number[[3, 40], 1:])), expected)
    assert places_of(stream, (number[:0, :1], number[:0, 1:])).tolist() == []


def test_lanes_divide_the_batch_and_leave_room_for_whole_groups():
    many = np.full(1000, 2**17)
    assert lanes(many, 512, 100) == 8
    assert lanes(many, 500, 100) == 4
    assert lanes(many, 63, 100) == 1
    assert lanes(np.full(50, 2**19), 512, 100) == 2
    assert lanes(np.full(50, 2**20), 512, 10_000) == 1
    assert lanes(many[:3], 512, 100) == 2


def test_a_stream_shorter_than_its_lanes_is_refused():
    with pytest.raises(ValueError, match="a stream of 3 rows is too short"):
        Order([1, 1, 1], 8, 10, [0])


def test_arrays_on_disk_are_a_stream(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    stream = ArrayStream(np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(10), group_rows=4)
    assert stream.num_rows == 10
    assert stream.row_bytes == 24
    x, c = stream.read(1)
    assert type(x) is np.ndarray
    assert x.tolist() == [[8.0, 9.0], [10.0, 11.0], [12.0, 13.0], [14.0, 15.0]]
    assert c.tolist() == [4, 5, 6, 7]
