"""The proof that the concepts hold: every kind of latent goes through everything, to the known answer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import (
    Mixture,
    Observed,
    elbo,
    encode,
    fit,
    iwae,
    load,
    log_prob,
    reconstruct,
    sample,
    save,
    sticking_the_landing,
)
from condvae.bundle import BundleError
from condvae.vectorise import num_rows
from helpers import CASES, Z_SIZE, Case, conditions, row_keys

ROWS = 6
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
LONG = {"hierarchical", "flow"}  # to compile
some_cases = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if case.name in LONG else (), id=case.name)
        for case in CASES
    ],
)


def data(case: Case, model, n: int = ROWS, seed: int = 1):
    """Rows of x drawn from the model, and their conditions."""
    c = conditions(n, seed) if case.has_c else None
    key = jax.random.key(seed)
    x = sample(model, key=key, num_samples=n) if c is None else sample(model, c, key=key)[:, 0]
    return case.rows(jnp.asarray(x)), c


def estimates(objective, model, x, c, *, num_samples: int, repeats: int, seed: int = 0):
    """The objective of each row, over many keys: (repeats, rows)."""

    @eqx.filter_jit
    def run(model, x, c, keys):
        def one(key, x, c):
            return objective(model.draws(x, c, key=key, num_samples=num_samples))

        return jax.vmap(lambda key: jax.vmap(lambda x, c: one(key, x, c))(x, c))(keys)

    return np.asarray(run(model, x, c, row_keys(seed, repeats)))


def gradients(objective, model, x, c, *, repeats: int):
    """The gradient of the mean over rows, flat, over many keys: (repeats, parameters)."""
    parameters, static = eqx.partition(model, eqx.is_inexact_array)

    def value(parameters, key):
        model = eqx.combine(parameters, static)
        return jnp.mean(jax.vmap(lambda x, c: objective(model.draws(x, c, key=key)))(x, c))

    def flat(key):
        return jax.flatten_util.ravel_pytree(jax.grad(value)(parameters, key))[0]

    return np.asarray(jax.jit(lambda keys: jax.lax.map(flat, keys))(row_keys(7, repeats)))


def assert_mean(samples: np.ndarray, expected: np.ndarray, sigmas: float = 4.5):
    """The mean over the first axis is `expected`, within so many standard errors, cell by cell."""
    samples = samples.astype(float)
    stderr = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert (
        np.abs(samples.mean(axis=0) - expected) <= sigmas * stderr + 1e-5 * np.abs(expected) + 1e-4
    ).all()


@some_cases
def test_elbo_is_log_prob_less_the_divergence(case):
    model = case.build(jax.random.key(0))
    x, c = data(case, model)
    exact = case.elbo(model, x, c)
    assert (exact < case.log_prob(model, x, c) + 1e-4).all()
    assert_mean(estimates(elbo, model, x, c, num_samples=2, repeats=4000), exact)


@some_cases
def test_iwae_is_the_elbo_at_one_draw_and_tightens(case):
    model = case.build(jax.random.key(0))
    x, c = data(case, model)
    truth = case.log_prob(model, x, c)
    means, first = [], np.empty(0)
    for num_samples in (1, 8, 64):
        values = estimates(iwae, model, x, c, num_samples=num_samples, repeats=2000)
        stderr = values.std(axis=0) / np.sqrt(len(values))
        assert (values.mean(axis=0) <= truth + 4.5 * stderr + 1e-3).all()
        means.append(values.mean())
        first = values if num_samples == 1 else first
    if case.has_path:
        assert_mean(first, case.elbo(model, x, c))
        assert means[0] < means[1] < means[2]
    else:  # summed over the support, it is log p itself
        np.testing.assert_allclose(means, truth.mean(), rtol=1e-4)


@some_cases
def test_sticking_the_landing_has_the_gradient_of_the_elbo(case):
    model = case.build(jax.random.key(0))
    x, c = data(case, model)
    if not case.has_path:
        with pytest.raises(ValueError, match="use elbo, which is exact for an enumerated latent"):
            estimates(sticking_the_landing, model, x, c, num_samples=1, repeats=2)
        return
    assert_mean(
        estimates(sticking_the_landing, model, x, c, num_samples=2, repeats=4000), case.elbo(model, x, c)
    )
    path, full = (gradients(f, model, x, c, repeats=3000) for f in (sticking_the_landing, elbo))
    spread = np.sqrt(path.var(axis=0) / len(path) + full.var(axis=0) / len(full))
    assert (np.abs(path.mean(axis=0) - full.mean(axis=0)) <= 5.0 * spread + 1e-4).all()


@some_cases
@pytest.mark.parametrize("proposal", ["defensive", pytest.param("prior", marks=pytest.mark.slow)])
def test_scores_are_within_their_errors(case, proposal):
    model = case.build(jax.random.key(0))
    x, c = data(case, model, n=50)
    score = log_prob(model, x, c, key=jax.random.key(3), num_samples=2000, proposal=proposal)
    error = np.abs(score.value - case.log_prob(model, x, c))
    assert (error <= 5.0 * score.stderr + 1e-3).all()
    assert (score.ess > 1).all()
    if not case.has_path:
        assert (score.stderr == 0).all()


@some_cases
def test_scores_of_a_mixture_are_within_their_errors(case):
    members = [case.build(jax.random.key(seed)) for seed in (0, 1)]
    x, c = data(case, members[0], n=50)
    score = log_prob(Mixture.of(members), x, c, key=jax.random.key(3), num_samples=4000)
    truth = np.logaddexp(*(case.log_prob(member, x, c) for member in members)) - np.log(2)
    assert (np.abs(score.value - truth) <= 5.0 * score.stderr + 1e-3).all()
    assert np.abs(truth - case.log_prob(members[0], x, c)).max() > 0.1


@every_case
def test_samples_have_the_known_mean(case):
    model = case.build(jax.random.key(0))
    c = conditions(3) if case.has_c else None
    draws = np.asarray(sample(model, c, key=jax.random.key(4), num_samples=4000))
    assert_mean(np.moveaxis(draws, -2, 0), case.mean(model, c))


@every_case
def test_rows_encode_and_reconstruct(case):
    model = case.build(jax.random.key(0))
    x, c = data(case, model)
    key = jax.random.key(5)
    z = jax.tree.leaves(encode(model, x, c, key=key))
    many = jax.tree.leaves(encode(model, x, c, key=key, num_samples=3))
    shape = (Z_SIZE,) if case.has_path else ()
    assert all(leaf.shape == (ROWS, *shape) for leaf in z)
    assert all(leaf.shape == (ROWS, 3, *shape) for leaf in many)
    if case.has_mean:
        means = np.asarray(encode(model, x, c))
        draws = np.asarray(encode(model, x, c, key=key, num_samples=4000))
        assert_mean(np.moveaxis(draws, 1, 0), means)
    else:
        with pytest.raises(ValueError, match="no closed form: pass key="):
            encode(model, x, c)
    again = reconstruct(model, x, c, key=key, num_samples=2)
    value = x.value if isinstance(x, Observed) else x
    assert again.shape == (ROWS, 2, *value.shape[1:])


@pytest.mark.slow
@every_case
def test_training_reaches_the_truth(case):
    truth = case.build(jax.random.key(0))
    x, c = data(case, truth, n=2000)
    start = case.build(jax.random.key(1))
    model, history = fit(
        start,
        x,
        c,
        key=jax.random.key(2),
        num_steps=2500,
        learning_rate=1e-2,
        num_samples=2,
        progress=False,
    )
    reached, best = (case.log_prob(m, x, c).mean() for m in (model, truth))
    assert case.log_prob(start, x, c).mean() < best - 0.5
    assert reached > best - 0.05
    assert history["validation"].max() > history["validation"][0]


@some_cases
def test_saved_models_score_the_same(case, tmp_path):
    model = case.build(jax.random.key(0))
    x, c = data(case, model)
    save(tmp_path / "model", model)
    if case.own_modules:
        with pytest.raises(BundleError, match="load it with like="):
            load(tmp_path / "model")
        loaded = load(tmp_path / "model", like=case.build(jax.random.key(1)))
    else:
        loaded = load(tmp_path / "model")
    before, after = (
        log_prob(m, x, c, key=jax.random.key(6), num_samples=100).value for m in (model, loaded)
    )
    np.testing.assert_allclose(before, after, rtol=1e-5)
    assert num_rows(x=x) == ROWS
