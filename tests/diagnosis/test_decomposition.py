import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae.conditionals import AffineGaussian
from condvae.diagnosis import decompose
from condvae.linear_gaussian import Truth, random_linear_gaussian
from helpers import C_SIZE, CASES, X_SIZE, diagonal, discrete

KEY = jax.random.key(0)


def linear_truth(x_size: int = X_SIZE, c_size: int = C_SIZE) -> Truth:
    if not c_size:
        return Truth(AffineGaussian((None,), jnp.ones(x_size), jnp.eye(x_size)))
    weight = jax.random.normal(KEY, (x_size, c_size))
    conditional = AffineGaussian((weight,), jnp.ones(x_size), 0.7 * jnp.eye(x_size))
    return Truth(conditional, jnp.full(c_size, 0.5), 2.0 * jnp.eye(c_size))


class Bent:
    """A truth that is not linear: x given c is a mixture of two Gaussians."""

    def conditional(self, c):
        centre = jnp.zeros(X_SIZE) if c is None else jnp.sin(c[0]) + jnp.zeros(X_SIZE)
        parts = npd.Normal(jnp.stack([centre - 1.0, centre + 1.0]), 0.6).to_event(1)
        return npd.MixtureSameFamily(npd.Categorical(logits=jnp.zeros(2)), parts)

    def __init__(self, with_c: bool):
        self.with_c = with_c

    def sample(self, key):
        c_key, x_key = jax.random.split(key)
        c = jax.random.normal(c_key, (C_SIZE,)) if self.with_c else None
        return self.conditional(c).sample(x_key), c

    def log_prob(self, x, c):
        return self.conditional(c).log_prob(x)


@pytest.mark.parametrize(("x_size", "z_size", "c_size"), [(1, 1, 1), (3, 2, 2), (2, 4, 3), (3, 2, 0)])
def test_the_identity_is_exact_for_linear_gaussian_models(x64, x_size, z_size, c_size):
    model = random_linear_gaussian(KEY, x_size=x_size, z_size=z_size, c_size=c_size)
    terms = decompose(model, linear_truth(x_size, c_size))
    largest = max(abs(t) for t in (terms.elbo, terms.kl_model, terms.kl_inference, terms.data_term))
    assert terms.method == "exact"
    assert abs(terms.residual) < 1e-9 * largest
    assert terms.kl_model > 0
    assert terms.kl_inference > 0


def test_divergences_vanish_at_the_truth(x64):
    model = random_linear_gaussian(KEY, x_size=3, z_size=2, c_size=2, exact=True)
    from condvae.linear_gaussian import exact_conditional

    truth = Truth(exact_conditional(model), jnp.zeros(2), jnp.eye(2))
    terms = decompose(model, truth)
    assert abs(terms.kl_model) < 1e-9
    assert abs(terms.kl_inference) < 1e-9
    np.testing.assert_allclose(terms.elbo, terms.data_term, rtol=1e-9)


@pytest.mark.parametrize(
    ("build", "method"),
    [
        pytest.param(
            lambda: random_linear_gaussian(KEY, x_size=X_SIZE, z_size=4, c_size=C_SIZE),
            "closed form",
            marks=pytest.mark.slow,
        ),
        (lambda: discrete(KEY), "enumeration"),
        pytest.param(lambda: diagonal(KEY), "quadrature", marks=pytest.mark.slow),
    ],
    ids=["closed form", "enumeration", "quadrature"],
)
def test_the_identity_holds_within_its_error_by_monte_carlo(build, method):
    terms = decompose(build(), Bent(with_c=True), key=jax.random.key(5), num_rows=300)
    assert terms.method == method
    assert terms.checkable
    assert 0 < terms.stderr < 0.1 * abs(terms.elbo)
    assert abs(terms.residual) < 4 * terms.stderr


def test_a_wrong_term_would_be_found():
    """The residual is a test: with the data term of another truth it is off by many errors."""

    class Wrong(Bent):
        def log_prob(self, x, c):
            return super().log_prob(x, c) + x[0] ** 2

    terms = decompose(discrete(KEY), Wrong(with_c=True), key=KEY, num_rows=1000)
    right = decompose(discrete(KEY), Bent(with_c=True), key=KEY, num_rows=1000)
    assert terms.kl_model - right.kl_model > 0.3
    assert terms.data_term - right.data_term > 0.3


@pytest.mark.slow
def test_without_c_it_is_the_identity_of_the_plain_vae():
    case = next(case for case in CASES if case.name == "flow")
    terms = decompose(case.build(KEY), Bent(with_c=False), key=KEY, num_rows=50)
    assert terms.method == "quadrature"
    assert abs(terms.residual) < 4 * terms.stderr


@pytest.mark.slow
def test_what_cannot_be_checked_says_so():
    case = next(case for case in CASES if case.name == "hierarchical")
    terms = decompose(case.build(KEY), Bent(with_c=True), key=KEY, num_rows=200)
    assert terms.method.startswith("not checkable")
    assert not terms.checkable
    assert np.isnan(terms.residual)
    assert np.isfinite([terms.elbo, terms.kl_model, terms.data_term]).all()


def test_monte_carlo_needs_a_key():
    with pytest.raises(ValueError, match="pass key="):
        decompose(discrete(KEY), Bent(with_c=True))
