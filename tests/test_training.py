import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from condvae import elbo, fit, iwae, log_prob, sample
from condvae.architectures import mlp_cvae
from condvae.linear_gaussian import maximum_likelihood
from condvae.training import TrainingError
from helpers import diagonal

KEY = jax.random.key(0)
N = 300


@pytest.fixture(scope="module")
def rows():
    c = jax.random.normal(jax.random.key(1), (N, 2))
    x = jnp.concatenate([c, c[:, :1] - c[:, 1:]], axis=1) + 0.3 * jax.random.normal(KEY, (N, 3))
    return np.asarray(x), np.asarray(c)


def run(x, c, model=None, **options):
    settings = {"num_steps": 100, "learning_rate": 1e-2, "progress": False} | options
    return fit(diagonal(KEY) if model is None else model, x, c, key=jax.random.key(2), **settings)


def weights(model):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")])


def test_the_same_key_gives_the_same_model_to_the_bit(rows):
    first, second = (run(*rows).model for _ in range(2))
    assert weights(first).tobytes() == weights(second).tobytes()
    other = fit(diagonal(KEY), *rows, key=jax.random.key(3), num_steps=100, progress=False).model
    assert (weights(first) != weights(other)).any()


def test_a_second_fit_of_the_same_shapes_compiles_nothing(rows):
    traces = []

    def counted(draws):
        traces.append(1)
        return elbo(draws)

    # 300 rows less 30 in batches of 64: no epoch is a whole number of batches.
    counts = []
    for options in ({"num_steps": 110}, {"learning_rate": 3e-3, "num_steps": 130}, {"num_steps": 120}):
        run(*rows, objective=counted, batch_size=64, **options)
        counts.append(len(traces))
    assert np.diff(counts).tolist() == [0, 0]


def test_training_reaches_maximum_likelihood(rows):
    x, c = rows
    best = maximum_likelihood(x, c, latent_size=2)
    model, _ = run(x, c, num_steps=3000, validation=0, num_samples=4)
    reached = log_prob(model, x, c, key=KEY, num_samples=200).value.mean()
    top = log_prob(best, x, c, key=KEY, num_samples=200).value.mean()
    assert top - 0.03 < reached


def test_the_best_parameters_on_the_held_out_rows_are_kept(rows):
    x, c = rows
    held = np.zeros(N, bool)
    held[:60] = True
    x = x.copy()
    x[held] += 1.0  # held-out rows are of another kind: training further makes them worse
    model = mlp_cvae(x, c, latent_size=2, width=32, depth=2, key=KEY)
    _, history = run(x, c, model, validation=held, num_steps=1500, patience=300)
    values = history["validation"]
    assert history.best_step == history["step"][values.argmax()]
    assert values.argmax() < len(values) - 1
    assert history["step"][-1] - history.best_step >= 300 or len(values) * 50 >= 1500


def test_groups_and_time_hold_out_rows(rows):
    x, c = rows
    seen = {}
    for name, values in (("groups", np.repeat(np.arange(30), 10)), ("time", np.arange(N))):
        _, history = run(x, c, num_steps=20, validation=0.2, **{name: values})
        seen[name] = history["validation"][-1]
    assert np.isfinite(list(seen.values())).all()
    assert seen["groups"] != seen["time"]


def test_rows_of_no_weight_teach_nothing(rows):
    x, c = (np.concatenate([a, a]) for a in rows)
    x[N:] += 50.0
    weight = np.repeat([2.0, 0.0], N)
    model, history = run(x, c, sample_weight=weight, num_steps=1500)
    mean = sample(model, rows[1][:50], key=KEY, num_samples=200).mean()
    assert abs(mean - rows[0][:50].mean()) < 0.3
    assert history["validation"].max() > -6


def test_weights_are_relative(rows):
    one, two = (run(*rows, sample_weight=np.full(N, w), num_steps=30).model for w in (1.0, 7.0))
    np.testing.assert_allclose(weights(one), weights(two), rtol=1e-5, atol=1e-6)


def test_an_optimiser_or_a_schedule_of_the_users_own(rows):
    still, _ = run(*rows, optimiser=optax.sgd(0.0))
    np.testing.assert_array_equal(weights(still), weights(diagonal(KEY)))
    frozen, _ = run(*rows, learning_rate=lambda step: jnp.where(step < 50, 0.0, 0.0))
    np.testing.assert_array_equal(weights(frozen), weights(diagonal(KEY)))
    moved, _ = run(*rows, optimiser=optax.adam(1e-2))
    assert (weights(moved) != weights(still)).any()


def test_clipping_bounds_a_step_of_gradient_descent(rows):
    x, c = rows
    clipped = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1.0))
    moved, _ = run(x, c, optimiser=clipped, num_steps=10, validation=0)
    assert np.linalg.norm(weights(moved) - weights(diagonal(KEY))) <= 10 * 1e-3 + 1e-5


def test_callbacks_get_metrics_and_the_step(rows):
    calls = []
    _, history = run(*rows, callbacks=[lambda metrics, step: calls.append((dict(metrics), step))])
    assert [step for _, step in calls] == history["step"].tolist()
    assert calls[-1][0] == history.records[-1]
    assert {"train", "validation", "skipped", "seconds"} <= set(calls[0][0])


def test_batches_can_be_transformed(rows):
    def shift(key, batch):
        x, c = batch
        return x + 5.0, c

    model, history = run(*rows, batch_transform=shift, num_steps=1500)
    assert history["validation"].max() > -6  # held-out rows are transformed too
    drawn = sample(model, rows[1], key=KEY, num_samples=20).mean()
    assert abs(drawn - (rows[0].mean() + 5.0)) < 0.5


def test_kl_warm_up_that_ends_in_time_is_the_elbo(rows):
    model, history = run(*rows, kl_warmup=50, num_steps=2000)
    assert history.notes == []
    reached = log_prob(model, *rows, key=KEY, num_samples=200).value.mean()
    plain = log_prob(run(*rows, num_steps=2000).model, *rows, key=KEY, num_samples=200).value.mean()
    assert abs(reached - plain) < 0.1


def test_kl_warm_up_that_does_not_end_says_what_was_optimised(rows):
    with pytest.warns(UserWarning, match="ends with β = 0.5 and optimises") as caught:
        _, history = run(*rows, kl_warmup=200, num_steps=100)
    assert history.notes == [str(caught[0].message)]
    assert "not the ELBO" in history.notes[0]


def test_kl_warm_up_cut_short_by_early_stopping_says_so(rows):
    held = np.arange(N) < 100
    x = rows[0].copy()
    x[held] = 30.0 * np.sign(x[held])  # best at the very start
    model = run(rows[0], rows[1], num_steps=500).model
    with pytest.warns(UserWarning, match="the parameters kept are those of step"):
        run(x, rows[1], model, kl_warmup=900, num_steps=1000, validation=held, patience=100)


def test_warm_up_needs_an_objective_with_beta(rows):
    with pytest.raises(ValueError, match="kl_warmup needs an objective that takes beta"):
        run(*rows, objective=iwae, kl_warmup=10)


def test_steps_with_numbers_that_are_not_finite_are_skipped_and_counted(rows):
    def sometimes(draws):
        return jnp.where(draws.z[0, 0] > 2.5, jnp.nan, 1.0) * elbo(draws)

    model, history = run(*rows, objective=sometimes, batch_size=32)
    assert history["skipped"].sum() > 0
    assert np.isfinite(weights(model)).all()


def test_a_run_that_never_gives_finite_numbers_ends_in_a_sentence(rows):
    with pytest.raises(TrainingError, match="no step between 0 and 100 gave finite numbers"):
        run(*rows, objective=lambda draws: jnp.nan * elbo(draws))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"sample_weight": np.ones(3)}, r"sample_weight has shape \(3,\), expected \(300,\)"),
        ({"sample_weight": -np.ones(N)}, "non-negative number for each row"),
        ({"sample_weight": np.zeros(N)}, "sample_weight is 0 on all"),
        ({"validation": np.ones(N, bool)}, "validation holds out every row"),
        ({"validation": np.ones(N)}, "expected a fraction or a boolean mask"),
        ({"objective": lambda draws: draws.log_weights}, "expected a scalar"),
    ],
)
def test_bad_arguments_are_refused_before_training(rows, options, message):
    with pytest.raises(ValueError, match=message):
        run(*rows, **options)


def test_data_that_cannot_be_trained_on_are_refused(rows):
    x, c = rows
    with pytest.raises(ValueError, match="x has 300 rows but c has 299"):
        run(x, c[:-1])
    bad = x.copy()
    bad[17, 0] = np.nan
    with pytest.raises(ValueError, match="x has a NaN or an infinity in row 17"):
        run(bad, c)
    with pytest.raises(ValueError, match="the network expected 5 features, got 4"):
        run(x[:, :2], c)


def test_history_plots_itself(rows):
    _, history = run(*rows)
    ax = history.plot()
    assert ax.get_xlabel() == "step"
    assert len(history) == len(history["train"])


def test_float64_models_are_trained_in_float64(rows, x64):
    x, c = (np.asarray(a, np.float64) for a in rows)
    model, _ = run(x, c, num_steps=20)
    assert model.likelihood.head.parameters.linear.weight.dtype == np.float64
