import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import Mixture, sample
from condvae.conditionals import AffineGaussian
from condvae.diagnosis import gaps
from condvae.diagnosis.gaps import Gaps
from condvae.linear_gaussian import (
    exact_elbo,
    exact_log_prob,
    exact_posterior,
    linear_gaussian,
    random_linear_gaussian,
)
from condvae.scoring import LogProb
from helpers import CASES, conditions

KEY = jax.random.key(0)


class Factorised(eqx.Module):
    """The best diagonal Gaussian, moved and stretched: an encoder that is wrong in a known way."""

    exact: AffineGaussian
    shift: float
    stretch: float

    def __call__(self, x, c=None, prior=None):
        scale = jnp.diag(jnp.linalg.inv(self.exact.covariance)) ** -0.5
        return npd.Normal(self.exact.mean(x, c) + self.shift * scale, self.stretch * scale)


def model_and_rows(n=24):
    exact = random_linear_gaussian(KEY, x_size=4, z_size=3, c_size=1, exact=True)
    c = jax.random.normal(jax.random.key(1), (n, 1))
    return exact, jnp.asarray(sample(exact, c, key=KEY)[:, 0]), c


def assert_near(estimate, expected, slack):
    mean, stderr = estimate
    assert abs(mean - expected) < 4 * stderr + slack


@pytest.mark.slow
def test_both_gaps_are_those_in_closed_form():
    """Of a factorised q: KL(q* || p) is ½ (Σ log Λ_ii − log |Λ|), the rest is the encoder's."""
    exact, x, c = model_and_rows()
    posterior = exact_posterior(exact)
    shift, stretch = 0.7, 1.5
    model = eqx.tree_at(lambda m: m.posterior, exact, Factorised(posterior, shift, stretch))
    precision = np.linalg.inv(np.asarray(posterior.covariance, float))
    family = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    scale = np.diag(precision) ** -0.5
    moved = shift * scale
    encoder = 0.5 * (3 * (stretch**2 - 1) + moved @ precision @ moved) - 3 * np.log(stretch)
    measured = gaps(model, x, c, key=KEY)
    assert measured.converged.all()
    assert_near(measured.approximation, family, 0.01)
    assert_near(measured.amortisation, encoder, 0.01)
    assert_near(measured.inference, family + encoder, 0.01)
    np.testing.assert_allclose(
        measured.inference[0], measured.approximation[0] + measured.amortisation[0], atol=1e-5
    )
    words = measured.words()
    assert f"the encoder costs {measured.amortisation[0]:.2f} ±" in words
    assert "widen it or train longer" in words
    assert ("try a flow" in words) == (measured.approximation[0] > 0.1)


@pytest.mark.slow
def test_a_family_that_has_the_posterior_costs_nothing():
    exact, x, c = model_and_rows(8)
    wrong = eqx.tree_at(lambda m: m.bias, exact_posterior(exact), exact.posterior.bias + 0.3)
    model = linear_gaussian(exact.prior, exact.likelihood, wrong)
    measured = gaps(model, x, c, key=KEY)
    expected = np.asarray(exact_log_prob(model, x, c) - exact_elbo(model, x, c))
    assert_near(measured.approximation, 0.0, 0.01)
    np.testing.assert_allclose(measured.elbo_local - measured.elbo, expected, atol=0.3)
    assert_near(measured.amortisation, expected.mean(), 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kind_of_latent_has_gaps(case):
    model = case.build(KEY)
    c = conditions(6) if case.has_c else None
    x = sample(model, key=KEY, num_samples=6) if c is None else sample(model, c, key=KEY)[:, 0]
    x = case.rows(jnp.asarray(x))
    measured = gaps(model, x, c, key=KEY)
    truth, bound = case.log_prob(model, x, c), case.elbo(model, x, c)
    assert_near(measured.inference, (truth - bound).mean(), 0.1)
    assert measured.amortisation[0] > -4 * measured.amortisation[1] - 0.02
    assert measured.approximation[0] > -4 * measured.approximation[1] - 0.05
    if not case.has_path:
        assert abs(measured.approximation[0]) < 0.02  # any distribution over the values is in the family


@pytest.mark.slow
def test_log_p_may_be_annealed():
    exact, x, c = model_and_rows(6)
    measured = gaps(exact, x, c, key=KEY, method="ais", budget=50)
    assert measured.log_prob.method.startswith("annealed")
    assert abs(measured.inference[0]) < 0.1


def of(encoder, family, n=50, converged=True, trusted=True):
    noise = 0.01 * np.random.default_rng(0).normal(size=n)
    zeros = np.zeros(n)
    score = LogProb(zeros, zeros + (0.01 if trusted else 9.0), zeros + 9, zeros, zeros + 100)
    return Gaps(score, noise - family - encoder, noise - family, np.full(n, converged))


def test_words():
    both = of(1.3, 1.4).words()
    assert "the encoder costs 1.30 ± " in both
    assert "the family of q costs 1.40 ± " in both
    assert of(0.01, 0.02).words() == "inference costs 0.03 nats per row, too little to act on"
    assert "50 of 50 rows were still being refined" in of(1.0, 0.0, converged=False).words()
    assert "log p of 50 of 50 rows cannot be trusted" in of(1.0, 0.0, trusted=False).words()


def test_what_has_no_gaps_is_refused():
    exact, x, c = model_and_rows(2)
    with pytest.raises(ValueError, match="gaps are of one model: take a member"):
        gaps(Mixture.of([exact, exact]), x, c, key=KEY)
    with pytest.raises(ValueError, match="method is 'x', expected is or ais"):
        gaps(exact, x, c, key=KEY, method="x")

    class Gamma(eqx.Module):
        def __call__(self, *inputs, prior=None):
            return npd.Gamma(jnp.full(3, 2.0), 1.0)

    bounded = eqx.tree_at(lambda m: (m.prior, m.posterior), exact, (Gamma(), Gamma()))
    with pytest.raises(TypeError, match="Gamma has no location, scale or logits"):
        gaps(bounded, x, c, key=KEY)
