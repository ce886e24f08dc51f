"""Objectives: functions over `Draws`, to be maximised.

Each takes the draws of one example and returns a scalar in nats, a reduction of the log importance
weights log w_k = log p_θ(z_k | c) + log p_θ(x | z_k, c) − log q_φ(z_k | x, c). A user's own objective is
one more such function.

An objective differentiates through the draws, so z must be reparameterised, or enumerated (then every
expectation is a sum, and exact), or have a discrete part that is summed over while the rest is
reparameterised. It refuses anything else, in the sentence of `_require_gradient`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from condvae.distributions import MAX_SUPPORT, Scalar
from condvae.model import Draws


def elbo(draws: Draws, *, beta: float | Float[Array, ""] = 1.0, free_bits: float = 0.0) -> Scalar:
    """The evidence lower bound: E_q[log p_θ(x | z, c)] − β KL(q_φ(z | x, c) || p_θ(z | c)).

    With β = 1 its expectation is log p_θ(x | c) − KL(q_φ(z | x, c) || p_θ(z | x, c)), a lower bound of
    log p_θ(x | c); with any other β it is no bound. The KL is in closed form where there is one, by
    Monte Carlo from the same draws otherwise; exact, sum by sum, where z is enumerated.

    With `free_bits` λ > 0 the KL term is max(KL, λ): the first λ nats of a row cost nothing, so that a
    latent that would be given up early in training is kept. It is still a lower bound at β = 1, only
    lower. In `fit`: `objective=functools.partial(elbo, free_bits=1.0)`.

    Args:
        draws: of one example.
        beta: the weight of the KL term.
        free_bits: λ, nats a row.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if z is neither reparameterised nor enumerated.

    Source:
        Kingma and Welling 2014; Sohn, Lee and Yan 2015; Kingma et al. 2016 (free bits).
    """
    _require_gradient(draws, "elbo")
    kl = draws.kl
    if kl is None:
        kl = draws.expectation(draws.log_posterior - draws.log_prior)
    if free_bits > 0:
        kl = jnp.maximum(kl, free_bits)
    return draws.expectation(draws.log_likelihood) - beta * kl


def iwae(draws: Draws) -> Scalar:
    """The importance-weighted bound: log (1/K) Σ_k w_k.

    Its expectation is a lower bound of log p_θ(x | c) that tightens as K grows; at K = 1 it is the
    ELBO. Where z is enumerated it is log Σ_z p_θ(z | c) p_θ(x | z, c): log p_θ(x | c) itself.

    Args:
        draws: of one example.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if z is neither reparameterised nor enumerated.

    Source:
        Burda, Grosse and Salakhutdinov 2016.
    """
    _require_gradient(draws, "iwae")
    if draws.enumerated:
        return jax.nn.logsumexp(draws.log_prior + draws.log_likelihood)
    return jax.nn.logsumexp(draws.log_weights + draws.log_measure)


def sticking_the_landing(draws: Draws, *, beta: float | Float[Array, ""] = 1.0) -> Scalar:
    """The ELBO with the path gradient: the posterior's own score is left out of the gradient.

    Value: E_q[log p_θ(x | z, c) + β (log p_θ(z | c) − log q_φ(z | x, c))] by Monte Carlo, the ELBO at
    β = 1. Gradient: φ moves the draws only; log q_φ is evaluated with its parameters stopped, which
    leaves out a term whose expectation is zero. The gradient for φ is unbiased, and without variance
    where q_φ is the exact posterior; that for θ is the ELBO's.

    Args:
        draws: of one example.
        beta: the weight of the KL term.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if z is not reparameterised: an enumerated latent has no path; use `elbo`, which
            is exact there.

    Source:
        Roeder, Wu and Duvenaud 2017.
    """
    if not draws.reparameterised:
        raise ValueError(
            "sticking_the_landing differentiates along the path of the draws, and this posterior's "
            "draws have none: use elbo, which is exact for an enumerated latent"
        )
    log_ratio = draws.log_prior - draws.log_posterior_stopped
    return draws.expectation(draws.log_likelihood + beta * log_ratio)


def _require_gradient(draws: Draws, name: str) -> None:
    if not (draws.reparameterised or draws.enumerated):
        raise ValueError(
            f"{name} needs draws that carry gradients, and this posterior's do not: use a "
            "reparameterised distribution, or a discrete one whose support can be enumerated (to "
            f"{MAX_SUPPORT:,} values); a larger one can be relaxed, by RelaxedCategoricalHead"
        )
