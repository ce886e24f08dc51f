"""log p_θ(x | c) by importance sampling, a row at a time, with its error.

The proposal decides whether the error can be believed. A mean-field q is too narrow: the weights that
would show that the estimate is wrong are the ones it never draws. So the default is *defensive*: half of
the draws from q, half from the prior, each weighted by the density of the mixture of the two,

    w(z) = p_θ(z | c) p_θ(x | z, c) / (½ q_φ(z | x, c) + ½ p_θ(z | c))  ≤  2 p_θ(x | z, c),

which is bounded wherever the likelihood is. The draws are stratified, and their variance is taken
stratum by stratum.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.distributions import Distribution
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.rows import MAX_CELLS, TYPICAL_WIDTH, map_rows, num_rows

Proposal = Literal["defensive", "posterior", "prior"]


class LogProb(NamedTuple):
    """What is known of log p_θ(x | c), row by row, in nats.

    Attributes:
        value: the estimate, shape (n,).
        stderr: the standard error of `value`, by the delta method; 0 where it is exact.
        ess: the effective sample size (Σ w)² / Σ w² of the draws behind it.
    """

    value: np.ndarray
    stderr: np.ndarray
    ess: np.ndarray


def log_prob(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1000,
    proposal: Proposal = "defensive",
    seeds: np.ndarray | None = None,
    progress: bool = False,
) -> LogProb:
    """log p_θ(x | c) = log E_{z ~ r}[p_θ(z | c) p_θ(x | z, c) / r(z)], for each row.

    The estimate of p_θ(x | c) is unbiased; that of its logarithm is low by about stderr²/2. A latent
    whose support can be listed is summed over, and the result is exact. Memory is bounded whatever the
    number of rows and samples: both are taken in chunks, which do not change the result. Of a mixture it
    is log 1/K Σ_k p_k(x | c), and the draws are shared out among the members.

    Args:
        model: a `CVAE`, or a `Mixture`.
        x: n rows on the leading axis; cells of an `Observed` that are missing are left out exactly.
        c: their conditions, or None.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        num_samples: draws for each row, at least 4.
        proposal: "defensive" (half q, half prior, balance weights), "posterior" or "prior".
        seeds: row i uses `fold_in(key, seeds[i])` instead, shape (n,).
        progress: whether to show a progress bar.

    Returns:
        `LogProb` of NumPy arrays of shape (n,), in nats.

    Raises:
        ValueError: if rows do not match, or `num_samples` or `proposal` cannot be used.

    Source:
        Owen and Zhou 2000 (defensive mixtures); Burda et al. 2016 (use in VAEs).

    Example:
        >>> import jax
        >>> from condvae import log_prob
        >>> from condvae.linear_gaussian import exact_log_prob, random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> x, c = jax.random.normal(jax.random.key(1), (5, 3)), jax.numpy.ones((5, 1))
        >>> score = log_prob(model, x, c, key=jax.random.key(2), num_samples=2000)
        >>> bool((abs(score.value - exact_log_prob(model, x, c)) < 5 * score.stderr).all())
        True
    """
    strata = {"defensive": ("posterior", "prior"), "posterior": ("posterior",), "prior": ("prior",)}
    if proposal not in strata:
        raise ValueError(f"proposal is {proposal!r}, expected one of {', '.join(strata)}")
    if num_samples < 4:
        raise ValueError(f"num_samples is {num_samples}, expected at least 4 for a standard error")
    num_rows(x=x, c=c)
    if isinstance(model, Mixture):
        size = model.num_members
        each = max(4, -(-num_samples // size))
        scores = [
            log_prob(
                member, x, c, key=key, num_samples=each, proposal=proposal, seeds=seeds, progress=progress
            )
            for member, key in zip(model, jax.random.split(key, size), strict=True)
        ]
        return _mix(scores)
    at_once = _draws_at_once(x, num_samples // len(strata[proposal]))
    value, stderr, ess = map_rows(
        _score_row,
        model,
        (x, c),
        key,
        seeds=seeds,
        draws=at_once,
        progress=progress,
        label="scoring",
        strata=strata[proposal],
        draws_each=-(-num_samples // len(strata[proposal])),
        at_once=at_once,
    )
    return LogProb(value, stderr, ess)


def _mix(scores: list[LogProb]) -> LogProb:
    """The mean of the members' densities; errors and sample sizes are those of a sum of estimates."""
    value, stderr, ess = (np.stack(parts).astype(np.float64) for parts in zip(*scores, strict=True))
    largest = np.max(value, axis=0)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    density = np.exp(value - shift)
    total = density.sum(axis=0)
    dead = total == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(dead, 0.0, density / total)
        mixed = np.log(total / len(scores)) + shift
        error = np.sqrt(np.sum(np.where(share > 0, share * stderr, 0.0) ** 2, axis=0))
        size = 1.0 / np.sum(np.where(share > 0, share**2 / ess, 0.0), axis=0)
    dtype = scores[0].value.dtype
    parts = np.where(dead, -np.inf, mixed), np.where(dead, np.inf, error), np.where(dead, 0.0, size)
    return LogProb(*(part.astype(dtype) for part in parts))


def _draws_at_once(x: PyTree, draws: int) -> int:
    """Draws of one row in one pass: as many as fit when a chunk is 64 rows, and no fewer than 16."""
    cells = sum(int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves(x))
    return max(16, min(draws, 1024, MAX_CELLS // (64 * max(cells, TYPICAL_WIDTH))))


class _Moments(NamedTuple):
    """Running sums of exp(log w) and its square, scaled by the largest weight so far."""

    largest: Array
    total: Array
    squares: Array

    def add(self, log_weights: Float[Array, " K"]) -> "_Moments":
        largest = jnp.maximum(self.largest, jnp.max(log_weights))
        shift = jnp.where(jnp.isfinite(largest), largest, 0.0)
        weights = jnp.exp(log_weights - shift)
        rescale = jnp.where(jnp.isfinite(self.largest), jnp.exp(self.largest - shift), 0.0)
        return _Moments(
            largest,
            self.total * rescale + jnp.sum(weights),
            self.squares * rescale**2 + jnp.sum(weights**2),
        )

    def scaled_to(self, largest: Array) -> tuple[Array, Array]:
        rescale = jnp.where(jnp.isfinite(self.largest), jnp.exp(self.largest - largest), 0.0)
        return self.total * rescale, self.squares * rescale**2


def _score_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, strata: tuple[str, ...], draws_each: int, at_once: int
) -> tuple[Array, Array, Array]:
    x, c = row
    prior = model.p_z(c)
    posterior = model.q_z(x, c, prior)
    support = prior.enumerate_support()
    if support is not None:
        return _enumerate(model, x, c, prior, support)
    sources = {"posterior": posterior, "prior": prior}
    proposals = [sources[name] for name in strata]
    log_share = -math.log(len(strata))

    def log_weight(z: PyTree) -> Array:
        log_joint = prior.log_prob(z) + model.p_x(z, c).log_prob(x)
        log_densities = jnp.stack([proposal.log_prob(z) for proposal in proposals])
        return log_joint - jax.nn.logsumexp(log_densities + log_share)

    def step(moments: list[_Moments], i: Array) -> tuple[list[_Moments], None]:
        keys = jax.random.split(jax.random.fold_in(key, i), (len(proposals), at_once))
        counted = i * at_once + jnp.arange(at_once) < draws_each

        def add(so_far: _Moments, proposal: Distribution, keys: PRNGKeyArray) -> _Moments:
            log_weights = jax.vmap(lambda key: log_weight(proposal.sample(key)))(keys)
            return so_far.add(jnp.where(counted, log_weights, -jnp.inf))

        added = [add(m, p, k) for m, p, k in zip(moments, proposals, keys, strict=True)]
        return added, None

    dtype = jax.eval_shape(lambda k: log_weight(proposals[0].sample(k)), key).dtype
    empty = _Moments(jnp.full((), -jnp.inf, dtype), jnp.zeros((), dtype), jnp.zeros((), dtype))
    steps = jnp.arange(-(-draws_each // at_once))
    moments, _ = jax.lax.scan(step, [empty] * len(proposals), steps)
    return _combine(moments, draws_each)


def _combine(moments: list[_Moments], draws_each: int) -> tuple[Array, Array, Array]:
    """Strata to the estimate, its standard error and the effective sample size."""
    largest = jnp.max(jnp.stack([m.largest for m in moments]))
    shift = jnp.where(jnp.isfinite(largest), largest, 0.0)
    sums = [m.scaled_to(shift) for m in moments]
    total, squares = sum(s[0] for s in sums), sum(s[1] for s in sums)
    count = draws_each * len(moments)
    # Var(mean) adds up over strata, each with the variance of its own weights.
    spread = sum(jnp.maximum(square - t**2 / draws_each, 0.0) for t, square in sums)
    variance = spread * draws_each / (draws_each - 1) / count**2
    mean = total / count
    dead = mean <= 0  # every weight is 0: x has no density under any draw
    value = jnp.where(dead, -jnp.inf, jnp.log(jnp.where(dead, 1.0, mean)) + shift)
    stderr = jnp.where(dead, jnp.inf, jnp.sqrt(variance) / jnp.where(dead, 1.0, mean))
    ess = jnp.where(dead, 0.0, total**2 / jnp.where(dead, 1.0, squares))
    return value, stderr, ess


def _enumerate(
    model: CVAE, x: PyTree, c: PyTree, prior: Distribution, support: PyTree
) -> tuple[Array, Array, Array]:
    log_joint = jax.vmap(lambda z: prior.log_prob(z) + model.p_x(z, c).log_prob(x))(support)
    size = jnp.full((), log_joint.shape[0], log_joint.dtype)
    return jax.nn.logsumexp(log_joint), jnp.zeros((), log_joint.dtype), size
