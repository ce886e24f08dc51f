"""Missing cells of x, drawn from p_θ(x_missing | x_observed, c).

    z_s ~ r(z),  w_s = p_θ(z_s | c) p_θ(x_observed | z_s, c) / r(z_s),
    z ~ Σ_s w_s δ(z_s) / Σ_s w_s,  x_missing ~ p_θ(x_missing | z, c)

with r the same defensive mixture as in scoring (sampling importance resampling). As the number of proposals
grows the draws become exact; a posterior taken by itself would leave its own error in them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from condvae.distributions import InTurn
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.rows import map_rows, num_rows
from condvae.scoring.members import draw_by_members
from condvae.scoring.proposals import strata


def impute(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    num_proposals: int = 512,
    progress: bool = False,
) -> PyTree:
    """x with its missing cells drawn given the observed ones; observed cells stay as they are.

    Of a mixture, each draw is from member k with probability p_k(x_observed | c) / Σ_j p_j(x_observed | c).

    Args:
        model: a `CVAE`, or a `Mixture`, whose likelihood factorises over cells given z or has a
            `conditional`; or one that decodes cells one after another (`InTurn`): a proposal is then z and
            the missing cells.
        x: n rows of `Observed` parts.
        c: their conditions, or None.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        num_samples: draws for each row.
        num_proposals: draws of z that each is chosen from.
        progress: whether to show a progress bar.

    Returns:
        The values of x (no masks), shape (n, num_samples, ...).

    Raises:
        ValueError: if rows do not match, there is no draw, or there are too few proposals.
        TypeError: if the likelihood neither factorises nor has a `conditional`.

    Source:
        Rubin 1987 (sampling importance resampling); Mattei and Frellsen 2019 (in VAEs).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import Observed
        >>> from condvae.architectures import mlp_cvae
        >>> from condvae.scoring import impute
        >>> x = Observed(jnp.ones((5, 3)), jnp.zeros((5, 3), bool).at[:, 0].set(True))
        >>> model = mlp_cvae(x, latent_size=2, width=8, depth=1, key=jax.random.key(0))
        >>> drawn = impute(model, x, key=jax.random.key(1), num_samples=4)
        >>> drawn.shape, bool((drawn[:, :, 0] == 1).all())
        ((5, 4, 3), True)
    """
    num_rows(x=x, c=c)
    for name, number, least in (("num_samples", num_samples, 1), ("num_proposals", num_proposals, 4)):
        if number < least:
            raise ValueError(f"{name} is {number}, expected at least {least}")
    if isinstance(model, Mixture):
        options = {"num_samples": num_samples, "num_proposals": num_proposals}
        return draw_by_members(
            lambda member, own: impute(member, x, c, key=own, progress=progress, **options),
            model,
            x,
            c,
            key=key,
            **options,
        )
    return map_rows(
        _impute_row,
        model,
        (x, c),
        key,
        draws=max(num_samples, num_proposals),
        progress=progress,
        label="imputing",
        num_samples=num_samples,
        num_proposals=num_proposals,
    )


def _impute_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int, num_proposals: int
) -> PyTree:
    x, c = row
    prior = model.p_z(c)
    posterior = model.q_z(x, c, prior)
    propose_key, choose_key, draw_key = jax.random.split(key, 3)
    support = prior.enumerate_support()
    if support is None:
        source = strata(posterior, prior, num_proposals)
        z = source.draw(propose_key)
        log_r = jax.vmap(source.log_prob)(z)
    else:
        z, log_r = support, 0.0
    in_turn = isinstance(model.p_x(jax.tree.map(lambda leaf: leaf[0], z), c), InTurn)
    if in_turn and support is not None:  # each value with draws of the missing cells
        times = -(-num_proposals // len(jax.tree.leaves(z)[0]))
        z = jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), z)

    def weigh(z: PyTree, key: PRNGKeyArray) -> tuple[jax.Array, PyTree]:
        """log w of a proposal; where cells depend on each other given z, with the missing cells drawn."""
        likelihood = model.p_x(z, c)
        if not isinstance(likelihood, InTurn):
            return prior.log_prob(z) + likelihood.log_prob(x), None
        row, filled = likelihood.unrolled(key, x)
        return prior.log_prob(z) + row.log_prob(x), filled

    proposals = len(jax.tree.leaves(z)[0])
    log_w, filled = jax.vmap(weigh)(z, jax.random.split(draw_key, proposals))
    log_w = log_w - log_r
    log_w = jnp.where(jnp.isfinite(log_w), log_w, -1e30)
    chosen = jax.random.categorical(choose_key, log_w, shape=(num_samples,))
    if in_turn:
        return jax.tree.map(lambda leaf: leaf[chosen], filled)

    def draw(place: jax.Array, key: PRNGKeyArray) -> PyTree:
        own = jax.tree.map(lambda leaf: leaf[place], z)
        return model.p_x(own, c).conditional(*_apart(x)).sample(key)

    return jax.vmap(draw)(chosen, jax.random.split(draw_key, num_samples))


def _apart(x: PyTree) -> tuple[PyTree, PyTree]:
    """The values of x, and which of its cells are observed."""

    def part(cell: PyTree, observed: bool) -> PyTree:
        if isinstance(cell, Observed):
            return cell.mask if observed else cell.value
        return jnp.ones(jnp.shape(cell), bool) if observed else cell

    parts = [
        jax.tree.map(
            lambda cell, observed=observed: part(cell, observed),
            x,
            is_leaf=lambda node: isinstance(node, Observed),
        )
        for observed in (False, True)
    ]
    return parts[0], parts[1]
