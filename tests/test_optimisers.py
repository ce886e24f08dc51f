import jax.numpy as jnp
import numpy as np

from condvae.optimisers import adamw, cosine


def test_the_same_numbers_give_the_same_optimiser():
    assert adamw(5.0, 0.1) is adamw(5.0, 0.1)
    assert adamw(5.0, 0.1) is not adamw(None, 0.1)


def test_decay_reaches_matrices_alone():
    optimiser = adamw(None, 0.1)
    parameters = {"matrix": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zero = {"matrix": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    updates, _ = optimiser.update(zero, optimiser.init(parameters), parameters)
    np.testing.assert_allclose(updates["matrix"], 0.1, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0.0)


def test_the_rate_rises_then_falls_to_nothing():
    steps = jnp.arange(1000)
    rates = np.asarray([cosine(jnp.asarray(2.0), step, jnp.asarray(1000)) for step in steps[::10]])
    assert rates.argmax() <= 3
    assert rates.max() <= 2.0
    assert (np.diff(rates[5:]) < 0).all()
    assert float(cosine(jnp.asarray(2.0), jnp.asarray(999), jnp.asarray(1000))) < 1e-4
