"""Families of distributions over one cell, by name: to add one is to add a line to `FAMILIES`."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax.nn import log_sigmoid
from jaxtyping import Array, Float, PRNGKeyArray

from condvae.distributions import Distribution, Numpyro
from condvae.distributions.counts import Hurdle, NegativeBinomial, Poisson, ZeroInflated
from condvae.distributions.pixels import ContinuousBernoulli, DiscretisedLogisticMixture
from condvae.distributions.positive import Beta, Gamma, LogNormal
from condvae.distributions.rounded import Censored, Rounded, Truncated
from condvae.distributions.support import Support, support_of
from condvae.heads.scales import LOG_SCALE_BOUNDS, bounded_exp, raw_parameters

LOG_MEAN_BOUNDS = (-12.0, 15.0)
"""Of counts and of positive numbers: from some millionths to some millions."""

LOG_CONCENTRATION_BOUNDS = (-3.0, 9.0)
"""Less is a spike at the end of the support, more is a Gaussian to the last digit."""

LOG_SPREAD_BOUNDS = (-7.0, 2.0)
"""Of the logarithm of a value: at most a factor of some thousands."""

LARGEST_LOG = 40.0
"""Of a log-normal's median: beyond it draws are beyond float32."""


class Family(NamedTuple):
    """A distribution over one cell.

    Attributes:
        build: from parameters that may be any numbers, each of the cells' shape, and options.
        parameters: their names. The first is where the mass is.
        shared: parameters that are the same for all features, and where they start.
        options: what else it takes, and what that is unless it is given; `...` where it must be.
    """

    build: Callable[..., npd.Distribution]
    parameters: tuple[str, ...]
    shared: dict[str, float] = {}  # noqa: RUF012
    options: dict[str, Any] = {}  # noqa: RUF012


def _scale(raw: Array) -> Array:
    return bounded_exp(raw, *LOG_SCALE_BOUNDS)


def _mean(raw: Array) -> Array:
    return bounded_exp(raw, *LOG_MEAN_BOUNDS)


def _concentration(raw: Array) -> Array:
    return bounded_exp(raw, *LOG_CONCENTRATION_BOUNDS)


def _degrees(raw: Array) -> Array:
    return bounded_exp(raw, 0.0, math.log(1000.0))


def _gamma(mean: Array, concentration: Array) -> Gamma:
    concentration = _concentration(concentration)
    return Gamma(concentration, concentration / _mean(mean))


def _log_normal(loc: Array, scale: Array) -> LogNormal:
    return LogNormal(LARGEST_LOG * jnp.tanh(loc / LARGEST_LOG), bounded_exp(scale, *LOG_SPREAD_BOUNDS))


def _beta(mean: Array, total: Array) -> Beta:
    ends = [_concentration(total + log_sigmoid(side)) for side in (mean, -mean)]
    return Beta(*ends)


def _poisson(mean: Array) -> Poisson:
    return Poisson(_mean(mean))


def _negative_binomial(mean: Array, concentration: Array) -> NegativeBinomial:
    return NegativeBinomial(_mean(mean), _concentration(concentration))


def _within(kind: Any) -> Callable[..., npd.Distribution]:
    def build(loc: Array, scale: Array, low: float | None, high: float | None) -> npd.Distribution:
        limits = -np.inf if low is None else low, np.inf if high is None else high
        return kind(npd.Normal(loc, _scale(scale)), *limits)

    return build


def _rounded(base: Callable[..., npd.Distribution]) -> Callable[..., npd.Distribution]:
    def build(*raw: Array, width: Any, origin: Any) -> Rounded:
        # Arrays of NumPy, which are known while JAX traces: values can be held to the steps beforehand.
        steps = (np.broadcast_to(np.asarray(part, raw[0].dtype), raw[0].shape) for part in (width, origin))
        return Rounded(base(*raw), *steps)

    return build


def _gaussian(loc: Array, scale: Array) -> npd.Normal:
    return npd.Normal(loc, _scale(scale))


def _student_t(loc: Array, scale: Array, degrees: Array) -> npd.StudentT:
    return npd.StudentT(_degrees(degrees), loc, _scale(scale))


_TEN: dict[str, float] = {"degrees": math.log(10.0)}
_LIMITS: dict[str, Any] = {"low": None, "high": None}
_STEPS: dict[str, Any] = {"width": ..., "origin": 0.0}

FAMILIES: dict[str, Family] = {
    "gaussian": Family(_gaussian, ("loc", "scale")),
    "student_t": Family(_student_t, ("loc", "scale"), _TEN),
    "laplace": Family(lambda loc, scale: npd.Laplace(loc, _scale(scale)), ("loc", "scale")),
    "log_normal": Family(_log_normal, ("loc", "scale")),
    "gamma": Family(_gamma, ("mean", "concentration")),
    "beta": Family(_beta, ("mean", "total")),
    "bernoulli": Family(npd.BernoulliLogits, ("logits",)),
    "continuous_bernoulli": Family(ContinuousBernoulli, ("logits",)),
    "poisson": Family(_poisson, ("mean",)),
    "negative_binomial": Family(_negative_binomial, ("mean", "concentration")),
    "zero_inflated_poisson": Family(
        lambda mean, gate: ZeroInflated(_poisson(mean), gate), ("mean", "gate")
    ),
    "zero_inflated_negative_binomial": Family(
        lambda mean, r, gate: ZeroInflated(_negative_binomial(mean, r), gate),
        ("mean", "concentration", "gate"),
    ),
    "hurdle_poisson": Family(lambda mean, gate: Hurdle(_poisson(mean), gate), ("mean", "gate")),
    "hurdle_negative_binomial": Family(
        lambda mean, r, gate: Hurdle(_negative_binomial(mean, r), gate), ("mean", "concentration", "gate")
    ),
    "hurdle_gamma": Family(
        lambda mean, r, gate: Hurdle(_gamma(mean, r), gate), ("mean", "concentration", "gate")
    ),
    "hurdle_log_normal": Family(
        lambda loc, scale, gate: Hurdle(_log_normal(loc, scale), gate), ("loc", "scale", "gate")
    ),
    "truncated_gaussian": Family(_within(Truncated), ("loc", "scale"), options=_LIMITS),
    "censored_gaussian": Family(_within(Censored), ("loc", "scale"), options=_LIMITS),
    "rounded_gaussian": Family(_rounded(_gaussian), ("loc", "scale"), options=_STEPS),
    "rounded_student_t": Family(_rounded(_student_t), ("loc", "scale"), _TEN, _STEPS),
}
"""Every family that `FamilyHead` and `MixtureHead` know."""


def family_support(name: str, **options: Any) -> Support | None:
    """What a cell of a family can be.

    Raises:
        ValueError: for a family that there is not, or an option that it has not.

    Example:
        >>> from condvae.heads.families import family_support
        >>> family_support("poisson").words(), family_support("beta").words()
        ('a whole number from 0', 'a number above 0 and below 1')
    """
    given, entry = dict(_family(name, options)), FAMILIES[name]
    raw = [jnp.zeros(1)] * (len(entry.parameters) + len(entry.shared))
    support = support_of(entry.build(*raw, **given))
    return None if support is None else support.at((0,))


def _family(name: str, options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The options of a family, those that were not given too.

    Raises:
        ValueError: for a family that there is not, or an option that it has not.
    """
    if name not in FAMILIES:
        raise ValueError(f"no family {name!r}: choose one of {', '.join(FAMILIES)}")
    known = FAMILIES[name].options
    if odd := [option for option in options if option not in known]:
        takes = f"takes {' and '.join(known)}" if known else "takes no options"
        raise ValueError(f"{odd[0]!r} is no option of {name!r}, which {takes}")
    values = known | options
    if missing := [option for option, value in values.items() if value is ...]:
        raise ValueError(f"{name!r} needs {missing[0]!r}: give {missing[0]}=, for all cells or for each")
    return tuple((option, _plain(value)) for option, value in values.items())


def _plain(value: Any) -> Any:
    """A number, or a tuple of them: what can be a part of a program, and be saved."""
    if value is None:
        return None
    return tuple(map(_plain, value)) if np.ndim(value) else float(value)


class FamilyHead(eqx.Module):
    """Independent cells of one of `FAMILIES`.

    Args:
        in_size: the length of the feature vector.
        shape: the shape of a value.
        family: its name.
        key: for the initial weights.
        options: what the family takes: `low` and `high` of those within limits, `width` and `origin` of
            rounded ones, a number for all cells or one for each.

    Raises:
        ValueError: for a family that there is not, or an option that it has not.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import FamilyHead
        >>> head = FamilyHead(8, (2,), "negative_binomial", key=jax.random.key(0))
        >>> head(jnp.zeros(8)).log_prob(jnp.array([0, 3])).shape
        ()
    """

    linear: eqx.nn.Linear
    shared: dict[str, Float[Array, "..."]]
    shape: tuple[int, ...] = eqx.field(static=True)
    family: str = eqx.field(static=True)
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(
        self, in_size: int, shape: Sequence[int], family: str, *, key: PRNGKeyArray, **options: Any
    ):
        self.options = _family(family, options)
        entry = FAMILIES[family]
        self.linear = eqx.nn.Linear(in_size, len(entry.parameters) * math.prod(shape), key=key)
        self.shared = {name: jnp.full(shape, start, float) for name, start in entry.shared.items()}
        self.shape, self.family = tuple(shape), family

    def __call__(self, features: Float[Array, "*map in_size"]) -> Distribution:
        entry = FAMILIES[self.family]
        raw = raw_parameters(self.linear, features, len(entry.parameters), self.shape)
        shared = (jnp.broadcast_to(self.shared[name], raw[0].shape) for name in entry.shared)
        return Numpyro(entry.build(*raw, *shared, **dict(self.options)))

    def eased(self, ramp: Float[Array, ""]) -> "FamilyHead":
        """The same, all but the first parameter depending on the features by the part `ramp`."""
        follows = jnp.arange(self.linear.out_features) < math.prod(self.shape)
        weight = jnp.where(follows[:, None], self.linear.weight, ramp * self.linear.weight)
        return eqx.tree_at(lambda head: head.linear.weight, self, weight)


class MixtureHead(eqx.Module):
    """Independent cells, each a mixture of `components` of one family: Σ_k π_k p_k(x).

    Draws carry no gradient to the parts π, so that it is not reparameterised.

    Args:
        in_size: the length of the feature vector.
        shape: the shape of a value.
        family: one of `FAMILIES`.
        components: how many.
        key: for the initial weights.
        options: what the family takes.

    Raises:
        ValueError: for a family that there is not, an option that it has not, or no component.

    Source: Bishop 1994 (mixture density networks).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from condvae.heads import MixtureHead
        >>> head = MixtureHead(8, (2,), "gaussian", components=5, key=jax.random.key(0))
        >>> head(jnp.zeros(8)).log_prob(jnp.zeros(2)).shape
        ()
    """

    parts: FamilyHead
    logits: eqx.nn.Linear

    def __init__(
        self,
        in_size: int,
        shape: Sequence[int],
        family: str = "gaussian",
        *,
        components: int,
        key: PRNGKeyArray,
        **options: Any,
    ):
        if components < 1:
            raise ValueError(f"components is {components}, expected at least 1")
        parts_key, logits_key = jax.random.split(key)
        whole = tuple(shape)
        parts = FamilyHead(in_size, (*whole, components), family, key=parts_key, **options)
        # Components that begin alike would stay alike for long: they begin side by side.
        apart = jnp.broadcast_to(jnp.linspace(-1.0, 1.0, components), parts.shape).reshape(-1)
        bias = jnp.asarray(parts.linear.bias).at[: apart.size].add(apart)
        self.parts = eqx.tree_at(lambda head: head.linear.bias, parts, bias)
        self.logits = eqx.nn.Linear(in_size, math.prod(whole) * components, key=logits_key)

    def __call__(self, features: Float[Array, "*map in_size"]) -> Distribution:
        parts: Any = self.parts(features)
        (logits,) = raw_parameters(self.logits, features, 1, self.parts.shape)
        return Numpyro(npd.MixtureSameFamily(npd.CategoricalLogits(logits), parts.base))


class PixelHead(eqx.Module):
    """Pixels of whole numbers 0 ... levels − 1, each by the mass of a mixture of logistics around it.

    Args:
        in_size: the length of the feature vector.
        shape: the shape of a value, such as (height, width, channels).
        components: of the mixture in each cell.
        levels: 256 for 8 bits.
        key: for the initial weights.

    Source: Salimans et al. 2017 (PixelCNN++), without the dependence between channels.
    """

    linear: eqx.nn.Linear
    shape: tuple[int, ...] = eqx.field(static=True)
    levels: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        shape: Sequence[int],
        *,
        components: int = 5,
        levels: int = 256,
        key: PRNGKeyArray,
    ):
        self.shape, self.levels = (*shape, components), levels
        linear = eqx.nn.Linear(in_size, 3 * math.prod(self.shape), key=key)
        apart = jnp.broadcast_to(jnp.linspace(-0.8, 0.8, components), self.shape).reshape(-1)
        raw = jnp.concatenate([jnp.zeros(apart.size), apart, jnp.full(apart.size, -2.0)])
        self.linear = eqx.tree_at(lambda linear: linear.bias, linear, jnp.asarray(linear.bias) + raw)

    def __call__(self, features: Float[Array, "*map in_size"]) -> Distribution:
        logits, loc, scale = raw_parameters(self.linear, features, 3, self.shape)
        return Numpyro(DiscretisedLogisticMixture(logits, loc, _scale(scale), self.levels))
