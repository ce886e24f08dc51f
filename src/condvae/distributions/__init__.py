"""The one small protocol that everything else speaks: a distribution over one value.

*One* value: code here is written for a single example, and is vectorised once, at the edge, by
`jax.vmap` over the function that uses it. A distribution is built and used inside that function and
never returned from it: a distribution that leaves `vmap` has forgotten its batch, and would give every
row the same noise.

What the protocol asks is what the objectives need: draw, score, and say whether the draw carries
gradients. What a distribution may offer besides is asked for by name and is absent by default: exact
enumeration, the marginal over observed cells, a Kullback-Leibler divergence, a mean.

- `Numpyro` adapts any of numpyro's distributions.
- `Flow` holds a flow with the context that it is conditioned on.
- `Chain` is a hierarchy, z = (z_1, ..., z_L), each layer given those before it.
- `MixtureOf` is a mixture over the whole value.
- `RelaxedCategorical` is categories made continuous, so that draws of them carry gradients.
- `Product` is independent blocks, a dictionary of them: a row of mixed kinds.
- `Cells` is one vector of independent cells of several families.

Families over one cell that numpyro lacks, or has without the precision, are in `counts`, `intervals`,
`pixels`, `positive` and `units`; they are numpyro's kind of distribution, and come through its adapter.
"""

from condvae.distributions.adapters import Flow, Numpyro, as_distribution
from condvae.distributions.compositions import Cells, Chain, Product
from condvae.distributions.in_turn import InTurn
from condvae.distributions.mixtures import Gaussians, MixtureOf
from condvae.distributions.protocol import MAX_SUPPORT, Distribution, Scalar
from condvae.distributions.relaxed import RelaxedCategorical, relaxed_one_hot

__all__ = [
    "MAX_SUPPORT",
    "Cells",
    "Chain",
    "Distribution",
    "Flow",
    "Gaussians",
    "InTurn",
    "MixtureOf",
    "Numpyro",
    "Product",
    "RelaxedCategorical",
    "Scalar",
    "as_distribution",
    "relaxed_one_hot",
]
