"""Values that the likelihood cannot hold are refused before anything is compiled; others train."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed, fit
from condvae.architectures import image_cvae, mlp_cvae
from condvae.linear_gaussian import random_linear_gaussian
from condvae.training import SupportError, binarise

RNG = np.random.default_rng(0)
GREY = RNG.random((20, 4)).astype(np.float32)
BITS = (GREY > 0.5).astype(int)
COUNTS = RNG.poisson(3.0, (20, 4))
OPTIONS = {"key": jax.random.key(0), "num_steps": 2, "batch_size": 8, "progress": False}


def model(x, **options):
    return mlp_cvae(x, latent_size=1, width=4, depth=1, key=jax.random.key(0), **options)


@pytest.fixture
def never_compiled(monkeypatch):
    monkeypatch.setattr("condvae.training.loop.run_steps", lambda *_, **__: pytest.fail("a step was taken"))


CASES = {
    "bernoulli": (0.5, "0 or 1"),
    "continuous_bernoulli": (1.5, "a number from 0 to 1"),
    "beta": (1.0, "a number above 0 and below 1"),
    "gamma": (0.0, "a number above 0"),
    "log_normal": (-2.0, "a number above 0"),
    "hurdle_gamma": (-2.0, "a number from 0"),
    "poisson": (-2.0, "a whole number from 0"),
    "negative_binomial": (0.25, "a whole number from 0"),
    "zero_inflated_poisson": (0.25, "a whole number from 0"),
    "hurdle_negative_binomial": (-1.0, "a whole number from 0"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_outside_is_refused_before_a_step_is_compiled(name, never_compiled):
    value, words = CASES[name]
    x = (BITS if name not in ("beta", "gamma", "log_normal") else np.full((20, 4), 0.5)).astype(np.float32)
    x[7, 2] = value
    sentence = rf"x\[7, 2\] is {value:g}, and the likelihood there, .*, takes {words}; "
    with pytest.raises(SupportError, match=sentence) as e:
        fit(model(x, likelihood=name), x, **OPTIONS)
    assert (e.value.row, e.value.cell, e.value.value, e.value.support) == (7, (2,), value, words)
    assert "gaussian" in e.value.likelihoods
    assert name not in e.value.likelihoods


def test_grey_pixels_under_bernoulli_are_told_what_to_do(never_compiled):
    sentence = (
        "by fit.batch_transform=condvae.training.binarise., or use the likelihood continuous_bernoulli"
    )
    images = GREY.reshape(20, 2, 2)
    build = image_cvae(images, latent_size=1, width=2, features=4, depth=1, key=jax.random.key(0))
    for likelihood, x in ((model(GREY, likelihood="bernoulli"), GREY), (build, images)):
        with pytest.raises(SupportError, match=sentence):
            fit(likelihood, x, **OPTIONS)
    with pytest.raises(SupportError, match="binarise takes a number from 0 to 1; divide brightness by its"):
        fit(model(GREY, likelihood="bernoulli"), 255 * GREY, batch_transform=binarise, **OPTIONS)


def test_grey_pixels_are_binarised():
    fit(model(GREY, likelihood="bernoulli"), GREY, batch_transform=binarise, **OPTIONS)
    x, c = binarise(
        jax.random.key(1), (Observed(jnp.full((4000, 1), 0.3), jnp.ones((4000, 1), bool)), None)
    )
    assert c is None
    assert abs(x.value.mean() - 0.3) < 5 * np.sqrt(0.21 / 4000)
    assert set(np.unique(x.value)) == {0.0, 1.0}
    assert x.mask.all()


@pytest.mark.parametrize(("name", "x"), [("bernoulli", BITS), ("negative_binomial", COUNTS)])
def test_whole_numbers_are_numbers_under_a_likelihood_of_them(name, x):
    trained, _ = fit(model(x, likelihood=name), x, **OPTIONS)
    row = trained.draws(jnp.asarray(x[0]), key=jax.random.key(1))
    same = trained.draws(jnp.asarray(x[0], float), key=jax.random.key(1))
    np.testing.assert_allclose(row.log_weights, same.log_weights, rtol=1e-5)


def test_categories_in_a_dictionary_with_missing_cells(never_compiled):
    codes = np.ones((20, 2), int)
    codes[3, 1] = 5
    x = {"a": GREY, "k": Observed(codes, codes < 5)}
    built = model(x, x_levels=(2, 3))
    fitted = {**x, "k": Observed(codes, np.ones_like(codes, bool))}
    with pytest.raises(
        SupportError, match=r"x\['k'\]\[3, 1\] is 5, .* takes a whole number from 0 to 2"
    ) as e:
        fit(built, fitted, **OPTIONS)
    assert e.value.cell == ("k", 1)
    with pytest.raises(pytest.fail.Exception):  # what is stored in a missing cell is nobody's value
        fit(built, x, **OPTIONS)


def test_a_likelihood_that_says_nothing_is_not_checked():
    known = random_linear_gaussian(jax.random.key(1), x_size=4, z_size=1)
    assert known.p_x(jnp.zeros(1)).support() is None
    fit(known, GREY, **OPTIONS)
