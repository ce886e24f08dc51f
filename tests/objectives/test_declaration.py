"""What objectives declare: kinds of draws, options, whole batches; misspelt kinds are refused."""

import inspect
import typing
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import fit
from condvae.linear_gaussian import random_linear_gaussian
from condvae.objectives import OBJECTIVES, takes
from condvae.objectives.declaration import Declaration, Kind, declaration_of
from condvae.objectives.draws import KINDS, evaluate

X = np.zeros((20, 1), np.float32)
OPTIONS = {"key": jax.random.key(0), "num_steps": 20, "progress": False}


def model():
    return random_linear_gaussian(jax.random.key(1), x_size=1, z_size=1)


def test_kinds_are_those_that_can_be_made():
    assert set(typing.get_args(Kind)) == set(KINDS)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_declared_options_are_the_keyword_arguments(name):
    parameters = inspect.signature(OBJECTIVES[name]).parameters.values()
    declaration = declaration_of(OBJECTIVES[name])
    assert declaration.options == tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    assert len(declaration.draws) == len(parameters) - len(declaration.options)


def test_a_misspelt_kind_is_refused_where_it_is_written():
    with pytest.raises(
        ValueError, match="of the kind 'from_piror': choose from draws, doubly, generalised"
    ):
        takes("draws", "from_piror")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="takes draws of at least one kind: choose from draws, "):
        takes()


def test_draws_are_given_in_the_order_declared_whatever_arguments_are_called():
    @takes("from_prior", "draws")
    def distance(first, second):
        return jnp.max(jnp.abs(first.log_posterior - first.log_prior)) + 0.0 * second.log_prior[0]

    value = evaluate(distance, model(), jnp.zeros(1), key=jax.random.key(0), num_samples=3)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)  # q is the prior in draws of the prior


def test_arguments_that_partial_sets_leave_the_declaration():
    assert declaration_of(partial(partial(OBJECTIVES["hybrid"], alpha=0.1))).draws == (
        "draws",
        "from_prior",
    )
    assert declaration_of(lambda anything: anything) == Declaration()


def test_a_function_that_takes_more_than_it_declares_is_refused():
    def of_what(draws, shares):
        return jnp.sum(draws.log_weights * shares)

    sentence = (
        r"called with \(draws\), and cannot be: missing a required argument: 'shares'; declare the draws"
    )
    with pytest.raises(ValueError, match=sentence):
        fit(model(), X, objective=of_what, **OPTIONS)
    with pytest.raises(ValueError, match="too many positional arguments; declare the draws"):
        fit(model(), X, objective=lambda: 0.0, **OPTIONS)


def test_a_users_objective_with_beta_is_warmed_up_if_it_declares_it():
    def weighted(draws, *, beta=1.0):
        return draws.expectation(draws.log_likelihood + beta * (draws.log_prior - draws.log_posterior))

    with pytest.raises(ValueError, match=r'condvae.objectives.takes\("draws", options'):
        fit(model(), X, objective=weighted, kl_warmup=5, **OPTIONS)
    fit(model(), X, objective=takes("draws", options=("beta",))(weighted), kl_warmup=5, **OPTIONS)
