"""Mixtures of distributions over the whole value."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as npd
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from condvae.distributions.adapters import Numpyro
from condvae.distributions.protocol import Distribution, Scalar


class MixtureOf(Distribution):
    """Σ_k π_k p_k(value), π = softmax(logits): one component for the whole value.

    A draw carries no gradient to π. Its components are its branches, so that an expectation is the sum
    over them, each drawn from by itself: with that an objective has all its gradients.

    Args:
        logits: of the components, (K,).
        component: from k to p_k.

    Source: Morningstar et al. 2021 (stratified draws of a mixture).

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as npd
        >>> from condvae.distributions import MixtureOf, Numpyro
        >>> centres = jnp.array([[-2.0, 0.0], [2.0, 0.0]])
        >>> two = MixtureOf(jnp.zeros(2), lambda k: Numpyro(npd.Normal(centres[k], 1.0)))
        >>> round(float(two.log_prob(jnp.zeros(2))), 4), two.branches
        (-3.8379, 2)
    """

    logits: Float[Array, " K"]
    component: Callable[[Int[Array, ""]], Distribution]

    @property
    def reparameterised(self) -> bool:
        return False

    @property
    def _first(self) -> Distribution:
        return self.component(jnp.zeros((), int))

    def _each(self, function: Callable[[Distribution], PyTree[Array]]) -> PyTree[Array]:
        return jax.vmap(lambda k: function(self.component(k)))(jnp.arange(self.logits.size))

    def sample(self, key: PRNGKeyArray) -> PyTree[Array]:
        choice_key, own_key = jax.random.split(key)
        return self.component(jax.random.categorical(choice_key, self.logits)).sample(own_key)

    def log_prob(self, value: PyTree[Array]) -> Scalar:
        terms = self._each(lambda one: one.log_prob(value))
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + terms)

    @property
    def branches(self) -> int | None:
        inner = self._first.branches
        return None if inner is None else self.logits.size * inner

    def sample_branch(self, index: Int[Array, ""], key: PRNGKeyArray) -> tuple[PyTree[Array], Scalar]:
        k = index % self.logits.size
        value, share = self.component(k).sample_branch(index // self.logits.size, key)
        return value, jax.nn.log_softmax(self.logits)[k] + share

    def enumerate_support(self) -> PyTree[Array] | None:
        return self._first.enumerate_support()

    def marginal(self, mask: PyTree[Bool[Array, "..."]]) -> Distribution:
        return MixtureOf(self.logits, lambda k: self.component(k).marginal(mask))

    def conditional(self, value: PyTree[Array], mask: PyTree[Bool[Array, "..."]]) -> Distribution:
        of_observed = self._each(lambda one: one.marginal(mask).log_prob(value))
        return MixtureOf(
            jax.nn.log_softmax(self.logits) + of_observed,
            lambda k: self.component(k).conditional(value, mask),
        )

    def _averaged(self, function: Callable[[Distribution], PyTree[Array] | None]) -> PyTree[Array] | None:
        """Σ_k π_k function(p_k); None where a component has none."""
        if function(self._first) is None:
            return None
        share = jax.nn.softmax(self.logits)
        return jax.tree.map(lambda leaf: jnp.tensordot(share, leaf, 1), self._each(function))

    def mean(self) -> PyTree[Array] | None:
        return self._averaged(lambda one: one.mean())

    def cdf(self, value: PyTree[Array]) -> PyTree[Array] | None:
        return self._averaged(lambda one: one.cdf(value))

    @property
    def on_reals(self) -> bool:
        return self._first.on_reals

    def widened(self, factor: float | Array) -> Distribution | None:
        if self._first.widened(factor) is None:
            return None

        def wider(k: Array) -> Distribution:
            one = self.component(k)
            return one.widened(factor) or one

        return MixtureOf(self.logits, wider)


class Gaussians(eqx.Module):
    """Diagonal Gaussians by number, their scales by logarithms: components whose every number is free."""

    loc: Float[Array, "K *shape"]
    log_scale: Float[Array, "K *shape"]

    def __call__(self, k: Int[Array, ""]) -> Distribution:
        return Numpyro(npd.Normal(self.loc[k], jnp.exp(self.log_scale[k])))
