"""Missing cells of x, drawn from p_θ(x_missing | x_observed, c).

    z_s ~ r(z),  w_s = p_θ(z_s | c) p_θ(x_observed | z_s, c) / r(z_s),
    z ~ Σ_s w_s δ(z_s) / Σ_s w_s,  x_missing ~ p_θ(x_missing | z, c)

with r the same defensive mixture as in scoring (sampling importance resampling). As the number of proposals
grows the draws become exact; a posterior taken by itself would leave its own error in them. Where few
proposals carry all the weight, as in many dimensions, draws would be copies of these few: there z is led to
the posterior by annealed Hamiltonian chains instead, and chosen among their ends by their weights.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from condvae.distributions import InTurn
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.scoring.annealing import ROWS_AT_ONCE
from condvae.scoring.chains import Options, moves_through_reals, posterior_row
from condvae.scoring.members import draw_by_members
from condvae.scoring.proposals import strata
from condvae.scoring.refinement import effective
from condvae.vectorise import map_rows, num_rows

ENOUGH = 128
"""Effective proposals, below which a row's latents are annealed."""

TRUSTED = 20
"""Effective draws, below which those of a row are not to be relied on."""

MORE = 8
"""How many times the proposals are made where fewer are effective, and cells are decoded in turn."""

TEMPERATURES = 100

CHAINS = (32, 256)
"""Of a row that is annealed, at least and at most: a power of two, at least the draws asked for."""


class Imputed(NamedTuple):
    """Missing cells, drawn.

    Attributes:
        value: the values of x (no masks), shape (n, num_samples, ...).
        ess: of each draw, (Σ w)² / Σ w² of the proposals, or chains, that it was chosen from: shape
            (n, num_samples); infinite where z is discrete and all its values are weighed.
    """

    value: PyTree
    ess: Float[np.ndarray, "n num_samples"]

    @property
    def trusted(self) -> Bool[np.ndarray, " n"]:
        """Whether a row's draws were chosen from at least 20 effective ones, shape (n,)."""
        return self.ess.min(axis=1) >= TRUSTED


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
    """The values that `imputed` draws, without how many effective ones each is chosen from."""
    options = {"num_samples": num_samples, "num_proposals": num_proposals}
    return imputed(model, x, c, key=key, **options, progress=progress).value


def imputed(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    num_proposals: int = 512,
    progress: bool = False,
) -> Imputed:
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
        num_proposals: draws of z that each is chosen from. Where fewer than 128 of them are effective, z of
            real numbers is annealed over 100 temperatures, by a chain for each draw, 32 to 256; where cells
            are decoded in turn and fewer than 20 are effective, there are eight times as many.
        progress: whether to show a progress bar.

    Raises:
        ValueError: if rows do not match, there is no draw, or there are too few proposals.
        TypeError: if the likelihood neither factorises nor has a `conditional`.

    Source:
        Rubin 1987 (sampling importance resampling); Mattei and Frellsen 2019 (in VAEs); Neal 2001
        (annealing).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import Observed
        >>> from condvae.architectures import mlp_cvae
        >>> from condvae.scoring import imputed
        >>> x = Observed(jnp.ones((5, 3)), jnp.zeros((5, 3), bool).at[:, 0].set(True))
        >>> model = mlp_cvae(x, latent_size=2, width=8, depth=1, key=jax.random.key(0))
        >>> drawn = imputed(model, x, key=jax.random.key(1), num_samples=4)
        >>> drawn.value.shape, bool((drawn.value[:, :, 0] == 1).all()), bool(drawn.trusted.all())
        ((5, 4, 3), True, True)
    """
    num_rows(x=x, c=c)
    for name, number, least in (("num_samples", num_samples, 1), ("num_proposals", num_proposals, 4)):
        if number < least:
            raise ValueError(f"{name} is {number}, expected at least {least}")
    if isinstance(model, Mixture):
        options = {"num_samples": num_samples, "num_proposals": num_proposals}
        return draw_by_members(
            lambda member, member_key: imputed(member, x, c, key=member_key, progress=progress, **options),
            model,
            x,
            c,
            key=key,
            **options,
        )
    propose_key, anneal_key = jax.random.split(key)
    value, ess = map_rows(
        _impute_row,
        model,
        (x, c),
        propose_key,
        draws=max(num_samples, num_proposals),
        progress=progress,
        label="imputing",
        num_samples=num_samples,
        num_proposals=num_proposals,
    )
    annealed = _may_anneal(model, x, c)
    few = np.flatnonzero(ess[:, 0] < (min(ENOUGH, num_proposals / 4) if annealed else TRUSTED))
    if len(few):
        rows = jax.tree.map(lambda leaf: np.asarray(leaf)[few], (x, c))
        options = {"seeds": few, "progress": progress, "num_samples": num_samples}
        if annealed:
            options |= {"chunk": ROWS_AT_ONCE, "label": "annealing"}
            better = map_rows(_annealed_row, model, rows, anneal_key, **options)
        else:
            more = MORE * num_proposals
            options |= {"draws": more, "label": "imputing", "num_proposals": more}
            better = map_rows(_impute_row, model, rows, anneal_key, **options)

        def put(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
            whole = np.array(whole)
            whole[few] = part
            return whole

        value, ess = jax.tree.map(put, (value, ess), better)
    return Imputed(value, ess)


def _may_anneal(model: CVAE, x: PyTree, c: PyTree) -> bool:
    """Whether latents are of real numbers, and cells are not decoded one after another."""
    if not num_rows(x=x, c=c) or not moves_through_reals(model, c):
        return False
    row_c = jax.tree.map(lambda leaf: np.asarray(leaf)[0], c)
    z = model.p_z(row_c).sample(jax.random.key(0))
    return bool(ravel_pytree(z)[0].size) and not isinstance(model.p_x(z, row_c), InTurn)


def _annealed_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int
) -> tuple[PyTree, Float[Array, " num_samples"]]:
    x, c = row
    chain_key, choose_key, draw_key = jax.random.split(key, 3)
    chains = min(max(CHAINS[0], 1 << (num_samples - 1).bit_length()), CHAINS[1])
    z, log_w = posterior_row(model, x, c, chain_key, Options(TEMPERATURES, chains, "posterior"))
    return _chosen(model, row, z, log_w, choose_key, draw_key, num_samples)


def _impute_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int, num_proposals: int
) -> tuple[PyTree, Float[Array, " num_samples"]]:
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
    if not in_turn:
        drawn, ess = _chosen(model, row, z, log_w, choose_key, draw_key, num_samples)
        return drawn, ess if support is None else jnp.full_like(ess, jnp.inf)  # a sum, which is exact
    log_w = jnp.where(jnp.isfinite(log_w), log_w, -1e30)
    chosen = jax.random.categorical(choose_key, log_w, shape=(num_samples,))
    return jax.tree.map(lambda leaf: leaf[chosen], filled), jnp.full(num_samples, effective(log_w))


def _chosen(
    model: CVAE,
    row: PyTree,
    z: PyTree,
    log_w: Float[Array, " S"],
    choose_key: PRNGKeyArray,
    draw_key: PRNGKeyArray,
    num_samples: int,
) -> tuple[PyTree, Float[Array, " num_samples"]]:
    """Draws of the missing cells given latents that are chosen by their weights; and how many count."""
    x, c = row
    log_w = jnp.where(jnp.isfinite(log_w), log_w, -1e30)
    places = jax.random.categorical(choose_key, log_w, shape=(num_samples,))

    def draw(place: jax.Array, key: PRNGKeyArray) -> PyTree:
        chosen = jax.tree.map(lambda leaf: leaf[place], z)
        return model.p_x(chosen, c).conditional(*_apart(x)).sample(key)

    drawn = jax.vmap(draw)(places, jax.random.split(draw_key, num_samples))
    return drawn, jnp.full(num_samples, effective(log_w))


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
