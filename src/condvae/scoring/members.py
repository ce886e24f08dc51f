"""Which member of a mixture a row is of: p(k | x, c) = p_k(x | c) / Σ_j p_j(x | c)."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.scoring.importance import log_prob
from condvae.vectorise import num_rows


def draw_by_members(
    draw: Callable[[CVAE, PRNGKeyArray], PyTree],
    mixture: Mixture,
    x: PyTree,
    c: PyTree,
    *,
    key: PRNGKeyArray,
    num_samples: int,
    num_proposals: int,
) -> PyTree:
    """Draws given (x, c) from a mixture: each is from member k with probability p(k | x, c).

    Args:
        draw: the draws from one member, [n, num_samples, ...], with a key.
        mixture: the members.
        x: n rows; missing cells are left out of p_k.
        c: their conditions, or None.
        key: a PRNG key.
        num_samples: draws for each row.
        num_proposals: draws of z by which p_k(x | c) is estimated.
    """
    n = num_rows(x=x, c=c)
    choose_key, member_key = jax.random.split(key)
    keys = jax.random.split(member_key, (mixture.num_members, 2))  # to weigh with, and to draw with
    share = member_shares(mixture, x, c, keys=keys[:, 0], num_proposals=num_proposals)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(choose_key)).tolist())
    below = generator.random((n, num_samples, 1)) > np.cumsum(share, axis=1)[:, None, :-1]
    choice = below.sum(axis=-1)
    result = None
    for k, (member, draw_key) in enumerate(zip(mixture, keys[:, 1], strict=True)):
        if result is not None and not (choice == k).any():
            continue
        drawn = draw(member, draw_key)

        def pick(new: np.ndarray, old: np.ndarray, k: int = k) -> np.ndarray:
            chosen = (choice == k).reshape(n, num_samples, *[1] * (new.ndim - 2))
            return np.where(chosen, new, old)

        result = drawn if result is None else jax.tree.map(pick, drawn, result)
    return result


def member_shares(
    mixture: Mixture, x: PyTree, c: PyTree, *, keys: Shaped[Array, "members ..."], num_proposals: int
) -> Float[np.ndarray, "n members"]:
    """p(k | x, c) of each row; a row that no member can give is of all alike.

    Args:
        mixture: the members.
        x: n rows.
        c: their conditions, or None.
        keys: a PRNG key for each member.
        num_proposals: draws of z by which p_k(x | c) is estimated.
    """
    scores = [
        log_prob(member, x, c, key=key, num_samples=num_proposals, budget=num_proposals).value
        for member, key in zip(mixture, keys, strict=True)
    ]
    log_share = np.stack(scores, axis=1).astype(np.float64)
    log_share = np.where(np.isfinite(log_share), log_share, -1e300)
    return np.exp(log_share - np.logaddexp.reduce(log_share, axis=1, keepdims=True))
