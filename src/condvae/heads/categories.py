"""Categories: without an order, in an order, very many of them, and relaxed."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from jax.nn import log_sigmoid
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Numpyro, RelaxedCategorical
from condvae.heads.scales import LOG_SCALE_BOUNDS, LocationScale, bounded_exp
from condvae.networks import affine

NO_LEVEL = -1e30
"""The logit of a level that a column does not have: finite, so that its gradient is 0 and not NaN."""


class CategoricalHead(eqx.Module):
    """Independent categories: cell i takes one of 0 ... levels[i] − 1.

    Args:
        in_size: the length of the feature vector.
        levels: the number of categories of each cell; a value is an integer vector as long.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import CategoricalHead
        >>> head = CategoricalHead(8, (2, 3), key=jax.random.key(0))
        >>> head(jnp.ones(8)).log_prob(jnp.array([0, 2])).shape
        ()
    """

    linear: eqx.nn.Linear
    levels: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_size: int, levels: Sequence[int], *, key: PRNGKeyArray):
        self.linear = eqx.nn.Linear(in_size, sum(levels), key=key)
        self.levels = tuple(levels)

    def __call__(self, features: Float[Array, "*map in_size"]) -> Distribution:
        flat, widest = affine(self.linear, features), max(self.levels)
        ends = [sum(self.levels[: i + 1]) for i in range(len(self.levels))]
        rows = [
            jnp.pad(
                flat[..., end - size : end],
                [(0, 0)] * (flat.ndim - 1) + [(0, widest - size)],
                constant_values=NO_LEVEL,
            )
            for end, size in zip(ends, self.levels, strict=True)
        ]
        return Numpyro(npd.CategoricalLogits(jnp.stack(rows, axis=-2)), self.levels)


class OrdinalHead(eqx.Module):
    """Independent cells of ordered categories: a hidden logistic variable cut into intervals.

    P(x ≤ k | h) = sigmoid((τ_k − μ(h)) / s(h)), the thresholds τ rising and shared by all examples: a
    few numbers where a categorical has one for each level.

    Args:
        in_size: the length of the feature vector.
        levels: the number of categories of each cell, at least 2; a value is an integer vector as long.
        key: for the initial weights.

    Source: McCullagh 1980 (regression models for ordinal data).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import OrdinalHead
        >>> head = OrdinalHead(8, (5,), key=jax.random.key(0))
        >>> [round(float(jnp.exp(head(jnp.zeros(8)).log_prob(jnp.array([k])))), 2) for k in (0, 2, 4)]
        [0.19, 0.26, 0.08]
    """

    parameters: LocationScale
    first: Float[Array, " cells"]
    log_gaps: tuple[Float[Array, " _"], ...]
    levels: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_size: int, levels: Sequence[int], *, key: PRNGKeyArray):
        if min(levels) < 2:
            raise ValueError(f"a cell has {min(levels)} levels, expected at least 2")
        self.parameters = LocationScale(in_size, (len(levels),), "input", key)
        self.levels = tuple(levels)
        # Thresholds that give the levels equal parts where μ = 0 and s = 1.
        parts = [jnp.log(jnp.arange(1, n) / (n - jnp.arange(1, n))) for n in self.levels]
        self.first = jnp.stack([cuts[0] for cuts in parts])
        self.log_gaps = tuple(jnp.log(jnp.diff(cuts)) for cuts in parts)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        loc, scale = self.parameters(features)
        widest = max(self.levels)
        rows = []
        for i, log_gaps in enumerate(self.log_gaps):
            gaps = bounded_exp(log_gaps, *LOG_SCALE_BOUNDS)
            cuts = self.first[i] + jnp.concatenate([jnp.zeros(1, gaps.dtype), jnp.cumsum(gaps)])
            at = (cuts - loc[i]) / scale[i]
            # σ(b) − σ(a) = σ(b) σ(−a) (1 − eᵃ⁻ᵇ): a product, exact however far out.
            inner = jnp.log(-jnp.expm1(-gaps / scale[i]))
            masses = jnp.concatenate(
                [
                    log_sigmoid(at[:1]),
                    log_sigmoid(at[1:]) + log_sigmoid(-at[:-1]) + inner,
                    log_sigmoid(-at[-1:]),
                ]
            )
            rows.append(jnp.pad(masses, (0, widest - masses.size), constant_values=NO_LEVEL))
        return Numpyro(npd.CategoricalLogits(jnp.stack(rows)), self.levels)


class EmbeddingHead(eqx.Module):
    """One cell of very many categories (100,000 and more): logits by embeddings, E (W h) + b.

    A level costs `size` weights, however wide the network is. A value is an integer vector of length 1.

    Args:
        in_size: the length of the feature vector.
        levels: the number of categories.
        size: of an embedding.
        key: for the initial weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import EmbeddingHead
        >>> head = EmbeddingHead(8, 100_000, key=jax.random.key(0))
        >>> round(float(head(jnp.zeros(8)).log_prob(jnp.array([99_999]))))
        -12
    """

    query: eqx.nn.Linear
    table: Float[Array, "levels size"]
    bias: Float[Array, " levels"]

    def __init__(self, in_size: int, levels: int, *, size: int = 32, key: PRNGKeyArray):
        query_key, table_key = jax.random.split(key)
        self.query = eqx.nn.Linear(in_size, size, key=query_key)
        self.table = jax.random.normal(table_key, (levels, size)) / size**0.5
        self.bias = jnp.zeros(levels)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        logits = self.table @ affine(self.query, features) + self.bias
        return Numpyro(npd.CategoricalLogits(logits[None]))


class RelaxedCategoricalHead(eqx.Module):
    """Independent relaxed categories: a discrete latent too large to be summed over, made continuous.

    A value is `cells` rows of log-ratios, (cells, levels − 1); what follows sees them as one-hot vectors
    through `condvae.conditionals.OneHotInput`. Use it for the prior and the posterior alike.

    Args:
        in_size: the length of the feature vector.
        cells: how many categories.
        levels: the number of levels of each, at least 2.
        temperature: a positive number; the lower it is, the nearer to categories, and the noisier the
            gradient. The prior's and the posterior's may differ.
        key: for the initial weights.

    Raises:
        ValueError: if there is no cell, one level, or the temperature is not positive.

    Source: Maddison, Mnih and Teh 2017; Jang, Gu and Poole 2017.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import RelaxedCategoricalHead
        >>> head = RelaxedCategoricalHead(8, 20, 3, key=jax.random.key(0))  # 3²⁰ values
        >>> head(jnp.ones(8)).sample(jax.random.key(1)).shape
        (20, 2)
    """

    linear: eqx.nn.Linear
    cells: int = eqx.field(static=True)
    levels: int = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __init__(
        self, in_size: int, cells: int, levels: int, *, temperature: float = 2 / 3, key: PRNGKeyArray
    ):
        if cells < 1 or levels < 2:
            raise ValueError(f"{cells} cells of {levels} levels: expected at least 1 of at least 2")
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}, expected a positive number such as 0.5")
        self.linear = eqx.nn.Linear(in_size, cells * levels, key=key)
        self.cells, self.levels, self.temperature = cells, levels, float(temperature)

    def __call__(self, features: Float[Array, " in_size"]) -> Distribution:
        logits = affine(self.linear, features).reshape(self.cells, self.levels)
        return RelaxedCategorical(logits, self.temperature)
