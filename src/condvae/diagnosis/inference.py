"""Whether q is the posterior: simulation-based calibration.

    c given, z ~ p_θ(z | c), x ~ p_θ(x | z, c), z_1 ... z_L ~ q_φ(z | x, c)

Were q_φ(z | x, c) the posterior, z would be one more draw like z_1 ... z_L, and its rank among them
uniform, in every cell of z; and so would be that of any function of (z, x). Ranks at both ends: q is too
narrow. In the middle: too wide. On one side: it is off to the other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree

from condvae.calibration import Uniformity, uniformity
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.sampling import simulate
from condvae.vectorise import map_rows, num_rows, take_rows

FIT = "log p(x | z, c)"
"""The function of (z, x) that is ranked besides: how well the latent explains the row."""


class Ranks(NamedTuple):
    """Where the latents that rows were simulated from lie among the posterior's draws.

    Attributes:
        u: by cell of z, and of log p_θ(x | z, c): ranks in (0, 1), uniform if q is right, [n] each.
    """

    u: dict[str, np.ndarray]

    @property
    def uniformity(self) -> dict[str, Uniformity]:
        """Of each, whether it is uniform."""
        return {name: uniformity(ranks) for name, ranks in self.u.items()}

    @property
    def p_value(self) -> float:
        """How often chance alone is as far off in any of them: the least of the p-values, by Bonferroni."""
        return min(1.0, len(self.u) * min(one.p_value for one in self.uniformity.values()))


def posterior_ranks(
    model: CVAE,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    rows: int | None = None,
    like: PyTree = None,
    num_samples: int = 99,
    progress: bool = False,
) -> Ranks:
    """Simulation-based calibration of q_φ(z | x, c), a simulated row for each condition.

    Args:
        model: a `CVAE`; of a mixture, one member.
        c: conditions; None for a plain VAE.
        key: a PRNG key.
        rows: how many rows, without c and `like`.
        like: rows of x, whose types and missing cells the simulated ones get.
        num_samples: L.
        progress: whether to show a progress bar.

    Raises:
        ValueError: for a mixture, or if nothing says how many rows there are.

    Sources: Talts et al. 2018; Modrák et al. 2023, for the rank of the likelihood.

    Example:
        >>> import jax
        >>> from condvae.diagnosis import posterior_ranks
        >>> from condvae.linear_gaussian import exact_posterior, linear_gaussian, random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2)
        >>> exact = linear_gaussian(model.prior, model.likelihood, exact_posterior(model))
        >>> ranks = posterior_ranks(exact, key=jax.random.key(1), rows=500)
        >>> list(ranks.u), ranks.p_value > 0.05
        (['z[0]', 'z[1]', 'log p(x | z, c)'], True)
    """
    if isinstance(model, Mixture):
        raise ValueError("the latent is of one model: take a member of the mixture, mixture.member(k)")
    simulate_key, rank_key = jax.random.split(key)
    z, x = simulate(model, c, key=simulate_key, rows=rows, like=like)
    options = {"draws": num_samples, "num_samples": num_samples, "progress": progress, "label": "ranks"}
    u = map_rows(_rank_row, model, (z, x, c), rank_key, **options)
    names = cell_names(take_rows(z, 0)) if num_rows(z=z) else [f"z[{j}]" for j in range(u.shape[1] - 1)]
    return Ranks(dict(zip([*names, FIT], u.T.astype(np.float64), strict=True)))


def _rank_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int) -> Array:
    z, x, c = row
    draw_key, tie_key = jax.random.split(key)
    drawn = jax.vmap(model.q_z(x, c).sample)(jax.random.split(draw_key, num_samples))

    def seen(z: PyTree) -> Array:
        return jnp.append(ravel_pytree(z)[0], model.p_x(z, c).log_prob(x))

    truth, others = seen(z), jax.vmap(seen)(drawn)
    below, ties = (others < truth).sum(axis=0), (others == truth).sum(axis=0)
    return (below + jax.random.uniform(tie_key, truth.shape) * (1 + ties)) / (num_samples + 1)


def cell_names(z: PyTree) -> list[str]:
    """What the cells of one z are called."""
    return [
        "z" + jax.tree_util.keystr(path) + "".join(f"[{i}]" for i in place)
        for path, leaf in jax.tree_util.tree_leaves_with_path(z)
        for place in np.ndindex(np.shape(leaf))
    ]
