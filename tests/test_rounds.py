import jax
import numpy as np

from condvae import elbo, fit, rounds, training
from condvae.rounds import MAX_ROUND, MIN_ROUND, beta_at, draw_order, round_steps
from helpers import diagonal

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


def test_a_round_is_whole_epochs_where_that_is_neither_few_nor_many():
    assert round_steps(rows=1000, batch_size=100, num_steps=10**6) == MIN_ROUND
    assert round_steps(rows=700, batch_size=100, num_steps=10**6) % 7 == 0
    assert round_steps(rows=50_000, batch_size=100, num_steps=10**6) == 500
    assert round_steps(rows=10**8, batch_size=100, num_steps=10**6) == MAX_ROUND
    assert round_steps(rows=1000, batch_size=100, num_steps=30) == 30


def test_the_model_does_not_depend_on_where_rounds_are_cut(monkeypatch):
    x, c = np.ones((60, 3), np.float32), np.ones((60, 2), np.float32)
    x = x * np.linspace(-1, 1, 60, dtype=np.float32)[:, None]

    def run():
        model, _ = fit(
            diagonal(KEY), x, c, key=KEY, num_steps=60, batch_size=16, validation=0, progress=False
        )
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")])

    whole = run()
    monkeypatch.setattr(training, "round_steps", lambda *_: 7)
    np.testing.assert_allclose(run(), whole, rtol=1e-5, atol=1e-6)


def test_held_out_rows_are_averaged_whatever_the_chunk(monkeypatch):
    model = diagonal(KEY)
    x, c = jax.random.normal(KEY, (50, 3)), jax.random.normal(KEY, (50, 2))
    held = np.arange(50) < 37

    def run(chunk):
        monkeypatch.setattr(rounds, "VALIDATION_ROWS", chunk)
        jax.clear_caches()
        _, history = fit(
            model,
            x,
            c,
            key=KEY,
            num_steps=1,
            learning_rate=0.0,
            validation=held,
            num_samples=200,
            progress=False,
        )
        return history["validation"][0]

    one = jax.vmap(lambda x, c: elbo(model.draws(x, c, key=KEY, num_samples=2000)))(x[:37], c[:37]).mean()
    for chunk in (5, 1000):
        assert abs(run(chunk) - one) < 0.1


def test_beta_rises_to_one():
    assert [float(beta_at(step, 4)) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
