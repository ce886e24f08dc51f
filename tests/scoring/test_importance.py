import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from condvae import CVAE, Mixture, log_prob, sample
from condvae.conditionals import AffineGaussian
from condvae.linear_gaussian import exact_log_prob, exact_posterior, linear_gaussian, random_linear_gaussian
from condvae.scoring import importance
from condvae.vectorise import content_seeds
from helpers import conditions, hide_cells, masked, masked_log_prob

KEY = jax.random.key(0)


def model_and_rows(n: int, z_size: int = 2):
    model = random_linear_gaussian(KEY, x_size=3, z_size=z_size, c_size=1)
    c = jax.random.normal(jax.random.key(1), (n, 1))
    return model, jnp.asarray(sample(model, c, key=KEY)[:, 0]), c


def narrowed(model: CVAE, factor: float) -> CVAE:
    """The exact posterior with its scale multiplied."""
    exact = exact_posterior(model)
    q = AffineGaussian(exact.weights, exact.bias, factor**2 * exact.covariance)
    return linear_gaussian(model.prior, model.likelihood, q)


SIZES, FACTORS = (2, 10, 20, 50), (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)


@pytest.mark.slow
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("z_size", SIZES)
def test_intervals_cover_what_they_say(z_size, factor):
    """Of all 2,000 rows, trusted or not; and a q that is nearly right is trusted."""
    exact = random_linear_gaussian(jax.random.key(z_size), x_size=z_size, z_size=z_size, c_size=2)
    model = narrowed(exact, factor)
    c = jax.random.normal(jax.random.key(1), (2000, 2))
    x = jnp.asarray(sample(model, c, key=jax.random.key(2))[:, 0])
    score = log_prob(model, x, c, key=jax.random.key(3))
    low, high = score.interval(0.9)
    truth = np.asarray(exact_log_prob(model, x, c))
    assert 0.86 < ((low < truth) & (truth < high)).mean() < 0.94
    assert abs(((score.value + score.stderr**2 / 2 - truth) / score.stderr).mean()) < 0.25
    if abs(factor - 1.0) <= 0.1:
        assert (~score.trusted).mean() <= 0.05


@pytest.mark.parametrize("refined", [True, False])
def test_rows_that_need_more_draws_get_them_and_the_others_do_not(refined, monkeypatch):
    """Rows where q is a third as wide as it should be, and rows where it is exact."""
    if not refined:
        monkeypatch.setattr(importance, "num_latents", lambda model, c: 0)

    class Uneven(eqx.Module):
        exact: AffineGaussian

        def __call__(self, x, c, prior=None):
            factor = jnp.where(c[0] > 0, 1.0, 0.3)
            mean, scale = self.exact.mean(x, c), factor * self.exact.scale_tril
            return npd.MultivariateNormal(mean, scale_tril=scale)

    exact = random_linear_gaussian(KEY, x_size=6, z_size=6, c_size=1)
    model = eqx.tree_at(lambda m: m.posterior, exact, Uneven(exact_posterior(exact)))
    c = jax.random.normal(jax.random.key(1), (200, 1))
    x = jnp.asarray(sample(model, c, key=KEY)[:, 0])
    truth = np.asarray(exact_log_prob(exact, x, c))
    few = log_prob(model, x, c, key=KEY, num_samples=400, budget=400)
    more = log_prob(model, x, c, key=KEY, num_samples=400, budget=20_000)
    easy = np.asarray(c[:, 0] > 0)
    assert (few.num_samples == 400).all()
    assert (more.num_samples[easy] == 400).all()
    np.testing.assert_array_equal(more.value[easy], few.value[easy])
    assert set(np.unique(more.num_samples[~easy])) <= {400 * 2**k for k in range(6)}
    needed = more.num_samples > 400
    assert needed.mean() == 0.0 if refined else needed.mean() > 0.2
    assert more.stderr[~easy].max() < few.stderr[~easy].max()
    assert more.trusted.sum() > few.trusted.sum()
    done = more.num_samples < 12_800
    assert (more.trusted & (more.stderr <= importance.ENOUGH))[done].all()
    assert (np.abs(more.value - truth)[more.trusted] < 5 * more.stderr[more.trusted] + 1e-3).all()


@pytest.mark.slow
def test_rows_that_stay_untrustworthy_are_said_to_be(monkeypatch):
    """q is nowhere near, in twenty dimensions, and is not refined."""
    monkeypatch.setattr(importance, "num_latents", lambda model, c: 0)
    model = random_linear_gaussian(KEY, x_size=20, z_size=20, c_size=1)
    far = eqx.tree_at(lambda m: m.posterior.bias, narrowed(model, 0.2), jnp.full(20, 5.0))
    c = jax.random.normal(jax.random.key(1), (100, 1))
    x = jnp.asarray(sample(model, c, key=KEY)[:, 0])
    score = log_prob(far, x, c, key=KEY, num_samples=200, budget=800)
    wrong = np.abs(score.value - np.asarray(exact_log_prob(model, x, c))) > 1
    assert wrong.mean() > 0.5
    assert (~score.trusted[wrong]).mean() > 0.9
    assert (score.num_samples[~score.trusted] == 800).all()


def test_the_exact_posterior_alone_is_exact():
    model, x, c = model_and_rows(20)
    score = log_prob(narrowed(model, 1.0), x, c, key=KEY, num_samples=10, proposal="posterior")
    np.testing.assert_allclose(score.value, exact_log_prob(model, x, c), atol=1e-4)
    assert (score.stderr < 1e-3).all()
    np.testing.assert_allclose(score.ess, 10, rtol=1e-3)


@pytest.mark.slow
def test_the_reported_error_is_the_spread_over_keys():
    model, x, c = model_and_rows(3)
    scores = [log_prob(model, x, c, key=jax.random.key(i), num_samples=400, budget=400) for i in range(200)]
    spread = np.std([s.value for s in scores], axis=0)
    np.testing.assert_allclose(np.mean([s.stderr for s in scores], axis=0), spread, rtol=0.25)


def test_chunks_of_draws_and_rows_do_not_change_what_is_estimated(monkeypatch):
    model, x, c = model_and_rows(10)
    truth = np.asarray(exact_log_prob(model, x, c))
    whole = log_prob(model, x, c, key=KEY, num_samples=3000)
    monkeypatch.setattr(importance, "DRAWS_AT_ONCE", 37)
    pieces = log_prob(model, x, c, key=KEY, num_samples=3000)
    for score in (whole, pieces):
        assert (np.abs(score.value - truth) < 5 * score.stderr).all()
    np.testing.assert_allclose(pieces.stderr, whole.stderr, rtol=0.3)


def test_the_number_of_draws_is_what_was_asked_for(monkeypatch):
    """Weights of equal draws: the effective sample size counts them."""
    model, x, c = model_and_rows(2)
    same = eqx.tree_at(lambda m: m.posterior, narrowed(model, 1.0), exact_posterior(model))
    monkeypatch.setattr(importance, "DRAWS_AT_ONCE", 20)
    score = log_prob(same, x, c, key=KEY, num_samples=100, proposal="posterior")
    np.testing.assert_allclose(score.ess, 100, rtol=1e-3)
    assert (score.num_samples == 100).all()


def test_a_row_does_not_depend_on_those_beside_it():
    model, x, c = model_and_rows(9)
    whole = log_prob(model, x, c, key=KEY, num_samples=50)
    part = log_prob(model, x[:4], c[:4], key=KEY, num_samples=50)
    np.testing.assert_allclose(part.value, whole.value[:4], rtol=1e-5)


@pytest.mark.parametrize("width", [1, 784, 100_000])
def test_many_rows_and_many_draws_fit_in_bounded_memory(width):
    plan = importance._Plan.of([], np.zeros((10**4, width), np.int8), 10**6, "defensive")
    assert plan.at_once * plan.steps >= 10**6
    assert plan.at_once >= 16
    assert plan.chunk * plan.at_once * width <= max(importance.MAX_CELLS, 16 * width)


def test_what_no_draw_explains_is_minus_infinity_and_not_nan():
    model, x, c = model_and_rows(2)
    score = log_prob(model, x + 1e20, c, key=KEY, num_samples=20)
    assert np.isneginf(score.value).all()
    assert np.isposinf(score.stderr).all()
    assert (score.ess == 0).all()


def test_bad_arguments_are_refused():
    model, x, c = model_and_rows(2)
    with pytest.raises(ValueError, match="num_samples is 3, expected at least 4"):
        log_prob(model, x, c, key=KEY, num_samples=3)
    with pytest.raises(ValueError, match="budget is 900, less than num_samples, 1000"):
        log_prob(model, x, c, key=KEY, budget=900)
    with pytest.raises(ValueError, match="proposal is 'q', expected one of defensive"):
        log_prob(model, x, c, key=KEY, proposal="q")
    with pytest.raises(ValueError, match="x has 2 rows but c has 1"):
        log_prob(model, x, c[:1], key=KEY)


# --- mixtures

K = 3


def mixture_and_rows(n: int):
    keys = jax.random.split(jax.random.key(5), K)
    model = Mixture.of([random_linear_gaussian(key, x_size=3, z_size=2, c_size=1) for key in keys])
    c = jax.random.normal(jax.random.key(1), (n, 1))
    return model, jnp.asarray(sample(model, c, key=KEY)[:, 0]), c


def exact_mixture(model, x, c):
    each = np.stack([np.asarray(exact_log_prob(member, x, c), float) for member in model])
    return np.logaddexp.reduce(each, axis=0) - np.log(K)


@pytest.mark.slow
def test_a_mixture_scores_the_mean_of_its_members_densities_with_an_honest_error():
    model, x, c = mixture_and_rows(20)
    truth = exact_mixture(model, x, c)
    repeats = 60  # of every row, each with noise of its own
    score = log_prob(model, jnp.tile(x, (repeats, 1)), jnp.tile(c, (repeats, 1)), key=KEY, num_samples=600)
    value, stderr = (part.reshape(repeats, 20).astype(float) for part in score[:2])
    error = (value - truth) / stderr
    # The mean over repeats, and the part within 1.645 standard errors; the logarithm is low by stderr²/2.
    assert (
        np.abs((value + stderr**2 / 2 - truth).mean(axis=0)) < 5 * value.std(axis=0) / repeats**0.5
    ).all()
    assert abs((np.abs(error) < 1.645).mean() - 0.9) < 4 * np.sqrt(0.9 * 0.1 / error.size) + 0.01
    np.testing.assert_allclose(stderr.mean(axis=0), value.std(axis=0, ddof=1), rtol=0.4)
    np.testing.assert_allclose(stderr.mean(), value.std(axis=0, ddof=1).mean(), rtol=0.1)


def test_the_draws_for_a_mixture_are_shared_out_among_its_members():
    model, x, c = model_and_rows(2)
    same = Mixture.of([narrowed(model, 1.0)] * K)
    score = log_prob(same, x, c, key=KEY, num_samples=90, proposal="posterior")
    np.testing.assert_allclose(score.ess, 90, rtol=1e-3)
    np.testing.assert_allclose(score.value, exact_log_prob(model, x, c), atol=1e-4)
    few = log_prob(same, x, c, key=KEY, num_samples=4, proposal="posterior")
    np.testing.assert_allclose(few.ess, 2 * K, rtol=1e-3)  # two of each stratum at least


@pytest.mark.slow
def test_members_of_no_density_count_for_nothing_but_their_weight():
    model, x, c = model_and_rows(20)
    far = eqx.tree_at(lambda m: m.likelihood.bias, model, model.likelihood.bias + 1e20)
    score = log_prob(Mixture.of([far, model, far, far]), x, c, key=KEY, num_samples=800)
    alone = log_prob(model, x, c, key=jax.random.key(1), num_samples=200)
    stderr = np.hypot(score.stderr, alone.stderr)
    assert (np.abs(score.value - (alone.value - np.log(4))) < 5 * stderr).all()
    np.testing.assert_allclose(score.stderr.mean(), alone.stderr.mean(), rtol=0.3)
    np.testing.assert_allclose(score.ess.mean(), alone.ess.mean(), rtol=0.2)
    nothing = log_prob(Mixture.of([far, far]), x, c, key=KEY, num_samples=20)
    assert np.isneginf(nothing.value).all()
    assert np.isposinf(nothing.stderr).all()
    assert (nothing.ess == 0).all()


def test_missing_cells_are_left_out_by_every_member():
    members = [masked(key) for key in jax.random.split(KEY, K)]
    x = hide_cells(jax.random.normal(jax.random.key(2), (30, 3)))
    c = conditions(30)
    score = log_prob(Mixture.of(members), x, c, key=KEY, num_samples=3000)
    truth = np.logaddexp.reduce([masked_log_prob(member, x, c) for member in members], axis=0) - np.log(K)
    assert (np.abs(score.value - truth) < 5 * score.stderr + 1e-4).all()
    assert abs(truth[1]) < 1e-12  # of nothing, all members are certain
    assert abs(score.value[1]) < 5 * score.stderr[1] + 1e-4


@pytest.mark.parametrize("kind", [model_and_rows, mixture_and_rows])
def test_seeds_of_content_make_a_score_the_rows_own(kind):
    model, x, c = kind(9)
    order = np.array([7, 2, 2, 5])

    def score(x, c, **options):
        return log_prob(model, x, c, key=KEY, num_samples=50, **options)

    whole = score(x, c, seeds=content_seeds((x, c)))
    part = score(x[order], c[order], seeds=content_seeds((x[order], c[order])))
    for a, b in zip(part[:3], whole[:3], strict=True):
        np.testing.assert_allclose(a, b[order], rtol=1e-4)
    np.testing.assert_array_equal(part.num_samples, whole.num_samples[order])
    by_place = score(x[order], c[order])
    assert (np.abs(by_place.value - whole.value[order]) > 1e-3).any()
