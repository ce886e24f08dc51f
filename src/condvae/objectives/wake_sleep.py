"""Reweighted wake-sleep: θ climbs the bound, q the likelihood of posterior draws; for any kind of z.

Each has the value of an importance-weighted bound of log p_θ(x | c), by which held-out rows are judged. Its
gradient is not that of its value: φ follows an objective of its own.
"""

import jax
import jax.numpy as jnp

from condvae.distributions import Scalar
from condvae.model import Draws
from condvae.objectives.declaration import takes
from condvae.objectives.gradients import with_gradient_of


@takes("wake")
def wake_wake(wake: Draws) -> Scalar:
    """Reweighted wake-sleep with both updates awake.

    Value: that of `iwae`, a lower bound of log p_θ(x | c). Gradient, with w̃_k = w_k / Σ_j w_j, and neither
    w̃ nor z differentiated:

        θ: Σ_k w̃_k ∂ log p_θ(x, z_k | c) / ∂θ,        φ: Σ_k w̃_k ∂ log q_φ(z_k | x, c) / ∂φ,

    that of the bound for θ, and for φ that of −KL(p_θ(z | x, c) || q_φ(z | x, c)), biased as 1/K. Where
    q is made of the prior, the prior is held in it.

    When: z is discrete, or q should cover all of the posterior; with K of at least 10 or so.

    Args:
        wake: draws of q for one example.

    Returns:
        A scalar, nats.

    Source:
        Bornschein and Bengio 2015; Le et al. 2019.
    """
    return with_gradient_of(_bound(wake), _wake_theta(wake) + _wake_phi(wake))


@takes("defensive")
def defensive_wake_wake(defensive: Draws) -> Scalar:
    """`wake_wake`, a quarter of the draws from the prior, so that weights stay bounded while q is poor.

    Draws are weighted by p_θ(x, z | c) / s(z), s = 0.75 q + 0.25 p_θ(z | c); the value is the bound with s
    in the place of q.

    When: `wake_wake` gets stuck because q never draws what the posterior has.

    Args:
        defensive: at least 2 draws for one example, of q and of the prior.

    Returns:
        A scalar, nats.

    Source:
        Le et al. 2019; Hesterberg 1995.
    """
    return with_gradient_of(_bound(defensive), _wake_theta(defensive) + _wake_phi(defensive))


@takes("wake", "dreamt")
def wake_sleep(wake: Draws, dreamt: Draws) -> Scalar:
    """Reweighted wake-sleep with φ asleep: q learns from pairs (z, x) that the model has dreamt.

    Value: that of `iwae`, a lower bound of log p_θ(x | c). Gradient: θ as in `wake_wake`; φ:
    (1/K) Σ_k ∂ log q_φ(z_k | x_k, c) / ∂φ with (z_k, x_k) ~ p_θ(z, x | c), unbiased for
    −E KL(p_θ(z | x, c) || q_φ(z | x, c)), the expectation over x that the model makes rather than over
    those of the data.

    When: no weights can be trusted at first, as q is far away; each dream is a pass of the encoder more.

    Args:
        wake: draws of q for one example.
        dreamt: draws of z and x, given its c.

    Returns:
        A scalar, nats.

    Source:
        Hinton et al. 1995; Le et al. 2019.
    """
    return with_gradient_of(_bound(wake), _wake_theta(wake) + jnp.mean(dreamt.log_posterior))


def _bound(draws: Draws) -> Scalar:
    return jax.nn.logsumexp(draws.log_weights + draws.log_measure)


def _shares(draws: Draws) -> jax.Array:
    return jax.lax.stop_gradient(jax.nn.softmax(draws.log_weights + draws.log_measure))


def _wake_theta(draws: Draws) -> Scalar:
    return jnp.sum(_shares(draws) * (draws.log_prior + draws.log_likelihood))


def _wake_phi(draws: Draws) -> Scalar:
    return jnp.sum(_shares(draws) * draws.log_posterior)
