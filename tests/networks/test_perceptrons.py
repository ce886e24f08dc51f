import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.networks import ACTIVATIONS, MLP, ResidualMLP

KEY = jax.random.key(0)


@pytest.mark.parametrize("network", [MLP, ResidualMLP])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_map_vectors_to_vectors(network, activation):
    net = network(3, width=5, depth=2, activation=activation, key=KEY)
    out = net(jnp.ones(3))
    assert out.shape == (net.out_size,) == (5,)
    assert jnp.isfinite(out).all()
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(net(x))))(jnp.ones(3))
    numeric = [
        (jnp.sum(net(jnp.ones(3) + 1e-2 * e) - net(jnp.ones(3) - 1e-2 * e)) / 2e-2) for e in jnp.eye(3)
    ]
    np.testing.assert_allclose(gradient, numeric, atol=5e-3)


def test_an_unknown_activation_is_refused_with_the_choice():
    with pytest.raises(ValueError, match="no activation 'swosh': choose one of silu, relu"):
        MLP(3, width=5, depth=1, activation="swosh", key=KEY)  # type: ignore[arg-type]


def test_depth_zero_passes_its_input_on():
    net = MLP(3, width=5, depth=0, key=KEY)
    np.testing.assert_array_equal(net(jnp.arange(3.0)), jnp.arange(3.0))
    assert net.out_size == 3
