"""Counterfactuals against the closed form of Gaussians, and of mixtures of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Mixture, reconstruct
from condvae.linear_gaussian import exact_log_prob, exact_posterior, random_linear_gaussian

KEY = jax.random.key(0)
MEMBERS = [random_linear_gaussian(jax.random.key(i), x_size=3, z_size=2, c_size=1) for i in range(3)]


def assert_moments(draws, shares, means, covariances):
    """The mean and covariance of draws are those of the mixture of Gaussians, within 5 standard errors."""
    shares, means, covariances = (np.asarray(part, float) for part in (shares, means, covariances))
    centre = shares @ means
    spread = np.einsum("k,kij->ij", shares, covariances) + (shares[:, None] * (means - centre)).T @ (
        means - centre
    )
    centred = np.asarray(draws, float) - centre
    outer = centred[:, :, None] * centred[:, None, :]
    for got, expected in ((centred, np.zeros_like(centre)), (outer, spread)):
        stderr = got.std(axis=0) / np.sqrt(len(got))
        assert (np.abs(got.mean(axis=0) - expected) < 5 * stderr).all()


@pytest.mark.parametrize("model", [MEMBERS[0], Mixture.of(MEMBERS)], ids=["one", "mixture"])
def test_the_counterfactual_is_exact(model):
    x, c, new_c = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([[1.5]]), jnp.array([[-2.0]])
    members = list(model) if isinstance(model, Mixture) else [model]
    means, covariances, log_p = [], [], []
    for member in members:
        likelihood, emission = member.likelihood, member.likelihood.weights[0]
        means.append(likelihood.mean(member.posterior.mean(x[0], c[0]), new_c[0]))
        covariances.append(emission @ member.posterior.covariance @ emission.T + likelihood.covariance)
        log_p.append(float(exact_log_prob(member, x, c)[0]))
    shares = np.exp(log_p - np.logaddexp.reduce(log_p))
    draws = reconstruct(model, x, c, key=KEY, num_samples=12_000, new_c=new_c)[0]
    assert_moments(draws, shares, means, covariances)
    with pytest.raises(AssertionError):  # those under the row's own condition are others
        assert_moments(reconstruct(model, x, c, key=KEY, num_samples=12_000)[0], shares, means, covariances)


def test_a_refined_counterfactual_is_exact_where_q_is_off():
    model, posterior = MEMBERS[0], exact_posterior(MEMBERS[0])
    wrong = eqx.tree_at(lambda m: m.posterior.bias, model, posterior.bias + 1.0)
    x, c, new_c = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([[1.5]]), jnp.array([[-2.0]])
    emission = model.likelihood.weights[0]
    mean = model.likelihood.mean(posterior.mean(x[0], c[0]), new_c[0])
    covariance = emission @ posterior.covariance @ emission.T + model.likelihood.covariance
    # Each row chooses among 512 latents of its own: many rows, so that these vary too.
    many = [jnp.tile(part, (400, 1)) for part in (x, c, new_c)]
    for refine in (True, False):
        draws = reconstruct(wrong, many[0], many[1], key=KEY, num_samples=5, new_c=many[2], refine=refine)
        flat = draws.reshape(-1, 3)
        if refine:
            assert_moments(flat, [1.0], [mean], [covariance])
        else:
            with pytest.raises(AssertionError):
                assert_moments(flat, [1.0], [mean], [covariance])


def test_a_member_that_cannot_have_made_a_row_makes_no_draw():
    near = MEMBERS[0]
    far = eqx.tree_at(lambda m: m.likelihood.bias, MEMBERS[1], MEMBERS[1].likelihood.bias + 100.0)
    x, c = jnp.zeros((2, 3)).at[1].set(100.0), jnp.zeros((2, 1))
    draws = reconstruct(Mixture.of([near, far]), x, c, key=KEY, num_samples=200)
    assert (np.abs(draws[0]) < 50).all()
    assert (draws[1] > 50).all()


def test_reconstruction_is_under_the_rows_own_conditions_unless_others_are_given():
    x, c = jax.random.normal(KEY, (4, 3)), jax.random.normal(KEY, (4, 1))
    for model in (MEMBERS[0], Mixture.of(MEMBERS)):
        plain, same = (reconstruct(model, x, c, key=KEY, num_samples=5, new_c=new) for new in (None, c))
        np.testing.assert_array_equal(plain, same)
        assert plain.shape == (4, 5, 3)
        assert reconstruct(model, np.zeros((0, 3), np.float32), c[:0], key=KEY).shape == (0, 1, 3)
