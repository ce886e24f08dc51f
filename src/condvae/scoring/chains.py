"""Hamiltonian chains of latents from q_φ(z | x, c), or the prior, to the posterior p_θ(z | x, c).

They go through f_β(z) = f_0(z)^(1−β) [p_θ(z | c) p_θ(x | z, c)]^β, 0 = β_0 < ... < β_T = 1, by transitions
that leave each f_β invariant; d(z) = log p_θ(z | c) p_θ(x | z, c) − log f_0(z) is noted on the way.

Step sizes come from a pilot run with noise of its own and are then frozen: a step that adapts to the chain
that it moves would not leave f_β invariant.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.distributions import Distribution
from condvae.model import CVAE

Start = Literal["posterior", "prior"]

LEAPFROGS = 10
"""Steps of a trajectory."""

ACCEPTED = 0.8
"""The share of trajectories that the pilot run aims to have accepted."""

WARM_UP, PILOT_CHAINS = 40, 8
"""Trajectories of the pilot run before it sets out, and its chains."""


class Options(NamedTuple):
    """How many temperatures there are, how many chains, and what they start in."""

    num_temperatures: int
    num_chains: int
    start: Start


def moves_through_reals(model: CVAE, c: PyTree) -> bool:
    """Whether the latent ranges over all real numbers, so that chains can move it."""
    answers = []

    def look(c: PyTree) -> Array:
        answers.append(is_real(model.p_z(c)))
        return jnp.zeros(())

    blank = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape[1:], leaf.dtype)), c)
    eqx.filter_eval_shape(look, blank)
    return answers[0]


def is_real(prior: Distribution) -> bool:
    """Whether a latent with this prior ranges over all real numbers."""
    leaves = jax.tree.leaves(prior.sample(jax.random.key(0)))
    return prior.on_reals and all(jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves)


def schedule(num_temperatures: int, start: Start) -> Float[np.ndarray, " ends"]:
    """β_0 ... β_T: even from q; from the prior, finer at both ends, where most of the way is."""
    t = np.linspace(0.0, 1.0, num_temperatures + 1)
    if start == "posterior":
        return t
    s = 1.0 / (1.0 + np.exp(-8.0 * (t - 0.5)))
    return (s - s[0]) / (s[-1] - s[0])


class Path:
    """The densities between f_0 and the joint, of one row, over flat latents in units of their spread."""

    def __init__(self, model: CVAE, x: PyTree, c: PyTree, start: Start, key: PRNGKeyArray):
        self.prior = model.p_z(c)
        posterior = model.q_z(x, c, self.prior)
        self.first = posterior if start == "posterior" else self.prior
        self.model, self.x, self.c = model, x, c
        self.unravel = ravel_pytree(self.first.sample(key))[1]
        keys = jax.random.split(key, 64)
        spreads = []
        for source in (self.first, posterior):
            drawn = jax.vmap(lambda key, source=source: ravel_pytree(source.sample(key))[0])(keys)
            spreads.append(jnp.maximum(jnp.std(drawn, axis=0), 1e-6))
        self.near, self.far = spreads

    def spread(self, beta: Array) -> Array:
        """What a step is measured in, at β: from the spread of f_0 to that of q."""
        return ((1.0 - beta) * self.near**-2 + beta * self.far**-2) ** -0.5

    def ends(self, z: Float[Array, " d"]) -> tuple[Array, Array]:
        """log f_0 and log of the joint."""
        value = self.unravel(z)
        first = self.first.log_prob(value)
        joint = self.prior.log_prob(value) + self.model.p_x(value, self.c).log_prob(self.x)
        return first, joint

    def difference(self, z: Float[Array, " d"]) -> Array:
        """d(z) = log of the joint − log f_0."""
        first, joint = self.ends(z)
        return joint - first

    def log_density(self, z: Float[Array, " d"], beta: Array) -> Array:
        first, joint = self.ends(z)
        return (1.0 - beta) * first + beta * joint

    def move(
        self, z: Float[Array, " d"], beta: Array, step: Array, key: PRNGKeyArray
    ) -> tuple[Float[Array, " d"], Array]:
        """One Hamiltonian transition that leaves f_β invariant, and the probability of its acceptance."""
        momentum_key, length_key, accept_key = jax.random.split(key, 3)
        slope = jax.value_and_grad(self.log_density)
        spread = self.spread(beta)
        # A step of random length, so that no trajectory of a Gaussian returns to where it began.
        size = step * jax.random.uniform(length_key, (), z.dtype, 0.4, 1.0)
        momentum = jax.random.normal(momentum_key, z.shape, z.dtype)
        before, gradient = slope(z, beta)

        def leap(state: tuple, _: None) -> tuple[tuple, None]:
            z, momentum, gradient, _ = state
            momentum = momentum + 0.5 * size * spread * gradient
            z = z + size * spread * momentum
            value, gradient = slope(z, beta)
            return (z, momentum + 0.5 * size * spread * gradient, gradient, value), None

        (proposal, end, _, after), _ = jax.lax.scan(leap, (z, momentum, gradient, before), None, LEAPFROGS)
        log_ratio = after - before + 0.5 * (jnp.sum(momentum**2) - jnp.sum(end**2))
        chance = jnp.where(jnp.isnan(log_ratio), 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
        accepted = jax.random.uniform(accept_key, (), z.dtype) < chance
        return jnp.where(accepted, proposal, z), chance


def pilot(path: Path, betas: np.ndarray, key: PRNGKeyArray) -> Array:
    """A step size for each of β_1 ... β_T, found on the way from f_0 by chains of its own."""
    stops = max(20, (len(betas) - 1) // 5)
    visited = np.interp(np.linspace(0, 1, stops), np.linspace(0, 1, len(betas)), betas)
    way = jnp.asarray(np.concatenate([np.zeros(WARM_UP), visited]))
    start_key, key = jax.random.split(key)
    z = jax.vmap(lambda key: ravel_pytree(path.first.sample(key))[0])(
        jax.random.split(start_key, PILOT_CHAINS)
    )

    def stop(state: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        z, log_step = state
        beta, key = at
        keys = jax.random.split(key, PILOT_CHAINS)
        z, chance = jax.vmap(path.move, (0, None, None, 0))(z, beta, jnp.exp(log_step), keys)
        changed = jnp.clip(log_step + 0.4 * (jnp.mean(chance) - ACCEPTED), -12.0, 1.0)
        return (z, changed), changed

    begin = (z, jnp.full((), -1.0, z.dtype))
    _, log_steps = jax.lax.scan(stop, begin, (way.astype(z.dtype), jax.random.split(key, len(way))))
    log_steps = log_steps[WARM_UP:]
    window = min(11, stops)
    padded = jnp.pad(log_steps, window // 2, mode="edge")
    smooth = jnp.convolve(padded, jnp.full(window, 1.0 / window, z.dtype), mode="valid")[:stops]
    at = jnp.asarray(betas[1:], z.dtype)
    return jnp.exp(jnp.interp(at, jnp.asarray(visited, z.dtype), smooth))


def anneal_row(model: CVAE, row: PyTree, key: PRNGKeyArray, options: Options) -> tuple[Array, Array]:
    """d along chains from below, and from above: [T, chains] each, in the order of the temperatures.

    Those from above start in the latent that comes with the row; without one, in a chain of those from
    below, drawn by its weight.
    """
    x, c, latent = row
    up_key, choose_key, above_key = jax.random.split(key, 3)
    path, steps, z, below = _up(model, x, c, up_key, options)
    betas = schedule(options.num_temperatures, options.start)
    move, difference = jax.vmap(path.move, (0, None, None, 0)), jax.vmap(path.difference)

    def down(z: Array, at: tuple) -> tuple[Array, Array]:
        beta, step, key = at
        z = move(z, beta, step, jax.random.split(key, options.num_chains))[0]
        return z, difference(z)

    if latent is None:
        log_weights = _log_weights(below, betas)
        z = z[jax.random.categorical(choose_key, log_weights, shape=(options.num_chains,))]
    else:
        z = jnp.broadcast_to(ravel_pytree(latent)[0], z.shape)
    keys = jax.random.split(above_key, options.num_temperatures)
    at = (jnp.asarray(betas[1:], z.dtype), steps, keys)
    _, above = jax.lax.scan(down, z, at, reverse=True)
    return below, above


def posterior_row(
    model: CVAE, x: PyTree, c: PyTree, key: PRNGKeyArray, options: Options
) -> tuple[PyTree, Float[Array, " chains"]]:
    """Latents led to p_θ(z | x, c), one at the end of each chain, and the logarithms of their weights."""
    path, _, z, below = _up(model, x, c, key, options)
    return jax.vmap(path.unravel)(z), _log_weights(below, schedule(options.num_temperatures, options.start))


def _log_weights(differences: Float[Array, "T chains"], betas: np.ndarray) -> Float[Array, " chains"]:
    steps = jnp.asarray(np.diff(betas), differences.dtype)
    log_weights = jnp.sum(differences * steps[:, None], axis=0)
    return jnp.where(jnp.isnan(log_weights), -jnp.inf, log_weights)


def _up(
    model: CVAE, x: PyTree, c: PyTree, key: PRNGKeyArray, options: Options
) -> tuple[Path, Array, Float[Array, "chains d"], Float[Array, "T chains"]]:
    """The path, its steps, where chains from below end, and d along them."""
    spread_key, pilot_key, start_key, below_key = jax.random.split(key, 4)
    path = Path(model, x, c, options.start, spread_key)
    betas = schedule(options.num_temperatures, options.start)
    steps = pilot(path, betas, pilot_key)
    z = jax.vmap(lambda key: ravel_pytree(path.first.sample(key))[0])(
        jax.random.split(start_key, options.num_chains)
    )
    move, difference = jax.vmap(path.move, (0, None, None, 0)), jax.vmap(path.difference)

    def up(z: Array, at: tuple) -> tuple[Array, Array]:
        beta, step, key = at
        before = difference(z)
        return move(z, beta, step, jax.random.split(key, options.num_chains))[0], before

    keys = jax.random.split(below_key, options.num_temperatures)
    z, below = jax.lax.scan(up, z, (jnp.asarray(betas[1:], z.dtype), steps, keys))
    return path, steps, z, below
