import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from condvae.training.optimisers import adam, cosine, descend, scale_by_adam


def tree(seed):
    rng = np.random.default_rng(seed)
    return {"matrix": jnp.asarray(rng.normal(size=(2, 2))), "bias": jnp.asarray(rng.normal(size=2))}


def test_the_same_number_gives_the_same_optimiser():
    assert adam(5.0) is adam(5.0)
    assert adam(5.0) is not adam(None)


def test_decay_reaches_matrices_alone():
    zero = jax.tree.map(jnp.zeros_like, tree(0))
    steps = descend(zero, tree(0), jnp.asarray(0.5), jnp.asarray(0.1))
    np.testing.assert_allclose(steps["matrix"], -0.05 * tree(0)["matrix"], rtol=1e-6)
    np.testing.assert_array_equal(steps["bias"], 0.0)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_clipping_adam_and_the_descent_are_adamw(clip):
    rates, decay = [0.1, 0.3, 0.05, 0.0, 0.2], 0.4
    ours, parameters = adam(clip), tree(0)
    state = ours.init(parameters)
    clipping = optax.identity() if clip is None else optax.clip_by_global_norm(clip)
    matrices = {"matrix": True, "bias": False}
    theirs = optax.chain(
        clipping, optax.adamw(lambda i: jnp.asarray(rates)[i], weight_decay=decay, mask=matrices)
    )
    expected, their_state = tree(0), theirs.init(tree(0))
    for i, rate in enumerate(rates):
        gradient = tree(1 + i)
        updates, state = ours.update(gradient, state, parameters)
        steps = descend(updates, parameters, jnp.asarray(rate), jnp.asarray(decay))
        parameters = optax.apply_updates(parameters, steps)
        updates, their_state = theirs.update(gradient, their_state, expected)
        expected = optax.apply_updates(expected, updates)
    for name, leaf in expected.items():
        np.testing.assert_allclose(parameters[name], leaf, rtol=1e-5)


def test_rows_that_are_switched_on_later_begin_as_if_training_began():
    ours = scale_by_adam()
    gradients = jnp.asarray(np.random.default_rng(0).normal(size=(40, 2, 3)))
    late = gradients.at[:30, 1].set(0.0)
    state = ours.init(gradients[0])
    fresh, fresh_state = {}, ours.init(gradients[0, 1])
    for step, gradient in enumerate(late):
        updates, state = ours.update(gradient, state)
        if step < 30:
            np.testing.assert_array_equal(updates[1], 0.0)
        else:
            fresh, fresh_state = ours.update(gradient[1], fresh_state)
            np.testing.assert_allclose(updates[1], fresh, rtol=1e-6)
    # The other row is optax's Adam, whatever its neighbours do.
    theirs = optax.scale_by_adam()
    their_state = theirs.init(gradients[0, 0])
    for gradient in late:
        expected, their_state = theirs.update(gradient[0], their_state)
    np.testing.assert_allclose(updates[0], expected, rtol=1e-5)


def test_the_rate_rises_then_falls_to_nothing():
    steps = jnp.arange(1000)
    rates = np.asarray([cosine(jnp.asarray(2.0), step, jnp.asarray(1000)) for step in steps[::10]])
    assert rates.argmax() <= 3
    assert rates.max() <= 2.0
    assert (np.diff(rates[5:]) < 0).all()
    assert float(cosine(jnp.asarray(2.0), jnp.asarray(999), jnp.asarray(1000))) < 1e-4
