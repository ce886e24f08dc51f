"""log p_θ(x | c) by annealed importance sampling, from below and from above.

Chains start in q_φ(z | x, c), or in the prior, and are led to the posterior through

    f_β(z) = f_0(z)^(1−β) [p_θ(z | c) p_θ(x | z, c)]^β,    0 = β_0 < ... < β_T = 1,

by Hamiltonian transitions that leave each f_β invariant. A chain's log-weight is

    Σ_t (β_t − β_{t−1}) d(z_{t−1}),    d(z) = log p_θ(z | c) p_θ(x | z, c) − log f_0(z),

that of an unbiased estimate of p_θ(x | c), so that its mean is at most log p_θ(x | c): the *lower* end. A
chain that starts in the exact posterior and goes the other way, by the same transitions, gives an unbiased
estimate of 1 / p_θ(x | c), and so the *upper* end. An exact draw of the posterior is at hand where x was
simulated from the model itself: its own z. On real data there is none, and what comes from above is an
*estimate*.

Increments are added up in float64, on the host. The chains are those of `condvae.scoring.chains`.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree, UInt

from condvae.mixture import Mixture, members
from condvae.model import CVAE
from condvae.progress import Progress
from condvae.sampling import simulate
from condvae.scoring.chains import Options, Start, anneal_row, moves_through_reals, schedule
from condvae.scoring.estimates import LogProb
from condvae.scoring.importance import enumerates, log_prob
from condvae.vectorise import chunk_size, map_rows, num_rows

ROWS_AT_ONCE = 64

FEW_CHAINS = 4
"""Of a member of a mixture, to begin with; and where it counts little."""

SOME, MUCH = 0.01, 0.3
"""The shares of a row's density from which a member of a mixture is annealed in full, and by all chains."""


class Annealed(NamedTuple):
    """What annealing tells of log p_θ(x | c), row by row, in nats.

    Attributes:
        lower: from below; its mean is a lower bound.
        upper_estimate: from above, by chains that go back from where those from below have ended. It is
            not a bound: these draws are the posterior's only as far as the chains have got there, and if
            they have missed a part of it, what comes from above misses the same part.
        num_temperatures: T.
        num_chains: for each row.
        start: what the chains start in.
    """

    lower: LogProb
    upper_estimate: LogProb
    num_temperatures: int
    num_chains: int
    start: str


class Sandwich(NamedTuple):
    """log p_θ(x | c) of rows that were simulated from the model, between a lower and an upper bound.

    Attributes:
        x: the rows, as they were simulated.
        lower: from below; its mean is a lower bound of the mean log p.
        upper: from above, from the latents that the rows were made of; its mean is an upper bound. A row's
            chains share its latent, so that `stderr` is their error given it, and `df` is 0.
        num_temperatures: T.
        num_chains: for each row.
        start: what the chains from below start in.
    """

    x: PyTree
    lower: LogProb
    upper: LogProb
    num_temperatures: int
    num_chains: int
    start: str

    @property
    def width(self) -> tuple[float, float]:
        """The mean of upper − lower over rows, and its standard error."""
        gap = self.upper.value.astype(np.float64) - self.lower.value
        return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float(
            "nan"
        )


def anneal(
    model: CVAE | Mixture,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_temperatures: int = 1000,
    num_chains: int = 16,
    start: Start = "posterior",
    seeds: UInt[np.ndarray, " n"] | None = None,
    progress: bool = False,
) -> Annealed:
    """log p_θ(x | c) of each row by annealed importance sampling.

    Of a mixture it is log 1/K Σ_k p_k(x | c), each member annealed by itself: first over a tenth of the
    temperatures, by 4 chains, then over all of them where the member counts, by `num_chains` where it has
    30% of a row's density or more, and by 4 where it has 1% or more. A latent whose support can be
    listed is summed over, exactly.

    Args:
        model: a `CVAE`, or a `Mixture`, whose latent is of real numbers.
        x: n rows on the leading axis; missing cells are left out exactly.
        c: their conditions, or None.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        num_temperatures: T, how many steps lead to the posterior.
        num_chains: for each row; the error is that of their mean, with one degree of freedom less.
        start: "posterior", q_φ(z | x, c); or "prior".
        seeds: row i uses `fold_in(key, seeds[i])` instead, shape (n,).
        progress: whether to show a progress bar.

    Returns:
        `Annealed`; `lower` and `upper_estimate` are `LogProb` of shape (n,), in nats.

    Raises:
        ValueError: if rows do not match, an argument cannot be used, or the latent is not of real numbers.

    Source:
        Neal 2001; Wu, Burda, Salakhutdinov and Grosse 2017 (for decoders).

    Example:
        >>> import jax
        >>> from condvae.linear_gaussian import exact_log_prob, random_linear_gaussian
        >>> from condvae.scoring import anneal
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> x, c = jax.random.normal(jax.random.key(1), (5, 3)), jax.numpy.ones((5, 1))
        >>> annealed = anneal(model, x, c, key=jax.random.key(2), num_temperatures=200)
        >>> bool((abs(annealed.lower.value - exact_log_prob(model, x, c)) < 0.2).all())
        True
    """
    n = num_rows(x=x, c=c)
    options = _checked(num_temperatures, num_chains, start)
    models = members(model)
    if enumerates(models[0], c):
        exact = log_prob(model, x, c, key=key)
        return Annealed(exact, exact, num_temperatures, num_chains, start)
    _require_reals(models[0], c)
    keys = jax.random.split(key, (len(models), 3))
    rows = (x, c, None)
    with Progress("annealing", n * len(models), enabled=progress) as bar:
        if len(models) == 1:
            parts = [_ends(models[0], rows, keys[0, 0], seeds, options, bar)]
        else:
            parts = _by_share(models, rows, keys, seeds, options, bar)
    below, above = (_mean([part[i] for part in parts], num_temperatures) for i in (0, 1))
    return Annealed(below, above, num_temperatures, num_chains, start)


def sandwich(
    model: CVAE,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    rows: int | None = None,
    like: PyTree = None,
    num_temperatures: int = 1000,
    num_chains: int = 16,
    start: Start = "posterior",
    progress: bool = False,
) -> Sandwich:
    """Bidirectional Monte Carlo: how well log p_θ(x | c) is known on rows simulated from the model.

    z ~ p_θ(z | c), x ~ p_θ(x | z, c); then log p_θ(x | c) from below by `anneal`, and from above by
    chains that start in z, an exact draw of the posterior p_θ(z | x, c), and go back by the same
    transitions. Between the two lies log p, but for their standard errors. It is a statement about the
    model and the annealing on data like the model's own; of data that the model would not make, it is a
    hint.

    Args:
        model: a `CVAE`; of a mixture, one member.
        c: conditions, a row for each x; None for a plain VAE.
        key: a PRNG key.
        rows: how many rows, without c and `like`.
        like: rows of x, as the model was trained on: the simulated ones are of their types (draws of a
            Bernoulli likelihood are whole numbers), and miss the cells that they miss.
        num_temperatures: T.
        num_chains: for each row and direction.
        start: "posterior" or "prior".
        progress: whether to show a progress bar.

    Raises:
        ValueError: for a mixture; if nothing says how many rows there are; and as `anneal`.

    Source:
        Grosse, Ghahramani and Adams 2015; Grosse, Ancha and Roy 2016.

    Example:
        >>> import jax
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> from condvae.scoring import sandwich
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> interval = sandwich(
        ...     model, jax.numpy.ones((5, 1)), key=jax.random.key(2), num_temperatures=200
        ... )
        >>> width, stderr = interval.width
        >>> abs(width) < 0.1
        True
    """
    if isinstance(model, Mixture):
        raise ValueError("a sandwich is of one model: take a member of the mixture, mixture.member(k)")
    options = _checked(num_temperatures, num_chains, start)
    _require_reals(model, c)
    sample_key, key = jax.random.split(key)
    z, x = simulate(model, c, key=sample_key, rows=rows, like=like)
    with Progress("annealing", num_rows(x=x), enabled=progress) as bar:
        below, above = _run(model, (x, c, z), key, None, options, bar)
    lower, upper = _summed(below, options, False), _summed(above, options, True)
    # Chains from above share a row's one exact draw: how they differ says nothing of how draws do.
    return Sandwich(x, lower, upper._replace(df=0.0), num_temperatures, num_chains, start)


def _checked(num_temperatures: int, num_chains: int, start: Start) -> Options:
    for name, number, least in (("num_temperatures", num_temperatures, 10), ("num_chains", num_chains, 2)):
        if number < least:
            raise ValueError(f"{name} is {number}, expected at least {least}")
    if start not in ("posterior", "prior"):
        raise ValueError(f"start is {start!r}, expected posterior or prior")
    return Options(num_temperatures, num_chains, start)


def _require_reals(model: CVAE, c: PyTree) -> None:
    if not moves_through_reals(model, c):
        raise ValueError(
            "annealing moves the latent through all real numbers, which this one does not range over (it "
            "is discrete, or bounded): use importance sampling"
        )


def _by_share(
    models: list[CVAE],
    rows: PyTree,
    keys: PRNGKeyArray,
    seeds: UInt[np.ndarray, " n"] | None,
    options: Options,
    bar: Progress,
) -> list[tuple[LogProb, LogProb]]:
    """Of each member what is known from below and from above, the better the more it counts for a row."""
    n = num_rows(rows=rows)
    seeds = np.arange(n, dtype=np.uint32) if seeds is None else seeds
    rough = Options(max(10, options.num_temperatures // 10), FEW_CHAINS, options.start)
    parts = [
        _ends(model, rows, rough_key, seeds, rough, bar)
        for model, rough_key in zip(models, keys[:, 0], strict=True)
    ]
    value = np.stack([lower.value for lower, _ in parts])
    most = value.max(axis=0)
    weight = np.exp(value - np.where(np.isfinite(most), most, 0.0))
    share = weight / np.maximum(weight.sum(axis=0), 1e-300)
    few = options._replace(num_chains=min(FEW_CHAINS, options.num_chains))
    for k, model in enumerate(models):
        much, some = share[k] >= MUCH, (share[k] >= SOME) & (share[k] < MUCH)
        for chain_keys, chosen, places in ((keys[k, 1], options, much), (keys[k, 2], few, some)):
            index = np.flatnonzero(places)
            if len(index):
                taken = jax.tree.map(lambda leaf, index=index: leaf[index], rows)
                better = _ends(model, taken, chain_keys, seeds[index], chosen, bar)
                (lower, upper), (from_below, from_above) = parts[k], better
                parts[k] = lower.put(index, from_below), upper.put(index, from_above)
    return parts


def _ends(
    model: CVAE,
    rows: PyTree,
    key: PRNGKeyArray,
    seeds: UInt[np.ndarray, " n"] | None,
    options: Options,
    bar: Progress,
) -> tuple[LogProb, LogProb]:
    below, above = _run(model, rows, key, seeds, options, bar)
    return _summed(below, options, False), _summed(above, options, True)


def _run(
    model: CVAE,
    rows: PyTree,
    key: PRNGKeyArray,
    seeds: UInt[np.ndarray, " n"] | None,
    options: Options,
    bar: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    n = num_rows(rows=rows)
    draws = max(options.num_chains, options.num_temperatures * options.num_chains // 256)
    chunk = min(chunk_size(max(n, 1), draws, rows[0]), ROWS_AT_ONCE)
    return map_rows(anneal_row, model, rows, key, seeds=seeds, chunk=chunk, progress=bar, options=options)


def _summed(differences: np.ndarray, options: Options, reverse: bool) -> LogProb:
    """d along each chain [n, T, chains] to the estimate: exp of the weighted sums, averaged over chains."""
    steps = np.diff(schedule(options.num_temperatures, options.start))
    log_weights = np.einsum("ntk,t->nk", differences.astype(np.float64), steps)
    log_weights = np.where(np.isnan(log_weights), -np.inf, log_weights)
    signed = -log_weights if reverse else log_weights
    largest = signed.max(axis=1, initial=-np.inf)
    known = np.isfinite(largest)  # otherwise no chain has a density, and neither has x
    weights = np.exp(np.where(known[:, None], signed - np.where(known, largest, 0.0)[:, None], 0.0))
    chains = weights.shape[1]
    mean = weights.mean(axis=1)
    value = np.log(mean) + np.where(known, largest, 0.0)
    stderr = weights.std(axis=1, ddof=1) / np.sqrt(chains) / mean
    ess = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    return _log_prob(
        np.where(known, -value if reverse else value, -np.inf),
        np.where(known, stderr, np.inf),
        np.where(known, ess, 0.0),
        np.full(len(mean), chains),
        chains - 1.0,
        options.num_temperatures,
    )


def _log_prob(
    value: np.ndarray, stderr: np.ndarray, ess: np.ndarray, chains: np.ndarray, df: Any, temperatures: int
) -> LogProb:
    return LogProb(
        value,
        stderr,
        ess,
        np.full(len(value), np.nan),  # of so few weights there is no tail
        chains,
        method=f"annealed importance sampling over {temperatures:,} temperatures",
        df=df,
    )


def _mean(scores: list[LogProb], temperatures: int) -> LogProb:
    """Members to their mixture: the mean of densities; errors and sample sizes are those of a sum.

    Degrees of freedom are Welch's and Satterthwaite's: (Σ_k v_k)² / Σ_k v_k² / df_k, v_k the variances.
    """
    value, stderr, ess = (np.stack(part) for part in list(zip(*scores, strict=True))[:3])
    mixed = np.logaddexp.reduce(value, axis=0) - np.log(len(scores))
    dead = np.isneginf(mixed)
    share = np.exp(value - np.where(dead, 0.0, mixed)) / len(scores)
    known = share > 0
    variance = np.where(known, share * np.where(known, stderr, 0.0), 0.0) ** 2
    error = np.sqrt(variance.sum(axis=0))
    each = np.stack([np.broadcast_to(score.df, mixed.shape) for score in scores])
    spread = np.sum(variance**2 / each, axis=0)
    df = np.where(spread > 0, variance.sum(axis=0) ** 2 / np.where(spread > 0, spread, 1.0), np.inf)
    size = np.sum(np.where(known, share**2 / np.where(known, ess, 1.0), 0.0), axis=0)
    chains = np.sum([score.num_samples for score in scores], axis=0)
    ess = np.where(dead, 0.0, 1.0 / np.where(dead, 1.0, size))
    return _log_prob(mixed, np.where(dead, np.inf, error), ess, chains, df, temperatures)
