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
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from condvae.distributions import Distribution, Scalar, as_distribution
from condvae.observed import Observed

M = TypeVar("M")


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
            log q itself where z is enumerated, which makes the expectation exact; the probability of its
            discrete part, shared out among draws, where only that is summed over.
        kl: KL(q || prior) in closed form, or None where there is none.
        reparameterised: whether gradients flow through all of z that is drawn.
        enumerated: whether z is all there is, nothing is drawn, and expectations are sums.
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
        """E_q[values]: each draw by its share; exact where z is enumerated."""
        share = jnp.exp(self.log_measure)
        return jnp.sum(jnp.where(share > 0, share * values, 0.0))


class CVAE(eqx.Module):
    """A conditional variational autoencoder: prior, likelihood and posterior.

    Args:
        prior: p_θ(z given c), a callable `prior(c)`; one that declares `needs_posterior = True` is called
            as `prior(c, posterior=...)` with the posterior's module (`VampPrior`).
        likelihood: p_θ(x given z, c), a callable `likelihood(z, c)`.
        posterior: q_φ(z given x, c), a callable `posterior(x, c, prior=...)`, which may use the
            prior's distribution (a correction of it, a ladder, q = prior) or ignore it.

    Each returns a `Distribution` or one of numpyro's.

    Raises:
        TypeError: if one of the three cannot be called as it should be, or prior and posterior are each
            made of the other.

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
        if problem := misfit(self.posterior, None, None, prior=None):
            raise TypeError(
                f"the posterior is called as posterior(x, c, prior=...), and cannot be: {problem}; give it "
                "a parameter named prior, the prior's distribution, which it may ignore"
            )
        if problem := misfit(self.prior, None, **self._for_prior()):
            raise TypeError(
                "the prior is called as prior(c), or as prior(c, posterior=...) if its attribute "
                f"needs_posterior is true, and cannot be: {problem}"
            )
        if self._for_prior() and getattr(self.posterior, "needs_prior", False):
            raise TypeError(
                f"the prior, {type(self.prior).__name__}, is made of the posterior, and the posterior, "
                f"{type(self.posterior).__name__}, of the prior: use a posterior that does not depend on "
                "the prior"
            )

    def p_z(self, c: PyTree = None) -> Distribution:
        """The prior p_θ(z | c) of one example."""
        return as_distribution(self.prior(c, **self._for_prior()), "the prior")

    def _for_prior(self) -> dict[str, Callable]:
        """What the prior is given besides c."""
        return {"posterior": self.posterior} if getattr(self.prior, "needs_posterior", False) else {}

    def p_x(self, z: PyTree, c: PyTree = None) -> Distribution:
        """The likelihood p_θ(x | z, c) of one example."""
        return as_distribution(self.likelihood(z, c), "the likelihood")

    def q_z(self, x: PyTree, c: PyTree = None, prior: Distribution | None = None) -> Distribution:
        """The posterior q_φ(z | x, c) of one example; `prior` is p_θ(z | c) where it is at hand."""
        prior = self.p_z(c) if prior is None else prior
        return as_distribution(self.posterior(x, c, prior=prior), "the posterior")

    def draws(
        self,
        x: PyTree,
        c: PyTree = None,
        *,
        key: PRNGKeyArray,
        num_samples: int = 1,
        chunk: int | None = None,
    ) -> Draws:
        """Draw z ~ q_φ(z | x, c) for one example, and score each draw under the three modules.

        A posterior that is not reparameterised but whose support can be listed is enumerated: K is then
        the size of the support, whatever was asked for. One with a discrete part (categories with Gaussians
        beside or below them, a mixture) is summed over that part, and the rest drawn `num_samples` times
        for each way in which it can come out.

        Args:
            x: one example, without a leading axis; cells of an `Observed` may be missing.
            c: its condition, or None.
            key: a PRNG key.
            num_samples: K, the number of draws; of each branch, where there are several.
            chunk: how many draws are scored at once: with that memory grows with K by the draws alone, also
                where gradients are taken, and each draw is scored once more on the way back. None for all.

        Raises:
            ValueError: if the shapes of the three modules and of x do not fit together.
        """
        prior = self.p_z(c)
        posterior = self.q_z(x, c, prior)
        enumerated = False
        branches = posterior.branches
        if branches is None or posterior.reparameterised:
            # One draw takes the key itself: splitting it would be a kernel more in every training step.
            keys = key[None] if num_samples == 1 else jax.random.split(key, num_samples)
            z, log_posterior = over_draws(posterior.sample_and_log_prob, chunk)(keys)
            log_measure = jnp.full_like(log_posterior, -math.log(num_samples))
        elif (support := posterior.enumerate_support()) is not None:
            z, enumerated = support, True
            log_posterior = log_measure = jax.vmap(posterior.log_prob)(z)
        else:
            index = jnp.repeat(jnp.arange(branches), num_samples)
            keys = jax.random.split(key, branches * num_samples)
            z, log_share = jax.vmap(posterior.sample_branch)(index, keys)
            log_posterior = over_draws(posterior.log_prob, chunk)(z)
            log_measure = log_share - math.log(num_samples)
        self.require_shapes(jax.tree.map(lambda leaf: leaf[0], z), x, c, prior)
        # Not `stop_gradient` over the distribution: its lazily held networks would not be stopped,
        # nor would layers of a hierarchy that depend on the draws keep the gradient they should.
        stopped = stop_parameters(self).q_z(x, c)
        return Draws(
            z=z,
            log_prior=over_draws(prior.log_prob, chunk)(z),
            log_likelihood=over_draws(lambda z: self.p_x(z, c).log_prob(x), chunk)(z),
            log_posterior=log_posterior,
            log_posterior_stopped=over_draws(stopped.log_prob, chunk)(z),
            log_measure=log_measure,
            kl=posterior.kl(prior),
            reparameterised=branches is not None and not enumerated,
            enumerated=enumerated,
        )

    def require_shapes(self, z: PyTree, x: PyTree, c: PyTree, prior: Distribution) -> None:
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


def misfit(function: Callable, *args: object, **kwargs: object) -> str | None:
    """Why a callable cannot be called with so many arguments; None where it can, or cannot be asked.

    Example:
        >>> misfit(lambda z: z, 1), misfit(lambda z: z, 1, c=2)
        (None, "got an unexpected keyword argument 'c'")
    """
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    except ValueError:  # not every callable can be asked
        return None
    return None


def over_draws(score: Callable[..., PyTree], chunk: int | None) -> Callable[..., PyTree]:
    """A function of one draw as one of K on a leading axis: all at once, or `chunk` by `chunk`."""
    if chunk is None:
        return jax.vmap(score)

    def each(*drawn: PyTree) -> PyTree:
        # What a chunk needs for its gradient is computed again, instead of being kept for all of them.
        return jax.lax.map(jax.checkpoint(lambda draw: score(*draw)), drawn, batch_size=chunk)

    return each


def stop_parameters(module: M) -> M:
    """The same module, to whose parameters no gradient goes."""
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
