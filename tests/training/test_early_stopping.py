"""Which parameters are kept of targets that are decoded in turn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from condvae import fit
from condvae.architectures import mlp_cvae
from condvae.training.early_stopping import kept, num_parts, terms

KEY = jax.random.key(0)


def model_of(**options):
    return mlp_cvae(np.zeros((1, 2)), np.zeros((1, 8)), width=16, key=KEY, **options)


def test_what_has_parts():
    assert num_parts(model_of(latent_size=0, in_turn=True)) == 3
    assert num_parts(model_of(latent_size=0)) == 1
    # With a latent, the encoder belongs to all cells.
    assert num_parts(model_of(latent_size=2, in_turn=True)) == 1


def test_a_part_that_is_better_is_kept_and_the_others_stay():
    old, static = eqx.partition(model_of(latent_size=0, in_turn=True), eqx.is_inexact_array)
    new = jax.tree.map(lambda leaf: leaf + 0.1, old)
    x, c = jnp.array([[0.3, -0.2]]), jnp.ones((1, 8))

    @jax.jit
    def cells(parameters):
        return terms(eqx.combine(parameters, static), x, c)[0, :2]

    mixed = jax.jit(lambda better: kept(better, new, old, static))(jnp.array([True, False, False]))
    np.testing.assert_allclose(cells(mixed), [cells(new)[0], cells(old)[1]], rtol=1e-6)
    assert (cells(new) != cells(old)).all()


def test_each_cell_in_turn_keeps_the_parameters_that_are_best_for_it():
    # One target is learned and then overfitted, another takes long: no step is the best of both.
    rng = np.random.default_rng(0)
    c = rng.normal(size=(150, 8)).astype(np.float32)
    noise = rng.normal(size=(2, 150))
    x = np.stack([noise[0], c.sum(axis=1) / 3 + 0.5 * noise[1]], axis=1).astype(np.float32)
    held = np.arange(150) % 3 == 0
    model = mlp_cvae(x, c, latent_size=0, in_turn=True, width=16, key=jax.random.key(0))
    options = {"num_steps": 1024, "batch_size": 20, "learning_rate": 0.001, "progress": False}
    trained, history = fit(model, x, c, key=jax.random.key(1), validation=held, **options)
    terms = jax.jit(jax.vmap(lambda x, c: trained.likelihood(jnp.zeros(0), c).terms(x)))(x[held], c[held])
    np.testing.assert_allclose(history.best_value, terms.mean(axis=0).sum(), rtol=1e-4)
    assert history.best_value > max(record["validation"] for record in history.records) + 0.01
    # Without rows held out, the parameters are those of the last step.
    last, history = fit(model, x, c, key=jax.random.key(1), validation=0, **options)
    assert (history.best_step, history.best_value) == (1024, -np.inf)
    assert not eqx.tree_equal(last, model)
