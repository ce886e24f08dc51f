import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from flowjax.distributions import Normal as FlowNormal
from flowjax.flows import coupling_flow
from scipy import stats

from condvae import Observed
from condvae.distributions import (
    MAX_SUPPORT,
    Chain,
    Distribution,
    Flow,
    MixtureOf,
    Numpyro,
    Product,
    as_distribution,
)

KEY = jax.random.key(0)


def flow():
    return coupling_flow(KEY, base_dist=FlowNormal(jnp.zeros(2)), cond_dim=3, flow_layers=2, nn_width=8)


def chain():
    return Chain(npd.Normal(jnp.zeros(2), 1.0), (lambda above: npd.Normal(2.0 * above[0][:1], 0.5),))


INSTANCES = {
    "normal": lambda: Numpyro(npd.Normal(jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0]))),
    "student_t": lambda: Numpyro(npd.StudentT(4.0, jnp.zeros(3), 1.0)),
    "full": lambda: Numpyro(npd.MultivariateNormal(jnp.zeros(2), jnp.array([[2.0, 0.5], [0.5, 1.0]]))),
    "categorical": lambda: Numpyro(npd.Categorical(logits=jnp.array([[0.0, 1.0], [2.0, 0.0]]))),
    "flow": lambda: Flow(flow(), jnp.ones(3)),
    "chain": chain,
    "product": lambda: Product({"a": INSTANCES["normal"](), "b": INSTANCES["categorical"]()}),
}
every_instance = pytest.mark.parametrize("make", INSTANCES.values(), ids=INSTANCES)


@every_instance
def test_sample_and_log_prob_agree(make):
    d = make()
    value, log_density = d.sample_and_log_prob(KEY)
    assert jnp.shape(log_density) == ()
    np.testing.assert_allclose(log_density, d.log_prob(value), rtol=1e-4, atol=1e-5)
    again = d.sample(KEY)
    assert jax.tree.structure(value) == jax.tree.structure(again)


@every_instance
def test_works_inside_jit_and_vmap(make):
    keys = jax.random.split(KEY, 5)
    values, log_densities = jax.jit(jax.vmap(lambda key: make().sample_and_log_prob(key)))(keys)
    one_by_one = [make().log_prob(jax.tree.map(lambda leaf, i=i: leaf[i], values)) for i in range(5)]
    np.testing.assert_allclose(log_densities, jnp.stack(one_by_one), rtol=1e-4, atol=1e-5)
    # Every row has noise of its own.
    assert len(np.unique(np.asarray(jax.tree.leaves(values)[0]).reshape(5, -1), axis=0)) > 1


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
    np.testing.assert_allclose(jax.grad(score)(0.2), np.log(2.0) - 0.2, rtol=1e-5)


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
    gradient = jax.grad(lambda a: Numpyro(npd.Gamma(a, 1.0)).log_prob(jnp.array([1.0, -1.0])))(jnp.ones(2))
    assert jnp.isfinite(gradient).all()


def test_the_support_is_enumerated_cell_by_cell():
    d = INSTANCES["categorical"]()
    support = d.enumerate_support()
    assert sorted(map(tuple, support.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    total = jax.nn.logsumexp(jax.vmap(d.log_prob)(support))
    np.testing.assert_allclose(total, 0.0, atol=1e-6)
    coins = Numpyro(npd.Bernoulli(probs=jnp.full(3, 0.3)))
    np.testing.assert_allclose(
        jnp.exp(jax.vmap(coins.log_prob)(coins.enumerate_support())).sum(), 1.0, rtol=1e-6
    )


def test_what_cannot_be_listed_is_not():
    assert INSTANCES["normal"]().enumerate_support() is None
    too_many = int(np.log2(MAX_SUPPORT)) + 1
    assert Numpyro(npd.Bernoulli(probs=jnp.full(too_many, 0.5))).enumerate_support() is None


def test_kl_in_closed_form_where_there_is_one():
    p, q = Numpyro(npd.Normal(jnp.ones(3), 2.0)), Numpyro(npd.Normal(jnp.zeros(3), 1.0))
    np.testing.assert_allclose(p.kl(q), 3 * (0.5 * (4 + 1 - 1) - np.log(2.0)), rtol=1e-6)
    assert p.kl(INSTANCES["flow"]()) is None
    assert INSTANCES["categorical"]().kl(INSTANCES["categorical"]()) is None
    assert p.kl(Numpyro(npd.Normal(0.0, 1.0))) is None  # of another shape
    both = Product({"a": p, "b": p}).kl(Product({"a": q, "b": p}))
    np.testing.assert_allclose(both, p.kl(q), rtol=1e-6)
    assert INSTANCES["product"]().kl(INSTANCES["product"]()) is None


def test_means_are_of_the_values_shape():
    assert Numpyro(npd.Normal(0.0, jnp.ones(3))).mean().shape == (3,)
    assert INSTANCES["categorical"]().mean() is None
    assert INSTANCES["flow"]().mean() is None
    assert INSTANCES["product"]().mean() is None
    np.testing.assert_allclose(Numpyro(npd.Bernoulli(probs=jnp.array([0.2]))).mean(), [0.2], rtol=1e-6)


def test_distribution_functions_of_cells_are_scipys():
    lower, value = jnp.array([[0.5, 0.0], [0.4, 1.2]]), jnp.array([0.3, -0.8])
    factor, diagonal = jnp.array([[0.5], [-1.0]]), jnp.array([0.2, 0.7])
    spreads = np.sqrt([0.25, 0.16 + 1.44]), np.sqrt([0.25 + 0.2, 1.0 + 0.7])
    full = Numpyro(npd.MultivariateNormal(jnp.ones(2), scale_tril=lower))
    low_rank = Numpyro(npd.LowRankMultivariateNormal(jnp.ones(2), factor, diagonal))
    for of, spread in zip((full, low_rank), spreads, strict=True):
        np.testing.assert_allclose(of.cdf(value), stats.norm.cdf(value, 1.0, spread), rtol=1e-5)
    two = MixtureOf(jnp.log(jnp.array([0.3, 0.7])), lambda k: Numpyro(npd.Normal(jnp.ones(2) * k, 1.0)))
    mixed = 0.3 * stats.norm.cdf(value) + 0.7 * stats.norm.cdf(value, 1.0)
    np.testing.assert_allclose(two.cdf(value), mixed, rtol=1e-5)
    categories = Numpyro(npd.CategoricalProbs(jnp.array([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0]])))
    row = {"a": value, "k": jnp.array([1, 0])}
    shares = Product({"a": two, "k": categories}).cdf(row)
    assert shares is not None
    np.testing.assert_allclose(shares["a"], mixed, rtol=1e-5)
    np.testing.assert_allclose(shares["k"], [0.7, 0.6], rtol=1e-6)
    np.testing.assert_allclose(categories.cdf(jnp.array([-1, 5])), [0.0, 1.0], rtol=1e-6)
    assert Product({"a": INSTANCES["flow"](), "k": categories}).cdf(row) is None


def test_the_middle_of_a_product_is_that_of_each_block():
    cauchy = Numpyro(npd.StudentT(1.0, jnp.array([2.0]), 1.0))
    middle = Product({"a": cauchy, "b": Numpyro(npd.Poisson(jnp.array([3.0])))}).location()
    assert middle is not None
    assert (middle["a"], middle["b"]) == (2.0, 3.0)


def test_reparameterised_is_honoured():
    assert INSTANCES["normal"]().reparameterised
    assert not INSTANCES["categorical"]().reparameterised
    mixture = npd.MixtureSameFamily(npd.Categorical(logits=jnp.zeros(2)), npd.Normal(jnp.zeros(2), 1.0))
    assert not Numpyro(mixture).reparameterised  # no gradient reaches its mixing weights
    assert chain().reparameterised
    assert not Chain(
        npd.Normal(jnp.zeros(()), 1.0), (lambda above: npd.Bernoulli(logits=above[0]),)
    ).reparameterised


def test_a_chain_is_the_product_of_its_layers():
    z = (jnp.array([0.3, -1.0]), jnp.array([0.1]))
    expected = stats.norm.logpdf([0.3, -1.0]).sum() + stats.norm.logpdf(0.1, loc=0.6, scale=0.5)
    np.testing.assert_allclose(chain().log_prob(z), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="Chain expected 2 layers, got 1"):
        chain().log_prob(z[:1])


def test_a_flows_condition_gets_a_gradient():
    gradient = jax.grad(lambda c: Flow(flow(), c).log_prob(jnp.array([0.5, -0.5])))(jnp.ones(3))
    assert jnp.abs(gradient).max() > 1e-6


def test_a_product_names_its_blocks():
    with pytest.raises(ValueError, match=r"expected a dictionary of \['a', 'b'\], got \['a'\]"):
        INSTANCES["product"]().log_prob({"a": jnp.zeros(2)})
    value = INSTANCES["product"]().sample(KEY)
    hidden = {"a": jnp.zeros(2, bool), "b": jnp.zeros(2, bool)}
    assert INSTANCES["product"]().marginal(hidden).log_prob(value) == 0.0


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


def flat(values):
    return np.concatenate([np.reshape(v, (len(v), -1)) for v in jax.tree.leaves(values)], axis=1)


@pytest.mark.parametrize("name", ["normal", "student_t", "full", "flow", "chain"])
def test_spread_out_it_is_wider_and_its_density_is_that_of_its_draws(name):
    """E over the spread of p/spread is 1, and its deviations grow by the factor, around the same centre."""
    d, factor = INSTANCES[name](), 1.3
    wide = d.widened(factor)
    assert wide is not None
    keys = jax.random.split(KEY, 20_000)
    drawn = jax.jit(jax.vmap(wide.sample))(keys)
    ratio = np.exp(jax.jit(jax.vmap(lambda z: d.log_prob(z) - wide.log_prob(z)))(drawn))
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(len(keys))
    plain = flat(jax.jit(jax.vmap(d.sample))(keys))
    if name in ("normal", "full"):
        np.testing.assert_allclose(flat(drawn).std(axis=0), factor * plain.std(axis=0), rtol=0.03)
        np.testing.assert_allclose(flat(drawn).mean(axis=0), plain.mean(axis=0), atol=0.06)
    assert (flat(drawn).std(axis=0) > 1.1 * plain.std(axis=0)).all()


def test_how_far_it_is_spread_may_be_known_only_when_it_runs():
    for name in ("normal", "flow", "chain"):
        d = INSTANCES[name]()
        value = d.sample(KEY)
        traced = jax.jit(lambda f, d=d, value=value: d.widened(f).log_prob(value))(1.3)
        np.testing.assert_allclose(traced, d.widened(1.3).log_prob(value), rtol=1e-4)


def test_what_has_no_spread_says_so():
    assert INSTANCES["categorical"]().widened(1.3) is None
    assert Numpyro(npd.Gamma(jnp.ones(2), 1.0)).widened(1.3) is None
    both = INSTANCES["product"]().widened(2.0)
    assert both.blocks["b"].widened(2.0) is None
    np.testing.assert_allclose(
        both.blocks["a"].log_prob(jnp.array([0.0, 1.0])),
        INSTANCES["normal"]().log_prob(jnp.array([0.0, 1.0])) - 2 * np.log(2.0),
        rtol=1e-5,
    )


def test_what_ranges_over_the_real_numbers():
    on_reals = {name: make().on_reals for name, make in INSTANCES.items()}
    assert [name for name, real in on_reals.items() if not real] == ["categorical", "product"]
    assert not Numpyro(npd.Gamma(jnp.ones(2), 1.0)).on_reals
    assert not Numpyro(npd.Dirichlet(jnp.ones(3))).on_reals


def test_kl_of_a_full_covariance_to_independent_cells():
    full = npd.MultivariateNormal(jnp.array([0.5, -1.0]), jnp.array([[2.0, 0.6], [0.6, 1.0]]))
    other = npd.Normal(jnp.array([0.1, 0.3]), jnp.array([0.7, 1.9]))
    same = npd.MultivariateNormal(other.loc, jnp.diag(other.scale**2))
    expected = npd.kl_divergence(full, same)
    np.testing.assert_allclose(Numpyro(full).kl(Numpyro(other)), expected, rtol=1e-5)
