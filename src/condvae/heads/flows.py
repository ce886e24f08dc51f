"""Normalising flows of the features."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Flow
from condvae.heads.scales import LocationScale
from condvae.networks import affine

FlowKind = Literal["coupling", "spline"]

KNOTS, INTERVAL = 8, 4.0
"""Of a spline: inner knots, and how far from the middle it bends; beyond it is the identity."""


class FlowHead(eqx.Module):
    """A conditional flow: value = μ(h) + σ(h) f(ε; h), ε ~ Normal(0, 1), f layers of couplings.

    Each layer transforms half of the cells, by numbers that a small network makes of the other half and
    of a context, tanh(V h + v); the other half's turn is the next layer. So draws and densities are both
    exact, and cost the same. Where f is the identity it is `GaussianHead`.

    Args:
        in_size: the length of the feature vector; at 0 the flow is the same for all inputs.
        size: the length of a value. Of one cell, "coupling" is a Gaussian: take "spline".
        kind: "coupling", each cell moved and scaled; or "spline", each through a rational quadratic spline
            of 8 knots between −4 and 4.
        layers: how many.
        width: of the networks, and of the context.
        key: for the initial weights.

    Raises:
        ValueError: for a kind that there is not, or no cell or layer.

    Source: Dinh, Sohl-Dickstein and Bengio 2017 (couplings); Durkan et al. 2019 (splines). The layers are
    flowjax's.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import FlowHead
        >>> head = FlowHead(8, 3, "spline", layers=2, width=16, key=jax.random.key(0))
        >>> head(jnp.ones(8)).sample(jax.random.key(1)).shape
        (3,)
    """

    parameters: LocationScale
    context: eqx.nn.Linear
    weights: tuple[Array, ...]
    size: int = eqx.field(static=True)
    kind: FlowKind = eqx.field(static=True)
    layers: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        size: int,
        kind: FlowKind = "coupling",
        *,
        layers: int = 4,
        width: int = 32,
        key: PRNGKeyArray,
    ):
        if kind not in ("coupling", "spline"):
            raise ValueError(f"kind is {kind!r}, expected coupling or spline")
        for name, number in (("size", size), ("layers", layers), ("width", width)):
            if number < 1:
                raise ValueError(f"{name} is {number}, expected at least 1")
        own_key, context_key, flow_key = jax.random.split(key, 3)
        self.parameters = LocationScale(in_size, (size,), "input", own_key)
        self.context = eqx.nn.Linear(in_size, width, key=context_key)
        self.size, self.kind, self.layers, self.width = size, kind, layers, width
        arrays = jax.tree.leaves(eqx.filter(_bijection(size, kind, layers, width, flow_key), eqx.is_array))
        self.weights = tuple(arrays)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        from flowjax.bijections import Affine, Chain
        from flowjax.distributions import StandardNormal, Transformed
        from paramax import Parameterize

        loc, scale = self.parameters(features)
        treedef, rest = _structure(self.size, self.kind, self.layers, self.width, _double())
        bijection = eqx.combine(jax.tree.unflatten(treedef, self.weights), rest)
        # By its logarithm: flowjax's own way checks at run time that the scale is positive.
        place = eqx.tree_at(lambda a: a.scale, Affine(loc), Parameterize(jnp.exp, jnp.log(scale)))
        context = jnp.tanh(affine(self.context, features))
        return Flow(Transformed(StandardNormal((self.size,)), Chain([bijection, place])), context)


def _bijection(size: int, kind: FlowKind, layers: int, width: int, key: PRNGKeyArray) -> Any:
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import StandardNormal
    from flowjax.flows import coupling_flow

    spline = RationalQuadraticSpline(knots=KNOTS, interval=INTERVAL) if kind == "spline" else None
    return coupling_flow(
        key,
        base_dist=StandardNormal((size,)),
        transformer=spline,
        cond_dim=width,
        flow_layers=layers,
        nn_width=width,
        nn_activation=jax.nn.silu,
        invert=False,
    ).bijection


def _double() -> bool:
    return bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]


@lru_cache(maxsize=256)
def _structure(size: int, kind: FlowKind, layers: int, width: int, double: bool) -> tuple[Any, Any]:
    """What of a flow is no array: the same object each time, so that nothing is compiled again.

    It depends on the precision: flowjax keeps where a layer starts from as constants of one.
    """

    def build() -> Any:
        with jax.enable_x64(double):
            return _bijection(size, kind, layers, width, jax.random.key(0))

    # In a thread of its own: it may be asked for while JAX traces a program, of which it is no part.
    with ThreadPoolExecutor(1) as thread:
        arrays, rest = eqx.partition(thread.submit(build).result(), eqx.is_array)
    return jax.tree.structure(arrays), rest
