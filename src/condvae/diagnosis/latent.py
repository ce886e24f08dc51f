"""Whether z is used: where the nats of the ELBO go, by latent, and what z tells of x.

    −ELBO = R + D,    R = KL(q_φ(z | x, c) || p_θ(z | c))    the rate
                      D = −E_q log p_θ(x | z, c)             the distortion

A latent of no rate tells the decoder nothing. What z and x have in common under the model itself,

    I(x; z | c) = E log p_θ(x | z, c) − log p_θ(x | c),    z ~ p_θ(z | c), x ~ p_θ(x | z, c),

needs no q to be right: it is 0 exactly where the decoder does not listen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.calibration import mean_stderr
from condvae.diagnosis.inference import cell_names
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.sampling import simulate
from condvae.scoring import log_prob
from condvae.sentences import InputError
from condvae.vectorise import map_rows, num_rows, take_rows

ACTIVE = 0.01
"""A unit is active if its posterior mean varies over rows by more than this, in prior variances."""

SIMULATED_ROWS = 1000
"""Rows simulated from the model, at most, to find what x tells of z under it."""


class LatentUse(NamedTuple):
    """What z is used for.

    Attributes:
        rate: KL(q_φ(z | x, c) || p_θ(z | c)) of each row, nats, [n].
        distortion: −E_q log p_θ(x | z, c) of each row, nats, [n].
        kl: the rate by term, the mean over rows, nats, [T]: by cell of z where both distributions
            factorise over cells, by layer of a hierarchy that does not; else all in one.
        kl_stderr: its standard error over rows, [T].
        labels: what the terms are called, T of them.
        activity: Var(E_q z − E_p z) over rows / Var_p z, by cell of z, [D]; NaN where z is discrete.
        information: log p_θ(x | z, c) − log p_θ(x | c) of each simulated row, nats, [m].
    """

    rate: np.ndarray
    distortion: np.ndarray
    kl: np.ndarray
    kl_stderr: np.ndarray
    labels: list[str]
    activity: np.ndarray
    information: np.ndarray

    @property
    def active(self) -> int:
        """How many cells of z are active."""
        return int((self.activity > ACTIVE).sum())

    @property
    def mutual_information(self) -> tuple[float, float]:
        """I(x; z | c) under the model, in nats per row, and its standard error."""
        return mean_stderr(self.information)


def latent_use(
    model: CVAE,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 64,
    progress: bool = False,
) -> LatentUse:
    """Rate, distortion, KL by latent, active units, and the information that x and z share.

    Args:
        model: a `CVAE`; of a mixture, one member.
        x: n rows on the leading axis.
        c: their conditions, or None.
        key: a PRNG key.
        num_samples: draws of z for each row, at least 4. A discrete z whose support can be listed is
            summed over.
        progress: whether to show progress bars.

    Raises:
        ValueError: for a mixture, if rows do not match, or there are too few draws.

    Sources: Alemi et al. 2018 (rate and distortion); Burda, Grosse and Salakhutdinov 2016 (active units);
    Hoffman and Johnson 2016 (what the rate consists of).

    Example:
        >>> import jax
        >>> from condvae.diagnosis import latent_use
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> from condvae.sampling import simulate
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2)
        >>> _, x = simulate(model, key=jax.random.key(1), rows=200)
        >>> use = latent_use(model, x, key=jax.random.key(2))
        >>> use.rate.shape, use.active, use.mutual_information[0] > 0.1
        ((200,), 2, True)
    """
    if isinstance(model, Mixture):
        raise ValueError("the latent is of one model: take a member of the mixture, mixture.member(k)")
    if num_samples < 4:
        raise InputError("{argument} is {n}, expected at least 4", argument="num_samples", n=num_samples)
    n = num_rows(x=x, c=c)
    use_key, simulate_key, score_key = jax.random.split(key, 3)
    options = {"draws": num_samples, "num_samples": num_samples, "progress": progress, "label": "latents"}
    parts = map_rows(_use_row, model, (x, c), use_key, **options)
    rate, distortion, terms, first, second, variance = (part.astype(np.float64) for part in parts)
    apart = (first - first.mean(axis=0)) * (second - second.mean(axis=0))
    activity = apart.sum(axis=0) / max(n - 1, 1) / variance.mean(axis=0)
    few = slice(0, SIMULATED_ROWS)
    x, c = (jax.tree.map(lambda leaf: leaf[few], part) for part in (x, c))
    z, simulated = simulate(model, c, key=simulate_key, like=x)
    given = map_rows(_likelihood_row, model, (z, simulated, c), simulate_key)
    score = log_prob(model, simulated, c, key=score_key, progress=progress)
    return LatentUse(
        rate,
        distortion,
        terms.mean(axis=0),
        terms.std(axis=0, ddof=1) / np.sqrt(n),
        _labels(take_rows(z, 0), terms.shape[1]),
        activity,
        given.astype(np.float64) - score.value,
    )


def _use_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int) -> tuple[Array, ...]:
    """Rate, distortion, rate by term; the mean of z less the prior's, twice from other noise; Var_p z."""
    x, c = row
    draw_key, prior_key, more_key = jax.random.split(key, 3)
    draws = model.draws(x, c, key=draw_key, num_samples=num_samples)
    prior, posterior = model.p_z(c), model.q_z(x, c)
    share = jnp.exp(draws.log_measure)
    of_q, of_p = jax.vmap(posterior.terms)(draws.z), jax.vmap(prior.terms)(draws.z)
    if of_q.shape != of_p.shape:
        of_q, of_p = of_q.sum(axis=1, keepdims=True), of_p.sum(axis=1, keepdims=True)
    # Where q is 0 its logarithm is not finite, and nothing is added.
    terms = jnp.sum(jnp.where(share[:, None] > 0, share[:, None] * (of_q - of_p), 0.0), axis=0)
    rate = terms.sum() if draws.kl is None else draws.kl
    half = num_samples // 2
    plain = posterior.reparameterised  # otherwise the draws are not alike in their shares
    more_keys = jax.random.split(more_key, num_samples)
    drawn = draws.z if plain else jax.vmap(posterior.sample)(more_keys)
    cells, of_prior = (
        jax.vmap(lambda z: ravel_pytree(z)[0])(z)
        for z in (drawn, jax.vmap(prior.sample)(jax.random.split(prior_key, num_samples)))
    )
    first, second = (
        cells[part].mean(axis=0) - of_prior[part].mean(axis=0)
        for part in (slice(0, half), slice(half, 2 * half))
    )
    # The codes of categories have no mean and no variance.
    number = [
        np.full(leaf[0].size, jnp.issubdtype(leaf.dtype, jnp.inexact)) for leaf in jax.tree.leaves(drawn)
    ]
    variance = jnp.where(np.concatenate(number), of_prior.var(axis=0, ddof=1), jnp.nan)
    return rate, -draws.expectation(draws.log_likelihood), terms, first, second, variance


def _likelihood_row(model: CVAE, row: PyTree, key: PRNGKeyArray) -> Array:
    z, x, c = row
    return model.p_x(z, c).log_prob(x)


def _labels(z: PyTree, terms: int) -> list[str]:
    """Names of the terms: of cells, of layers, or of z as a whole."""
    layers = ["z" + jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(z)]
    for names in (cell_names(z), layers):
        if len(names) == terms:
            return names
    return ["z"] if terms == 1 else [f"term {i}" for i in range(terms)]
