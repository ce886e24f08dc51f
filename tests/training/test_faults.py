"""Numbers that are not finite, planted in ten places: mended, or named; never in a model that comes out."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import CVAE, Observed, elbo, fit
from condvae.architectures import mlp_cvae
from condvae.training import TrainingError
from helpers import diagonal
from training.conftest import ROWS

KEY = jax.random.key(0)
N = ROWS


def run(x, c, model=diagonal, **options):
    settings = {"num_steps": 320, "batch_size": 16, "learning_rate": 1e-2, "progress": False} | options
    return fit(model, x, c, key=KEY, **settings)


def leaves(model):
    return jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))


def assert_finite(model):
    for leaf in leaves(model):
        assert np.isfinite(np.asarray(leaf)).all()


@jax.custom_vjp
def spoil_gradient(value, bad):
    return value


spoil_gradient.defvjp(
    lambda value, bad: (value, bad), lambda bad, g: (jnp.where(bad, jnp.nan, g), jnp.zeros_like(bad))
)


class SpoiledLikelihood(eqx.Module):
    """p(x | z, c) as it is, but for rows of which c is large: there its gradient is NaN."""

    inner: eqx.Module

    def __call__(self, z, c):
        return self.inner(spoil_gradient(z, jnp.abs(c[0]) > 50), c)


# --- in parameters


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["prior", "likelihood", "posterior"])
def test_parameters_that_are_not_finite_are_refused_by_name(rows, part, value):
    def where(model):
        return getattr(model, part).head.parameters.linear.bias

    model = eqx.tree_at(where, diagonal(KEY), where(diagonal(KEY)).at[0].set(value))
    message = rf"the model's parameters \.{part}\.head\.parameters\.linear\.bias have a NaN or an infinity"
    with pytest.raises(ValueError, match=message):
        run(*rows, model)


def test_parameters_that_are_spoilt_on_the_way_name_the_tensor(rows):
    def spoil(model, progress):
        def where(m):
            return m.likelihood.head.parameters.linear.weight

        return eqx.tree_at(where, model, where(model) * jnp.where(progress >= 0.5, jnp.nan, 1.0))

    with pytest.raises(TrainingError, match=r"rate was lowered 3 times.* is nan") as caught:
        run(*rows, anneal=spoil)
    assert caught.value.row is not None


# --- in data, and in gradients of some rows


def test_data_that_are_not_finite_are_refused(rows):
    x, c = (array.copy() for array in rows)
    c[5, 1] = np.inf
    with pytest.raises(ValueError, match="c has a NaN or an infinity in row 5"):
        run(x, c)


def test_a_row_whose_gradient_is_not_finite_is_left_out_and_told(rows):
    x, c = (array.copy() for array in rows)
    c[17, 0] = 60.0
    model = eqx.tree_at(lambda m: m.likelihood, diagonal(KEY), SpoiledLikelihood(diagonal(KEY).likelihood))
    held = np.arange(N) < 10
    with pytest.warns(UserWarning, match=r"\d+ steps gave numbers that are not finite and were left out"):
        trained, history = run(x, c, model, validation=held)
    assert_finite(trained)
    # Every eighth batch or so has that row: no reason to go back.
    assert {event["event"] for event in history.events} == {"skipped"}
    assert history["skipped"].sum() == sum(event["count"] for event in history.events)
    assert 320 / 12 < history["skipped"].sum() < 320 / 5
    assert history["train"][-1] > history["train"][0]


def test_rows_that_cannot_be_trained_on_are_named_with_their_largest_number(rows):
    x, c = (array.copy() for array in rows)
    c[::2, 0] = 60.0
    c[4, 0] = 77.0
    model = eqx.tree_at(lambda m: m.likelihood, diagonal(KEY), SpoiledLikelihood(diagonal(KEY).likelihood))
    held = np.arange(N) < 4
    with pytest.raises(TrainingError) as caught:
        run(x, c, model, validation=held)
    assert "62 rows, first in row 4" in str(caught.value)
    assert "and its gradient in" in str(caught.value)
    assert "the largest of its numbers is 77 in c[4, 0]; mend or drop the row" in str(caught.value)
    assert caught.value.row == 4
    assert caught.value.entry == (("c",), (4, 0), 77.0, "c[4, 0]")


def test_a_run_none_of_whose_steps_was_finite_gives_no_model(rows):
    x, c = (array.copy() for array in rows)
    c[4:] = 60.0
    model = eqx.tree_at(lambda m: m.likelihood, diagonal(KEY), SpoiledLikelihood(diagonal(KEY).likelihood))
    held = np.arange(N) < 4
    # Too few steps for a member to go back in vain.
    with pytest.raises(
        TrainingError, match=r"none of 40 steps gave numbers .*, first in row 4: .*gradient in"
    ):
        run(x, c, model, validation=held, num_steps=40)


def test_a_member_none_of_whose_steps_was_finite_is_named(rows):
    def build(key):
        build.made += 1
        model = diagonal(key)
        likelihood = Cliff(model.likelihood, limit=jnp.float32(1e9 if build.made < 3 else -1.0))
        return eqx.tree_at(lambda m: m.likelihood, model, likelihood)

    build.made = 0
    with pytest.raises(TrainingError, match="member 2: none of 40 steps gave numbers that are finite"):
        run(*rows, build, num_members=3, num_steps=40, validation=0)


def test_a_batch_transform_that_spoils_some_rows(rows):
    def spoil(key, batch):
        x, c = batch
        return jnp.where((jax.random.uniform(key) < 0.05) & (jnp.arange(3) == 0), jnp.nan, x), c

    with pytest.warns(UserWarning, match="were left out"):
        trained, _ = run(*rows, batch_transform=spoil, validation=0)
    assert_finite(trained)


@pytest.mark.slow
def test_an_objective_that_is_infinite_for_some_draws(rows):
    def objective(draws):
        return jnp.where(draws.z[0, 0] > 2.5, -jnp.inf, elbo(draws))

    with pytest.warns(UserWarning, match="were left out"):
        trained, history = run(*rows, objective=objective, validation=0)
    assert_finite(trained)
    assert history["skipped"].sum() > 0


# --- steps too large


class Cliff(eqx.Module):
    """p(x | z, c) that has no number beyond a bias, which a large step reaches."""

    inner: eqx.Module
    limit: float = 0.5

    def __call__(self, z, c):
        beyond = jnp.abs(self.inner.head.parameters.linear.bias).max() > self.limit
        return self.inner(jnp.where(beyond, jnp.nan, z), c)


def flat(key):
    model = eqx.tree_at(lambda m: m.likelihood.head.parameters.linear.bias, diagonal(key), jnp.zeros(3))
    return eqx.tree_at(lambda m: m.likelihood, model, Cliff(model.likelihood))


def test_a_rate_that_is_too_high_is_lowered_from_the_best_parameters(rows):
    with pytest.warns(UserWarning, match="left out"):
        trained, history = run(*rows, flat, learning_rate=lambda step: 0.3, num_steps=1024)
    restarts = [event for event in history.events if event["event"] == "restart"]
    assert 1 <= len(restarts) <= 3
    assert [event["count"] for event in restarts] == list(range(1, len(restarts) + 1))
    assert_finite(trained)
    assert history["skipped"][-1] == 0
    assert history["train"][-1] > history["train"][0]


@pytest.mark.slow
def test_a_member_goes_back_alone(rows):
    rates = np.array([1e-3, 1.0, 1e-3])
    with pytest.warns(UserWarning, match="left out in all members"):
        mixture, history = run(*rows, flat, num_members=3, learning_rate=rates, num_steps=512)
    assert_finite(mixture)
    assert {event["member"] for event in history.events} == {1}
    calm, _ = run(*rows, flat, num_members=3, learning_rate=np.full(3, 1e-3), num_steps=512)
    for k in (0, 2):
        for one, two in zip(leaves(mixture.member(k)), leaves(calm.member(k)), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_what_is_mended_does_not_depend_on_where_calls_end(rows, monkeypatch):
    from condvae.training import loop

    def results():
        with pytest.warns(UserWarning, match="left out"):
            model, history = run(*rows, flat, learning_rate=lambda step: 0.3, num_steps=300)
        return leaves(model), history["skipped"]

    whole, skipped = results()
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    pieces, again = results()
    for one, two in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(skipped, again)


# --- held-out rows


def test_held_out_rows_that_cannot_be_judged_are_named(rows):
    x, c = (array.copy() for array in rows)
    x[7] = 1e25
    with pytest.raises(TrainingError, match=r"never finite.*row 7: the objective is -inf"):
        run(x, c, validation=np.arange(N) < 10)


# --- data that are hard on numbers


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda x: x.__setitem__((3, 0), 1e30), id="outlier"),
        pytest.param(lambda x: x.__setitem__((slice(None), 1), x[:, 0]), id="tied", marks=pytest.mark.slow),
        pytest.param(
            lambda x: x.__setitem__((slice(None), 1), x[:, 0] + 1e-6 * x[:, 1]),
            id="near duplicate",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda x: x.__setitem__((slice(None), 2), 1e-20 * x[:, 2]),
            id="tiny variance",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda x: x.__setitem__((slice(None), 0), np.where(np.arange(N) % 10, 0, x[:, 0])),
            id="mostly one value",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_hard_data_train_all_the_same(rows, spoil):
    x, c = rows[0].copy(), rows[1]
    spoil(x)
    mask = np.ones_like(x, bool)

    def build(key) -> CVAE:
        return mlp_cvae({"numeric": Observed(x, mask)}, c, latent_size=2, width=16, depth=1, key=key)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, history = run({"numeric": Observed(x, mask)}, c, build, validation=np.arange(N) % 10 == 9)
    assert_finite(model)
    assert history["train"][-1] > history["train"][0]
    assert bool(caught) == bool(history["skipped"].sum())
