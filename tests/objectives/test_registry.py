"""Objectives by name: each trains, says what it is, and refuses what it cannot do."""

import inspect
import re
from functools import partial

import jax
import numpy as np
import pytest

from condvae import elbo, fit
from condvae.linear_gaussian import exact_log_prob, maximum_likelihood, random_linear_gaussian
from condvae.objectives import OBJECTIVES, objective

OPTIMISED = True
BOUNDS = set(OBJECTIVES) - {"info_vae"}
NOT_OF_THE_LIKELIHOOD = {"gaussian_stochastic_network", "hybrid", "info_vae"}
"""Those whose maximum is not where the likelihood has its own, however good q may be."""


def test_names_are_those_of_the_functions():
    for name, function in OBJECTIVES.items():
        assert objective(name) is function
        assert function.__name__ == name


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_says_what_it_bounds_where_it_is_from_and_when_to_choose_it(name):
    words = inspect.getdoc(OBJECTIVES[name])
    assert re.search(r"^When: ", words, re.MULTILINE)
    assert re.search(r"^Source:\n\s+\w.*\d{4}", words, re.MULTILINE)
    assert ("no bound" in words) == (name not in BOUNDS) or name == "elbo"
    assert "bound" in words


def test_numbers_in_brackets_are_given_to_it():
    made = objective(" renyi( alpha = 0.25 ) ")
    assert (made.func.__name__, made.keywords) == ("renyi", {"alpha": 0.25})
    assert objective("renyi(alpha=0.25)") is objective("renyi(alpha=0.25)")
    assert objective("elbo()") is elbo


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("evidence", r"objective is 'evidence', expected one of elbo, iwae, renyi, .*, info_vae"),
        ("renyi(0.5)", r"objective is 'renyi\(0.5\)'; write a name, such as iwae"),
        ("renyi(alpha=much)", "or one with its numbers, such as renyi"),
        ("iwae(alpha=1)", "objective iwae takes no numbers; leave out 'alpha'"),
        ("hybrid(beta=1)", "objective hybrid takes alpha; leave out 'beta'"),
        ("", "write a name"),
    ],
)
def test_what_is_no_objective_is_refused(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        objective(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_trains_a_model_to_what_it_claims(name, x64):
    """To the maximum likelihood of the rows, where q can be the posterior: all that is lost is noise."""
    truth = random_linear_gaussian(jax.random.key(1), x_size=3, z_size=1, c_size=1, exact=True)
    c = jax.random.normal(jax.random.key(2), (1000, 1))

    def row(c, key):
        z_key, x_key = jax.random.split(key)
        return truth.likelihood(truth.prior(c).sample(z_key), c).sample(x_key)

    x = jax.vmap(row)(c, jax.random.split(jax.random.key(3), 1000))
    start = random_linear_gaussian(jax.random.key(4), x_size=3, z_size=1, c_size=1)
    options = {"num_samples": 8, "num_steps": 1000, "learning_rate": 1e-2, "progress": False}
    trained, history = fit(
        start, x, c, key=jax.random.key(0), objective=objective(name), validation=0.05, **options
    )
    assert history["validation"][-1] > history["validation"][0]
    after, before = (exact_log_prob(m, x, c).mean() for m in (trained, start))
    best = exact_log_prob(maximum_likelihood(x, c, latent_size=3), x, c).mean()
    assert after > before + 0.5
    if name not in NOT_OF_THE_LIKELIHOOD:
        assert after > best - 0.05


@pytest.mark.parametrize(
    "name",
    [
        "elbo(free_bits=1)",
        pytest.param("elbo", marks=pytest.mark.slow),
        pytest.param("sticking_the_landing", marks=pytest.mark.slow),
    ],
)
def test_what_takes_beta_is_warmed_up(name):
    model = random_linear_gaussian(jax.random.key(1), x_size=1, z_size=1)
    options = {"key": jax.random.key(0), "num_steps": 20, "progress": False}
    fit(model, np.zeros((50, 1), np.float32), objective=objective(name), kl_warmup=5, **options)


def test_a_warm_up_is_of_what_takes_beta():
    x = np.zeros((50, 1), np.float32)
    model = random_linear_gaussian(jax.random.key(1), x_size=1, z_size=1)
    options = {"key": jax.random.key(0), "num_steps": 20, "progress": False}
    with pytest.raises(ValueError, match="kl_warmup needs an objective with the option beta"):
        fit(model, x, objective=objective("vimco"), kl_warmup=5, **options)
    with pytest.raises(ValueError, match="kl_warmup needs an objective with the option beta"):
        fit(model, x, objective=partial(elbo, beta=0.5), kl_warmup=5, **options)
