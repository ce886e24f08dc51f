"""Prior against posterior: whether the latents of real rows are those that the prior draws.

    E KL(q_φ(z | x, c) || p_θ(z | c)) = I_q(x; z | c) + KL(q_φ(z | c) || p_θ(z | c))

The first part tells rows apart. The second is where the encoder puts rows and the prior draws none (or the
other way round): what it costs is lost whenever the model is sampled. It has no closed form; a classifier
that is to tell pairs (z, c) of the two kinds apart bounds it from below, and says whether there is any.
"""

from typing import NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.calibration import TwoSample, two_sample
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.vectorise import evenly_spaced, map_rows, num_rows

MAX_ROWS = 4000
"""Rows that the classifiers see, at most."""


class PriorMatch(NamedTuple):
    """How well the prior's draws can be told from those of real rows.

    Attributes:
        latents: pairs (z, c), z from q_φ(z | x, c) of real rows against z from p_θ(z | c).
        samples: pairs (x, c), reconstructions of real rows (x from p_θ(x | z, c), z from q) against samples
            (z from the prior).
    """

    latents: TwoSample
    samples: TwoSample


def prior_match(
    model: CVAE, x: PyTree, c: PyTree = None, *, key: PRNGKeyArray, progress: bool = False
) -> PriorMatch:
    """Whether a classifier tells latents of real rows from the prior's, and reconstructions from samples.

    Both sets are given the same conditions, row by row. `nats` of `latents` is a lower bound of
    KL(q_φ(z | c) || p_θ(z | c)), averaged over c.

    Args:
        model: a `CVAE`; of a mixture, one member.
        x: n rows on the leading axis; at most 4,000 are used, at even distances.
        c: their conditions, or None.
        key: a PRNG key.
        progress: whether to show a progress bar.

    Raises:
        ValueError: for a mixture, with fewer than 50 rows, or if rows do not match.

    Sources: Hoffman and Johnson 2016 (the parts of the rate); Rosca, Lakshminarayanan and Mohamed 2018 (the
    classifier).

    Example:
        >>> import jax
        >>> from condvae.diagnosis import prior_match
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> from condvae.sampling import simulate
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=1)
        >>> _, x = simulate(model, key=jax.random.key(1), rows=400)
        >>> prior_match(model, 5 + x, key=jax.random.key(2)).latents.p_value < 1e-6
        True
    """
    if isinstance(model, Mixture):
        raise ValueError("the latent is of one model: take a member of the mixture, mixture.member(k)")
    n = num_rows(x=x, c=c)
    some = evenly_spaced(n, MAX_ROWS)
    x, c = jax.tree.map(lambda leaf: np.asarray(leaf)[some], (x, c))
    z_q, z_p, x_q, x_p = map_rows(_pair_row, model, (x, c), key, progress=progress, label="latents")
    given = _columns(c, len(some))
    observed = _columns(_masks(x), len(some)) > 0
    return PriorMatch(
        two_sample(np.hstack([z_q, given]), np.hstack([z_p, given])),
        two_sample(
            np.hstack([np.where(observed, x_q, 0.0), given]),
            np.hstack([np.where(observed, x_p, 0.0), given]),
        ),
    )


def _pair_row(model: CVAE, row: PyTree, key: PRNGKeyArray) -> tuple[Array, ...]:
    x, c = row
    z_keys, x_keys = jax.random.split(key, (2, 2))
    prior = model.p_z(c)
    latents = model.q_z(x, c, prior).sample(z_keys[0]), prior.sample(z_keys[1])
    images = [model.p_x(z, c).sample(k) for z, k in zip(latents, x_keys, strict=True)]
    return tuple(ravel_pytree(part)[0] for part in (*latents, *images))


def _masks(x: PyTree) -> PyTree:
    """Ones where x is observed."""
    return jax.tree.map(
        lambda node: (
            np.asarray(node.mask, float) if isinstance(node, Observed) else np.ones(np.shape(node))
        ),
        x,
        is_leaf=lambda node: isinstance(node, Observed),
    )


def _columns(tree: PyTree, n: int) -> np.ndarray:
    """All arrays side by side, [n, cells]."""
    parts = [np.asarray(leaf, np.float64).reshape(n, -1) for leaf in jax.tree.leaves(tree)]
    return np.hstack([np.zeros((n, 0)), *parts])
