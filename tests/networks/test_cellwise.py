"""A network for each cell."""

import jax
import jax.numpy as jnp
import numpy as np

from condvae.networks import CellwiseLinear, CellwiseMLP, affine


def test_rows_of_a_cell_see_the_features_of_that_cell_alone():
    key = jax.random.key(0)
    weight, bias = jax.random.normal(key, (6, 4)), jnp.arange(6.0)
    cells = (2, 0, 2, 2, 0, 3)  # in any order, none of cell 1
    linear = CellwiseLinear(weight, bias, cells, 4)
    features = jax.random.normal(jax.random.key(1), (4, 4))
    right = [weight[row] @ features[cell] + bias[row] for row, cell in enumerate(cells)]
    np.testing.assert_allclose(linear(features.reshape(-1)), right, rtol=1e-6)
    np.testing.assert_array_equal(affine(linear, features.reshape(-1)), linear(features.reshape(-1)))
    assert linear.out_features == 6


def test_outputs_that_lead_are_linear_in_direct_inputs():
    key = jax.random.key(0)
    weight, direct = jax.random.normal(key, (4, 3)), jnp.array([[2.0, -1.0], [0.5, 0.0]])
    linear = CellwiseLinear(weight, jnp.zeros(4), (0, 0, 1, 1), 2, leads=(0, 3), direct=direct)
    features = jax.random.normal(jax.random.key(1), (2, 5))
    right = [weight[row] @ features[cell, :3] for row, cell in enumerate((0, 0, 1, 1))]
    right[0] += direct[0] @ features[0, 3:]
    right[3] += direct[1] @ features[1, 3:]
    np.testing.assert_allclose(linear(features.reshape(-1)), right, rtol=1e-6)
    # Before the networks are opened there are the linear paths alone.
    none, whole = jnp.zeros(()), jnp.ones(())
    closed = linear.opened(none, none)(features.reshape(-1))
    np.testing.assert_allclose(closed, [direct[0] @ features[0, 3:], 0, 0, direct[1] @ features[1, 3:]])
    outputs = linear(features.reshape(-1))
    np.testing.assert_allclose(
        linear.opened(whole, none)(features.reshape(-1)), outputs * jnp.array([1, 0, 0, 1]), rtol=1e-6
    )
    np.testing.assert_array_equal(linear.opened(whole, whole)(features.reshape(-1)), outputs)


def test_the_first_inputs_are_handed_on():
    plain, both = (
        CellwiseMLP(3, 2, 5, width=8, depth=2, direct=direct, key=jax.random.key(0))
        for direct in ((0, 0), (1, 2))
    )
    shared, inputs = jnp.array([0.3, -1.0]), jax.random.normal(jax.random.key(1), (3, 5))
    features = both(both.of_shared(shared), inputs)
    assert features.shape == (3, both.out_size) == (3, 11)
    np.testing.assert_array_equal(features[:, :8], plain(plain.of_shared(shared), inputs))
    np.testing.assert_allclose(features[:, 8], 0.3)
    np.testing.assert_array_equal(features[:, 9:], inputs[:, :2])
    alone = both.only(jnp.array(1), both.of_shared(shared), inputs[1])
    np.testing.assert_allclose(alone, features[1], rtol=1e-6)


def test_a_network_sees_what_is_shared_and_its_own():
    networks = CellwiseMLP(3, 2, 5, width=8, depth=2, activation="tanh", key=jax.random.key(0))
    shared, inputs = jnp.array([0.3, -1.0]), jax.random.normal(jax.random.key(1), (3, 5))
    features = networks(networks.of_shared(shared), inputs)
    for cell in range(3):
        rows = slice(8 * cell, 8 * cell + 8)
        first = (
            networks.shared.weight[rows] @ shared
            + networks.shared.bias[rows]
            + inputs[cell] @ networks.own[cell]
        )
        right = jnp.tanh(jnp.tanh(first) @ networks.weights[0][cell] + networks.biases[0][rows])
        np.testing.assert_allclose(features[cell], right, rtol=1e-5)
        alone = networks.only(jnp.array(cell), networks.of_shared(shared), inputs[cell])
        np.testing.assert_allclose(alone, right, rtol=1e-5)


def test_weights_begin_as_those_of_one_layer_of_all_inputs():
    networks = CellwiseMLP(3, 30, 70, width=64, depth=1, key=jax.random.key(0))
    for weight in (networks.shared.weight, networks.own):
        assert float(jnp.abs(weight).max()) <= 0.1 + 1e-6
        assert abs(float(weight.std()) - 0.1 / 3**0.5) < 0.003
