"""Other gradients of the same bounds: less noisy for φ, or for a z that no gradient goes through."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from condvae.distributions import Scalar
from condvae.model import Draws
from condvae.objectives.declaration import takes
from condvae.sentences import InputError


@takes("draws", options=("beta",))
def sticking_the_landing(draws: Draws, *, beta: float | Float[Array, ""] = 1.0) -> Scalar:
    """The ELBO with the path gradient: the posterior's own score is left out of the gradient.

    Value: E_q[log p_θ(x | z, c) + β (log p_θ(z | c) − log q_φ(z | x, c))] by Monte Carlo, at β = 1 the
    ELBO, a lower bound of log p_θ(x | c). Gradient: φ moves the draws only; log q_φ is evaluated with its
    parameters stopped, which leaves out a term whose expectation is zero. The gradient for φ is unbiased,
    and without variance where q_φ is the exact posterior; that for θ is the ELBO's.

    When: the posterior is of the encoder's family, or a flow, so that q comes near it.

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


@takes("doubly")
def doubly_reparameterised(doubly: Draws) -> Scalar:
    """The importance-weighted bound with the doubly reparameterised gradient (DReG) for φ.

    Value: that of `iwae`. Gradient, with w̃_k = w_k / Σ_j w_j and both held:

        θ: Σ_k w̃_k ∂ log w_k / ∂θ,        φ: Σ_k w̃_k² (∂ log w_k / ∂z_k) (∂z_k / ∂φ),

    in expectation those of `iwae`. The signal-to-noise ratio for φ grows with K, where that of `iwae`
    falls, and at the exact posterior its gradient is 0 without variance.

    When: instead of `iwae`, wherever z is reparameterised.

    Args:
        doubly: draws of one example, along which the gradient is weighted.

    Returns:
        A scalar, nats.

    Source:
        Tucker et al. 2019.
    """
    return _weighted(doubly)


@takes("generalised")
def generalised_doubly_reparameterised(generalised: Draws) -> Scalar:
    """As `doubly_reparameterised`, with such a gradient for the parameters of a learned prior too.

    Value: that of `iwae`, a lower bound of log p_θ(x | c). Gradient: with z_k = T_θ(ε_k), the draw that the
    prior makes of some noise ε_k, which is held, what the prior is made of has

        Σ_k (w̃_k ∂ log p_θ(x | z_k, c) / ∂z_k − w̃_k² ∂ log w_k / ∂z_k) (∂T_θ(ε_k) / ∂θ),

    in expectation the gradient of `iwae`. The rest is as there.

    When: the prior is learned, given c, and its gradient is what is noisy.

    Args:
        generalised: draws of one example, along which the gradient is weighted.

    Returns:
        A scalar, nats.

    Source:
        Bauer and Mnih 2021.
    """
    return _weighted(generalised)


def _weighted(draws: Draws) -> Scalar:
    log_weights = draws.log_weights
    share = jax.lax.stop_gradient(jax.nn.softmax(log_weights))
    value = jax.nn.logsumexp(log_weights + draws.log_measure)
    return with_gradient_of(value, jnp.sum(share * log_weights))


@takes("sampled")
def vimco(sampled: Draws) -> Scalar:
    """The importance-weighted bound for any z, by its score: VIMCO, each draw held against the others.

    Value: that of `iwae`, L. Gradient, with w̃ the normalised weights and L_−k the bound where log w_k is
    replaced by the mean of the other log-weights,

        Σ_k w̃_k ∂ log w_k + Σ_k (L − L_−k) ∂ log q_φ(z_k | x, c),

    which is unbiased, as L_−k does not depend on z_k. Nothing has to be differentiable in z.

    When: z is discrete and too large to be enumerated.

    Args:
        sampled: at least 2 draws of one example, of any kind.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if there is one draw: it has no others to be held against.

    Source:
        Mnih and Rezende 2016.
    """
    log_weights = sampled.log_weights
    size = len(log_weights)
    if size < 2:
        said = "vimco holds each draw against the others, and {argument} is 1"
        raise InputError(said, remedy="give at least 2", argument="num_samples")
    value = jax.nn.logsumexp(log_weights + sampled.log_measure)
    held = jax.lax.stop_gradient(log_weights)
    others = (jnp.sum(held) - held) / (size - 1)
    without = jnp.where(jnp.eye(size, dtype=bool), others[:, None], held[None, :])
    baseline = jax.nn.logsumexp(without, axis=1) - jnp.log(size)
    signal = jax.lax.stop_gradient(value) - baseline
    return with_gradient_of(value, value + jnp.sum(signal * sampled.log_posterior))


def with_gradient_of(value: Scalar, surrogate: Scalar) -> Scalar:
    """A number with another's gradient."""
    return jax.lax.stop_gradient(value) + surrogate - jax.lax.stop_gradient(surrogate)
