"""What is lost when conditions are permuted."""

import jax
import numpy as np
import pytest

from condvae import Observed, sample
from condvae.conditionals import AffineGaussian
from condvae.diagnosis import condition_use
from condvae.diagnosis.conditions import _each_column
from condvae.linear_gaussian import exact_log_prob, linear_gaussian, random_linear_gaussian

KEY = jax.random.key(0)


def model_and_rows(n=1000):
    """A model that looks at the first condition alone."""
    model = random_linear_gaussian(jax.random.key(5), x_size=3, z_size=1, c_size=2)

    def first(module, place):
        weights = list(module.weights)
        weights[place] = weights[place].at[:, 1].set(0.0)
        return AffineGaussian(tuple(weights), module.bias, module.covariance)

    prior, likelihood = first(model.prior, 0), first(model.likelihood, 1)
    model = linear_gaussian(prior, likelihood, model.posterior)
    c = jax.random.normal(jax.random.key(1), (n, 2))
    return model, sample(model, c, key=jax.random.key(2))[:, 0], c


def test_what_is_lost_is_the_loss_of_the_exact_density_and_a_column_that_is_not_used_costs_nothing():
    model, x, c = model_and_rows()
    use = condition_use(model, x, c, key=KEY)
    # E log p(x | c) − E log p(x | c'), by exact densities of the same rows, over 40 permutations.
    x, c = np.asarray(x), np.asarray(c)
    intact = np.asarray(exact_log_prob(model, x, c)).mean()
    pairs = np.mean(
        [np.asarray(exact_log_prob(model, x, np.roll(c, k, axis=0))).mean() for k in range(1, 40)]
    )
    mean, stderr = use.total
    assert abs(mean - (intact - pairs)) < 4 * stderr
    by = use.by_column
    assert list(by) == ["c[0]", "c[1]"]
    assert abs(by["c[0]"][0] - mean) < 0.05 * mean
    assert abs(by["c[1]"][0]) < 2 * by["c[1]"][1] + 1e-6


def test_a_value_and_its_mask_are_permuted_together():
    c = {"a": Observed(np.arange(6.0).reshape(3, 2), np.eye(3, 2) > 0), "b": np.arange(3)}
    swaps = _each_column(c)
    assert list(swaps) == ["c['a'][0]", "c['a'][1]", "c['b']"]
    turned = swaps["c['a'][1]"](c, np.array([1, 2, 0]))
    assert turned["a"].value.tolist() == [[0, 3], [2, 5], [4, 1]]
    assert turned["a"].mask.tolist() == [[True, True], [False, False], [False, False]]
    assert turned["b"].tolist() == [0, 1, 2]
    assert swaps["c['b']"](c, np.array([1, 2, 0]))["b"].tolist() == [1, 2, 0]
    assert c["a"].value[0, 1] == 1


def test_what_is_permuted_may_be_said():
    model, x, c = model_and_rows(50)
    use = condition_use(model, x, c, key=KEY, columns={"both": lambda c, turned: np.asarray(c)[turned]})
    np.testing.assert_allclose(use.columns["both"], use.everything)


def test_bad_arguments_are_refused():
    model, x, c = model_and_rows(3)
    with pytest.raises(ValueError, match="c is None"):
        condition_use(model, x, None, key=KEY)
    with pytest.raises(ValueError, match="there is one row"):
        condition_use(model, x[:1], c[:1], key=KEY)
