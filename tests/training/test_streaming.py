"""Fits of a stream: the same training as of arrays, but for the order of rows."""

import jax
import numpy as np
import pytest

from condvae import elbo, fit
from condvae.training import Checkpoints, Interrupted, TrainingError, loop
from condvae.training.batches import StreamBatches
from condvae.training.streams import ArrayStream
from helpers import diagonal

KEY = jax.random.key(0)
OPTIONS = {"batch_size": 16, "learning_rate": 1e-2, "progress": False}


def table(n, seed=0):
    """x that depends on c, in an order that does too, as tables on disk are ordered by something."""
    rng = np.random.default_rng(seed)
    c = np.sort(rng.normal(size=(n, 2)), axis=0).astype(np.float32)
    x = c[:, :1] * np.array([1.0, -0.5, 0.0]) + 0.3 * rng.normal(size=(n, 3))
    return x.astype(np.float32), c


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")]


def assert_same(model, other):
    for one, two in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.fixture
def short_rounds(monkeypatch):
    """Several blocks to an epoch."""
    monkeypatch.setattr("condvae.training.batches.BLOCK_ROWS", 512)


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("members", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_stream_is_learned_as_arrays_are(members):
    x, c = table(3000)
    judged = table(1000, seed=1)
    model = (lambda key: diagonal(key)) if members else diagonal(KEY)
    options = OPTIONS | {"num_steps": 1500, "num_members": members}
    held = np.arange(4000) >= 3000
    x_all, c_all = np.concatenate([x, judged[0]]), np.concatenate([c, judged[1]])
    _, in_memory = fit(model, x_all, c_all, key=KEY, validation=held, **options)
    _, streamed = fit(model, ArrayStream(x, c, group_rows=100), key=KEY, validation=judged, **options)
    best, expected = np.atleast_1d(streamed.best_value), np.atleast_1d(in_memory.best_value)
    assert len(best) == (members or 1)
    options |= {"num_steps": 1, "learning_rate": 0.0}
    _, untrained = fit(model, x_all, c_all, key=KEY, validation=held, **options)
    assert (expected - untrained.best_value > 1).all()
    np.testing.assert_allclose(best, expected, atol=0.05)


@pytest.mark.usefixtures("short_rounds")
def test_a_fraction_is_held_out_of_a_stream():
    stream = ArrayStream(*table(600), group_rows=50)
    _, history = fit(diagonal(KEY), stream, key=KEY, num_steps=96, **OPTIONS)
    assert history["validation"][-1] > history["validation"][0]
    _, without = fit(diagonal(KEY), stream, key=KEY, num_steps=96, validation=0, **OPTIONS)
    assert "validation" not in without.records[0]


@pytest.mark.parametrize("members", [None, 2])
def test_a_resumed_stream_is_the_uninterrupted_one_to_the_bit(tmp_path, monkeypatch, members):
    monkeypatch.setattr("condvae.training.batches.BLOCK_ROWS", 2048)
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)  # four parts to a round
    stream = ArrayStream(*table(700), group_rows=64)
    options = OPTIONS | {"num_steps": 640, "num_members": members}

    def run(**kept):
        return fit(diagonal, stream, key=KEY, **options, **kept).model

    expected = run()
    folder = tmp_path / "run"
    steps, stops = loop.run_steps, iter([6, 9, 1000])
    left = next(stops)

    def interrupted(*arguments, **named):
        nonlocal left
        left -= 1
        if left < 0:
            left = next(stops)
            raise RuntimeError("cut off")
        return steps(*arguments, **named)

    monkeypatch.setattr(loop, "run_steps", interrupted)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cut off"):
            run(checkpoint=Checkpoints(folder, seconds=0), resume=True)
    assert_same(run(checkpoint=Checkpoints(folder, seconds=0), resume=True), expected)


def test_another_stream_is_not_resumed(tmp_path):
    x, c = table(700)
    options = OPTIONS | {"num_steps": 64, "checkpoint": tmp_path / "run", "resume": True}
    fit(diagonal, ArrayStream(x, c, group_rows=64), key=KEY, **options)
    with pytest.raises(ValueError, match="of a run with another x"):
        fit(diagonal, ArrayStream(x + 1, c, group_rows=64), key=KEY, **options)


def test_rows_of_a_stream_that_cannot_be_trained_on_are_named():
    x, c = table(640)
    c[5::7, 1] = 50.0
    c[320, 1] = 60.0

    def spoil(draws):
        return elbo(draws) / (draws.z.sum() != draws.z.sum())

    with pytest.raises(TrainingError, match=r"over and over.*the largest of its numbers is") as caught:
        options = OPTIONS | {"objective": spoil, "validation": 0, "num_steps": 160}
        fit(diagonal, ArrayStream(x, c, group_rows=64), key=KEY, **options)
    entry = caught.value.entry
    side = {"x": x, "c": c}[entry.path[0]]
    assert abs(side[entry.place]) == pytest.approx(entry.value)


def test_what_reads_a_stream_ends_with_the_run(monkeypatch):
    closed = []
    monkeypatch.setattr(StreamBatches, "close", lambda self: closed.append(self._blocks.close()))

    def stop(record, step):
        raise Interrupted("enough", 2)

    with pytest.raises(Interrupted):
        fit(diagonal, ArrayStream(*table(200)), key=KEY, num_steps=64, callbacks=[stop], **OPTIONS)
    assert len(closed) == 1
