"""Objectives of a whole batch: that z together, not of each row, is as the prior has it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from condvae.model import Draws
from condvae.objectives.declaration import takes


@takes("draws", "from_prior", options=("alpha", "weight"), of_batches=True)
def info_vae(
    draws: Draws, from_prior: Draws, *, alpha: float = 1.0, weight: float = 100.0
) -> Float[Array, " B"]:
    """InfoVAE with the maximum mean discrepancy: z as a whole is matched to the prior, not row by row.

        E log p_θ(x | z, c) − (1 − α) KL(q_φ(z | x, c) || p_θ(z | c)) − weight · MMD²(q(z), p(z)),

    q(z) and p(z) the averages over the batch of q_φ(z | x, c) and p_θ(z | c). It is no bound of log p. With
    α = 1 nothing keeps a row from telling z all about x, as long as all rows together look like the prior.
    The kernel is 1 / (1 + |z − z'|² / h), h the mean squared distance of two draws of the prior: it needs
    no scale. MMD² is estimated over pairs of different rows, unbiased for a given h, and may be a little
    below 0.

    When: z is wanted for itself and the ELBO gives it up. Not for log p(x | c): with α = 1 q is no
    proposal to be trusted.

    Args:
        draws: of q, of the rows of a batch.
        from_prior: of the prior.
        alpha: α, how much of the KL is left out; at 0 the ELBO and the penalty.
        weight: of MMD², nats.

    Returns:
        Shape (B,), nats: what each row has a share in; their mean is the objective.

    Raises:
        ValueError: if z is not all of real numbers that carry gradients.

    Source:
        Zhao, Song and Ermon 2019; Gretton et al. 2012 (the discrepancy).
    """
    for who, sample in (("posterior", draws), ("prior", from_prior)):
        real = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(sample.z))
        if not sample.reparameterised or not real:
            raise ValueError(
                f"info_vae compares z by distances, along which gradients go, and this {who}'s draws are "
                "discrete or carry none: use elbo with free_bits"
            )
    expectation = jax.vmap(Draws.expectation)
    kl = draws.kl
    if kl is None:
        kl = expectation(draws, draws.log_posterior - draws.log_prior)
    reconstruction = expectation(draws, draws.log_likelihood)
    return reconstruction - (1.0 - alpha) * kl - weight * _discrepancy(draws, from_prior)


def _discrepancy(draws: Draws, from_prior: Draws) -> Float[Array, " B"]:
    """Of each row its share in MMD²: their mean is the estimate."""
    q, p = _flat(draws), _flat(from_prior)
    size, of_q, of_p = len(q), jnp.exp(draws.log_measure), jnp.exp(from_prior.log_measure)
    others = (1.0 - jnp.eye(size)) / max(size - 1, 1)

    def mean(one: Array, other: Array, left: Array, right: Array) -> Array:
        """Of the kernel over the draws of each two rows."""
        return jnp.einsum("ik,ikjl,jl->ij", left, 1.0 / (1.0 + _apart(one, other) / width), right)

    held = jax.lax.stop_gradient(p)
    between = jnp.einsum("ik,ikjl,jl->ij", of_p, _apart(held, held), of_p)
    width = jnp.maximum(jax.lax.stop_gradient(jnp.sum(others * between) / size), 1e-12)
    pairs = mean(q, q, of_q, of_q) + mean(p, p, of_p, of_p)
    cross = mean(q, p, of_q, of_p)
    return jnp.sum(others * (pairs - cross - cross.T), axis=1)


def _apart(one: Array, other: Array) -> Array:
    """Squared distances, (B, K, B', K')."""
    flat, with_flat = (a.reshape(-1, a.shape[-1]) for a in (one, other))
    squares = jnp.sum(flat**2, 1)[:, None] + jnp.sum(with_flat**2, 1)[None, :]
    squared = jnp.maximum(squares - 2.0 * flat @ with_flat.T, 0.0)
    return squared.reshape(*one.shape[:2], *other.shape[:2])


def _flat(draws: Draws) -> Array:
    """(B, K, cells of z)."""
    leaves = [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(draws.z)]
    return jnp.concatenate(leaves, axis=-1)
