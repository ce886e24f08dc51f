"""Priors and posteriors of perceptrons, by name."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from condvae.conditionals import (
    Conditional,
    Hierarchy,
    LadderPosterior,
    PriorCorrection,
    StandardNormal,
    VampPrior,
)
from condvae.heads import FlowHead, FlowKind, FullGaussianHead, GaussianHead, GaussianMixtureHead, Head
from condvae.networks import MLP, ByPart, Encoder, Features
from condvae.vectorise import num_rows

Prior = Literal["learned", "fixed", "mixture", "flow", "vamp"]
"""What p_θ(z | c) is."""

Posterior = Literal["network", "correction", "full", "flow", "ladder"]
"""What q_φ(z | x, c) is."""

Network = Callable[[int, PRNGKeyArray], Any]
"""From the size of its input to a network."""

GAUSSIAN = ("learned", "fixed")
"""Priors that are diagonal Gaussians."""


def latent_row(size: int, posterior: str, num_layers: int) -> PyTree:
    """One z, for its shapes."""
    layer = jnp.zeros(size)
    return (layer,) * num_layers if posterior == "ladder" and size else layer


def latent_pair(
    prior: str,
    posterior: str,
    rows: PyTree,
    x: PyTree,
    c: PyTree,
    *,
    size: int,
    network: Network,
    encoders: tuple[Encoder, Encoder],
    flow: FlowKind,
    num_components: int,
    num_layers: int,
    keys: Iterator[PRNGKeyArray],
) -> tuple[Callable, Callable]:
    """The two modules of these names, for x and c like those of one row, encoded each by its encoder.

    Raises:
        ValueError: for a name that there is not, or a pair that cannot be.
    """
    _check(prior, posterior, flow, num_layers)
    if posterior == "ladder":
        return _ladder(
            x, c, size=size, network=network, encoders=encoders, num_layers=num_layers, keys=keys
        )

    def part(features: Encoder, head: Callable[..., Head], *inputs: PyTree) -> Conditional:
        body = network(features.size(inputs), next(keys))
        return Conditional(features, body, head(body.out_size, key=next(keys)))

    def gaussian(in_size: int, *, key: PRNGKeyArray) -> Head:
        return GaussianHead(in_size, (size,), key=key)

    def full(in_size: int, *, key: PRNGKeyArray) -> Head:
        return FullGaussianHead(in_size, size, key=key)

    def flowing(in_size: int, *, key: PRNGKeyArray) -> Head:
        return FlowHead(in_size, size, flow, key=key)

    def mixture(in_size: int, *, key: PRNGKeyArray) -> Head:
        return GaussianMixtureHead(in_size, size, components=num_components, key=key)

    given_c, given_both = ByPart(encoders[1:]), ByPart(encoders)
    if prior in ("mixture", "flow"):
        head = mixture if prior == "mixture" else flowing
        prior_module: Callable = part(given_c, head, c) if c is not None else _constant(head, next(keys))
    elif prior == "vamp":
        prior_module = _vamp(rows, num_components)
    else:
        learned = prior == "learned" and c is not None
        prior_module = part(given_c, gaussian, c) if learned else StandardNormal((size,))
    if posterior == "correction":
        body = network(given_both.size((x, c)), next(keys))
        linear = eqx.nn.Linear(body.out_size, 2 * size, key=next(keys))
        return prior_module, PriorCorrection(given_both, body, linear)
    head = {"network": gaussian, "full": full, "flow": flowing}[posterior]
    return prior_module, part(given_both, head, x, c)


def _check(prior: str, posterior: str, flow: str, num_layers: int) -> None:
    for name, chosen, expected in (
        ("prior", prior, get_args(Prior)),
        ("posterior", posterior, get_args(Posterior)),
        ("flow", flow, get_args(FlowKind)),
    ):
        if chosen not in expected:
            raise ValueError(f"{name} is {chosen!r}, expected one of {', '.join(expected)}")
    if posterior == "correction" and prior not in GAUSSIAN:
        raise ValueError(
            f"posterior='correction' corrects a diagonal Gaussian, and prior={prior!r} is none: use "
            "prior='learned' or 'fixed', or another posterior"
        )
    if posterior == "ladder" and prior != "learned":
        raise ValueError(
            f"posterior='ladder' corrects a learned hierarchy, and prior={prior!r} is none: use "
            "prior='learned', or another posterior"
        )
    if posterior == "ladder" and num_layers < 1:
        raise ValueError(f"num_layers is {num_layers}, expected at least 1")


def _constant(head: Callable[..., Head], key: PRNGKeyArray) -> Conditional:
    """A distribution of learned numbers, the same for all inputs: there is nothing to make features of."""
    return Conditional(Features(), MLP(0, width=1, depth=0, key=key), head(0, key=key))


def _vamp(rows: PyTree, num_components: int) -> VampPrior:
    if num_components < 1:
        raise ValueError(f"num_components is {num_components}, expected at least 1")
    if (n := num_rows(x=rows)) < num_components:
        raise ValueError(
            f"prior='vamp' begins as rows of x, and x has {n}: give at least num_components, "
            f"{num_components}, or ask for fewer"
        )
    return VampPrior(jax.tree.map(lambda leaf: leaf[:num_components], rows))


def _ladder(
    x: PyTree,
    c: PyTree,
    *,
    size: int,
    network: Network,
    encoders: tuple[Encoder, Encoder],
    num_layers: int,
    keys: Iterator[PRNGKeyArray],
) -> tuple[Hierarchy, LadderPosterior]:
    """A hierarchy whose top is Normal(0, 1) without c, and the ladder that corrects it."""
    prior_keys, posterior_keys = (iter(jax.random.split(next(keys), 3 * num_layers)) for _ in range(2))
    given_both = ByPart(encoders)

    def layer(*inputs: PyTree) -> Conditional:
        given = ByPart([*(Features() for _ in inputs[1:]), encoders[1]])
        body = network(given.size(inputs), next(prior_keys))
        return Conditional(given, body, GaussianHead(body.out_size, (size,), key=next(prior_keys)))

    above = [(jnp.zeros(size),) * place for place in range(num_layers)]
    top = StandardNormal((size,)) if c is None else layer(c)
    prior = Hierarchy([top, *(layer(above[place], c) for place in range(1, num_layers))])
    # From the bottom up: the lowest encoder sees the row.
    bodies = [network(given_both.size((x, c)), next(posterior_keys))]
    for _ in range(1, num_layers):
        bodies.insert(0, network(bodies[0].out_size, next(posterior_keys)))
    joins = [
        network(bodies[place].out_size + place * size, next(posterior_keys))
        for place in range(1, num_layers)
    ]
    widths = [bodies[0].out_size, *(join.out_size for join in joins)]
    linears = [eqx.nn.Linear(width, 2 * size, key=next(posterior_keys)) for width in widths]
    return prior, LadderPosterior(given_both, tuple(bodies), tuple(joins), tuple(linears))
