"""InfoVAE: the discrepancy by plain loops, its expectation, and what it does to q."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from condvae import CVAE, elbo, fit
from condvae.linear_gaussian import linear_gaussian
from condvae.objectives import info_vae
from condvae.objectives.declaration import takes
from condvae.objectives.draws import evaluate_batch
from condvae.scoring import bound
from gradients import of_states, one_row
from helpers import row_keys

pytestmark = pytest.mark.usefixtures("x64")
ROWS = 12


def batch(n=ROWS):
    model, x, c = one_row()
    return model, x + jax.random.normal(jax.random.key(5), (n, len(x))), jnp.tile(c, (n, 1))


def discrepancy(q, p):
    """Of draws (rows, K, z) by the definition, pair by pair, of different rows."""
    n = len(q)

    def apart(a, b):
        return ((a[:, None] - b[None]) ** 2).sum(-1)

    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    width = np.mean([apart(p[i], p[j]).mean() for i, j in pairs])

    def kernel(a, b):
        return np.mean([(1 / (1 + apart(a[i], b[j]) / width)).mean() for i, j in pairs])

    return kernel(q, q) + kernel(p, p) - 2 * kernel(q, p)


def test_it_is_what_is_written():
    model, x, c = batch()
    keys, size = row_keys(1, ROWS), 3

    @eqx.filter_jit
    def of_batch(objective):
        return evaluate_batch(objective, model, (x, c), keys, num_samples=size)

    @jax.jit
    @jax.vmap
    def of_rows(x, c, key):
        draws = model.draws(x, c, key=key, num_samples=size)
        return elbo(draws, beta=0.7), draws.z

    values, p = (of_batch(f) for f in (partial(info_vae, alpha=0.3, weight=7.0), _draws_of_the_prior))
    reconstructed, q = of_rows(x, c, keys)
    expected = reconstructed.mean() - 7.0 * discrepancy(np.asarray(q), np.asarray(p))
    np.testing.assert_allclose(values.mean(), expected, rtol=1e-9)
    assert values.shape == (ROWS,)


@takes("draws", "from_prior", of_batches=True)
def _draws_of_the_prior(draws, from_prior):
    return from_prior.z


def test_where_q_is_the_prior_it_is_nothing_on_average():
    model, x, c = batch()
    prior = model.prior
    tied = linear_gaussian(
        prior, model.likelihood, type(prior)((None, *prior.weights), prior.bias, prior.covariance)
    )

    @eqx.filter_jit
    def mmd(model, key):
        of = partial(evaluate_batch, model=model, batch=(x, c), keys=jax.random.split(key, ROWS))
        return of(partial(info_vae, weight=0.0)).mean() - of(partial(info_vae, weight=1.0)).mean()

    same, other = (np.array([mmd(m, key) for key in row_keys(2, 400)]) for m in (tied, model))
    # Its width is chosen by the same draws, which is the little that it is off by.
    assert stats.ttest_1samp(same, 0.0).pvalue > 1e-4
    assert other.mean() > 10 * same.std() / 20


def test_gradients_are_those_of_finite_differences():
    model, x, c = batch()
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)
    of_prior = len(jax.flatten_util.ravel_pytree(parameters.prior)[0])

    def value(flat):
        model = eqx.combine(unravel(flat), static)
        keys = row_keys(1, ROWS)
        return evaluate_batch(partial(info_vae, alpha=0.5, weight=2.0), model, (x, c), keys).mean()

    steps, values = 1e-6 * jnp.eye(len(flat)), jax.jit(jax.vmap(value))
    numeric = (values(flat + steps) - values(flat - steps)) / 2e-6
    # The prior's draws also set the kernel's width, which is held.
    gradient = jax.jit(jax.grad(value))(flat)[of_prior:]
    np.testing.assert_allclose(gradient, numeric[of_prior:], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_it_brings_q_as_a_whole_to_the_prior():
    model, x, c = batch(400)
    options = {"num_steps": 400, "learning_rate": 1e-2, "batch_size": 100, "progress": False}

    def off(model):
        q, p = (
            np.asarray(jax.vmap(draw)(x, c, row_keys(3, 400)))
            for draw in (
                lambda x, c, key: model.q_z(x, c).sample(key),
                lambda x, c, key: model.p_z(c).sample(key),
            )
        )
        return discrepancy(q[:60, None], p[60:120, None])

    trained, _ = fit(model, x, c, key=jax.random.key(0), objective=info_vae, **options)
    assert off(trained) < 0.3 * off(model)


def test_what_cannot_be_compared_is_refused():
    model, x = of_states()
    with pytest.raises(ValueError, match="this posterior's draws are discrete or carry none"):
        fit(model, jnp.tile(x, 10), key=jax.random.key(0), objective=info_vae, progress=False)
    other, x, c = batch()
    with pytest.raises(ValueError, match="the objective is of one example: use evaluate, or declare"):
        evaluate_batch(elbo, other, (x, c), row_keys(1, ROWS))
    discrete = CVAE(model.prior, lambda z, c: other.likelihood(jnp.full(2, z), c), model.posterior)
    with pytest.raises(ValueError, match="use elbo with free_bits"):
        fit(discrete, x, c, key=jax.random.key(0), objective=info_vae, progress=False)
    with pytest.raises(ValueError, match="the objective is of whole batches, and bounds no row's log p"):
        bound(other, x, c, key=jax.random.key(0), objective=info_vae)
