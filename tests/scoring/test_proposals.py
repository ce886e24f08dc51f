import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae.distributions import Numpyro
from condvae.scoring.proposals import strata

Q, PRIOR = Numpyro(npd.Normal(jnp.full(1, 0.5), 0.3)), Numpyro(npd.Normal(jnp.zeros(1), 1.0))


def test_the_mixture_is_defensive_by_strata():
    source = strata(Q, PRIOR, 1000)
    assert source.counts == (300, 400, 200, 100)
    z = np.asarray(source.draw(jax.random.key(0)))[:, 0]
    scales = [z[start:stop].std() for start, stop in ((0, 300), (300, 700), (700, 900), (900, 1000))]
    np.testing.assert_allclose(scales, [0.3, 0.39, 0.24, 1.0], rtol=0.2)


@pytest.mark.parametrize("proposal", ["defensive", "posterior", "prior"])
def test_the_density_is_that_of_what_is_drawn(proposal):
    source = strata(Q, PRIOR, 50, proposal)
    grid = jnp.linspace(-6, 7, 4001)
    density = np.exp(np.asarray(jax.jit(jax.vmap(source.log_prob))(grid[:, None]), float))
    np.testing.assert_allclose(density.sum() * 13 / 4000, 1.0, rtol=1e-4)
    assert jax.tree.leaves(source.draw(jax.random.key(0)))[0].shape == (sum(source.counts), 1)


@pytest.mark.parametrize("asked", [1, 4, 7, 13, 125, 999])
def test_every_stratum_has_two_draws_and_all_have_what_was_asked(asked):
    for proposal in ("defensive", "posterior", "prior"):
        counts = strata(Q, PRIOR, asked, proposal).counts
        assert min(counts) >= 2
        assert asked <= sum(counts) <= asked + 8


def test_what_cannot_be_spread_shares_with_the_prior():
    discrete = Numpyro(npd.Categorical(logits=jnp.zeros(3)))
    source = strata(discrete, discrete, 10)
    assert source.counts == (5, 5)
    positive = Numpyro(npd.Gamma(jnp.full(2, 2.0), 1.0))
    assert strata(positive, positive, 11).counts == (6, 6)


def test_a_density_that_overflows_counts_as_none():
    class Broken(Numpyro):
        def log_prob(self, value):
            return jnp.full((), jnp.nan)

    source = strata(Broken(npd.Normal(jnp.zeros(1), 1.0)), PRIOR, 10)
    share = source.counts[-1] / sum(source.counts)
    assert source.log_prob(jnp.ones(1)) == pytest.approx(float(PRIOR.log_prob(jnp.ones(1))) + np.log(share))
