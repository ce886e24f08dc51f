import jax
import numpy as np

from condvae.training import batches
from condvae.training.batches import MAX_ROUND, MIN_ROUND, draw_order, round_steps

KEY = jax.random.key(0)


def test_every_row_is_used_equally_often_wherever_rounds_are_cut():
    train = np.arange(5, 30)
    whole = draw_order(train, KEY, 0, 525)  # 75 batches of 7: 21 times all 25 rows
    pieces = [draw_order(train, KEY, start, min(91, 525 - start)) for start in range(0, 525, 91)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    rows, counts = np.unique(whole, return_counts=True)
    np.testing.assert_array_equal(rows, train)
    assert (counts == 21).all()
    epochs = whole.reshape(21, 25)
    assert (np.sort(epochs, axis=1) == train).all()
    assert len(np.unique(epochs, axis=0)) == 21
    other = draw_order(train, jax.random.key(1), 0, 525)
    assert (other != whole).any()


def test_a_round_is_an_epoch_or_more_where_that_is_neither_few_nor_many():
    assert round_steps(rows=1000, batch_size=100, num_steps=10**6) == 128
    assert round_steps(rows=50_000, batch_size=100, num_steps=10**6) == 512
    assert round_steps(rows=10**8, batch_size=100, num_steps=10**6) == MAX_ROUND
    assert round_steps(rows=1000, batch_size=100, num_steps=30) == 32
    for rows in range(10, 5000, 77):
        steps = round_steps(rows, batch_size=16, num_steps=10**6)
        assert steps >= max(MIN_ROUND, rows / 16)
        assert steps & (steps - 1) == 0


def test_what_is_drawn_for_a_round_is_bounded():
    for batch_size in (64, 1500, 10**5, 10**7):
        for members in (1, 3, 16):
            steps = round_steps(10**8, batch_size, 10**6, members)
            assert steps >= 1
            assert steps == 1 or steps * batch_size * members <= batches.MAX_DRAWN
