"""Latents of real rows against the prior's."""

import jax
import numpy as np
import pytest

from condvae import Mixture
from condvae.diagnosis import prior_match
from condvae.linear_gaussian import exact_posterior, linear_gaussian, random_linear_gaussian
from condvae.sampling import simulate

KEY = jax.random.key(0)


def model_and_rows(n=1500, seed=2):
    """A model with its exact posterior, and rows of its own."""
    model = random_linear_gaussian(jax.random.key(5), x_size=3, z_size=2, c_size=1)
    model = linear_gaussian(model.prior, model.likelihood, exact_posterior(model))
    c = jax.random.normal(jax.random.key(1), (n, 1))
    return model, simulate(model, c, key=jax.random.key(seed))[1], c


def test_on_the_models_own_rows_nothing_can_be_told_apart():
    """With the exact posterior, q averaged over the model's own x is the prior."""
    matches = [prior_match(*model_and_rows(400, seed), key=jax.random.key(seed)) for seed in (2, 3)]
    assert min(one.latents.p_value for one in matches) > 0.001
    assert min(one.samples.p_value for one in matches) > 0.001


def test_rows_that_the_model_would_not_make_are_far_from_the_prior():
    model, x, c = model_and_rows()
    moved = np.asarray(x) + 2 * np.asarray(model.likelihood.weights[0]).sum(axis=1)
    match = prior_match(model, moved, c, key=KEY)
    assert match.latents.p_value < 1e-6
    assert match.samples.p_value < 1e-6
    assert match.latents.nats > 2 * match.latents.nats_stderr


def test_bad_arguments_are_refused():
    model, x, c = model_and_rows(50)
    with pytest.raises(ValueError, match="take a member of the mixture"):
        prior_match(Mixture.of([model, model]), x, c, key=KEY)
    with pytest.raises(ValueError, match="49 pairs of rows, too few"):
        prior_match(model, x[:49], c[:49], key=KEY)
