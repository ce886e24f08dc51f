"""What training begins with: shared scales, and a linear decoder in turn."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from condvae.conditionals import ConditionalInTurn
from condvae.heads import FamilyHead, LocationScale, UniversalHead
from condvae.model import CVAE
from condvae.networks import CellwiseLinear

EASED = 0.02
"""The part of training after which scales depend on the inputs.

All at once: weights that are multiplied by a small number have small gradients, which Adam makes up for,
and so they outgrow the data before that number is 1.
"""

LINEAR = 0.1
"""The part of training in which some decoders in turn are linear in their inputs."""


def ease_scales(model: CVAE, progress: Array) -> CVAE:
    """The model with shared scales at first: for `fit(..., anneal=ease_scales)`.

    For the first 2% of training the scales of targets are the same for all inputs; then they depend on
    (z, c). A scale that may depend on the input from the start grows wherever the mean is still wrong,
    which takes away the gradient that would mend the mean: it is left under-fitted. The shape of a column
    waits as long, as it would account for modes that the latent is to tell apart; where targets are decoded
    in turn, it is learned from the start.

    Where targets are decoded in turn, `ConditionalInTurn.linear_first` tells whether they are linear in
    their inputs for the first 10% (see `condvae.networks.CellwiseLinear`), and their scales depend on the
    inputs from 2% later on: networks then correct a regression that has been learned. Where rows are few,
    that is often the best that there is, and early stopping keeps it; where the truth is far from linear,
    networks that learn from the start are better. A mixture has members of both kinds.

    Args:
        model: a `CVAE` whose likelihood has such heads; other parts stay as they are.
        progress: how much of training is done, 0 to 1.

    Source:
        Seitzer et al. 2022 (on the pitfalls of heteroscedastic likelihoods); the remedy here is simpler.
    """
    decoder = model.likelihood
    in_turn = isinstance(decoder, ConditionalInTurn)
    start = LINEAR * decoder.linear_first if in_turn else 0.0
    shared, linear, late = (
        jnp.where(progress < until, 0.0, 1.0) for until in (EASED, start, start + EASED)
    )

    def ease(node: Any) -> Any:
        if in_turn and isinstance(node, UniversalHead):
            return node.eased(shared, jnp.ones_like(shared))
        return node.eased(shared) if _is_head(node) else node

    def open_(node: Any) -> Any:
        return node.opened(linear, late) if _has_path(node) else node

    eased = jax.tree.map(ease, model.likelihood, is_leaf=_is_head)
    eased = jax.tree.map(open_, eased, is_leaf=_has_path)
    return eqx.tree_at(lambda model: model.likelihood, model, eased)


def _is_head(node: Any) -> bool:
    return isinstance(node, LocationScale | FamilyHead | UniversalHead)


def _has_path(node: Any) -> bool:
    return isinstance(node, CellwiseLinear) and node.direct is not None
