"""What inference costs, row by row, and whether the encoder or the family of q is to blame.

    log p_θ(x | c) − ELBO  =  [log p_θ(x | c) − ELBO(q*)]  +  [ELBO(q*) − ELBO(q_φ)]
      the inference gap         the approximation gap            the amortisation gap

with q* the best of the family of q for this very row, found by starting at q_φ(z | x, c) and refining its
parameters on the row's own ELBO. What q* leaves is the family's; what q_φ loses against it is the
encoder's.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.calibration import mean_stderr
from condvae.distributions import Distribution
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.objectives import elbo
from condvae.scoring import LogProb, anneal, log_prob
from condvae.vectorise import map_rows, num_rows

STEPS, DRAWS = 100, 16
"""Steps of a round of refinement, and draws of z in each."""

JUDGED = 512
"""Draws, always the same, by which rounds are compared."""

RATE, HALVINGS, WORTH = 0.05, 5, 0.002
"""Adam's rate at first; it is halved after a round that brings less than `WORTH` nats, so many times."""

MAX_ROUNDS = 60
"""No row is refined for more rounds; those that are not done then are said to be."""

NOTICED = 0.1
"""A gap smaller than this, in nats, is not worth a word."""


class Gaps(NamedTuple):
    """The gaps of each row, in nats: arrays of shape (n,).

    Attributes:
        log_prob: log p_θ(x | c), with its error.
        elbo: of q_φ.
        elbo_local: of q*, refined for the row; both from the same fresh noise.
        converged: whether refinement was done before the rounds were.
    """

    log_prob: LogProb
    elbo: np.ndarray
    elbo_local: np.ndarray
    converged: np.ndarray

    @property
    def inference(self) -> tuple[float, float]:
        """The mean of log p − ELBO(q_φ) and its standard error over rows."""
        return mean_stderr(self.log_prob.value.astype(np.float64) - self.elbo)

    @property
    def approximation(self) -> tuple[float, float]:
        """The mean of log p − ELBO(q*) and its standard error over rows."""
        return mean_stderr(self.log_prob.value.astype(np.float64) - self.elbo_local)

    @property
    def amortisation(self) -> tuple[float, float]:
        """The mean of ELBO(q*) − ELBO(q_φ) and its standard error over rows."""
        return mean_stderr(self.elbo_local.astype(np.float64) - self.elbo)

    def words(self) -> str:
        """What the gaps are, and what to do about them."""
        (family, family_error), (encoder, encoder_error) = self.approximation, self.amortisation
        said = []
        if encoder > max(NOTICED, 2 * encoder_error):
            said.append(
                f"the encoder costs {encoder:.2f} ± {encoder_error:.2f} nats per row: widen it or train "
                "longer"
            )
        if family > max(NOTICED, 2 * family_error):
            said.append(f"the family of q costs {family:.2f} ± {family_error:.2f}: try a flow")
        if not said:
            said.append(f"inference costs {sum((family, encoder)):.2f} nats per row, too little to act on")
        if not self.converged.all():
            said.append(
                f"{(~self.converged).sum():,} of {len(self.elbo):,} rows were still being refined when the "
                "rounds were over, so that the encoder may cost more, and the family less"
            )
        if not self.log_prob.trusted.all():
            said.append(
                f"log p of {(~self.log_prob.trusted).sum():,} of {len(self.elbo):,} rows cannot be "
                "trusted, nor can what the family is said to cost there"
            )
        return "; ".join(said)


def gaps(
    model: CVAE,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1000,
    method: Literal["is", "ais"] = "is",
    budget: int | None = None,
    progress: bool = False,
) -> Gaps:
    """The inference gap of each row, and its two parts.

    A row is refined by Adam, in rounds of 100 steps, each judged by the ELBO on noise that stays the same;
    a round that brings too little halves the rate, and after five halvings the row is done. The best round
    is kept. What is reported is the ELBO on fresh noise, for q_φ and q* alike. Neither log p nor a closed
    form has a part in when to stop.

    Args:
        model: a `CVAE`; of a mixture, one member.
        x: n rows on the leading axis.
        c: their conditions, or None.
        key: a PRNG key.
        num_samples: draws for each row, for both ELBOs and for log p.
        method: of finding log p: "is", importance sampling; or "ais", annealed.
        budget: as that of `log_prob`; for "ais" the temperatures, 1000 by default.
        progress: whether to show progress bars.

    Raises:
        ValueError: for a mixture, if rows do not match, or if the gradient of the ELBO cannot be had.
        TypeError: if q has no parameters that may be refined (see `Distribution.unconstrained`).

    Source:
        Cremer, Li and Duvenaud 2018.

    Example:
        >>> import jax
        >>> from condvae.diagnosis import gaps
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2)
        >>> x = jax.random.normal(jax.random.key(1), (5, 3))
        >>> cost = gaps(model, x, key=jax.random.key(2))  # a full covariance: the family has the posterior
        >>> abs(cost.approximation[0]) < 0.05, cost.amortisation[0] > 0.1
        (True, True)
    """
    if isinstance(model, Mixture):
        raise ValueError("gaps are of one model: take a member of the mixture, mixture.member(k)")
    if method not in ("is", "ais"):
        raise ValueError(f"method is {method!r}, expected is or ais")
    num_rows(x=x, c=c)
    score_key, refine_key = jax.random.split(key)
    if method == "ais":
        score = anneal(model, x, c, key=score_key, num_temperatures=budget or 1000, progress=progress).lower
    else:
        score = log_prob(
            model, x, c, key=score_key, num_samples=num_samples, budget=budget, progress=progress
        )
    elbo, local, converged = map_rows(
        _refine_row,
        model,
        (x, c),
        refine_key,
        draws=max(num_samples, JUDGED),
        progress=progress,
        label="refining",
        num_samples=num_samples,
    )
    return Gaps(score, elbo, local, converged)


class _Given(eqx.Module):
    """The prior, or the posterior, that is this distribution."""

    of: Distribution

    def __call__(self, *inputs: PyTree, prior: Distribution | None = None) -> Distribution:
        return self.of


class _State(NamedTuple):
    parameters: PyTree
    moments: Any
    best: PyTree
    judged: Array
    halvings: Array
    rounds: Array


def _refine_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int
) -> tuple[Array, Array, Array]:
    """The ELBO of q_φ, that of q*, and whether refinement was done."""
    x, c = row
    given = model.p_z(c)  # as it is: a prior that is made of the posterior is not refined along with it
    start, rebuild = model.q_z(x, c, given).unconstrained()
    judge_key, fresh_key, key = jax.random.split(key, 3)

    def bound(parameters: PyTree, key: PRNGKeyArray, draws: int) -> Array:
        local = CVAE(_Given(given), model.likelihood, _Given(rebuild(parameters)))
        return elbo(local.draws(x, c, key=key, num_samples=draws))

    optimiser = optax.adam(1.0)

    def go_on(state: _State) -> Array:
        return (state.halvings <= HALVINGS) & (state.rounds < MAX_ROUNDS)

    def one_round(state: _State) -> _State:
        rate = RATE * 0.5 ** state.halvings.astype(state.judged.dtype)

        def step(carry: tuple[PyTree, Any], key: PRNGKeyArray) -> tuple[tuple[PyTree, Any], None]:
            parameters, moments = carry
            slope = jax.grad(lambda p: -bound(p, key, DRAWS))(parameters)
            finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(slope)]))
            slope = jax.tree.map(lambda leaf: jnp.where(finite, leaf, 0.0), slope)
            update, moments = optimiser.update(slope, moments, parameters)
            return (jax.tree.map(lambda p, u: p + rate * u, parameters, update), moments), None

        keys = jax.random.split(jax.random.fold_in(key, state.rounds), STEPS)
        (parameters, moments), _ = jax.lax.scan(step, (state.parameters, state.moments), keys)
        now = bound(parameters, judge_key, JUDGED)
        better = now > state.judged
        worth = now > state.judged + WORTH

        def pick(new: Array, old: Array) -> Array:
            return jnp.where(better, new, old)

        best = jax.tree.map(pick, parameters, state.best)
        # A round that was not worth it goes back to the best, at half the rate.
        again = jax.tree.map(lambda p, b: jnp.where(worth, p, b), parameters, best)
        return _State(
            again,
            moments,
            best,
            jnp.where(better, now, state.judged),
            state.halvings + jnp.where(worth, 0, 1),
            state.rounds + 1,
        )

    zero = jnp.zeros((), jnp.int32)
    begin = _State(start, optimiser.init(start), start, bound(start, judge_key, JUDGED), zero, zero)
    end = jax.lax.while_loop(go_on, one_round, begin)
    encoder_bound, local = (bound(parameters, fresh_key, num_samples) for parameters in (start, end.best))
    return encoder_bound, local, end.halvings > HALVINGS
