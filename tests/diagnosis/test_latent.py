"""What z is used for, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, Mixture
from condvae.conditionals import AffineGaussian
from condvae.diagnosis import latent_use
from condvae.linear_gaussian import (
    exact_conditional,
    exact_elbo,
    exact_posterior,
    linear_gaussian,
    random_linear_gaussian,
)
from condvae.sampling import simulate
from helpers import CASES, conditions

KEY = jax.random.key(0)


def model_and_rows(n=500, c_size=2):
    model = random_linear_gaussian(jax.random.key(5), x_size=4, z_size=3, c_size=c_size)
    exact = exact_posterior(model)
    wider = AffineGaussian(exact.weights, exact.bias, 1.3**2 * exact.covariance)
    model = linear_gaussian(model.prior, model.likelihood, wider)
    c = jax.random.normal(jax.random.key(1), (n, c_size)) if c_size else None
    return model, simulate(model, c, key=jax.random.key(2), rows=n)[1], c


@pytest.mark.slow
@pytest.mark.parametrize("c_size", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_rate_distortion_and_information_are_the_closed_forms(c_size):
    model, x, c = model_and_rows(c_size=c_size)
    use = latent_use(model, x, c, key=KEY)
    elbo = np.asarray(exact_elbo(model, x, c))
    np.testing.assert_allclose((-use.rate - use.distortion).mean(), elbo.mean(), atol=0.05)
    marginal, noise = (np.asarray(part.covariance) for part in (exact_conditional(model), model.likelihood))
    exact = 0.5 * (np.linalg.slogdet(marginal)[1] - np.linalg.slogdet(noise)[1])
    mean, stderr = use.mutual_information
    assert stderr < 0.1
    assert abs(mean - exact) < 4 * stderr


def test_units_that_are_off_are_not_active():
    """A posterior that factorises, of which one unit is the prior whatever x is."""

    class Prior(eqx.Module):
        def __call__(self, c):
            return npd.Normal(jnp.zeros(2), 2.0)

    class Likelihood(eqx.Module):
        def __call__(self, z, c):
            return npd.Normal(z[:1], 1.0)

    class Posterior(eqx.Module):
        def __call__(self, x, c, prior):
            return npd.Normal(jnp.stack([0.8 * x[0], 0.0]), jnp.sqrt(jnp.array([0.8, 4.0])))  # exact

    model = CVAE(Prior(), Likelihood(), Posterior())
    x = np.sqrt(5.0) * np.random.default_rng(0).normal(size=(4000, 1)).astype(np.float32)
    use = latent_use(model, x, key=KEY)
    assert use.labels == ["z[0]", "z[1]"]
    assert use.active == 1
    # Var(0.8 x) = 3.2, in prior variances of 4; and I(x; z) = log(5) / 2, all of it by the first unit.
    np.testing.assert_allclose(use.activity, [0.8, 0.0], atol=0.05)
    assert abs(use.kl[0] - np.log(5) / 2) < 4 * use.kl_stderr[0]
    assert abs(use.kl[1]) < 1e-5
    np.testing.assert_allclose(use.rate.mean(), use.kl.sum(), atol=0.02)
    mean, stderr = use.mutual_information
    assert abs(mean - np.log(5) / 2) < 4 * stderr


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("diagonal", ["z[0]", "z[1]"]),
        ("discrete", None),
        pytest.param("hierarchical", None, marks=pytest.mark.slow),
        pytest.param("flow", ["z"], marks=pytest.mark.slow),
        pytest.param("masked", None, marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_latent(name, labels):
    case = next(case for case in CASES if case.name == name)
    model = case.build(KEY)
    c = conditions(200) if case.has_c else None
    x = case.rows(simulate(model, c, key=KEY, rows=200)[1]) if name != "masked" else None
    if x is None:
        x = case.rows(jax.random.normal(jax.random.key(3), (200, 3)))
    use = latent_use(model, x, c, key=KEY)
    assert labels is None or use.labels == labels
    assert len(use.labels) == len(use.kl)
    spread = np.std(use.rate - use.kl.sum()) if len(use.kl) else 0
    assert abs(use.rate.mean() - use.kl.sum()) < 0.05 + spread / 10
    assert use.mutual_information[0] > -2 * use.mutual_information[1]
    assert np.isnan(use.activity).all() == (name == "discrete")
    # Each row is an estimate by few draws, and right on average.
    apart = -use.rate - use.distortion - case.elbo(model, x, c)
    assert abs(apart.mean()) < 5 * apart.std() / np.sqrt(len(apart)) + 1e-3


def test_bad_arguments_are_refused():
    model, x, c = model_and_rows(10)
    with pytest.raises(ValueError, match="take a member of the mixture"):
        latent_use(Mixture.of([model, model]), x, c, key=KEY)
    with pytest.raises(ValueError, match="num_samples is 3, expected at least 4"):
        latent_use(model, x, c, key=KEY, num_samples=3)
