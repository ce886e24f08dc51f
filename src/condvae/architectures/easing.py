"""Scales that are shared at first."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from condvae.heads import FamilyHead, LocationScale, UniversalHead
from condvae.model import CVAE

EASED = 0.02
"""The part of training after which scales depend on the inputs.

All at once: weights that are multiplied by a small number have small gradients, which Adam makes up for,
and so they outgrow the data before that number is 1.
"""


def ease_scales(model: CVAE, progress: Array) -> CVAE:
    """The model with shared scales at first: for `fit(..., anneal=ease_scales)`.

    For the first 2% of training the scales of targets are the same for all inputs; then they depend on
    (z, c). A scale that may depend on the input from the start grows wherever the mean is still wrong,
    which takes away the gradient that would mend the mean: it is left under-fitted.

    Args:
        model: a `CVAE` whose likelihood has such heads; other parts stay as they are.
        progress: how much of training is done, 0 to 1.

    Source:
        Seitzer et al. 2022 (on the pitfalls of heteroscedastic likelihoods); the remedy here is simpler.
    """
    ramp = jnp.where(progress < EASED, 0.0, 1.0)

    def ease(node: Any) -> Any:
        return node.eased(ramp) if is_head(node) else node

    def is_head(node: Any) -> bool:
        return isinstance(node, LocationScale | FamilyHead | UniversalHead)

    return eqx.tree_at(
        lambda model: model.likelihood, model, jax.tree.map(ease, model.likelihood, is_leaf=is_head)
    )
