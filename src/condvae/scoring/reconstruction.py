"""Rows again from their latents, under their own conditions or under others: counterfactuals."""

from jaxtyping import PRNGKeyArray, PyTree

from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.rows import map_rows
from condvae.sampling import decode, map_draws
from condvae.scoring.members import draw_by_members

NUM_PROPOSALS = 512
"""Draws of z by which it is told which member of a mixture a row is of."""


def reconstruct(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    new_c: PyTree = None,
    progress: bool = False,
) -> PyTree:
    """Draws of x' ~ p_θ(x' | z, c) with z ~ q_φ(z | x, c): what the latent keeps of x.

    A mixture's members each encode and decode by themselves; a draw is from member k with probability
    p(k | x, c), as the row tells.

    Args:
        model: a `CVAE`, or a `Mixture`.
        x: n rows on the leading axis.
        c: their conditions, or None.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        num_samples: draws for each row.
        progress: whether to show a progress bar.
        new_c: decode under these conditions instead of c, the counterfactual: z ~ q_φ(z | x, c), then
            x' ~ p_θ(x' | z, new_c).

    Returns:
        x', of shape (n, num_samples, ...).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import reconstruct
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> x, c = jnp.zeros((5, 3)), jnp.zeros((5, 1))
        >>> reconstruct(model, x, c, key=jax.random.key(1), num_samples=4, new_c=c + 1).shape
        (5, 4, 3)
    """
    if isinstance(model, Mixture):
        return draw_by_members(
            lambda member, own: reconstruct(
                member, x, c, key=own, num_samples=num_samples, new_c=new_c, progress=progress
            ),
            model,
            x,
            c,
            key=key,
            num_samples=num_samples,
            num_proposals=NUM_PROPOSALS,
        )
    return map_rows(
        _reconstruct_row,
        model,
        (x, c, c if new_c is None else new_c),
        key,
        progress=progress,
        draws=num_samples,
        num_samples=num_samples,
    )


def _reconstruct_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int) -> PyTree:
    x, c, new_c = row
    posterior = model.q_z(x, c)
    return map_draws(lambda key: decode(model, posterior, new_c, key), key, num_samples)
