"""A distribution of every kind that the protocol has."""

import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from flowjax.distributions import Normal as FlowNormal
from flowjax.flows import coupling_flow

from condvae.distributions import Chain, Flow, Numpyro, Product

KEY = jax.random.key(0)


def flow():
    return coupling_flow(KEY, base_dist=FlowNormal(jnp.zeros(2)), cond_dim=3, flow_layers=2, nn_width=8)


def chain():
    return Chain(npd.Normal(jnp.zeros(2), 1.0), (lambda above: npd.Normal(2.0 * above[0][:1], 0.5),))


INSTANCES = {
    "normal": lambda: Numpyro(npd.Normal(jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0]))),
    "student_t": lambda: Numpyro(npd.StudentT(4.0, jnp.zeros(3), 1.0)),
    "full": lambda: Numpyro(npd.MultivariateNormal(jnp.zeros(2), jnp.array([[2.0, 0.5], [0.5, 1.0]]))),
    "categorical": lambda: Numpyro(npd.Categorical(logits=jnp.array([[0.0, 1.0], [2.0, 0.0]]))),
    "flow": lambda: Flow(flow(), jnp.ones(3)),
    "chain": chain,
    "product": lambda: Product({"a": INSTANCES["normal"](), "b": INSTANCES["categorical"]()}),
}
