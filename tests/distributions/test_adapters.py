"""numpyro's distributions, and flows, through their adapters."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy import stats

from condvae import Observed
from condvae.distributions import (
    MAX_SUPPORT,
    Distribution,
    Flow,
    Numpyro,
    as_distribution,
)
from distributions.instances import INSTANCES, KEY, flow


def test_log_prob_is_scipys():
    value = np.array([0.3, -2.0, 1.0])
    got = Numpyro(npd.StudentT(4.0, jnp.zeros(3), 2.0)).log_prob(jnp.asarray(value))
    np.testing.assert_allclose(got, stats.t(4.0, scale=2.0).logpdf(value).sum(), rtol=1e-5)


def test_nothing_is_broadcast():
    with pytest.raises(ValueError, match=r"Normal expected a value of shape \(\), got \(3,\)"):
        Numpyro(npd.Normal(0.0, 1.0)).log_prob(jnp.zeros(3))


def test_independent_is_the_same_thing():
    wrapped = npd.Normal(jnp.zeros((2, 3)), 1.0).to_event(2)
    assert Numpyro(wrapped).log_prob(jnp.ones((2, 3))) == wrapped.log_prob(jnp.ones((2, 3)))
    assert Numpyro(wrapped).kl(Numpyro(wrapped)) == 0.0


def test_missing_cells_are_left_out_exactly():
    d = INSTANCES["normal"]()
    row = Observed(jnp.array([0.5, 0.0]), jnp.array([True, False]))
    np.testing.assert_allclose(d.log_prob(row), stats.norm.logpdf(0.5), rtol=1e-6)
    nothing = Observed(jnp.zeros(2), jnp.zeros(2, bool))
    assert d.log_prob(nothing) == 0.0


def test_a_missing_cell_outside_the_support_gives_no_nan_gradient():
    def score(loc):
        row = Observed(jnp.array([2.0, 0.0]), jnp.array([True, False]))
        return Numpyro(npd.LogNormal(jnp.full(2, loc), 1.0)).log_prob(row)

    # d/dloc of the log-normal's log-density is (log x − loc) / σ², of the one cell that is there.
    np.testing.assert_allclose(jax.jit(jax.grad(score))(0.2), np.log(2.0) - 0.2, rtol=1e-5)


def test_a_distribution_that_does_not_factorise_refuses_missing_cells():
    row = Observed(jnp.zeros(2), jnp.array([True, False]))
    with pytest.raises(TypeError, match="does not factorise over its cells"):
        Numpyro(npd.Dirichlet(jnp.ones(2))).log_prob(row)
    with pytest.raises(TypeError, match="Flow has no exact marginal"):
        INSTANCES["flow"]().marginal(row.mask)


@pytest.mark.parametrize("kind", ["full", "low rank"])
def test_missing_cells_of_a_gaussian_are_integrated_out(kind):
    factor, loc = jax.random.normal(jax.random.key(0), (4, 2)), jnp.arange(4.0)
    covariance = factor @ factor.T + 0.5 * jnp.eye(4)
    full = npd.MultivariateNormal(loc, covariance)
    base = full if kind == "full" else npd.LowRankMultivariateNormal(loc, factor, jnp.full(4, 0.5))
    seen = np.array([True, False, True, False])
    row = Observed(jnp.array([0.3, jnp.nan, -1.0, jnp.nan]), jnp.array(seen))
    exact = stats.multivariate_normal(np.arange(4.0)[seen], np.asarray(covariance)[np.ix_(seen, seen)])
    np.testing.assert_allclose(Numpyro(base).log_prob(row), exact.logpdf([0.3, -1.0]), rtol=1e-5)
    with pytest.raises(ValueError, match=r"expected a value of shape \(4,\), got \(2,\)"):
        Numpyro(base).log_prob(Observed(jnp.zeros(2), jnp.ones(4, bool)))


def test_a_value_outside_of_the_support_has_no_density():
    gamma = Numpyro(npd.Gamma(jnp.array([2.0, 2.0]), 1.0))
    assert gamma.log_prob(jnp.array([1.0, -1.0])) == -jnp.inf
    gradient = jax.jit(jax.grad(lambda a: Numpyro(npd.Gamma(a, 1.0)).log_prob(jnp.array([1.0, -1.0]))))(
        jnp.ones(2)
    )
    assert jnp.isfinite(gradient).all()


def test_the_support_is_enumerated_cell_by_cell():
    d = INSTANCES["categorical"]()
    support = d.enumerate_support()
    assert sorted(map(tuple, support.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    total = jax.nn.logsumexp(jax.jit(jax.vmap(d.log_prob))(support))
    np.testing.assert_allclose(total, 0.0, atol=1e-6)
    coins = Numpyro(npd.Bernoulli(probs=jnp.full(3, 0.3)))
    np.testing.assert_allclose(
        jnp.exp(jax.jit(jax.vmap(coins.log_prob))(coins.enumerate_support())).sum(), 1.0, rtol=1e-6
    )


def test_what_cannot_be_listed_is_not():
    assert INSTANCES["normal"]().enumerate_support() is None
    too_many = int(np.log2(MAX_SUPPORT)) + 1
    assert Numpyro(npd.Bernoulli(probs=jnp.full(too_many, 0.5))).enumerate_support() is None


def test_a_flows_condition_gets_a_gradient():
    gradient = jax.jit(jax.grad(lambda c: Flow(flow(), c).log_prob(jnp.array([0.5, -0.5]))))(jnp.ones(3))
    assert jnp.abs(gradient).max() > 1e-6


def test_only_distributions_are_distributions():
    class Point(Distribution):
        reparameterised = True

        def sample(self, key):
            return jnp.zeros(())

        def log_prob(self, value):
            return jnp.zeros(())

    point = Point()
    assert as_distribution(point) is point
    assert point.sample_and_log_prob(KEY)[1] == 0.0
    with pytest.raises(TypeError, match="the prior returned float, expected a distribution"):
        as_distribution(1.0, "the prior")


def test_kl_of_a_full_covariance_to_independent_cells():
    full = npd.MultivariateNormal(jnp.array([0.5, -1.0]), jnp.array([[2.0, 0.6], [0.6, 1.0]]))
    other = npd.Normal(jnp.array([0.1, 0.3]), jnp.array([0.7, 1.9]))
    same = npd.MultivariateNormal(other.loc, jnp.diag(other.scale**2))
    expected = npd.kl_divergence(full, same)
    np.testing.assert_allclose(Numpyro(full).kl(Numpyro(other)), expected, rtol=1e-5)
