import logging
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Mixture, elbo, fit
from condvae.training import batches, loop, rounds
from condvae.training.rounds import beta_at
from condvae.vectorise import bucket
from helpers import diagonal

KEY = jax.random.key(0)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_model_does_not_depend_on_where_rounds_are_cut(monkeypatch):
    x, c = np.ones((60, 3), np.float32), np.ones((60, 2), np.float32)
    x = x * np.linspace(-1, 1, 60, dtype=np.float32)[:, None]

    def run():
        model, _ = fit(
            diagonal(KEY), x, c, key=KEY, num_steps=60, batch_size=16, validation=0, progress=False
        )
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")])

    whole = run()
    monkeypatch.setattr(batches, "round_steps", lambda *_: 7)
    np.testing.assert_allclose(run(), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [5, 1000])
def test_held_out_rows_are_averaged_whatever_the_chunk(monkeypatch, chunk):
    monkeypatch.setattr(rounds, "VALIDATION_ROWS", chunk)
    model, x, c = diagonal(KEY), normal(0, 50, 3), normal(1, 50, 2)

    def divergence(draws):  # without noise; another function for each chunk, so that each is compiled
        return draws.kl

    options = {"objective": divergence, "num_steps": 1, "learning_rate": 0.0, "progress": False}
    _, history = fit(model, x, c, key=KEY, validation=np.arange(50) < 37, **options)
    expected = jax.jit(jax.vmap(lambda x, c: model.q_z(x, c).kl(model.p_z(c))))(x[:37], c[:37])
    np.testing.assert_allclose(history["validation"], [expected.mean()], rtol=1e-5)


def test_beta_rises_to_one():
    assert [float(beta_at(step, 4, 100)) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_beta_rises_anew_in_every_cycle():
    assert [float(beta_at(step, 2, 4)) for step in range(8)] == 2 * [0.5, 1.0, 1.0, 1.0]


@pytest.fixture
def compilations(caplog):
    """The names of the programs that are compiled while a function runs, by JAX's own log of it."""

    def count(run):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="jax"), jax.log_compiles():
            run()
        messages = [record.getMessage() for record in caplog.records]
        matches = [re.search(r"Finished XLA compilation of jit\((.*)\) in", m) for m in messages]
        return [match[1] for match in matches if match]

    return count


@pytest.mark.parametrize(
    ("members", "at_most"),
    [(None, None), (3, None), pytest.param(3, 0, marks=pytest.mark.slow)],
    ids=str,
)
def test_one_round_is_compiled_for_a_fit_and_for_those_like_it(compilations, monkeypatch, members, at_most):
    if at_most is not None:
        monkeypatch.setattr(loop, "SIDE_BY_SIDE", at_most)

    def build(key):
        # An array of weak type, as jnp.full makes it of a Python number.
        model = eqx.tree_at(
            lambda m: m.likelihood.head.parameters.log_scale, diagonal(key), jnp.full(3, -0.3)
        )
        assert model.likelihood.head.parameters.log_scale.weak_type
        return model

    def objective(draws):
        return elbo(draws)

    lengths = []

    def run(n, **options):
        model = build if members else build(KEY)
        options |= {"num_members": members, "objective": objective, "progress": False}
        _, history = fit(model, normal(0, n, 3), normal(1, n, 2), key=KEY, batch_size=16, **options)
        lengths.append(len(history))

    assert compilations(lambda: run(300, num_steps=400)).count("_round") == 1
    # 300 rows less 30, and 410 less 29: no epoch is a whole number of batches.
    for n, options in (
        (410, {"num_steps": 300, "learning_rate": 0.1, "validation": 0.07}),
        (310, {"num_steps": 200, "weight_decay": 0.2, "patience": 128}),
    ):
        assert "_round" not in compilations(lambda n=n, options=options: run(n, **options))
    assert min(lengths) > 1


@pytest.mark.parametrize(
    ("source", "validation"),
    [
        ("one", "fraction"),
        pytest.param("built", "groups", marks=pytest.mark.slow),
        pytest.param("mixture", "none", marks=pytest.mark.slow),
        pytest.param("built", "mask", marks=pytest.mark.slow),
        pytest.param("one", "time", marks=pytest.mark.slow),
    ],
)
def test_a_fit_compiles_two_programs_whatever_it_is_given(compilations, source, validation):
    x, c = normal(0, 200, 3), normal(1, 200, 2)
    mixture = Mixture.of([diagonal(k) for k in jax.random.split(KEY, 4)])
    first = mixture.member(0)
    model = {"one": first, "mixture": mixture, "built": lambda key: first}[source]
    held = {
        "fraction": {"validation": 0.2},
        "mask": {"validation": np.arange(200) < 30},
        "groups": {"groups": np.arange(200) // 10},
        "time": {"time": np.arange(200)},
        "none": {"validation": 0},
    }[validation]
    options = {"num_steps": 256, "patience": 128, "averaging": 0.9, "weight_decay": 0.1, "kl_warmup": 9}

    def run():
        members = 4 if source == "built" else None
        fit(model, x, c, key=KEY, batch_size=8, num_members=members, progress=False, **held, **options)

    jax.clear_caches()
    assert sorted(compilations(run)) == ["_draw_keys", "_round"]
    assert compilations(run) == []


@pytest.mark.parametrize("at_most", [loop.SIDE_BY_SIDE, 0], ids=["vmap", "map"])
def test_padding_influences_nothing(monkeypatch, at_most):
    monkeypatch.setattr(loop, "SIDE_BY_SIDE", at_most)
    x, c = normal(0, 300, 3), normal(1, 300, 2)
    rng = np.random.default_rng(2)
    held = np.stack([rng.permuted(np.arange(300) < count) for count in (37, 90)])

    def run():
        mixture, history = fit(
            diagonal,
            x,
            c,
            key=KEY,
            num_members=2,
            validation=held,
            sample_weight=rng.random(300),
            num_steps=300,
            batch_size=16,
            progress=False,
        )
        return [
            *jax.tree.leaves(eqx.filter(mixture, eqx.is_array)),
            history["validation"],
            history["train"],
        ]

    rng = np.random.default_rng(3)
    plain = run()
    poisoned = []

    def poison(tree, rows):
        def pad(leaf):
            tail = np.full((bucket(rows) - rows, *np.shape(leaf)[1:]), np.nan, leaf.dtype)
            poisoned.append(len(tail))
            return np.concatenate([leaf, tail])

        return jax.tree.map(pad, tree)

    monkeypatch.setattr(batches, "_pad_rows", poison)
    rng = np.random.default_rng(3)
    for a, b in zip(plain, run(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert poisoned == [212] * 3
    assert all(np.isfinite(leaf).all() for leaf in plain)
