import jax
import numpy as np

from condvae.training.members import own_rows

KEY = jax.random.key(0)
N, SIZE = 300, 3


def test_members_hold_out_rows_of_their_own():
    keys = jax.random.split(KEY, SIZE)
    groups, time = np.repeat(np.arange(30), 10), np.arange(N)

    def held(groups=None, time=None):
        own = own_rows(N, keys, 0.2, groups, time, None)
        places = [np.asarray(own.validation[k, :60]) for k in range(SIZE)]
        assert own.num_validation.tolist() == [60] * SIZE
        for k in range(SIZE):
            np.testing.assert_array_equal(np.sort(np.concatenate([own.train[k], places[k]])), np.arange(N))
        return places

    assert len({tuple(places) for places in held()}) == SIZE
    by_group = held(groups=groups)
    assert len({tuple(places) for places in by_group}) == SIZE
    assert all(len(np.unique(groups[places])) == 6 for places in by_group)
    assert all((places == np.arange(240, N)).all() for places in held(time=time))
