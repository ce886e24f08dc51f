"""Reweighted wake-sleep against sums over all that z can be, and against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import fit, iwae
from condvae.linear_gaussian import exact_log_prob
from condvae.objectives import defensive_wake_wake, wake_sleep, wake_wake
from condvae.objectives.draws import PRIOR_SHARE
from gradients import (
    Claim,
    at_posterior,
    by_nodes,
    dreams,
    exact_layers,
    expected,
    flat_gradient,
    layered_row,
    listed,
    of_posterior,
    of_states,
    one_row,
    sampled,
    stopped,
    the_iwae,
    the_wake,
)
from helpers import hierarchical

pytestmark = pytest.mark.usefixtures("x64")
exactly = pytest.mark.parametrize("exact", [False, True], ids=["away", "at-the-posterior"])


@exactly
@pytest.mark.parametrize("size", [2, 3])
def test_wake_wake_is_its_sum_over_all_draws(size, exact):
    model, x = of_states(exact)
    Claim(wake_wake, the_iwae(listed(x), size), the_wake(listed(x), size), size).check(model, x)


@exactly
def test_wake_wake_of_a_gaussian_z(exact):
    model, x, c = one_row()
    nodes = by_nodes(x, c)
    claim = Claim(wake_wake, the_iwae(nodes, 2), the_wake(nodes, 2), 2)
    claim.check(at_posterior(model) if exact else model, x, c)


def defensive(x, size, slope):
    """By all tuples, of which a quarter is drawn from the prior and all are weighed by the mixture."""
    of_prior = max(1, round(PRIOR_SHARE * size))

    def value(model):
        known = listed(x)(model)
        of_q, of_p = (jax.lax.stop_gradient(s) if slope else s for s in (known.q, known.prior))
        shares = [of_q] * (size - of_prior) + [of_p] * of_prior

        def one(joint, q, prior):
            mixture = jnp.logaddexp(q + np.log(1 - of_prior / size), prior + np.log(of_prior / size))
            log_weights = joint - mixture
            share = jax.lax.stop_gradient(jax.nn.softmax(log_weights))
            return jnp.sum(share * (joint + q)) if slope else jax.nn.logsumexp(log_weights) - np.log(size)

        return expected(shares, known, one)

    return value


@exactly
@pytest.mark.parametrize("size", [2, 4])
def test_defensive_draws_are_weighed_by_what_they_are_drawn_from(size, exact):
    model, x = of_states(exact)
    Claim(defensive_wake_wake, defensive(x, size, False), defensive(x, size, True), size).check(model, x)


def test_defensive_weights_are_bounded_where_q_is_poor():
    """By four times the likelihood: those of q alone are not."""
    model, x, c = one_row()
    far = model.posterior.bias + 6.0
    model = type(model)(model.prior, model.likelihood, _moved(model.posterior, far))
    truth = exact_log_prob(model, x[None], c[None])[0]
    plain, careful = (sampled(f, model, x, c, 16, 500)[0] for f in (wake_wake, defensive_wake_wake))
    assert (truth - careful).mean() < 0.2 * (truth - plain).mean()


def _moved(posterior, bias):
    return type(posterior)(posterior.weights, bias, posterior.covariance)


@exactly
def test_what_is_dreamt_teaches_q_the_models_own_posterior(exact):
    model, x, c = one_row()
    nodes = by_nodes(x, c)
    awake = the_wake(nodes, 2, phi=False)
    claim = Claim(wake_sleep, the_iwae(nodes, 2), lambda m: awake(m) + dreams(c)(m), 2)
    claim.check(at_posterior(model) if exact else model, x, c)


@exactly
def test_dreams_of_a_z_that_is_listed(exact):
    model, x = of_states(exact)

    def slope(model):
        known = listed(x)(model)
        asleep = jnp.sum(jnp.exp(jax.lax.stop_gradient(known.prior)) * known.q)
        return the_wake(listed(x), 3, phi=False)(model) + asleep

    Claim(wake_sleep, the_iwae(listed(x), 3), slope, 3).check(model, x)


def test_dreams_are_best_told_by_the_posterior():
    model, _, c = one_row()
    exact = at_posterior(model)
    np.testing.assert_allclose(of_posterior(flat_gradient(dreams(c), exact), exact), 0.0, atol=1e-9)
    assert dreams(c)(exact) > dreams(c)(model)
    assert stopped(model).posterior.bias.shape == model.posterior.bias.shape


@pytest.mark.slow
@exactly
def test_theta_climbs_the_bound_on_the_two_layer_latent(exact):
    model = (exact_layers if exact else hierarchical)(jax.random.key(0))
    x, c = layered_row()
    (value, gradient), (values, gradients) = (sampled(f, model, x, c, 5) for f in (iwae, wake_wake))
    np.testing.assert_allclose(values, value, rtol=1e-9)
    of_theta = gradients.shape[1] - of_posterior(gradients, model).shape[1]
    np.testing.assert_allclose(gradients[:, :of_theta], gradient[:, :of_theta], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("objective", [wake_wake, defensive_wake_wake, wake_sleep])
def test_any_z_is_trained(objective):
    model, _ = of_states()
    far = eqx.tree_at(lambda m: m.likelihood.means, model, jnp.array([-0.5, 0.0, 0.5]))
    data = jnp.concatenate([jnp.full(60, 2.0), jnp.full(40, -2.0)])
    options = {"num_samples": 5, "num_steps": 600, "learning_rate": 1e-2, "progress": False}
    trained, _ = fit(far, data, key=jax.random.key(0), objective=objective, validation=0, **options)
    before, after = (
        np.mean([jax.nn.logsumexp(listed(x)(m).joint) for x in (2.0, 2.0, 2.0, -2.0, -2.0)])
        for m in (far, trained)
    )
    assert after > before + 0.5


def test_one_draw_is_no_mixture():
    model, x = of_states()
    with pytest.raises(ValueError, match="defensive draws are of q and of the prior, and num_samples is 1"):
        fit(model, jnp.tile(x, 10), key=jax.random.key(0), objective=defensive_wake_wake, progress=False)
