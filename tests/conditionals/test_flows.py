"""A flow conditioned on what a network encodes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.distributions import Normal as FlowNormal
from flowjax.flows import coupling_flow

from condvae.conditionals import FlowConditional
from condvae.networks import MLP, Features

KEY = jax.random.key(0)


def test_a_flows_encoder_learns():
    flow = coupling_flow(KEY, base_dist=FlowNormal(jnp.zeros(2)), cond_dim=4, flow_layers=1, nn_width=8)
    module = FlowConditional(Features(), MLP(3, width=4, depth=1, key=KEY), flow)

    def score(module):
        return module(jnp.ones(2), jnp.ones(1)).log_prob(jnp.array([0.3, 0.2]))

    gradient = eqx.filter_jit(eqx.filter_grad(score))(module)
    assert jnp.abs(gradient.network.layers[0].weight).max() > 0
