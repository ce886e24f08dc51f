import jax
import numpy as np
import pytest

from condvae.training.devices import Devices
from condvae.training.members import draw_keys
from condvae.training.sources import MAX_HELD, from_arrays, from_stream, to_permute
from condvae.training.streams import ArrayStream

KEY = jax.random.key(0)
N, SIZE = 300, 3
ROWS = np.arange(N, dtype=np.float32)[:, None]
SIZES = {"batch_size": 10, "num_steps": 60, "devices": Devices()}


def test_members_hold_out_rows_of_their_own():
    groups, time = np.repeat(np.arange(30), 10), np.arange(N)

    def held(groups=None, time=None):
        along = {"groups": groups, "time": time, "sample_weight": None}
        keys = draw_keys(None, SIZE, KEY, to_permute(ROWS, 0.2, groups, time))
        batches, per_member = from_arrays(ROWS, None, keys, validation=0.2, **along, **SIZES)
        _, order = batches.round(0)
        assert per_member.num_validation.tolist() == [60] * SIZE
        places = [np.asarray(per_member.validation[k, :60]) for k in range(SIZE)]
        for k in range(SIZE):
            used = np.unique(order[k])
            np.testing.assert_array_equal(np.sort(np.concatenate([used, places[k]])), np.arange(N))
        return places

    assert len({tuple(places) for places in held()}) == SIZE
    by_group = held(groups=groups)
    assert len({tuple(places) for places in by_group}) == SIZE
    assert all(len(np.unique(groups[places])) == 6 for places in by_group)
    assert all((places == np.arange(240, N)).all() for places in held(time=time))


def from_rows(n=N, **options):
    rows = np.arange(n, dtype=np.float32)[:, None]
    options = {"refused": {}, "validation": 0.2, **SIZES, **options}
    return from_stream(ArrayStream(rows, group_rows=40), draw_keys(None, SIZE, KEY, 0), **options)


def test_of_a_stream_members_hold_out_the_same_rows_and_none_trains_on_them():
    batches, per_member = from_rows()
    held = np.asarray(per_member.validation)[:, :60]
    assert per_member.num_validation.tolist() == [60] * SIZE
    assert (held == np.arange(60)).all()
    (judged, weights), _ = batches.held_rows(held[0]), None
    data, order = batches.round(0)
    block = np.asarray(data.train[0][0])
    for k in range(SIZE):
        trained = np.unique(block[order[k], np.arange(10)])
        assert not set(trained) & set(judged[0].ravel())
    np.testing.assert_array_equal(np.asarray(data.held[0][0])[:60], judged[0])
    np.testing.assert_array_equal(weights, judged[0].ravel())
    batches.close()


def test_of_a_long_stream_few_rows_are_held_out():
    batches, per_member = from_rows(n=10 * MAX_HELD, validation=0.5)
    assert per_member.num_validation.tolist() == [MAX_HELD] * SIZE
    batches.close()


def test_rows_to_judge_by_may_be_given():
    given = -ROWS[:7], None
    batches, per_member = from_rows(validation=given)
    np.testing.assert_array_equal(batches.held_rows(np.arange(7))[0][0], given[0])
    assert per_member.num_validation.tolist() == [7] * SIZE
    batches.close()


def test_what_goes_with_arrays_alone_is_refused_for_a_stream():
    with pytest.raises(ValueError, match="groups is for rows in memory, and x is a stream: leave it out"):
        from_rows(refused={"time": None, "groups": np.zeros(N)})
    with pytest.raises(ValueError, match=r"give a fraction, or rows to judge by, \(x, c\)"):
        from_rows(validation=np.ones(N, bool))
