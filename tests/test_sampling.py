"""Draws of x given c and latents of rows: of one model, and of a mixture."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest
from scipy.stats import norm

from condvae import CVAE, Mixture, encode, sample, sampling
from condvae.linear_gaussian import exact_conditional, random_linear_gaussian
from condvae.sampling import expect

KEY = jax.random.key(0)
K = 3


def linear(seed=0, c_size=1):
    return random_linear_gaussian(jax.random.key(seed), x_size=3, z_size=2, c_size=c_size)


def mixture(c_size=1, apart=0.0):
    """Random members, the k-th of them moved by k times so much."""
    members = [linear(seed, c_size) for seed in range(K)]
    return Mixture.of(
        [
            eqx.tree_at(lambda m: m.likelihood.bias, member, member.likelihood.bias + k * apart)
            for k, member in enumerate(members)
        ]
    )


def members_of(draws, apart):
    """Which member each draw is of, where they stand far apart."""
    return np.rint(np.asarray(draws).mean(axis=-1) / apart).astype(int)


def assert_moments(draws, means, covariances):
    """The mean and covariance of draws are those of the mixture of Gaussians, within 5 standard errors."""
    means, covariances = np.asarray(means, float), np.asarray(covariances, float)
    centre = means.mean(axis=0)
    spread = covariances.mean(axis=0) + (means - centre).T @ (means - centre) / len(means)
    centred = np.asarray(draws, float) - centre
    outer = centred[:, :, None] * centred[:, None, :]
    for got, expected in ((centred, np.zeros_like(centre)), (outer, spread)):
        stderr = got.std(axis=0) / np.sqrt(len(got))
        assert (np.abs(got.mean(axis=0) - expected) < 5 * stderr).all()


def test_many_draws_of_one_row_are_made_some_at_a_time(monkeypatch):
    model = linear()
    whole = sample(model, jnp.zeros((1, 1)), key=KEY, num_samples=50)
    monkeypatch.setattr(sampling, "DRAWS_AT_ONCE", 7)
    # Of two rows, so that nothing compiled before is used.
    pieces = sample(model, jnp.zeros((2, 1)), key=KEY, num_samples=50)
    np.testing.assert_allclose(pieces[:1], whole, rtol=1e-5)


def test_every_row_has_noise_of_its_own_whatever_stands_beside_it():
    model = random_linear_gaussian(KEY, x_size=3, z_size=2, c_size=1)
    c = jnp.zeros((7, 1))
    draws = sample(model, c, key=KEY, num_samples=2)
    assert len(np.unique(draws.reshape(14, 3), axis=0)) == 14
    np.testing.assert_allclose(sample(model, c[:3], key=KEY, num_samples=2), draws[:3], rtol=1e-5)


def test_trees_of_any_shape_go_through():
    class Prior(eqx.Module):
        def __call__(self, c):
            return npd.Normal(c["a"].sum() + jnp.zeros((2, 2)), 1.0)

    class Likelihood(eqx.Module):
        def __call__(self, z, c):
            return npd.Bernoulli(logits=jnp.tile(z, (2, 1)))

    class Posterior(eqx.Module):
        def __call__(self, x, c, prior):
            return npd.Normal(x[:2] + c["b"][0], 1.0)

    model = CVAE(Prior(), Likelihood(), Posterior())
    c = {"a": jnp.ones((5, 3)), "b": (jnp.zeros((5,)), jnp.zeros((5, 1)))}
    assert sample(model, c, key=KEY, num_samples=3).shape == (5, 3, 4, 2)
    assert encode(model, jnp.zeros((5, 4, 2)), c).shape == (5, 2, 2)


def test_asking_for_draws_without_a_key_is_refused():
    model = random_linear_gaussian(KEY, x_size=3, z_size=2)
    with pytest.raises(ValueError, match="pass key= as well"):
        encode(model, jnp.zeros((2, 3)), num_samples=3)


def test_a_mixture_draws_with_the_moments_of_the_mixture():
    model, c = mixture(), jnp.array([[0.7]])
    exact = [exact_conditional(member) for member in model]
    draws = sample(model, c, key=KEY, num_samples=12_000)[0]
    assert_moments(draws, [e.mean(c[0]) for e in exact], [e.covariance for e in exact])


@pytest.mark.parametrize("num_samples", [1, 6, 7])
def test_every_draw_is_of_each_member_equally_often(num_samples):
    rows = 600
    draws = sample(mixture(apart=1000.0), jnp.zeros((rows, 1)), key=KEY, num_samples=num_samples)
    assert draws.shape == (rows, num_samples, 3)
    member = members_of(draws, 1000.0)
    # The first of a row's draws, or the last, is no more of one member than of another.
    shares = np.stack([(member == k).mean(axis=0) for k in range(K)])
    assert (np.abs(shares - 1 / K) < 5 * np.sqrt(1 / K * (1 - 1 / K) / rows)).all()
    # And of a row's draws each member has its share, to one.
    counts = np.stack([(member == k).sum(axis=1) for k in range(K)])
    assert counts.min() >= num_samples // K
    assert counts.max() <= -(-num_samples // K)


def test_draws_of_a_mixtures_rows_do_not_depend_on_the_rows_beside_them():
    model, c = mixture(), jax.random.normal(KEY, (9, 1))
    whole = sample(model, c, key=KEY, num_samples=4)
    np.testing.assert_allclose(sample(model, c[:5], key=KEY, num_samples=4), whole[:5], rtol=1e-5)
    assert len(np.unique(whole.reshape(-1, 3), axis=0)) == 36


def test_a_mixture_without_conditions():
    model = mixture(c_size=0, apart=1000.0)
    draws = sample(model, key=KEY, num_samples=7)
    assert draws.shape == (7, 3)
    assert sorted(np.bincount(members_of(draws, 1000.0))) == [2, 2, 3]


def test_no_rows_give_no_draws():
    none = np.zeros((0, 1), np.float32)
    for model in (linear(), mixture()):
        assert sample(model, none, key=KEY, num_samples=4).shape == (0, 4, 3)


def test_latents_of_a_mixture_are_refused():
    model, x, c = mixture(), jnp.zeros((2, 3)), jnp.zeros((2, 1))
    with pytest.raises(ValueError, match=r"latents of different members do not compare: .*member\(k\)"):
        encode(model, x, c)
    assert encode(model.member(1), x, c).shape == (2, 2)


N, S = 6, 20_000


def mean(likelihood, _):
    return likelihood.mean()


def products(likelihood, _):
    centre = likelihood.mean()
    return {"square": centre**2, "first": centre[0]}


def plus(likelihood, extra):
    return likelihood.mean() + extra


def below(likelihood, value):
    """P(x_j ≤ value | z), for a Gaussian."""
    sd = jnp.sqrt(jnp.diagonal(likelihood.base.covariance_matrix))
    return jax.scipy.stats.norm.cdf((value - likelihood.mean()) / sd)


def models(k, c_size=2):
    return [
        random_linear_gaussian(key, x_size=3, z_size=2, c_size=c_size)
        for key in jax.random.split(jax.random.key(7), k)
    ]


def exact(model, c):
    """The mean and sd of x given c, and what of the variance is z's."""
    conditional = exact_conditional(model)
    centre = np.asarray(conditional.mean(None) if c is None else jax.vmap(conditional.mean)(c))
    total = np.diagonal(np.asarray(conditional.covariance))
    return centre, np.sqrt(total), np.sqrt(total - np.diagonal(np.asarray(model.likelihood.covariance)))


@pytest.fixture
def c():
    return jax.random.normal(jax.random.key(1), (N, 2))


def test_the_mean_has_the_error_of_the_latent_alone(c):
    """Five standard errors, with the variance of E[x | z, c], not of x."""
    (model,) = models(1)
    centre, _, of_z = exact(model, c)
    estimate = expect(mean, model, c, key=KEY, num_samples=S)
    assert (np.abs(estimate - centre) < 5 * of_z / np.sqrt(S)).all()
    runs = expect(mean, model, jnp.tile(c, (40, 1)), key=KEY, num_samples=400).reshape(40, N, 3)
    # A standard deviation of 40 runs, pooled over 6 rows: known to 5%.
    ratio = np.std(runs, axis=0, ddof=1) / (of_z / np.sqrt(400))
    assert (np.abs(np.sqrt((ratio**2).mean(axis=0)) - 1) < 0.2).all()


def test_second_moments_and_trees(c):
    (model,) = models(1)
    centre, _, of_z = exact(model, c)
    moments = expect(products, model, c, key=KEY, num_samples=S)
    truth = centre**2 + of_z**2
    # Var(m²) of a Normal m is 2 v² + 4 v mean².
    error = np.sqrt(2 * of_z**4 + 4 * of_z**2 * centre**2) / np.sqrt(S)
    assert (np.abs(moments["square"] - truth) < 5 * error).all()
    assert moments["first"].shape == (N,)
    assert (np.abs(moments["first"] - centre[:, 0]) < 5 * of_z[0] / np.sqrt(S)).all()


def test_the_distribution_function_of_a_mixture_with_its_rows_own_values(c):
    members = models(3)
    values = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    shares = expect(below, Mixture.of(members), c, values, key=KEY, num_samples=S)
    truth = np.mean([norm.cdf(values, *exact(m, c)[:2]) for m in members], axis=0)
    assert (np.abs(shares - truth) < 5 * np.sqrt(truth * (1 - truth) / S)).all()


def test_without_conditions():
    (model,) = models(1, c_size=0)
    centre, _, of_z = exact(model, None)
    estimate = expect(mean, model, key=KEY, num_samples=S)
    assert estimate.shape == (1, 3)
    assert (np.abs(estimate[0] - centre) < 5 * of_z / np.sqrt(S)).all()
    extra = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    estimate = expect(plus, model, None, extra, key=KEY, num_samples=S)
    assert (np.abs(estimate - centre - extra) < 5 * of_z / np.sqrt(S)).all()


def test_draws_are_shared_out_and_counted(c, monkeypatch):
    """The same draws whether averaged in one block or in blocks that do not divide them."""
    (model,) = models(1)

    estimates = []
    for at_once in (500, 150):
        monkeypatch.setattr(sampling, "AVERAGED_AT_ONCE", at_once)
        estimates.append(expect(mean, model, c, key=KEY, num_samples=500))
    of_z = exact(model, c)[2]
    assert (np.abs(estimates[0] - estimates[1]) < 5 * np.sqrt(2) * of_z / np.sqrt(500)).all()
    # A constant comes out as itself only if exactly num_samples draws are counted.
    monkeypatch.setattr(sampling, "AVERAGED_AT_ONCE", 7)
    np.testing.assert_allclose(expect(one, model, c, key=KEY, num_samples=10), 1.0, rtol=1e-6)


def one(likelihood, _):
    return jnp.ones(())


def test_noise_follows_the_seeds(c):
    (model,) = models(1)
    same = jnp.tile(c[:1], (4, 1))
    seeds = np.array([5, 5, 6, 5], np.uint32)
    means = expect(mean, model, same, key=KEY, num_samples=10, seeds=seeds)
    np.testing.assert_array_equal(means[0], means[1])
    np.testing.assert_array_equal(means[0], means[3])
    assert (means[0] != means[2]).any()


def test_no_rows_and_bad_arguments(c):
    (model,) = models(1)
    assert expect(mean, model, c[:0], key=KEY, num_samples=10).shape == (0, 3)
    with pytest.raises(ValueError, match="num_samples is 0, expected at least 1"):
        expect(mean, model, c, key=KEY, num_samples=0)
    with pytest.raises(ValueError, match="c has 6 rows but extra has 5"):
        expect(plus, model, c, np.zeros((5, 3)), key=KEY)
