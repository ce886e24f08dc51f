"""The latents of rows, and rows again from these, under their own conditions or others: counterfactuals."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.sampling import decode, map_draws
from condvae.scoring.imputation import TRUSTED
from condvae.scoring.members import draw_by_members
from condvae.scoring.refinement import effective, weighted_row
from condvae.vectorise import map_rows

NUM_PROPOSALS = 512
"""Draws of z that tell which member of a mixture a row is of, and that refined latents are chosen from."""


class PosteriorMean(NamedTuple):
    """E p_θ(z | x, c) of rows.

    Attributes:
        value: (n, ...), of the latent's shape.
        ess: the effective number of draws behind it, shape (n,); infinite where it is a sum over all z.
    """

    value: PyTree
    ess: Float[np.ndarray, " n"]

    @property
    def trusted(self) -> Bool[np.ndarray, " n"]:
        """Whether a row's mean is of at least 20 effective draws, shape (n,)."""
        return self.ess >= TRUSTED


def posterior_mean(
    model: CVAE, x: PyTree, c: PyTree = None, *, key: PRNGKeyArray, num_proposals: int = NUM_PROPOSALS
) -> PosteriorMean:
    """The mean of p_θ(z | x, c), whatever q is: by importance sampling about refined moments.

    Args:
        model: a `CVAE`; of a mixture, one member.
        x: n rows on the leading axis.
        c: their conditions, or None.
        key: a PRNG key.
        num_proposals: draws of z for each row.

    Source:
        `condvae.scoring.refinement`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> from condvae.scoring import posterior_mean
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> x, c = jnp.ones((5, 3)), jnp.zeros((5, 1))
        >>> estimate = posterior_mean(model, x, c, key=jax.random.key(1))
        >>> estimate.value.shape, bool(estimate.trusted.all())
        ((5, 2), True)
    """
    mean, ess = map_rows(
        _mean_row, model, (x, c), key, draws=num_proposals, label="encoding", num_proposals=num_proposals
    )
    return PosteriorMean(mean, ess)


def _mean_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_proposals: int) -> tuple[PyTree, Array]:
    x, c = row
    z, log_w = weighted_row(model, x, c, key, num_proposals)
    weight = jax.nn.softmax(log_w)
    mean = jax.tree.map(lambda leaf: jnp.tensordot(weight, leaf, 1), z)
    ess = effective(log_w)
    return mean, ess if model.p_z(c).enumerate_support() is None else jnp.full_like(ess, jnp.inf)


def reconstruct(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    new_c: PyTree = None,
    refine: bool = False,
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
        refine: whether z is drawn from p_θ(z | x, c) itself, as far as 512 weighted draws about its moments
            tell, instead of from q: slower, and right where q is not.

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
            lambda member, member_key: reconstruct(
                member,
                x,
                c,
                key=member_key,
                num_samples=num_samples,
                new_c=new_c,
                refine=refine,
                progress=progress,
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
        draws=max(num_samples, NUM_PROPOSALS) if refine else num_samples,
        num_samples=num_samples,
        refine=refine,
    )


def _reconstruct_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int, refine: bool) -> PyTree:
    x, c, new_c = row
    if refine:
        weigh_key, choose_key, key = jax.random.split(key, 3)
        z, log_w = weighted_row(model, x, c, weigh_key, NUM_PROPOSALS)
        chosen = jax.random.categorical(choose_key, log_w, shape=(num_samples,))

        def draw(place: Array, key: PRNGKeyArray) -> PyTree:
            return model.p_x(jax.tree.map(lambda leaf: leaf[place], z), new_c).sample(key)

        return jax.vmap(draw)(chosen, jax.random.split(key, num_samples))
    posterior = model.q_z(x, c)
    return map_draws(lambda key: decode(model, posterior, new_c, key), key, num_samples)
