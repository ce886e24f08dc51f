"""What every distribution offers."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from condvae.distributions.support import Support

Scalar = Float[Array, ""]

MAX_SUPPORT = 4096
"""Supports up to this size are enumerated; a larger one counts as one that cannot be."""


class Distribution(eqx.Module):
    """A distribution over one value: an array or a pytree of arrays.

    A user's own subclass needs `sample`, `log_prob` and `reparameterised`; the rest have defaults
    that say "not available", and what needs them finds another way or refuses in a sentence.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.distributions import Distribution
        >>> class Point(Distribution):
        ...     at: jax.Array
        ...     reparameterised = True
        ...     def sample(self, key):
        ...         return self.at
        ...     def log_prob(self, value):
        ...         return jnp.where(jnp.all(value == self.at), 0.0, -jnp.inf)
        >>> z, log_density = Point(jnp.ones(2)).sample_and_log_prob(jax.random.key(0))
        >>> float(log_density)
        0.0
    """

    @property
    @abc.abstractmethod
    def reparameterised(self) -> bool:
        """Whether gradients flow through `sample` to every parameter of the distribution."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> PyTree[Array]:
        """One draw."""

    @abc.abstractmethod
    def log_prob(self, value: PyTree[Array]) -> Scalar:
        """The log-density (or log-mass) of one value, in nats: a scalar."""

    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[PyTree[Array], Scalar]:
        """One draw and its log-density, together where that is cheaper."""
        value = self.sample(key)
        return value, self.log_prob(value)

    def enumerate_support(self) -> PyTree[Array] | None:
        """Every value there is, stacked on a leading axis; None where they cannot be listed."""
        return None

    def support(self) -> PyTree[Support | None]:
        """What each cell of a value can be, a `Support` for each array; None where that is not known.

        It follows from what the distribution is, and not from its parameters.
        """
        return None

    @property
    def branches(self) -> int | None:
        """In how many ways its discrete part can come out; None where they cannot be listed.

        Given the way, what is left is drawn with a gradient (see `sample_branch`). It is 1 where all is
        reparameterised, the size of the support where that can be listed, K for a mixture of K Gaussians.
        """
        if self.reparameterised:
            return 1
        support = self.enumerate_support()
        return None if support is None else len(jax.tree.leaves(support)[0])

    def sample_branch(self, index: Int[Array, ""], key: PRNGKeyArray) -> tuple[PyTree[Array], Scalar]:
        """A draw given that the discrete part comes out in the `index`-th way, and log P of that way.

        For any f, E f = Σ_i P_i E[f(draw of branch i)], with gradients to every parameter.
        """
        support = None if self.reparameterised else self.enumerate_support()
        if support is None:
            return self.sample(key), jnp.zeros(())
        value = jax.tree.map(lambda leaf: leaf[index], support)
        return value, self.log_prob(value)

    def marginal(self, mask: PyTree[Bool[Array, "..."]]) -> "Distribution":
        """The distribution of the cells where `mask` is true, the others summed out exactly.

        Raises:
            TypeError: if the marginal has no exact form here.
        """
        raise TypeError(
            f"{type(self).__name__} has no exact marginal, so cells of it cannot be missing: use a "
            "distribution that factorises over cells, or define marginal(mask)"
        )

    def conditional(self, value: PyTree[Array], mask: PyTree[Bool[Array, "..."]]) -> "Distribution":
        """The distribution given the cells of `value` where `mask` is true; its draws keep those cells.

        Raises:
            TypeError: if it has no exact form here.
        """
        raise TypeError(
            f"{type(self).__name__} has no exact conditional, so missing cells of it cannot be drawn given "
            "the observed ones: use a distribution that factorises over cells, or define "
            "conditional(value, mask)"
        )

    def between(self, low: PyTree[Array], high: PyTree[Array], doubt: PyTree[Array]) -> "Distribution":
        """Given, but for the probability `doubt`, that every cell is from `low` to `high`.

        Cells of which that is not known, such as categories, stay as they are; by default all of them.
        """
        del low, high, doubt
        return self

    def kl(self, other: "Distribution") -> Scalar | None:
        """KL(self || other) in nats, in closed form; None where there is none."""
        return None

    def mean(self) -> PyTree[Array] | None:
        """The mean, of the shape of a draw; None where there is no closed form."""
        return None

    def location(self) -> PyTree[Array] | None:
        """The mean, or where a symmetric distribution has none, where its middle is."""
        return self.mean()

    def cdf(self, value: PyTree[Array]) -> PyTree[Array] | None:
        """P(cell ≤ value of it) of each cell of a draw; None where it is not known."""
        return None

    def terms(self, value: PyTree[Array]) -> Float[Array, " T"]:
        """The log-density as terms that add up to it: of independent cells each, of a hierarchy each layer.

        By default there is one.
        """
        return self.log_prob(value)[None]

    def unconstrained(self) -> tuple[PyTree[Array], "Callable[[PyTree[Array]], Distribution]"]:
        """Its parameters as numbers that may take any value, and the way back: to refine it for one row.

        By default these are all of its floating-point arrays: a subclass with bounded parameters says how
        they are bounded.

        Raises:
            TypeError: if it has none.
        """
        arrays, rest = eqx.partition(self, eqx.is_inexact_array)
        if not jax.tree.leaves(arrays):
            raise TypeError(
                f"{type(self).__name__} holds no parameters that may be refined: define unconstrained()"
            )
        return arrays, lambda arrays: eqx.combine(arrays, rest)

    def reparameterised_at(self, value: PyTree[Array]) -> PyTree[Array] | None:
        """A value as the draw that it would be: the same number, with a gradient to the parameters.

        With T(ε) the draw that noise ε makes, it is T(ε) at the ε for which T(ε) is the value, ε held. None
        where that noise is not known.
        """
        return None

    @property
    def on_reals(self) -> bool:
        """Whether every value of this shape has a density above 0: so a latent may be moved anywhere."""
        return True

    def widened(self, factor: float | Array) -> "Distribution | None":
        """The distribution `factor` times as wide about its centre: a proposal that goes further out.

        None where that has no meaning (a discrete distribution) or is not known.
        """
        return None
