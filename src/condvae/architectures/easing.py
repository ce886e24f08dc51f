"""Scales that are shared at first."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from condvae.heads import FamilyHead, LocationScale, UniversalHead
from condvae.model import CVAE

EASED = (0.2, 0.4)
"""The parts of training between which scales come to depend on the inputs."""


def ease_scales(model: CVAE, progress: Array) -> CVAE:
    """The model with a shared scale at first: for `fit(..., anneal=ease_scales)`.

    For the first fifth of training the scales of Gaussian and Student-t targets are the same for all
    inputs, then over the next fifth they come to depend on (z, c). A scale that may depend on the input
    from the start grows wherever the mean is still wrong, which takes away the gradient that would mend
    the mean: it is left under-fitted.

    Args:
        model: a `CVAE` whose likelihood has such heads; other parts stay as they are.
        progress: how much of training is done, 0 to 1.

    Source:
        Seitzer et al. 2022 (on the pitfalls of heteroscedastic likelihoods); the remedy here is simpler.
    """
    start, end = EASED
    ramp = jnp.clip((progress - start) / (end - start), 0.0, 1.0)

    def ease(node: Any) -> Any:
        return node.eased(ramp) if is_head(node) else node

    def is_head(node: Any) -> bool:
        return isinstance(node, LocationScale | FamilyHead | UniversalHead)

    return eqx.tree_at(
        lambda model: model.likelihood, model, jax.tree.map(ease, model.likelihood, is_leaf=is_head)
    )
