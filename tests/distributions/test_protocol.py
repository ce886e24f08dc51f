"""What every distribution does, whatever its kind."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy import stats

from condvae.distributions import Chain, MixtureOf, Numpyro, Product
from distributions.instances import INSTANCES, KEY, chain

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


def test_reparameterised_is_honoured():
    assert INSTANCES["normal"]().reparameterised
    assert not INSTANCES["categorical"]().reparameterised
    mixture = npd.MixtureSameFamily(npd.Categorical(logits=jnp.zeros(2)), npd.Normal(jnp.zeros(2), 1.0))
    assert not Numpyro(mixture).reparameterised  # no gradient reaches its mixing weights
    assert chain().reparameterised
    assert not Chain(
        npd.Normal(jnp.zeros(()), 1.0), (lambda above: npd.Bernoulli(logits=above[0]),)
    ).reparameterised


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
