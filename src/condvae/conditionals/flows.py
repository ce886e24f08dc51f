"""Normalising flows, conditioned on what a network makes of the inputs."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, PyTree

from condvae.distributions import Distribution, Flow
from condvae.networks import Encoder


class FlowConditional(eqx.Module):
    """A conditional flow: the network's output is what the flow is conditioned on.

    Args:
        features: encodes the inputs.
        network: a vector to a vector, of the flow's condition size.
        flow: a flowjax distribution with `cond_shape` (network output,); a coupling flow is fast both
            ways.
    """

    features: Encoder
    network: Callable[[Array], Array]
    flow: Any

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        return Flow(self.flow, self.network(self.features(inputs)))
