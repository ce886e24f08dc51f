"""A prior made of the posterior."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from condvae import CVAE, Observed, elbo, sticking_the_landing
from condvae.architectures import mlp_cvae
from condvae.conditionals import AffineGaussian, Hierarchy, SameAsPrior, VampPrior

KEY = jax.random.key(0)
ROWS = jnp.array([[-2.0], [0.5], [3.0]])


def affine_model():
    """x, z and c of one number each; q(z | x, c) = Normal(0.7 x + 0.2 c, 0.5²)."""
    posterior = AffineGaussian((jnp.array([[0.7]]), jnp.array([[0.2]])), jnp.zeros(1), 0.25 * jnp.eye(1))
    likelihood = AffineGaussian((jnp.eye(1), jnp.eye(1)), jnp.zeros(1), 0.5 * jnp.eye(1))
    return CVAE(VampPrior(ROWS), likelihood, posterior)


def test_its_density_is_the_mean_of_the_posteriors_of_its_rows():
    model, c = affine_model(), jnp.array([1.5])
    log_prob = jax.jit(lambda z: model.p_z(c).log_prob(z))
    for z in (-1.0, 0.3, 9.0):
        terms = norm.logpdf(z, 0.7 * np.asarray(ROWS)[:, 0] + 0.2 * 1.5, 0.5)
        np.testing.assert_allclose(log_prob(jnp.array([z])), logsumexp(terms) - np.log(3), rtol=1e-4)


def test_sticking_the_landing_keeps_the_gradient_that_comes_through_the_prior():
    """Its gradient is the ELBO's on average, for the rows of the prior and for the posterior alike."""
    model, x, c = affine_model(), jnp.array([1.0]), jnp.array([0.5])

    def gradient(objective):
        @eqx.filter_grad
        def slope(model, key):
            return objective(model.draws(x, c, key=key))

        @eqx.filter_jit
        def each(model, keys):
            return jax.vmap(lambda key: slope(model, key))(keys)

        return each(model, jax.random.split(jax.random.key(3), 8000))

    path, full = gradient(sticking_the_landing), gradient(elbo)
    for one, other in zip(jax.tree.leaves(path), jax.tree.leaves(full), strict=True):
        apart, stderr = one.mean(axis=0) - other.mean(axis=0), (one - other).std(axis=0) / 8000**0.5
        assert (jnp.abs(apart) < 5 * stderr + 1e-5).all()
    assert jnp.abs(full.prior.rows.mean(axis=0)).max() > 0.01


def test_numbers_of_its_rows_are_learned_and_categories_and_masks_are_not():
    rows = {
        "a": Observed(
            np.array([[1.0, 0.0], [0.5, 2.0]], np.float32), np.array([[True, False], [True, True]])
        ),
        "b": np.array([[2], [0]]),
    }
    plain = mlp_cvae(rows, latent_size=1, width=4, depth=1, x_levels=(3,), key=KEY)
    model = CVAE(VampPrior(rows), plain.likelihood, plain.posterior)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), rows)
    slope = eqx.filter_jit(eqx.filter_grad(lambda model: elbo(model.draws(row, key=KEY))))(model).prior.rows
    assert jnp.abs(slope["a"].value).max() > 0
    assert slope["a"].value[0, 1] == 0  # it is missing, and seen by nobody
    assert slope["a"].mask is None
    assert slope["b"] is None


def test_a_circle_is_refused():
    model = affine_model()
    with pytest.raises(
        TypeError, match="the prior, VampPrior, is made of the posterior, and the posterior, "
    ):
        CVAE(VampPrior(ROWS), model.likelihood, SameAsPrior())
    with pytest.raises(ValueError, match="make it the prior of a CVAE, no part of one"):
        CVAE(Hierarchy((VampPrior(ROWS),)), model.likelihood, model.posterior).p_z(jnp.zeros(1))
    with pytest.raises(ValueError, match="rows has no row"):
        VampPrior(jnp.zeros((0, 1)))
