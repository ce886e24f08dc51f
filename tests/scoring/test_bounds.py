"""Bounds of log p(x | c), against the exact ELBO and the exact log p."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Mixture, iwae
from condvae.linear_gaussian import (
    exact_elbo,
    exact_log_prob,
    exact_posterior,
    linear_gaussian,
    random_linear_gaussian,
)
from condvae.scoring import bound
from helpers import CASES, conditions, elbo_by_quadrature

KEY = jax.random.key(0)


def model_and_rows(n=20, seed=0):
    model = random_linear_gaussian(jax.random.key(seed), x_size=3, z_size=2, c_size=1)
    c = jax.random.normal(jax.random.key(1), (n, 1))
    return model, jax.random.normal(jax.random.key(2), (n, 3)), c


def repeated(model, x, c, repeats, **options):
    """Each row under so many keys of its own: [repeats, n]."""
    x, c = jax.tree.map(lambda leaf: np.tile(leaf, (repeats, *[1] * (leaf.ndim - 1))), (x, c))
    return bound(model, x, c, key=KEY, **options).reshape(repeats, -1)


# Those whose ELBO has a closed form; of the others it is an integral.
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case.name == "discrete" else pytest.mark.slow, id=case.name)
        for case in CASES
        if case.elbo is not elbo_by_quadrature
    ],
)
def test_the_elbo_of_every_kind_of_latent(case):
    """Averaged over 40 keys, within five of their standard errors and what quadrature leaves."""
    model = case.build(KEY)
    c = conditions(6) if case.has_c else None
    x = case.rows(jax.random.normal(jax.random.key(3), (6, 3)))
    runs = repeated(model, x, c, 40, num_samples=100)
    error = np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    assert (np.abs(np.mean(runs, axis=0) - case.elbo(model, x, c)) < 5 * error + 2e-3).all()


def test_at_the_exact_posterior_it_is_log_p():
    model, x, c = model_and_rows()
    exact = linear_gaussian(model.prior, model.likelihood, exact_posterior(model))
    # With the KL in closed form, the reconstruction is what draws still vary in.
    runs = repeated(exact, x, c, 20, num_samples=500)
    error = runs.std(axis=0, ddof=1) / np.sqrt(20)
    assert (np.abs(runs.mean(axis=0) - np.asarray(exact_log_prob(model, x, c))) < 5 * error + 1e-4).all()


@pytest.mark.parametrize("num_samples", [1, 40])
def test_of_a_mixture_of_equal_members_it_is_a_bound(num_samples):
    """Eight equal members with the exact posterior, 16 latents: the ELBO of each is log p."""
    model = random_linear_gaussian(jax.random.key(0), x_size=16, z_size=16, c_size=1)
    exact = linear_gaussian(model.prior, model.likelihood, exact_posterior(model))
    c = jax.random.normal(jax.random.key(1), (1, 1))
    x = jax.random.normal(jax.random.key(2), (1, 16))
    runs = repeated(Mixture.of([exact] * 8), x, c, 400, num_samples=num_samples)
    excess = runs[:, 0] - float(exact_log_prob(model, x, c)[0])
    assert excess.mean() < 3 * excess.std() / 20
    if num_samples > 1:
        assert excess.mean() > -0.2


def test_of_a_mixture_it_is_the_log_mean_exp_and_below_log_p():
    models = [model_and_rows(seed=seed)[0] for seed in (0, 1, 2)]
    _, x, c = model_and_rows()
    runs = repeated(Mixture.of(models), x, c, 20, num_samples=2000)
    error = runs.std(axis=0, ddof=1) / np.sqrt(20)
    elbos = np.logaddexp.reduce([np.asarray(exact_elbo(m, x, c)) for m in models]) - np.log(3)
    assert (runs.mean(axis=0) < elbos + 5 * error + 1e-3).all()
    assert (runs.mean(axis=0) > elbos - 5 * error - 0.01).all()  # shares from 2,000 draws are near the best
    log_p = np.logaddexp.reduce([np.asarray(exact_log_prob(m, x, c)) for m in models]) - np.log(3)
    assert (runs.mean(axis=0) < log_p + 5 * error).all()


def test_few_draws_are_no_excuse_for_being_above_log_p():
    """In expectation it is a bound with a single draw, of a mixture too: 400 keys."""
    models = [model_and_rows(n=4, seed=seed)[0] for seed in (0, 1)]
    _, x, c = model_and_rows(n=4)
    log_p = np.logaddexp.reduce([np.asarray(exact_log_prob(m, x, c)) for m in models]) - np.log(2)
    runs = repeated(Mixture.of(models), x, c, 400, num_samples=1)
    assert (runs.mean(axis=0) < log_p + 4 * runs.std(axis=0) / 20).all()


def test_another_objective_is_between_the_elbo_and_log_p():
    model, x, c = model_and_rows()
    iwae_runs = np.array(repeated(model, x, c, 30, objective=iwae, num_samples=50))
    error = iwae_runs.std(axis=0, ddof=1) / np.sqrt(30)
    elbo, log_p = (np.asarray(f(model, x, c)) for f in (exact_elbo, exact_log_prob))
    iwae_mean = iwae_runs.mean(axis=0)
    assert (iwae_mean < log_p + 5 * error).all()
    assert (iwae_mean > elbo - 5 * error).all()
    gap = log_p - elbo > 0.5
    assert gap.any()
    assert (iwae_mean - elbo)[gap].min() > 0.1


def test_seeds_rows_and_bad_arguments():
    model, x, c = model_and_rows(4)
    same = [jnp.tile(rows[:1], (3, 1)) for rows in (x, c)]
    values = bound(model, *same, key=KEY, num_samples=3, seeds=np.array([1, 2, 1], np.uint32))
    assert values[0] == values[2] != values[1]
    assert bound(model, x[:0], c[:0], key=KEY).shape == (0,)
    with pytest.raises(ValueError, match="num_samples is 0, expected at least 1"):
        bound(model, x, c, key=KEY, num_samples=0)
    with pytest.raises(ValueError, match="x has 4 rows but c has 2"):
        bound(model, x, c[:2], key=KEY)
