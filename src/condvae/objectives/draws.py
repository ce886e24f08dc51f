"""Draws of every kind that an objective may ask for.

`CVAE.draws` gives those through which a gradient reaches φ. An objective asks for others by its declaration
(`condvae.objectives.takes`):

| kind          | z_1 ... z_K                                                                           |
| ------------- | ------------------------------------------------------------------------------------- |
| `draws`       | of q, with a gradient along them; or all there is of z; the default                   |
| `doubly`      | of q, the gradient along z_k multiplied by its normalised weight                        |
| `generalised` | the same, of which a part goes along the prior's path instead of its density            |
| `sampled`     | of q, of any kind, without a gradient along them                                       |
| `wake`        | the same; and in q the prior is stopped, so that φ alone is moved by log q              |
| `defensive`   | as `wake`, a quarter of them of the prior; `log_measure` weighs for it                  |
| `dreamt`      | of the prior, each with an x of its own of the likelihood, which q then sees            |
| `from_prior`  | of the prior, with a gradient along them: q is the prior                                |
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from condvae.distributions import Distribution
from condvae.model import CVAE, Draws, over_draws, stop_parameters
from condvae.objectives.declaration import Kind, declaration_of
from condvae.observed import Observed
from condvae.sentences import InputError

PRIOR_SHARE = 0.25
"""The share of defensive draws that are of the prior."""

BEYOND = 2**20
"""More keys than a key is split into."""


def evaluate(
    objective: Callable[..., Array],
    model: CVAE,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    chunk: int | None = None,
    **options: float | Array,
) -> Array:
    """An objective of one example: of all the draws that it asks for.

    Args:
        objective: a function of draws.
        model: what to draw from.
        x: one example.
        c: its condition, or None.
        key: a PRNG key.
        num_samples: K, of each kind of draws.
        chunk: how many draws are scored at once, see `CVAE.draws`.
        **options: what the objective is given besides.

    Raises:
        ValueError: if the model has no draws of such a kind, in a sentence that says why.

    Example:
        >>> import jax
        >>> from condvae.objectives.draws import evaluate
        >>> from condvae.linear_gaussian import exact_log_prob, random_linear_gaussian
        >>> from condvae.objectives import doubly_reparameterised
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=1, z_size=1)
        >>> x = jax.numpy.ones(1)
        >>> key = jax.random.key(1)
        >>> value = evaluate(doubly_reparameterised, model, x, key=key, num_samples=2000)
        >>> bool(abs(value - exact_log_prob(model, x[None])[0]) < 0.1)
        True
    """
    kinds = declaration_of(objective).draws
    drawn = _drawn(kinds, model, x, c, key=key, num_samples=num_samples, chunk=chunk)
    return objective(*drawn, **options)


def evaluate_batch(
    objective: Callable[..., Array],
    model: CVAE,
    batch: PyTree,
    keys: Shaped[Array, "B ..."],
    *,
    num_samples: int = 1,
    chunk: int | None = None,
    **options: float | Array,
) -> Float[Array, "B ..."]:
    """An objective of a batch, (x, c) with rows on a leading axis: what each row has a share in.

    Raises:
        ValueError: if the objective is of one example: it would reduce over rows as if they were draws.
    """
    declaration = declaration_of(objective)
    if not declaration.of_batches:
        raise ValueError(
            "the objective is of one example: use evaluate, or declare it with takes(..., of_batches=True)"
        )

    def one(row: PyTree, key: PRNGKeyArray) -> tuple[Draws, ...]:
        return _drawn(declaration.draws, model, *row, key=key, num_samples=num_samples, chunk=chunk)

    return objective(*jax.vmap(one)(batch, keys), **options)


def _drawn(kinds: tuple[Kind, ...], *inputs: Any, key: PRNGKeyArray, **options: Any) -> tuple[Draws, ...]:
    # The first takes the key itself: one more to draw is a kernel more in every training step. It splits
    # it, and as split(key)[i] is fold_in(key, i), the others are folded in beyond what a split reaches.
    return tuple(
        KINDS[kind](*inputs, key=jax.random.fold_in(key, BEYOND + place) if place else key, **options)
        for place, kind in enumerate(kinds)
    )


def _doubly(
    model: CVAE, x: PyTree, c: PyTree, *, key: PRNGKeyArray, num_samples: int, chunk: int | None
) -> Draws:
    """Of q; what comes back along z_k is multiplied by w_k / Σ w before it reaches φ."""
    return _weighed(model, x, c, key, num_samples, chunk, generalised=False)


def _generalised(
    model: CVAE, x: PyTree, c: PyTree, *, key: PRNGKeyArray, num_samples: int, chunk: int | None
) -> Draws:
    return _weighed(model, x, c, key, num_samples, chunk, generalised=True)


def _weighed(
    model: CVAE,
    x: PyTree,
    c: PyTree,
    key: PRNGKeyArray,
    num_samples: int,
    chunk: int | None,
    generalised: bool,
) -> Draws:
    prior = model.p_z(c)
    posterior = model.q_z(x, c, prior)
    if not posterior.reparameterised:
        raise ValueError(
            "doubly reparameterised gradients follow every draw along its path, and this posterior's draws "
            "have none, or one in part only: use elbo or iwae where z can be enumerated, else vimco or "
            "wake_wake"
        )
    z = over_draws(posterior.sample, None)(_keys(key, num_samples))
    model.require_shapes(jax.tree.map(lambda leaf: leaf[0], z), x, c, prior)
    still = stop_parameters(model)
    still_prior = still.p_z(c)
    still_posterior = still.q_z(x, c, still_prior)

    def score(model: CVAE, prior: Distribution, towards: PyTree, at: PyTree) -> tuple[Array, Array, Array]:
        log_prior, log_posterior = prior.log_prob(towards), still_posterior.log_prob(towards)
        return log_prior, model.p_x(at, c).log_prob(x), log_posterior

    # The same numbers as below, which a compiler finds out: it scores the draws once.
    fixed = jax.lax.stop_gradient(z)
    first = over_draws(lambda z: score(still, still_prior, z, z), chunk)(fixed)
    weights = jax.nn.softmax(first[0] + first[1] - first[2])
    if generalised:
        along = over_draws(prior.reparameterised_at, None)(fixed)
        if along is None:
            raise ValueError(
                "generalised doubly reparameterised gradients follow the prior's path as well, and this "
                "prior cannot say of which noise a draw was made: use doubly_reparameterised, or a prior "
                "that is Gaussian, a flow or a hierarchy of such"
            )
        towards, at = _routed(z, along, weights, -weights), _routed(z, along, weights, 1.0 - weights)
        log_prior, log_likelihood, log_posterior = over_draws(
            lambda towards, at: score(model, still_prior, towards, at), chunk
        )(towards, at)
    else:
        routed = _routed(z, None, weights, weights)
        log_prior, log_likelihood, log_posterior = over_draws(lambda z: score(model, prior, z, z), chunk)(
            routed
        )
    return Draws(
        z=z,
        log_prior=log_prior,
        log_likelihood=log_likelihood,
        log_posterior=log_posterior,
        log_posterior_stopped=log_posterior,
        log_measure=_evenly(log_prior),
        kl=None,
        reparameterised=True,
        enumerated=False,
    )


@jax.custom_vjp
def _routed(z: PyTree, along: PyTree, weight: Array, other: Array) -> PyTree:
    """z itself; of what comes back to it z is given `weight` and `along`, the same numbers, `other`."""
    return z


def _routed_forward(z: PyTree, along: PyTree, weight: Array, other: Array) -> tuple[PyTree, tuple]:
    return z, (None if along is None else (), weight, other)


def _routed_backward(kept: tuple, back: PyTree) -> tuple:
    some, weight, other = kept

    def times(factor: Array) -> PyTree:
        return jax.tree.map(lambda leaf: leaf * factor.reshape(-1, *[1] * (leaf.ndim - 1)), back)

    return (
        times(weight),
        None if some is None else times(other),
        jnp.zeros_like(weight),
        jnp.zeros_like(other),
    )


_routed.defvjp(_routed_forward, _routed_backward)


def _sampled(
    model: CVAE, x: PyTree, c: PyTree, *, key: PRNGKeyArray, num_samples: int, chunk: int | None
) -> Draws:
    prior = model.p_z(c)
    posterior = model.q_z(x, c, prior)
    z = over_draws(posterior.sample, None)(_keys(key, num_samples))
    return _scored(model, x, c, prior, posterior, z, chunk)


def _wake(
    model: CVAE, x: PyTree, c: PyTree, *, key: PRNGKeyArray, num_samples: int, chunk: int | None
) -> Draws:
    posterior = model.q_z(x, c, stop_parameters(model).p_z(c))
    z = over_draws(posterior.sample, None)(_keys(key, num_samples))
    return _scored(model, x, c, model.p_z(c), posterior, z, chunk)


def _defensive(
    model: CVAE, x: PyTree, c: PyTree, *, key: PRNGKeyArray, num_samples: int, chunk: int | None
) -> Draws:
    if num_samples < 2:
        said = "defensive draws are of q and of the prior, and {argument} is {n}"
        raise InputError(said, remedy="give at least 2", argument="num_samples", n=num_samples)
    prior, of_prior = model.p_z(c), max(1, round(PRIOR_SHARE * num_samples))
    posterior = model.q_z(x, c, stop_parameters(model).p_z(c))
    keys, of_q = _keys(key, num_samples), num_samples - of_prior
    groups = over_draws(posterior.sample, None)(keys[:of_q]), over_draws(prior.sample, None)(keys[of_q:])
    draws = _scored(
        model, x, c, prior, posterior, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *groups), chunk
    )
    # The density of the mixture, each of the two by its share of the draws.
    shares = [math.log(number / num_samples) for number in (of_q, of_prior)]
    mixture = jnp.logaddexp(draws.log_posterior + shares[0], draws.log_prior + shares[1])
    measure = jax.lax.stop_gradient(draws.log_posterior - mixture) - math.log(num_samples)
    return _replaced(draws, log_measure=measure)


def _dreamt(
    model: CVAE, x: PyTree, c: PyTree, *, key: PRNGKeyArray, num_samples: int, chunk: int | None
) -> Draws:
    prior, still = model.p_z(c), stop_parameters(model)

    def dream(key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        z_key, x_key = jax.random.split(key)
        z = still.p_z(c).sample(z_key)
        return z, _in_place_of(x, still.p_x(z, c).sample(x_key))

    z, seen = jax.lax.stop_gradient(over_draws(dream, chunk)(_keys(key, num_samples)))

    def score(z: PyTree, x: PyTree) -> tuple[Array, Array, Array, Array]:
        of_posterior = model.q_z(x, c, still.p_z(c)).log_prob(z), still.q_z(x, c).log_prob(z)
        return prior.log_prob(z), model.p_x(z, c).log_prob(x), *of_posterior

    log_prior, log_likelihood, log_posterior, stopped = over_draws(score, chunk)(z, seen)
    return Draws(
        z=z,
        log_prior=log_prior,
        log_likelihood=log_likelihood,
        log_posterior=log_posterior,
        log_posterior_stopped=stopped,
        log_measure=_evenly(log_prior),
        kl=None,
        reparameterised=False,
        enumerated=False,
    )


def _from_prior(
    model: CVAE, x: PyTree, c: PyTree, *, key: PRNGKeyArray, num_samples: int, chunk: int | None
) -> Draws:
    # A model whose q is the prior, so that what is discrete is summed over as ever.
    return CVAE(_Prior(model), model.likelihood, _Same()).draws(
        x, c, key=key, num_samples=num_samples, chunk=chunk
    )


class _Prior(eqx.Module):
    """Of a model, also where it is made of the posterior."""

    of: CVAE

    def __call__(self, c: PyTree) -> Distribution:
        return self.of.p_z(c)


class _Same(eqx.Module):
    def __call__(self, x: PyTree, c: PyTree, prior: Distribution) -> Distribution:
        return prior


def _scored(
    model: CVAE,
    x: PyTree,
    c: PyTree,
    prior: Distribution,
    posterior: Distribution,
    z: PyTree,
    chunk: int | None,
) -> Draws:
    """Draws that no gradient goes along, of whatever they are."""
    z = jax.lax.stop_gradient(z)
    model.require_shapes(jax.tree.map(lambda leaf: leaf[0], z), x, c, prior)

    def score(z: PyTree) -> tuple[Array, Array, Array]:
        return prior.log_prob(z), model.p_x(z, c).log_prob(x), posterior.log_prob(z)

    log_prior, log_likelihood, log_posterior = over_draws(score, chunk)(z)
    return Draws(
        z=z,
        log_prior=log_prior,
        log_likelihood=log_likelihood,
        log_posterior=log_posterior,
        log_posterior_stopped=jax.lax.stop_gradient(log_posterior),
        log_measure=_evenly(log_prior),
        kl=None,
        reparameterised=False,
        enumerated=False,
    )


def _replaced(draws: Draws, **fields: Any) -> Draws:
    kept = {name: getattr(draws, name) for name in Draws.__dataclass_fields__}
    return Draws(**{**kept, **fields})


def _evenly(like: Array) -> Array:
    return jnp.full_like(like, -math.log(len(like)))


def _keys(key: PRNGKeyArray, num_samples: int) -> Shaped[Array, "draws ..."]:
    return key[None] if num_samples == 1 else jax.random.split(key, num_samples)


def _in_place_of(x: PyTree, drawn: PyTree) -> PyTree:
    """A drawn x as the data have it: of the same types, and with the same cells missing."""

    def one(old: Any, new: Array) -> Any:
        if isinstance(old, Observed):
            return Observed(jnp.where(old.mask, new, 0).astype(old.value.dtype), old.mask)
        return new.astype(jnp.asarray(old).dtype)

    return jax.tree.map(one, x, drawn, is_leaf=lambda leaf: isinstance(leaf, Observed))


KINDS: dict[Kind, Callable[..., Draws]] = {
    "draws": CVAE.draws,
    "doubly": _doubly,
    "generalised": _generalised,
    "sampled": _sampled,
    "wake": _wake,
    "defensive": _defensive,
    "dreamt": _dreamt,
    "from_prior": _from_prior,
}
"""How draws of each kind are made."""
