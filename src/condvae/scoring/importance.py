"""log p_θ(x | c) by importance sampling, a row at a time, with its error.

Every row gets `num_samples` draws from q and distributions about it. Where few of them count, q is off and
the row is scored anew by draws about the posterior's mean and covariance (`condvae.scoring.refinement`).
Rows whose error is still large, or cannot be believed, get twice as many draws, and twice again, up to
`budget`. `LogProb.trusted` tells the rows whose error cannot be believed even then.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt

from condvae.distributions import Distribution
from condvae.mixture import Mixture, members
from condvae.model import CVAE
from condvae.progress import Progress
from condvae.runtime import require_runtime
from condvae.scoring.estimates import LogProb, Tally
from condvae.scoring.pareto import tail_size
from condvae.scoring.proposals import PROPOSALS, Moments, Proposal, strata
from condvae.scoring.refinement import num_draws, num_latents, refine_row
from condvae.sentences import Argument, InputError
from condvae.vectorise import MAX_CELLS, TYPICAL_WIDTH, chunk_size, map_rows, num_rows

ENOUGH = 0.1
"""Rows whose standard error is above this, in nats, get more draws."""

BUDGET = 16
"""By default a row takes at most so many times `num_samples`."""

ENOUGH_COUNT = 0.3
"""The effective share of the draws, below which a row's proposal is refined. With an exact q, a third of
the draws or more are effective in any number of dimensions."""

LIGHT_TAIL = 0.25
"""The k̂ above which a row's proposal is refined."""

COUNTED_SHARE = 0.01
"""The share of a row's density below which it does not matter whether a member's q is off."""

DRAWS_AT_ONCE = 2**10
"""Draws of one row in one pass at most."""

TAIL = 2**9
"""How many of the largest weights are kept of each row and pass: enough for the tail of 29,000 draws."""

REFINED_AT_ONCE = 2**5
"""Rows whose proposals are refined at once."""

BLOCK_ROWS = 2**12
"""Rows whose weights are in memory at once."""


def log_prob(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1000,
    budget: int | None = None,
    proposal: Proposal = "defensive",
    seeds: UInt[np.ndarray, " n"] | None = None,
    progress: bool = False,
) -> LogProb:
    """log p_θ(x | c) = log E_{z ~ r}[p_θ(z | c) p_θ(x | z, c) / r(z)], for each row.

    The estimate of p_θ(x | c) is unbiased; that of its logarithm is low by about stderr²/2. A latent
    whose support can be listed is summed over, and the result is exact. Memory is bounded whatever the
    number of rows and samples: both are taken in chunks, which do not change the result. Of a mixture it
    is log 1/K Σ_k p_k(x | c), and the draws are shared out among the members.

    Where fewer than 0.3 of a row's draws are effective or k̂ is above 0.25, q is off: it is replaced by the
    mean and covariance of p_θ(z | x, c), found by up to eight rounds of adaptive importance sampling, and
    the row is scored anew (z of real numbers, at most 128 of them; by the "defensive" proposal and with a
    budget of at least twice `num_samples`). A row whose standard error is above 0.1 nat, or whose estimate
    is not to be trusted, gets twice the draws, and twice again, to `budget`; where that does not help,
    `LogProb.trusted` says so. A row's result does not depend on the rows beside it.

    Args:
        model: a `CVAE`, or a `Mixture`.
        x: n rows on the leading axis; cells of an `Observed` that are missing are left out exactly.
        c: their conditions, or None.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        num_samples: draws for each row to start with, at least 4.
        budget: the most draws behind the estimate of a row; by default 16 times `num_samples`. Those by
            which a proposal is refined come on top.
        proposal: "defensive" (q, q spread out, q drawn in and the prior, with balance weights: see
            `condvae.scoring.proposals`), "posterior" or "prior".
        seeds: row i uses `fold_in(key, seeds[i])` instead, shape (n,).
        progress: whether to show a progress bar.

    Returns:
        `LogProb` of NumPy arrays of shape (n,), in nats.

    Raises:
        ValueError: if rows do not match, or `num_samples`, `budget` or `proposal` cannot be used.

    Source:
        Owen and Zhou 2000 (defensive mixtures); Cappé et al. 2008 (adaptation); Burda et al. 2016 (use in
        VAEs).

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
    if proposal not in PROPOSALS:
        raise ValueError(f"proposal is {proposal!r}, expected one of {', '.join(PROPOSALS)}")
    if num_samples < 4:
        said = "{argument} is {draws}, expected at least 4 for a standard error"
        raise InputError(said, argument="num_samples", draws=num_samples)
    budget = BUDGET * num_samples if budget is None else budget
    if budget < num_samples:
        raise InputError(
            "{argument} is {budget}, less than {num_samples}, {draws}, which every row gets",
            remedy="raise it",
            argument="budget",
            budget=budget,
            num_samples=Argument("num_samples"),
            draws=num_samples,
        )
    require_runtime()
    n = num_rows(x=x, c=c)
    models = members(model)
    seeds = np.arange(n, dtype=np.uint32) if seeds is None else np.asarray(seeds)
    plan = _Plan.of(models, x, -(-num_samples // len(models)), proposal)
    exact = enumerates(models[0], c)
    latents = (
        0 if exact or proposal != "defensive" or budget < 2 * num_samples else num_latents(models[0], c)
    )
    at_most = max(1, min(BLOCK_ROWS, MAX_CELLS // (len(models) * max(latents, 1) ** 2)))
    blocks = []
    with Progress("scoring", n * len(models), enabled=progress) as bar:
        for start in range(0, max(n, 1), at_most):
            rows = slice(start, min(start + at_most, n))
            part = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (x, c))
            limit = num_samples if exact else budget
            blocks.append(_score(plan, part, seeds[rows], key, limit, bar, latents))
    return LogProb.joined(blocks)._replace(method="enumeration" if exact else "importance sampling")


def enumerates(model: CVAE, c: PyTree) -> bool:
    """Whether the latent's support can be listed, so that log p is a sum."""
    return _enumerates(
        model, jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape[1:], leaf.dtype)), c)
    )


@eqx.filter_jit
def _enumerates(model: CVAE, c: PyTree) -> bool:
    # Compiled so that it is traced once for each structure: nothing of it is ever computed.
    return model.p_z(c).enumerate_support() is not None


class _Plan(NamedTuple):
    """How draws are made: of each member, `steps` times `at_once` of them, for `chunk` rows at a time."""

    models: list[CVAE]
    proposal: Proposal
    at_once: int
    steps: int
    chunk: int

    @classmethod
    def of(cls, models: list[CVAE], x: PyTree, num_samples: int, proposal: Proposal) -> "_Plan":
        cells = sum(int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves(x))
        # As many draws of a row at once as fit when a chunk is 64 rows, and no fewer than 16.
        at_most = max(16, min(DRAWS_AT_ONCE, MAX_CELLS // (64 * max(cells, TYPICAL_WIDTH))))
        steps = -(-num_samples // at_most)
        at_once = -(-num_samples // steps)
        return cls(models, proposal, at_once, steps, chunk_size(min(num_rows(x=x), BLOCK_ROWS), at_once, x))

    def draw(
        self,
        rows: PyTree,
        seeds: UInt[np.ndarray, " n"],
        key: PRNGKeyArray,
        nth: int,
        bar: Progress,
        moments: list[Moments] | None = None,
    ) -> list[Tally]:
        """Weights of each member for each row; `nth` is which draws they are, of all that a row gets."""
        keys = jax.random.split(key, len(self.models))
        return [
            Tally(
                *map_rows(
                    _weigh_row,
                    member,
                    rows if moments is None else (*rows, moments[k]),
                    jax.random.fold_in(keys[k], nth),
                    seeds=seeds,
                    chunk=self.chunk,
                    progress=bar,
                    proposal=self.proposal,
                    at_once=self.at_once,
                    steps=self.steps,
                )
            )
            for k, member in enumerate(self.models)
        ]

    def refine(
        self, rows: PyTree, seeds: UInt[np.ndarray, " n"], key: PRNGKeyArray, bar: Progress, latents: int
    ) -> list[Moments]:
        """The moments of each member's posterior for each row."""
        keys = jax.random.split(key, len(self.models))
        # Of one size, so that one program serves; a small one, since its rows wait for the slowest of them.
        chunk = min(self.chunk, chunk_size(REFINED_AT_ONCE, num_draws(latents), rows))
        return [
            map_rows(refine_row, member, rows, key, seeds=seeds, chunk=chunk, progress=bar)
            for member, key in zip(self.models, keys, strict=True)
        ]


def _score(
    plan: _Plan,
    rows: PyTree,
    seeds: UInt[np.ndarray, " n"],
    key: PRNGKeyArray,
    budget: int,
    bar: Progress,
    latents: int,
) -> LogProb:
    """All rows once; those where q is off anew; those that need it twice as often, to the budget."""
    draw_key, refine_key, again_key = jax.random.split(key, 3)

    def some(places: np.ndarray) -> tuple[PyTree, np.ndarray]:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[places], rows), seeds[places]

    tallies = plan.draw(rows, seeds, draw_key, 0, bar)
    tally = Tally.beside(tallies)
    score = tally.log_prob()
    refined, moments = np.zeros(0, int), None
    if latents:
        refined = np.flatnonzero((_off(tallies) | _short(score)) & np.isfinite(score.value))
    if len(refined):
        bar.extend(2 * len(refined) * len(plan.models))
        part = some(refined)
        moments = plan.refine(*part, refine_key, bar, latents)
        anew = Tally.beside(plan.draw(*part, again_key, 0, bar, moments))
        # Not where they are not to be trusted and draws about q are: of a posterior far from Gaussian.
        kept = np.flatnonzero(anew.log_prob().trusted | ~score.trusted[refined])
        refined, moments = refined[kept], jax.tree.map(lambda leaf: leaf[kept], moments)
        tally.put(refined, anew.take(kept))
        score = tally.log_prob()
    times, each = 1, plan.steps * plan.at_once * len(plan.models)
    while 2 * times * each <= budget:
        short = np.flatnonzero(_short(score))
        if not len(short):
            break
        bar.extend(times * len(short) * len(plan.models))
        known = np.isin(short, refined)
        for places, by in ((short[~known], None), (short[known], moments)):
            if len(places) == 0:
                continue
            if by is not None:
                at = np.searchsorted(refined, places)
                by = jax.tree.map(lambda leaf, at=at: leaf[at], by)
            for nth in range(times, 2 * times):
                source = draw_key if by is None else again_key
                tally.add(places, Tally.beside(plan.draw(*some(places), source, nth, bar, by)))
        score, times = tally.log_prob(), 2 * times
    return score


def _short(score: LogProb) -> np.ndarray:
    return ~(score.trusted & (score.stderr <= ENOUGH))


def _off(tallies: list[Tally]) -> np.ndarray:
    """Whether q is off for a row: of some member that gives more than a hundredth of its density."""
    scores = [tally.log_prob() for tally in tallies]
    log_share = np.stack([score.value for score in scores]).astype(np.float64)
    log_share = np.where(np.isfinite(log_share), log_share, -1e300)
    share = np.exp(log_share - np.logaddexp.reduce(log_share, axis=0))
    few = np.stack([score.ess < ENOUGH_COUNT * score.num_samples for score in scores])
    heavy = np.stack([score.pareto_k > LIGHT_TAIL for score in scores])
    return np.any((share > COUNTED_SHARE) & (few | heavy), axis=0)


class _Weights(NamedTuple):
    """Σ w and Σ w² of each stratum so far, scaled by the largest weight, and the largest log-weights."""

    scale: Float[Array, ""]
    totals: Float[Array, " S"]
    squares: Float[Array, " S"]
    top: Float[Array, " T"]

    def add(self, log_weights: Float[Array, " K"], counts: tuple[int, ...]) -> "_Weights":
        scale = jnp.maximum(self.scale, jnp.max(log_weights))
        alive = jnp.isfinite(scale) | jnp.isnan(scale)
        shift = jnp.where(alive, scale, 0.0)
        before = jnp.where(jnp.isneginf(self.scale), 0.0, jnp.exp(self.scale - shift))
        weights = jnp.split(jnp.exp(log_weights - shift), np.cumsum(counts)[:-1])
        top = jnp.concatenate([self.top, log_weights])
        return _Weights(
            scale,
            self.totals * before + jnp.stack([jnp.sum(w) for w in weights]),
            self.squares * before**2 + jnp.stack([jnp.sum(w**2) for w in weights]),
            jax.lax.top_k(top, self.top.shape[0])[0],
        )


def _weigh_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, proposal: Proposal, at_once: int, steps: int
) -> tuple[Array, Array, Array, Array, Array]:
    x, c, *moments = row
    prior = model.p_z(c)
    support = prior.enumerate_support()
    if support is not None:
        return _enumerate(model, x, c, prior, support)
    source = strata(model.q_z(x, c, prior), prior, at_once, proposal, *moments)

    def log_weight(z: PyTree) -> Array:
        return prior.log_prob(z) + model.p_x(z, c).log_prob(x) - source.log_prob(z)

    def step(weights: _Weights, i: Array) -> tuple[_Weights, None]:
        log_weights = jax.vmap(log_weight)(source.draw(jax.random.fold_in(key, i)))
        return weights.add(log_weights, source.counts), None

    dtype = jax.eval_shape(lambda k: jax.vmap(log_weight)(source.draw(k)), key).dtype
    none = jnp.zeros(len(source.counts), dtype)
    draws = steps * sum(source.counts)
    # A tail is found among all members' draws, and may be all of one.
    largest = min(draws, max(TAIL, tail_size(draws) + 1))
    empty = _Weights(jnp.full((), -jnp.inf, dtype), none, none, jnp.full(largest, -jnp.inf, dtype))
    weights, _ = jax.lax.scan(step, empty, jnp.arange(steps))
    return weights.scale, weights.totals, weights.squares, steps * jnp.array(source.counts), weights.top


def _enumerate(
    model: CVAE, x: PyTree, c: PyTree, prior: Distribution, support: PyTree
) -> tuple[Array, Array, Array, Array, Array]:
    """The sum over the support, as so many draws of one weight: p_θ(x | c) itself."""
    log_joint = jax.vmap(lambda z: prior.log_prob(z) + model.p_x(z, c).log_prob(x))(support)
    size = jnp.full(1, max(2, log_joint.shape[0]), log_joint.dtype)  # of one draw there is no variance
    exact = jax.nn.logsumexp(log_joint)
    return exact, size, size, size, jnp.full(5, exact)
