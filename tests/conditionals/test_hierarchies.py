"""Ladders: one layer is the correction, and of a linear model the posterior is exact."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, log_prob
from condvae.conditionals import AffineGaussian, Hierarchy, LadderPosterior, PriorCorrection
from condvae.distributions import Chain, Numpyro
from condvae.heads import LOG_SCALE_BOUNDS
from condvae.linear_gaussian import exact_log_prob, linear_gaussian
from condvae.networks import MLP, Features

KEY = jax.random.key(0)
SIZE, TOP, LOWER, NOISE = 2, 1.3, 0.6, 0.3


def identity(size):
    return MLP(size, width=1, depth=0, key=KEY)


def linear(weight, bias):
    layer = eqx.nn.Linear(weight.shape[1], weight.shape[0], key=KEY)
    return eqx.tree_at(lambda module: (module.weight, module.bias), layer, (weight, bias))


def raw(scale):
    """What `bounded_exp` makes `scale` of."""
    low, high = LOG_SCALE_BOUNDS
    inner = scale / (1 - scale * math.exp(-high))
    return math.log(inner - math.exp(low))


class Diagonal(eqx.Module):
    """Normal(Σ_i w_i input_i, scale²), cell by cell."""

    weights: tuple[float, ...]
    scale: float

    def __call__(self, above, c):
        inputs = (*above, c)
        return npd.Normal(sum(w * v for w, v in zip(self.weights, inputs, strict=True)), self.scale)


class Top(eqx.Module):
    def __call__(self, c):
        return npd.Normal(c, TOP)


def explaining_away():
    """z_1 ~ N(c, ·), z_2 ~ N(z_1 / 2, ·), x ~ N(z_1 + z_2, ·), and its posterior as a ladder."""
    prior = Hierarchy((Top(), Diagonal((0.5, 0.0), LOWER)))
    likelihood = Diagonal((1.0, 1.0, 0.0), NOISE)
    eye, zero = jnp.eye(SIZE), jnp.zeros((SIZE, SIZE))
    # x given z_1 is N(1.5 z_1, ·); x − z_1 given z_2 is N(z_2, ·). Features are (x, c), then z_1.
    top = linear(
        jnp.block([[eye / 1.5, zero], [zero, zero]]),
        jnp.repeat(jnp.array([0.0, raw(math.hypot(LOWER, NOISE) / 1.5)]), SIZE),
    )
    lower = linear(
        jnp.block([[eye, zero, -eye], [zero, zero, zero]]), jnp.repeat(jnp.array([0.0, raw(NOISE)]), SIZE)
    )
    posterior = LadderPosterior(
        Features(), (identity(2 * SIZE), identity(2 * SIZE)), (identity(3 * SIZE),), (top, lower)
    )
    return CVAE(prior, likelihood, posterior)


def flattened():
    """The same model with z_1 and z_2 as one vector."""
    eye, zero = jnp.eye(SIZE), jnp.zeros((SIZE, SIZE))
    covariance = jnp.block(
        [[TOP**2 * eye, 0.5 * TOP**2 * eye], [0.5 * TOP**2 * eye, (0.25 * TOP**2 + LOWER**2) * eye]]
    )
    prior = AffineGaussian((jnp.concatenate([eye, 0.5 * eye]),), jnp.zeros(2 * SIZE), covariance)
    likelihood = AffineGaussian(
        (jnp.concatenate([eye, eye], axis=1), zero), jnp.zeros(SIZE), NOISE**2 * eye
    )
    return linear_gaussian(prior, likelihood)


def test_a_ladder_can_be_the_exact_posterior_where_layers_explain_each_other_away():
    model, keys = explaining_away(), jax.random.split(KEY, 2)
    x, c = (2.0 * jax.random.normal(k, (4, SIZE)) for k in keys)
    truth = exact_log_prob(flattened(), x, c)

    @eqx.filter_jit
    def weights(x, c):
        return jax.vmap(lambda x, c: model.draws(x, c, key=KEY, num_samples=5).log_weights)(x, c)

    # Of the exact posterior every weight is p(x | c) itself.
    np.testing.assert_allclose(weights(x, c), jnp.repeat(truth[:, None], 5, axis=1), atol=2e-4)


@pytest.mark.slow
def test_log_prob_of_a_ladder_is_the_known_one():
    model, keys = explaining_away(), jax.random.split(KEY, 2)
    x, c = (2.0 * jax.random.normal(k, (20, SIZE)) for k in keys)
    score = log_prob(model, x, c, key=KEY, num_samples=2000)
    assert (np.abs(score.value - exact_log_prob(flattened(), x, c)) < 5 * score.stderr + 1e-4).all()


def test_one_layer_is_a_correction():
    body, last = MLP(3, width=4, depth=1, key=KEY), eqx.nn.Linear(4, 2 * SIZE, key=KEY)
    x, c = jnp.array([0.4, -1.0]), jnp.ones(1)
    prior = Numpyro(npd.Normal(jnp.array([1.0, 2.0]), jnp.array([0.5, 2.0])))
    ladder = LadderPosterior(Features(), (body,), (), (last,))
    expected = PriorCorrection(Features(), body, last)(x, c, prior=prior)
    for posterior in (ladder(x, c, prior=prior), ladder(x, c, prior=Chain(prior, ())).layer(0, ())):
        assert (posterior.base.loc == expected.base.loc).all()
        assert (posterior.base.scale == expected.base.scale).all()


def test_what_does_not_fit_is_refused():
    body, last = identity(3), eqx.nn.Linear(3, 2 * SIZE, key=KEY)
    ladder = LadderPosterior(Features(), (body,), (), (last,))
    normal = Numpyro(npd.Normal(jnp.zeros(SIZE), 1.0))
    with pytest.raises(ValueError, match="LadderPosterior has 1 layers and the prior 2: give both as many"):
        ladder(jnp.zeros(2), jnp.zeros(1), prior=Chain(normal, (lambda above: normal,)))
    with pytest.raises(TypeError, match="LadderPosterior needs a prior that is a diagonal Gaussian"):
        ladder(jnp.zeros(2), jnp.zeros(1), prior=Numpyro(npd.Laplace(jnp.zeros(SIZE), 1.0)))
    with pytest.raises(ValueError, match="2 encoders, 0 joins and 1 linears: give an encoder and a linear"):
        LadderPosterior(Features(), (body, body), (), (last,))
    with pytest.raises(ValueError, match="a hierarchy needs at least one layer"):
        Hierarchy(())
