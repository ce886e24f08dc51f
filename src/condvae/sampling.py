"""Rows through a model: draws of x given c, expectations over them, and latents of (x, c)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree, UInt

from condvae.distributions import Distribution, InTurn
from condvae.mixture import Mixture, members
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.runtime import require_runtime
from condvae.sentences import InputError
from condvae.vectorise import map_rows, num_rows

DRAWS_AT_ONCE = 4096
"""Draws of one row that are made side by side."""

Statistic = Callable[[Distribution, PyTree], PyTree]
"""From p_θ(x | z, c) of one example, and what else belongs to its row, to arrays."""

AVERAGED_AT_ONCE = 256
"""Draws of one row that are averaged side by side."""


def sample(
    model: CVAE | Mixture,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    seeds: UInt[np.ndarray, " n"] | None = None,
    progress: bool = False,
) -> PyTree:
    """Draws from p_θ(x | c): z ~ p_θ(z | c), then x ~ p_θ(x | z, c).

    Of a mixture, a row's draws are spread evenly over the members, in a random order: each draw is from
    the mixture, and together they tell more of it than independent ones would.

    Args:
        model: a `CVAE`, or a `Mixture`.
        c: conditions, n rows on the leading axis; None for a plain VAE.
        key: a PRNG key; row i uses `fold_in(key, i)`, so a row's draws do not depend on the others.
        num_samples: draws for each row.
        seeds: row i uses `fold_in(key, seeds[i])` instead, shape (n,).
        progress: whether to show a progress bar.

    Returns:
        x, of shape (n, num_samples, ...); (num_samples, ...) where c is None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae import sample
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> sample(model, jnp.zeros((5, 1)), key=jax.random.key(1), num_samples=4).shape
        (5, 4, 3)
    """
    require_runtime()
    if isinstance(model, Mixture):
        return _over_members(
            lambda member, key, each: sample(
                member, c, key=key, num_samples=each, seeds=seeds, progress=progress
            ),
            model,
            key,
            num_samples,
            axis=0 if c is None else 1,
        )
    if c is None:
        return map_rows(_sample_one, model, np.zeros((num_samples, 0)), key, progress=progress)
    return map_rows(
        _sample_row,
        model,
        c,
        key,
        seeds=seeds,
        progress=progress,
        draws=num_samples,
        num_samples=num_samples,
    )


def _over_members(
    draw: Callable[[CVAE, PRNGKeyArray, int], PyTree],
    mixture: Mixture,
    key: PRNGKeyArray,
    num_samples: int,
    axis: int,
) -> PyTree:
    """As many draws from each member, to one, in a random order; `axis` is that of the draws.

    Which members have one more is drawn for each row.
    """
    size = mixture.num_members
    each = -(-num_samples // size)
    *keys, shuffle_key = jax.random.split(key, size + 1)
    parts = [draw(member, k, each) for member, k in zip(mixture, keys, strict=True)]
    drawn = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *parts)
    rows = 1 if axis == 0 else len(jax.tree.leaves(drawn)[0])
    words = np.asarray(jax.random.key_data(shuffle_key)).tolist()
    # A generator for each of the two, as each goes through the rows: a row's order is then its own.
    choose, shuffle = (np.random.default_rng([*words, i]) for i in range(2))
    places = np.broadcast_to(np.arange(each * size).reshape(size, each), (rows, size, each))
    last = choose.permuted(places[:, :, -1], axis=1)[:, : num_samples - size * (each - 1)]
    others = places[:, :, :-1].reshape(rows, size * (each - 1))
    order = shuffle.permuted(np.concatenate([others, last], axis=1), axis=1)
    if axis == 0:
        return jax.tree.map(lambda leaf: leaf[order[0]], drawn)
    return jax.tree.map(lambda leaf: leaf[np.arange(rows)[:, None], order], drawn)


def _sample_row(model: CVAE, c: PyTree, key: PRNGKeyArray, num_samples: int) -> PyTree:
    prior = model.p_z(c)
    return map_draws(lambda key: decode(model, prior, c, key), key, num_samples)


def _sample_one(model: CVAE, _: Array, key: PRNGKeyArray) -> PyTree:
    return decode(model, model.p_z(None), None, key)


def decode(model: CVAE, latent: Distribution, c: PyTree, key: PRNGKeyArray) -> PyTree:
    """z from `latent`, then x ~ p_θ(x | z, c)."""
    z_key, x_key = jax.random.split(key)
    return model.p_x(latent.sample(z_key), c).sample(x_key)


def simulate(
    model: CVAE, c: PyTree = None, *, key: PRNGKeyArray, rows: int | None = None, like: PyTree = None
) -> tuple[PyTree, PyTree]:
    """Pairs (z, x) from the model itself: z ~ p_θ(z | c), x ~ p_θ(x | z, c), one for each row.

    So z is an exact draw of the posterior p_θ(z | x, c) of this x.

    Args:
        model: a `CVAE`; of a mixture, one member.
        c: conditions, n rows on the leading axis; None for a plain VAE.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        rows: how many rows, without c and `like`.
        like: rows of x, as the model was trained on: the simulated ones are of their types (draws of a
            Bernoulli likelihood are whole numbers), and miss the cells that they miss.

    Returns:
        z and x, n rows each.

    Raises:
        ValueError: if nothing says how many rows there are, or rows do not match.

    Example:
        >>> import jax
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> from condvae.sampling import simulate
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2)
        >>> z, x = simulate(model, key=jax.random.key(1), rows=5)
        >>> z.shape, x.shape
        ((5, 2), (5, 3))
    """
    if c is None and rows is None and like is None:
        raise ValueError("without conditions, say how many rows are to be simulated: rows=100, or so")
    n = int(rows or 0) if c is None and like is None else num_rows(c=(c, like))
    count = np.zeros((n, 0), np.float32)  # as many rows, where no condition says so
    z, x = map_rows(_simulate_row, model, (count, c), key)
    return z, x if like is None else _as_given(x, like)


def _simulate_row(model: CVAE, row: PyTree, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
    _, c = row
    z_key, x_key = jax.random.split(key)
    z = model.p_z(c).sample(z_key)
    return z, model.p_x(z, c).sample(x_key)


def _as_given(x: PyTree, like: PyTree) -> PyTree:
    """The values of x, with the types and the masks of `like`."""

    def one(part: PyTree, value: Array) -> PyTree:
        if isinstance(part, Observed):
            return Observed(value.astype(part.value.dtype), np.asarray(part.mask))
        return value.astype(part.dtype)

    return jax.tree.map(one, like, x, is_leaf=lambda node: isinstance(node, Observed))


def encode(
    model: CVAE,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray | None = None,
    num_samples: int | None = None,
    progress: bool = False,
) -> PyTree:
    """The latents of rows: the mean of q_φ(z | x, c), or draws from it; of p_θ(z | c) without x.

    Args:
        model: a `CVAE`; of a mixture, one member.
        x: n rows on the leading axis; None for latents from the prior.
        c: their conditions, or None.
        key: a PRNG key, for draws; without one, the posterior's mean is returned.
        num_samples: draws for each row; needs `key`. With a key and no number, one draw.
        progress: whether to show a progress bar.

    Returns:
        z: (n, ...) for means and for one draw without `num_samples`; else (n, num_samples, ...).

    Raises:
        ValueError: if there is no key and the posterior's mean has no closed form (a hierarchy, a
            flow, a discrete latent), or for a mixture.
    """
    if isinstance(model, Mixture):
        raise ValueError(
            "latents of different members do not compare: encode with one of them, mixture.member(k)"
        )
    if key is None:
        if num_samples is not None:
            raise ValueError("num_samples asks for draws: pass key= as well")
        return map_rows(_encode_mean, model, (x, c), jax.random.key(0), progress=progress)
    drawn = map_rows(
        _encode_row,
        model,
        (x, c),
        key,
        progress=progress,
        draws=num_samples or 1,
        num_samples=num_samples or 1,
    )
    return drawn if num_samples else jax.tree.map(lambda leaf: leaf[:, 0], drawn)


def _encode_mean(model: CVAE, row: PyTree, key: PRNGKeyArray) -> PyTree:
    mean = _latent(model, row).mean()
    if mean is None:
        raise ValueError("this latent's mean has no closed form: pass key= (and num_samples=) for draws")
    return mean


def _encode_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int) -> PyTree:
    return map_draws(_latent(model, row).sample, key, num_samples)


def _latent(model: CVAE, row: PyTree) -> Distribution:
    x, c = row
    return model.p_z(c) if x is None else model.q_z(x, c)


def map_draws(draw: Callable[[PRNGKeyArray], PyTree], key: PRNGKeyArray, num_samples: int) -> PyTree:
    """`draw` for so many keys, some at a time: a million draws of one row need no more memory."""
    keys = jax.random.split(key, num_samples)
    if num_samples <= DRAWS_AT_ONCE:
        return jax.vmap(draw)(keys)
    return jax.lax.map(draw, keys, batch_size=DRAWS_AT_ONCE)


def expect(
    statistic: Statistic,
    model: CVAE | Mixture,
    c: PyTree = None,
    extra: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1000,
    seeds: UInt[np.ndarray, " n"] | None = None,
    progress: bool = False,
) -> PyTree:
    """The mean of `statistic(p_θ(x | z, c), extra)` over z ~ p_θ(z | c), for each row.

        E[s(x) | c] = E_{z ~ p_θ(z | c)} [ E[s(x) | z, c] ]

    The inner expectation is known for means, probabilities and distribution functions of most likelihoods
    (Rao and Blackwell): only the latent is drawn, and the result has less noise than draws of x would give.

    Args:
        statistic: a module-level function of a `Distribution` over x and of the row's `extra`.
        model: a `CVAE`, or a `Mixture`, whose members share out the draws.
        c: conditions, n rows on the leading axis; None for a plain VAE.
        extra: what else the statistic takes, n rows; without conditions its rows are all there are.
        key: a PRNG key; row i uses `fold_in(key, i)`.
        num_samples: draws of z for each row.
        seeds: row i uses `fold_in(key, seeds[i])` instead, shape (n,).
        progress: whether to show a progress bar.

    Returns:
        Arrays of shape (n, ...); n is 1 where there are neither conditions nor `extra`.

    Raises:
        ValueError: if rows do not match, or there is no draw.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> from condvae.sampling import expect
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=3, z_size=2, c_size=1)
        >>> def mean(likelihood, _):
        ...     return likelihood.mean()
        >>> expect(mean, model, jnp.zeros((5, 1)), key=jax.random.key(1)).shape
        (5, 3)
    """
    if num_samples < 1:
        raise InputError("{argument} is {n}, expected at least 1", argument="num_samples", n=num_samples)
    n = 1 if c is None and extra is None else num_rows(c=c, extra=extra)
    models = members(model)
    each = -(-num_samples // len(models))
    at_once = min(each, AVERAGED_AT_ONCE)
    results = [
        map_rows(
            _expect_row,
            member,
            (np.zeros((n, 0), np.float32), c, extra),
            member_key,
            seeds=seeds,
            draws=at_once,
            progress=progress,
            statistic=statistic,
            num_samples=each,
            at_once=at_once,
        )
        for member, member_key in zip(models, jax.random.split(key, len(models)), strict=True)
    ]
    return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *results)


def _expect_row(
    model: CVAE, row: PyTree, key: PRNGKeyArray, statistic: Statistic, num_samples: int, at_once: int
) -> PyTree:
    _, c, extra = row
    prior = model.p_z(c)

    def one(draw_key: PRNGKeyArray) -> PyTree:
        z_key, x_key = jax.random.split(draw_key)
        likelihood = model.p_x(prior.sample(z_key), c)
        if isinstance(likelihood, InTurn):  # each cell given those drawn before it
            likelihood, _ = likelihood.unrolled(x_key)
        return statistic(likelihood, extra)

    def block(total: PyTree, i: jax.Array) -> tuple[PyTree, None]:
        keys = jax.random.split(jax.random.fold_in(key, i), at_once)
        counted = i * at_once + jnp.arange(at_once) < num_samples
        values = jax.vmap(one)(keys)

        def add(total: jax.Array, value: jax.Array) -> jax.Array:
            keep = counted.reshape(-1, *[1] * (value.ndim - 1))
            return total + jnp.sum(jnp.where(keep, value, 0.0), axis=0)

        return jax.tree.map(add, total, values), None

    shapes = jax.eval_shape(one, key)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, jnp.result_type(float, s.dtype)), shapes)
    total, _ = jax.lax.scan(block, zeros, jnp.arange(-(-num_samples // at_once)))
    return jax.tree.map(lambda leaf: leaf / num_samples, total)
