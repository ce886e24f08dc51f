"""The model: three conditional distributions, and draws from them.

| module       | symbol          | called as                      |
| ------------ | --------------- | ------------------------------ |
| `prior`      | p_θ(z given c)    | `prior(c)`                     |
| `likelihood` | p_θ(x given z, c) | `likelihood(z, c)`             |
| `posterior`  | q_φ(z given x, c) | `posterior(x, c, prior=...)`   |

Each maps its inputs to a distribution, for one example; any Equinox module serves. x, z and c are
arrays of any shape or pytrees of them; c is None in a plain VAE. Every objective, score and diagnosis
is a reduction of what `CVAE.draws` returns: a few draws z ~ q and their three log-densities.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.distributions import Distribution, Scalar, as_distribution
from condvae.observed import Observed
from condvae.rows import map_rows

DRAWS_AT_ONCE = 4096
"""Draws of one row that are made side by side."""


class Draws(eqx.Module):
    """Draws z_1 ... z_K of one example's latent and what is known of each of them.

    Attributes:
        z: the draws, on a leading axis of length K.
        log_prior: log p_θ(z_k given c), shape (K,), nats.
        log_likelihood: log p_θ(x given z_k, c), shape (K,).
        log_posterior: log q_φ(z_k given x, c), shape (K,).
        log_posterior_stopped: the same numbers from a posterior whose parameters are stopped: their
            gradient reaches φ through the draws alone (sticking the landing).
        log_measure: the log of each draw's share in an expectation under q: −log K for random draws;
            log q itself where z is enumerated, which makes the expectation exact.
        kl: KL(q || prior) in closed form, or None where there is none.
        reparameterised: whether gradients flow through z.
        enumerated: whether z is all there is, and expectations are sums.
    """

    z: PyTree[Array]
    log_prior: Float[Array, " K"]
    log_likelihood: Float[Array, " K"]
    log_posterior: Float[Array, " K"]
    log_posterior_stopped: Float[Array, " K"]
    log_measure: Float[Array, " K"]
    kl: Scalar | None
    reparameterised: bool = eqx.field(static=True)
    enumerated: bool = eqx.field(static=True)

    @property
    def log_weights(self) -> Float[Array, " K"]:
        """log w_k = log p_θ(z_k | c) + log p_θ(x | z_k, c) − log q_φ(z_k | x, c)."""
        return self.log_prior + self.log_likelihood - self.log_posterior

    def expectation(self, values: Float[Array, " K"]) -> Scalar:
        """E_q[values]: the average over draws, or the exact sum where z is enumerated."""
        if not self.enumerated:
            return jnp.mean(values)
        share = jnp.exp(self.log_measure)
        return jnp.sum(jnp.where(share > 0, share * values, 0.0))


class CVAE(eqx.Module):
    """A conditional variational autoencoder: prior, likelihood and posterior.

    Args:
        prior: p_θ(z given c), a callable `prior(c)`.
        likelihood: p_θ(x given z, c), a callable `likelihood(z, c)`.
        posterior: q_φ(z given x, c), a callable `posterior(x, c, prior=...)`, which may use the
            prior's distribution (a correction of it, a ladder, q = prior) or ignore it.

    Each returns a `Distribution` or one of numpyro's.

    Raises:
        TypeError: if one of the three cannot be called, or the posterior takes no `prior`.

    Source:
        Tuan Anh Le, "Conditional Variational Autoencoders", 2018; Sohn, Lee and Yan, 2015.

    Example:
        >>> import jax, jax.numpy as jnp, equinox as eqx, numpyro.distributions as npd
        >>> from condvae import CVAE, log_prob
        >>> class Prior(eqx.Module):
        ...     def __call__(self, c):
        ...         return npd.Normal(c, 1.0)
        >>> class Likelihood(eqx.Module):
        ...     def __call__(self, z, c):
        ...         return npd.Normal(z, 1.0)
        >>> class Posterior(eqx.Module):
        ...     def __call__(self, x, c, prior):
        ...         return npd.Normal((x + c) / 2, jnp.sqrt(0.5))  # exact here
        >>> model = CVAE(Prior(), Likelihood(), Posterior())
        >>> x, c = jnp.array([[0.5]]), jnp.array([[1.0]])
        >>> score = log_prob(model, x, c, key=jax.random.key(0), num_samples=1000)
        >>> exact = npd.Normal(1.0, jnp.sqrt(2.0)).log_prob(0.5)
        >>> bool(abs(score.value[0] - exact) < 4 * score.stderr[0])
        True
    """

    prior: Callable
    likelihood: Callable
    posterior: Callable

    def __check_init__(self):
        for name in ("prior", "likelihood", "posterior"):
            module = getattr(self, name)
            if not callable(module):
                raise TypeError(
                    f"{name} is {type(module).__name__}, expected a module that maps its inputs to a "
                    "distribution: define __call__"
                )
        if not _accepts_prior(self.posterior):
            raise TypeError(
                "the posterior is called as posterior(x, c, prior=...): give it a parameter named prior, "
                "the prior's distribution, which it may ignore"
            )

    def p_z(self, c: PyTree = None) -> Distribution:
        """The prior p_θ(z | c) of one example."""
        return as_distribution(self.prior(c), "the prior")

    def p_x(self, z: PyTree, c: PyTree = None) -> Distribution:
        """The likelihood p_θ(x | z, c) of one example."""
        return as_distribution(self.likelihood(z, c), "the likelihood")

    def q_z(self, x: PyTree, c: PyTree = None, prior: Distribution | None = None) -> Distribution:
        """The posterior q_φ(z | x, c) of one example; `prior` is p_θ(z | c) where it is at hand."""
        prior = self.p_z(c) if prior is None else prior
        return as_distribution(self.posterior(x, c, prior=prior), "the posterior")

    def draws(self, x: PyTree, c: PyTree = None, *, key: PRNGKeyArray, num_samples: int = 1) -> Draws:
        """Draw z ~ q_φ(z | x, c) for one example, and score each draw under the three modules.

        A posterior that is not reparameterised but whose support can be listed is enumerated:
        `num_samples` is then the size of the support, whatever was asked for.

        Args:
            x: one example, without a leading axis; cells of an `Observed` may be missing.
            c: its condition, or None.
            key: a PRNG key.
            num_samples: K, the number of draws.

        Raises:
            ValueError: if the shapes of the three modules and of x do not fit together.
        """
        prior = self.p_z(c)
        posterior = self.q_z(x, c, prior)
        support = None if posterior.reparameterised else posterior.enumerate_support()
        if support is None:
            # One draw takes the key itself: splitting it would be a kernel more in every training step.
            keys = key[None] if num_samples == 1 else jax.random.split(key, num_samples)
            z, log_posterior = jax.vmap(posterior.sample_and_log_prob)(keys)
            log_measure = jnp.full_like(log_posterior, -math.log(num_samples))
        else:
            z = support
            log_posterior = log_measure = jax.vmap(posterior.log_prob)(z)
        self._require_shapes(jax.tree.map(lambda leaf: leaf[0], z), x, c, prior)
        # Not `stop_gradient` over the distribution: its lazily held networks would not be stopped,
        # nor would layers of a hierarchy that depend on the draws keep the gradient they should.
        stopped = _stop_parameters(self).q_z(x, c)
        return Draws(
            z=z,
            log_prior=jax.vmap(prior.log_prob)(z),
            log_likelihood=jax.vmap(lambda z: self.p_x(z, c).log_prob(x))(z),
            log_posterior=log_posterior,
            log_posterior_stopped=jax.vmap(stopped.log_prob)(z),
            log_measure=log_measure,
            kl=posterior.kl(prior),
            reparameterised=posterior.reparameterised,
            enumerated=support is not None,
        )

    def _require_shapes(self, z: PyTree, x: PyTree, c: PyTree, prior: Distribution) -> None:
        """Shapes are known when tracing: say so before anything is broadcast in silence."""
        key = jax.random.key(0)
        expected = _shapes(eqx.filter_eval_shape(prior.sample, key))
        if expected != _shapes(z):
            raise ValueError(
                f"the posterior draws z of shape {_shapes(z)}, the prior of shape {expected}: make "
                "the two alike"
            )
        expected = _shapes(eqx.filter_eval_shape(lambda z: self.p_x(z, c).sample(key), z))
        if expected != _shapes(x):
            raise ValueError(
                f"the likelihood is over x of shape {expected}, but one row of x has shape "
                f"{_shapes(x)}: make the two alike"
            )


def _accepts_prior(posterior: Callable) -> bool:
    try:
        parameters = inspect.signature(posterior).parameters.values()
    except ValueError:  # not every callable can be asked
        return True
    return any(p.name == "prior" or p.kind is p.VAR_KEYWORD for p in parameters)


def _stop_parameters(module: eqx.Module) -> Any:
    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), static)


def _shapes(tree: PyTree) -> Any:
    """The tree with each array (or `Observed`) replaced by its shape."""
    tree = jax.tree.map(
        lambda leaf: leaf.value if isinstance(leaf, Observed) else leaf,
        tree,
        is_leaf=lambda leaf: isinstance(leaf, Observed),
    )
    return jax.tree.map(jnp.shape, tree)


def sample(
    model: CVAE,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    progress: bool = False,
) -> PyTree:
    """Draws from p_θ(x | c): z ~ p_θ(z | c), then x ~ p_θ(x | z, c).

    Args:
        model: a `CVAE`, or anything with its methods.
        c: conditions, n rows on the leading axis; None for a plain VAE.
        key: a PRNG key; row i uses `fold_in(key, i)`, so a row's draws do not depend on the others.
        num_samples: draws for each row.
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
    if c is None:
        return map_rows(_sample_one, model, np.zeros((num_samples, 0)), key, progress=progress)
    return map_rows(
        _sample_row, model, c, key, progress=progress, draws=num_samples, num_samples=num_samples
    )


def _sample_row(model: CVAE, c: PyTree, key: PRNGKeyArray, num_samples: int) -> PyTree:
    prior = model.p_z(c)
    return _map_draws(lambda key: _decode(model, prior, c, key), key, num_samples)


def _sample_one(model: CVAE, _: Array, key: PRNGKeyArray) -> PyTree:
    return _decode(model, model.p_z(None), None, key)


def _decode(model: CVAE, latent: Distribution, c: PyTree, key: PRNGKeyArray) -> PyTree:
    """z from `latent`, then x ~ p_θ(x | z, c)."""
    z_key, x_key = jax.random.split(key)
    return model.p_x(latent.sample(z_key), c).sample(x_key)


def encode(
    model: CVAE,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray | None = None,
    num_samples: int | None = None,
    progress: bool = False,
) -> PyTree:
    """The latents of rows: the mean of q_φ(z | x, c), or draws from it.

    Args:
        model: a `CVAE`.
        x: n rows on the leading axis.
        c: their conditions, or None.
        key: a PRNG key, for draws; without one, the posterior's mean is returned.
        num_samples: draws for each row; needs `key`. With a key and no number, one draw.
        progress: whether to show a progress bar.

    Returns:
        z: (n, ...) for means and for one draw without `num_samples`; else (n, num_samples, ...).

    Raises:
        ValueError: if there is no key and the posterior's mean has no closed form (a hierarchy, a
            flow, a discrete latent).
    """
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
    mean = model.q_z(*row).mean()
    if mean is None:
        raise ValueError("this posterior's mean has no closed form: pass key= (and num_samples=) for draws")
    return mean


def _encode_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int) -> PyTree:
    return _map_draws(model.q_z(*row).sample, key, num_samples)


def reconstruct(
    model: CVAE,
    x: PyTree,
    c: PyTree = None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 1,
    progress: bool = False,
) -> PyTree:
    """Draws of x' ~ p_θ(x' | z, c) with z ~ q_φ(z | x, c): what the latent keeps of x.

    Arguments as those of `encode`. Returns x' of shape (n, num_samples, ...).
    """
    return map_rows(
        _reconstruct_row,
        model,
        (x, c),
        key,
        progress=progress,
        draws=num_samples,
        num_samples=num_samples,
    )


def _reconstruct_row(model: CVAE, row: PyTree, key: PRNGKeyArray, num_samples: int) -> PyTree:
    x, c = row
    posterior = model.q_z(x, c)
    return _map_draws(lambda key: _decode(model, posterior, c, key), key, num_samples)


def _map_draws(draw: Callable[[PRNGKeyArray], PyTree], key: PRNGKeyArray, num_samples: int) -> PyTree:
    """`draw` for so many keys, some at a time: a million draws of one row need no more memory."""
    keys = jax.random.split(key, num_samples)
    if num_samples <= DRAWS_AT_ONCE:
        return jax.vmap(draw)(keys)
    return jax.lax.map(draw, keys, batch_size=DRAWS_AT_ONCE)
