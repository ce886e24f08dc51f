"""`check_conditional` passes what is right, and finds each thing that is wrong."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as npd
import pytest
from instances import INPUTS, conditional, instances

from condvae import load, save
from condvae.conditionals import StandardNormal
from condvae.distributions import Distribution, Numpyro, Product
from condvae.testing import check_conditional

QUICK = {"ordinal"}
"""That of the default suite; all are in the slow one."""


PATHS = {
    *(i.name for i in instances() if i.name.startswith("censored")),
    *("gaussian", "student_t", "laplace", "log_normal", "gamma", "beta", "continuous_bernoulli"),
    *("gaussian-head", "gaussian-unit", "gaussian-shared", "student-t-head"),
    *("full", "low-rank", "coupling-flow", "spline-flow", "relaxed"),
}
"""Whose draws carry gradients."""

FLOWS = {"coupling-flow", "spline-flow"}
WITHOUT = {
    "cdf": {"relaxed", *FLOWS},
    "path": {i.name for i in instances()} - PATHS,
    "masking": {"relaxed", *FLOWS},
}
"""To whom a check does not apply; to all others it does."""


@pytest.mark.parametrize(
    "instance",
    [pytest.param(i, id=i.name, marks=() if i.name in QUICK else pytest.mark.slow) for i in instances()],
)
def test_every_kind_of_head(instance):
    outcomes = check_conditional(conditional(instance.head), *INPUTS)
    for name, outcome in outcomes.items():
        excepted = instance.name in WITHOUT.get(name, ())
        assert outcome.startswith("not checked" if excepted else "passed"), (name, outcomes)


@pytest.mark.parametrize("instance", [pytest.param(i, id=i.name) for i in instances()])
def test_every_kind_of_head_is_rebuilt_from_what_is_saved(instance, tmp_path):
    module = conditional(instance.head)
    save(tmp_path / "model", module)
    same = load(tmp_path / "model")
    assert eqx.tree_equal(same, module)
    assert repr(same) == repr(module)


OFF = 0.02
"""Nats by which a density of two cells is off."""


class Wrong(Distribution):
    """A Gaussian of two cells, one thing of which can be wrong."""

    loc: jax.Array
    fault: str = eqx.field(static=True)

    @property
    def reparameterised(self):
        return True

    def sample(self, key):
        loc = jax.lax.stop_gradient(self.loc) if self.fault == "path" else self.loc
        key = jax.random.key(0) if self.fault == "compiled" else key
        return loc + (1.2 if self.fault == "draws" else 1.0) * jax.random.normal(key, (2,))

    def log_prob(self, value):
        cells = npd.Normal(self.loc, 1.0).log_prob(value)
        if self.fault == "gradient":
            cells = npd.Normal(jax.lax.stop_gradient(self.loc), 1.0).log_prob(value)
        if self.fault == "total":
            cells = cells + OFF / 2
        if self.fault == "shape":
            return cells.sum()
        if self.fault == "extreme":  # the gradient of a root at 0
            cells = cells + 0.0 * jnp.sqrt(jnp.maximum(10.0 - jnp.abs(self.loc), 0.0))
        if jnp.shape(value) != (2,):
            raise ValueError("two cells")
        return cells if self.fault == "scores" else cells.sum()

    def marginal(self, mask):
        if self.fault == "masking":
            return Forgetful(self)
        return Numpyro(npd.Normal(self.loc, jnp.ones(2))).marginal(mask)


class Forgetful(Distribution):
    """A marginal that hides nothing."""

    of: Wrong
    reparameterised = True

    def sample(self, key):
        return self.of.sample(key)

    def log_prob(self, value):
        return self.of.log_prob(getattr(value, "value", value))


class Module(eqx.Module):
    """c to `Wrong`."""

    weight: jax.Array
    fault: str = eqx.field(static=True)

    def __call__(self, c):
        return Wrong(self.weight * c, self.fault)


FAULTS = ["scores", "compiled", "draws", "total", "gradient", "path", "masking", "shape", "extreme"]


@pytest.mark.parametrize("fault", ["nothing", *FAULTS])
def test_what_is_wrong_is_named(fault):
    module, c = Module(jnp.array([0.5, -1.0]), fault), jnp.array([1.0, 2.0])
    if fault == "nothing":
        outcomes = check_conditional(module, c)
        assert outcomes.pop("total").startswith("passed: log of the total is ")
        assert outcomes.pop("cdf") == "not checked: its distribution function is not known"
        assert set(outcomes.values()) == {"passed"}
    else:
        with pytest.raises(AssertionError, match=f"Module, {fault}: "):
            check_conditional(module, c)


class Beside(eqx.Module):
    """A dictionary, of which one part is what another module gives."""

    of: Module

    def __call__(self, c):
        return Product({"a": Numpyro(npd.Normal(c, jnp.ones(2))), "b": self.of(c)})


@pytest.mark.parametrize("fault", ["masking", "shape"])
def test_what_is_wrong_in_a_part_of_a_dictionary_is_named(fault):
    module = Beside(Module(jnp.array([0.5, -1.0]), fault))
    with pytest.raises(AssertionError, match=f"Beside, {fault}: "):
        check_conditional(module, jnp.array([1.0, 2.0]))


def test_what_is_no_distribution_is_refused():
    class Nothing(eqx.Module):
        def __call__(self, c):
            return c

    with pytest.raises(TypeError, match="Nothing returned"):
        check_conditional(Nothing(), jnp.zeros(2))


def test_a_posterior_is_given_the_prior():
    class Corrected(eqx.Module):
        shift: jax.Array

        def __call__(self, x, c, prior=None):
            return npd.Normal(prior.base.loc + self.shift * x, 1.0)

    prior = Numpyro(npd.Normal(jnp.zeros(1), jnp.ones(1)))
    outcomes = check_conditional(Corrected(jnp.ones(1)), jnp.ones(1), jnp.zeros(1), prior=prior)
    assert outcomes["path"] == "passed"


class Plain(eqx.Module):
    """The parameters of one of numpyro's distributions, and which it is."""

    parameters: dict[str, jax.Array]
    family: type = eqx.field(static=True)

    def __call__(self, c):
        return self.family(**self.parameters)


def test_a_module_without_arrays_is_checked():
    outcomes = check_conditional(StandardNormal((2,)), None)
    assert outcomes["compiled"] == "passed"
    assert outcomes["gradient"].startswith("not checked: it has neither parameters nor inputs")


class Simplex(eqx.Module):
    def __call__(self, c):
        return npd.Dirichlet(jnp.array([2.0, 1.0, 3.0]))


def test_of_values_that_follow_from_each_other_nothing_is_said_of_boxes():
    outcomes = check_conditional(Simplex(), None)
    for name in ("draws", "total"):
        assert outcomes[name].startswith("not checked: a cell follows from the others"), outcomes


def test_a_support_that_moves_with_the_parameters_is_no_fault():
    ends = {"low": jnp.array([-1.0, 0.0]), "high": jnp.array([1.0, 3.0])}
    outcomes = check_conditional(Plain(ends, npd.Uniform), None)
    assert outcomes["path"].startswith("not checked: its support moves with its parameters"), outcomes
    assert outcomes.pop("total").startswith("passed")
    assert {outcomes[name] for name in ("draws", "cdf", "gradient", "masking")} == {"passed"}


class Undrawn(npd.Normal):
    def sample(self, key, sample_shape=()):
        raise NotImplementedError("no draws")


class Uncalled(eqx.Module):
    def __call__(self, c):
        return npd.Normal(jnp.zeros(2), jnp.ones(3))


def test_what_others_raise_is_said_of_the_module_and_the_check():
    undrawn = Plain({"loc": jnp.zeros(2), "scale": jnp.ones(2)}, Undrawn)
    with pytest.raises(AssertionError, match="Plain, scores: NotImplementedError was raised: no draws"):
        check_conditional(undrawn, None)
    with pytest.raises(AssertionError, match="Uncalled, called: ValueError was raised: Incompatible"):
        check_conditional(Uncalled(), None)


class Askew(npd.Normal):
    """A distribution function that is off by 0.02."""

    def cdf(self, value):
        return 0.98 * super().cdf(value)


def test_a_wrong_distribution_function_is_found():
    askew = Plain({"loc": jnp.zeros(2), "scale": jnp.ones(2)}, Askew)
    with pytest.raises(AssertionError, match="Plain, cdf: cell 0's distribution function is"):
        check_conditional(askew, None)
