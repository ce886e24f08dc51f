import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, Mixture, Observed, sample
from condvae.architectures import mlp_cvae
from condvae.linear_gaussian import exact_log_prob, mean_field_oracle, random_linear_gaussian
from condvae.scoring import anneal, sandwich
from condvae.scoring.annealing import _mean, _summed
from condvae.scoring.chains import Options, schedule
from helpers import CASES, conditions, hide_cells, masked, masked_log_prob

KEY = jax.random.key(0)


def errors(interval, exact):
    """Of the lower and the upper end, the mean error and its standard error."""
    truth = np.asarray(exact_log_prob(exact, jnp.asarray(interval.x)), float)
    gaps = [end.value - truth for end in (interval.lower, interval.upper)]
    return [(gap.mean(), gap.std(ddof=1) / np.sqrt(len(gap))) for gap in gaps]


@pytest.mark.slow
@pytest.mark.parametrize("noise", [1.0, 0.1])
@pytest.mark.parametrize("z_size", [2, 10, 50])
def test_from_q_either_end_is_log_p(z_size, noise):
    model, exact = mean_field_oracle(z_size, noise, z_size + 5)
    for mean, stderr in errors(sandwich(model, rows=200, key=KEY), exact):
        assert abs(mean) <= 0.03 + 2 * stderr


@pytest.mark.parametrize("start", [pytest.param("posterior", marks=pytest.mark.slow), "prior"])
def test_log_p_lies_between_the_ends(start):
    model, exact = mean_field_oracle(3, 0.5, 6)
    interval = sandwich(model, rows=64, key=KEY, num_temperatures=60, num_chains=8, start=start)
    (lower, lower_error), (upper, upper_error) = errors(interval, exact)
    assert lower <= 3 * lower_error + 0.005
    assert upper >= -3 * upper_error - 0.005
    assert max(abs(lower), abs(upper)) < 0.2
    width, stderr = interval.width
    np.testing.assert_allclose(width, upper - lower, atol=1e-5)
    assert 0 < stderr < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("counting", [1, 3, "one of three"])
def test_intervals_cover_whatever_the_members_weigh(counting):
    models = [random_linear_gaussian(jax.random.key(i), x_size=3, z_size=2, c_size=1) for i in range(3)]
    if counting == "one of three":
        models[1:] = [
            eqx.tree_at(lambda m: m.likelihood.bias, one, one.likelihood.bias + 30.0) for one in models[1:]
        ]
    models = models[:1] if counting == 1 else models
    c = jax.random.normal(jax.random.key(1), (300, 1))
    x = jnp.asarray(sample(models[0], c, key=jax.random.key(2))[:, 0])
    model = models[0] if counting == 1 else Mixture.of(models)
    score = anneal(model, x, c, key=KEY, num_temperatures=100).lower
    each = np.stack([np.asarray(exact_log_prob(one, x, c), float) for one in models])
    truth = np.logaddexp.reduce(each, axis=0) - np.log(len(models))
    low, high = score.interval(0.9)
    assert abs(((low < truth) & (truth < high)).mean() - 0.9) < 0.02 + 3 * np.sqrt(0.09 / 300)


def test_errors_of_few_chains_are_not_trusted():
    model, exact = mean_field_oracle(3, 0.5, 6)
    x = np.array(sample(exact, key=KEY, num_samples=8))
    for chains, trusted in ((2, False), (8, True)):
        score = anneal(model, x, key=KEY, num_temperatures=60, num_chains=chains).lower
        np.testing.assert_allclose(score.df, chains - 1, rtol=1e-5)
        assert (score.trusted == trusted).all()


def test_from_above_real_data_gives_an_estimate_and_a_row_is_its_own():
    model, exact = mean_field_oracle(3, 0.5, 6)
    x = np.array(sample(exact, key=KEY, num_samples=8))
    options = {"key": KEY, "num_temperatures": 100, "num_chains": 8}
    annealed = anneal(model, x, **options)
    truth = np.asarray(exact_log_prob(exact, jnp.asarray(x)), float)
    np.testing.assert_allclose(annealed.lower.value, truth, atol=0.25)
    np.testing.assert_allclose(annealed.upper_estimate.value, truth, atol=0.25)
    assert (annealed.lower.stderr < 0.1).all()
    assert annealed.lower.method == "annealed importance sampling over 100 temperatures"
    far = x.copy()
    far[3] = 1e25  # of no density in float32: nothing of it reaches its neighbours
    other = anneal(model, far, **options)
    rest = np.arange(8) != 3
    np.testing.assert_array_equal(other.lower.value[rest], annealed.lower.value[rest])
    assert np.isneginf(other.lower.value[3])
    assert not other.lower.trusted[3]


@pytest.mark.slow
def test_missing_cells_are_left_out_exactly_and_members_are_mixed():
    members = [masked(key) for key in jax.random.split(KEY, 2)]
    x, c = hide_cells(jax.random.normal(jax.random.key(2), (16, 3))), conditions(16)
    annealed = anneal(Mixture.of(members), x, c, key=KEY, num_temperatures=100)
    truth = np.logaddexp(*(masked_log_prob(member, x, c) for member in members)) - np.log(2)
    assert (np.abs(annealed.lower.value - truth) < 5 * annealed.lower.stderr + 0.02).all()
    assert (annealed.lower.num_samples == 32).all()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case, id=case.name, marks=() if case.name in ("diagonal", "discrete") else pytest.mark.slow
        )
        for case in CASES
    ],
)
def test_every_kind_of_latent_is_annealed_or_summed_over(case):
    model = case.build(jax.random.key(0))
    c = conditions(4) if case.has_c else None
    x = sample(model, key=KEY, num_samples=4) if c is None else sample(model, c, key=KEY)[:, 0]
    x = case.rows(jnp.asarray(x))
    annealed = anneal(model, x, c, key=KEY, num_temperatures=60, num_chains=8)
    truth = case.log_prob(model, x, c)
    assert (np.abs(annealed.lower.value - truth) < 5 * annealed.lower.stderr + 0.1).all()
    if not case.has_path:
        assert annealed.lower.method == "enumeration"


@pytest.mark.slow
def test_simulated_rows_are_as_the_model_is_used_to():
    """Binary pixels: drawn as whole numbers, encoded as floating-point ones; some are missing."""
    x = Observed(np.zeros((6, 4), np.float32), np.arange(24).reshape(6, 4) % 3 > 0)
    model = mlp_cvae(x, latent_size=2, width=4, depth=1, likelihood="bernoulli", key=KEY)
    interval = sandwich(model, like=x, key=KEY, num_temperatures=20, num_chains=4)
    assert interval.x.value.dtype == np.float32
    np.testing.assert_array_equal(interval.x.mask, x.mask)
    assert np.isin(interval.x.value, (0, 1)).all()
    assert abs(interval.width[0]) < 0.5


class Bounded(eqx.Module):
    def __call__(self, *inputs, prior=None):
        return npd.Gamma(jnp.full(2, 2.0), 1.0)


class Many(eqx.Module):
    """More values than are listed."""

    def __call__(self, *inputs, prior=None):
        return npd.Categorical(logits=jnp.zeros((20, 3)))


@pytest.mark.parametrize("latent", [Bounded(), Many()])
def test_latents_that_are_not_real_numbers_are_refused(latent):
    model = CVAE(latent, mean_field_oracle(2, 1.0, 3)[0].likelihood, latent)
    with pytest.raises(ValueError, match="discrete, or bounded\\): use importance sampling"):
        anneal(model, np.zeros((2, 3)), key=KEY)


def test_bad_arguments_are_refused():
    model, _ = mean_field_oracle(2, 1.0, 3)
    with pytest.raises(ValueError, match="num_temperatures is 9, expected at least 10"):
        anneal(model, np.zeros((2, 3)), key=KEY, num_temperatures=9)
    with pytest.raises(ValueError, match="num_chains is 1, expected at least 2"):
        anneal(model, np.zeros((2, 3)), key=KEY, num_chains=1)
    with pytest.raises(ValueError, match="start is 'q', expected posterior or prior"):
        anneal(model, np.zeros((2, 3)), key=KEY, start="q")
    with pytest.raises(ValueError, match="say how many rows are to be simulated"):
        sandwich(model, key=KEY)
    with pytest.raises(ValueError, match="take a member of the mixture"):
        sandwich(Mixture.of([random_linear_gaussian(KEY, x_size=2, z_size=1)] * 2), rows=2, key=KEY)


def test_increments_are_added_up_in_float64():
    rng = np.random.default_rng(0)
    differences = (1e6 + rng.normal(size=(1, 5000, 2))).astype(np.float32)
    steps = np.diff(schedule(5000, "posterior"))
    exact = [
        math.fsum(float(d) * s for d, s in zip(differences[0, :, k], steps, strict=True)) for k in (0, 1)
    ]
    expected = np.logaddexp(*exact) - np.log(2)
    totals = _summed(differences, Options(5000, 2, "posterior"), False)
    assert abs(totals.value[0] - expected) < 1e-7
    above = _summed(differences, Options(5000, 2, "posterior"), True)
    assert abs(above.value[0] + np.logaddexp(*-np.array(exact)) - np.log(2)) < 1e-7


@pytest.mark.parametrize("start", ["posterior", "prior"])
def test_a_schedule_goes_from_nought_to_one(start):
    betas = schedule(37, start)
    assert (len(betas), betas[0], betas[-1]) == (38, 0.0, 1.0)
    assert (np.diff(betas) > 0).all()


def test_members_of_no_density_count_for_their_weight_alone():
    good = _summed(np.full((2, 10, 4), -3.0), Options(10, 4, "posterior"), False)
    none = _summed(np.full((2, 10, 4), -np.inf), Options(10, 4, "posterior"), False)
    np.testing.assert_allclose(_mean([good, none], 10).value, -3.0 - np.log(2))
    np.testing.assert_allclose(_mean([good, none], 10).ess, 4.0)
    nothing = _mean([none, none], 10)
    assert np.isneginf(nothing.value).all()
    assert np.isposinf(nothing.stderr).all()
