"""Bounds of log p_θ(x | c): their values, with the gradient that automatic differentiation gives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from condvae.distributions import MAX_SUPPORT, Scalar
from condvae.model import Draws
from condvae.objectives.declaration import takes


@takes("draws", options=("beta", "free_bits", "monte_carlo"))
def elbo(
    draws: Draws,
    *,
    beta: float | Float[Array, ""] = 1.0,
    free_bits: float = 0.0,
    monte_carlo: bool = False,
) -> Scalar:
    """The evidence lower bound: E_q[log p_θ(x | z, c)] − β KL(q_φ(z | x, c) || p_θ(z | c)).

    With β = 1 its expectation is log p_θ(x | c) − KL(q_φ(z | x, c) || p_θ(z | x, c)), a lower bound of
    log p_θ(x | c); with β > 1 a looser one, with β < 1 none. The KL is in closed form where there is one,
    by Monte Carlo from the same draws otherwise; exact, sum by sum, where z is enumerated.

    With `free_bits` λ > 0 the KL term is max(KL, λ): the first λ nats of a row cost nothing, so that a
    latent that would be given up early in training is kept. It is still a lower bound at β = 1, only
    lower. In `fit`: `objective=functools.partial(elbo, free_bits=1.0)`.

    When: first. It is the cheapest, and its gradient the least noisy for K = 1.

    Args:
        draws: of one example.
        beta: the weight of the KL term.
        free_bits: λ, nats per row.
        monte_carlo: whether the KL is averaged over the draws, also where it has a closed form.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if z is neither reparameterised nor enumerated.

    Source:
        Kingma and Welling 2014; Sohn, Lee and Yan 2015; Higgins et al. 2017 (β); Kingma et al. 2016 (free
        bits).
    """
    require_gradient(draws, "elbo")
    kl = None if monte_carlo else draws.kl
    if kl is None:
        kl = draws.expectation(draws.log_posterior - draws.log_prior)
    if free_bits > 0:
        kl = jnp.maximum(kl, free_bits)
    return draws.expectation(draws.log_likelihood) - beta * kl


@takes("draws")
def iwae(draws: Draws) -> Scalar:
    """The importance-weighted bound: log (1/K) Σ_k w_k.

    Its expectation is a lower bound of log p_θ(x | c) that tightens as K grows; at K = 1 it is the
    ELBO. Where z is enumerated it is log Σ_z p_θ(z | c) p_θ(x | z, c): log p_θ(x | c) itself.

    When: the posterior is not of the encoder's family, and θ matters more than q. The gradient for φ
    drowns in its noise as K grows (its signal-to-noise ratio falls as 1/√K); that of
    `doubly_reparameterised` does not.

    Args:
        draws: of one example.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if z is neither reparameterised nor enumerated.

    Source:
        Burda, Grosse and Salakhutdinov 2016; Rainforth et al. 2018 (signal-to-noise).
    """
    require_gradient(draws, "iwae")
    if draws.enumerated:
        return jax.nn.logsumexp(draws.log_prior + draws.log_likelihood)
    return jax.nn.logsumexp(draws.log_weights + draws.log_measure)


@takes("draws", options=("alpha",))
def renyi(draws: Draws, *, alpha: float = 0.5) -> Scalar:
    """The variational Rényi bound: log ((1/K) Σ_k w_k^(1 − α)) / (1 − α), between the ELBO and log p.

    For K → ∞ it is log p_θ(x | c) − D_α(q_φ(z | x, c) || p_θ(z | x, c)). At α = 0 it is `iwae`, for α → 1
    the ELBO, and for 0 ≤ α ≤ 1 a lower bound of log p_θ(x | c), whatever K. For α < 0 its limit is an
    upper bound and its expectation at a finite K is neither.

    When: between a q that covers the posterior (α towards 0) and one that looks for a mode (α towards 1).

    Args:
        draws: of one example.
        alpha: α, any number but 1.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if α is 1, or z is neither reparameterised nor enumerated.

    Source:
        Li and Turner 2016.
    """
    require_gradient(draws, "renyi")
    if alpha == 1:
        raise ValueError("alpha is 1, where Rényi's bound is the ELBO: use elbo")
    rest = 1.0 - alpha
    if draws.enumerated:
        # q · (p / q)^(1 − α): where q is 0 and α above 0, the value counts for nothing.
        terms = rest * (draws.log_prior + draws.log_likelihood) + alpha * draws.log_posterior
        return jax.nn.logsumexp(terms) / rest
    return jax.nn.logsumexp(rest * draws.log_weights + draws.log_measure) / rest


@takes("from_prior")
def gaussian_stochastic_network(from_prior: Draws) -> Scalar:
    """The bound where q is the prior: E_{p_θ(z | c)}[log p_θ(x | z, c)], a lower bound of log p_θ(x | c).

    The recognition network is not trained and not used: what is drawn in training is what is drawn when
    one predicts, where z does not know x.

    When: as part of `hybrid`; by itself it seldom learns to use z.

    Args:
        from_prior: draws of the prior, for one example.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if the prior's draws carry no gradient and cannot be enumerated.

    Source:
        Sohn, Lee and Yan 2015, equation 6, which the authors call the Gaussian stochastic neural network.
    """
    require_gradient(from_prior, "gaussian_stochastic_network", "prior")
    return from_prior.expectation(from_prior.log_likelihood)


@takes("draws", "from_prior", options=("alpha",))
def hybrid(draws: Draws, from_prior: Draws, *, alpha: float = 0.5) -> Scalar:
    """α ELBO + (1 − α) E_{p_θ(z | c)}[log p_θ(x | z, c)]: two lower bounds of log p_θ(x | c), hence one.

    When: draws of the prior make poor x although the ELBO is good: training sees them too.

    Args:
        draws: of q, for one example.
        from_prior: draws of the prior.
        alpha: α, between 0 and 1.

    Returns:
        A scalar, nats.

    Raises:
        ValueError: if α is not between 0 and 1, or draws of either carry no gradient.

    Source:
        Sohn, Lee and Yan 2015, equation 8.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, expected a number from 0 (the prior alone) to 1 (the ELBO)")
    return alpha * elbo(draws) + (1.0 - alpha) * gaussian_stochastic_network(from_prior)


def require_gradient(draws: Draws, name: str, whose: str = "posterior") -> None:
    """Refuse draws through which no gradient reaches what they were drawn from.

    Raises:
        ValueError: if they are neither reparameterised nor enumerated.
    """
    if not (draws.reparameterised or draws.enumerated):
        raise ValueError(
            f"{name} needs draws that carry gradients, and this {whose}'s do not: use a "
            "reparameterised distribution, or a discrete one whose support can be enumerated (to "
            f"{MAX_SUPPORT:,} values); a larger one can be relaxed, by RelaxedCategoricalHead, or "
            "trained by vimco or wake_wake"
        )
