import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import optax
import pytest

from condvae import CVAE, Mixture, elbo, fit, iwae, log_prob, sample
from condvae.architectures import mlp_cvae
from condvae.linear_gaussian import maximum_likelihood
from condvae.training import TrainingError, batches, loop
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


@pytest.mark.slow  # the note's example, in tests/examples, is held to it by default
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
    scales = (1.0, 7.0, 1e-300, 1e300)
    one, *others = (run(*rows, sample_weight=np.full(N, w), num_steps=30).model for w in scales)
    for other in others:
        np.testing.assert_allclose(weights(one), weights(other), rtol=1e-5, atol=1e-6)


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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl_cycles": 0}, "kl_cycles is 0, expected at least 1"),
        (
            {"kl_cycles": 4},
            "kl_cycles=4 of num_steps=100 have 25 steps each, and kl_warmup is 0; give half",
        ),
        ({"kl_cycles": 4, "kl_warmup": 26}, "have 25 steps each, and kl_warmup is 26"),
        ({"kl_cycles": 4, "kl_warmup": 12, "objective": iwae}, "kl_warmup needs an objective with"),
    ],
)
def test_cycles_have_room_for_their_warm_up(rows, options, message):
    with pytest.raises(ValueError, match=message):
        run(*rows, **options)


def test_what_is_kept_from_a_later_cycle_has_seen_the_elbo(rows):
    """No warning: those of the start of the third cycle are what the second one ended with."""
    _, history = run(*rows, num_steps=768, kl_warmup=128, kl_cycles=3)
    assert history.best_step > 256
    assert history.notes == []


def test_warm_up_needs_an_objective_with_beta(rows):
    with pytest.raises(ValueError, match="kl_warmup needs an objective with the option beta"):
        run(*rows, objective=iwae, kl_warmup=10)


def test_steps_with_numbers_that_are_not_finite_are_skipped_and_counted(rows):
    def sometimes(draws):
        return jnp.where(draws.z[0, 0] > 2.5, jnp.nan, 1.0) * elbo(draws)

    with pytest.warns(UserWarning, match="steps gave numbers that are not finite and were left out"):
        model, history = run(*rows, objective=sometimes, batch_size=32)
    assert history["skipped"].sum() > 0
    left_out = [event["count"] for event in history.events if event["event"] == "skipped"]
    assert sum(left_out) == history["skipped"].sum()
    assert np.isfinite(weights(model)).all()


def test_a_run_that_never_gives_finite_numbers_ends_in_a_sentence(rows):
    with pytest.raises(TrainingError, match="numbers that are not finite around step 100"):
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


def test_a_model_without_parameters_is_refused():
    model = CVAE(
        lambda c: npd.Normal(0.0, 1.0),
        lambda z, c: npd.Normal(z[None], 1.0),
        lambda x, c, prior: npd.Normal(x[0], 1.0),
    )
    with pytest.raises(ValueError, match="the model has nothing to train"):
        fit(model, np.zeros((10, 1), np.float32), key=KEY, progress=False)


def test_float64_models_are_trained_in_float64(rows, x64):
    x, c = (np.asarray(a, np.float64) for a in rows)
    model, _ = run(x, c, num_steps=20)
    assert model.likelihood.head.parameters.linear.weight.dtype == np.float64


# --- members of a mixture

SIZE = 3
every_lowering = pytest.mark.parametrize(
    "side_by_side",
    [pytest.param(loop.SIDE_BY_SIDE, id="vmap"), pytest.param(0, id="map", marks=pytest.mark.slow)],
)


def steady(step):
    """A rate at which validation goes up and down."""
    return 0.004


def own_keys(k, size=SIZE):
    """The keys with which member k is built and trained."""
    return jax.random.split(jax.random.split(jax.random.key(2), size)[k])


def run_members(x, c, **options):
    settings = {"num_members": SIZE, "num_steps": 300, "learning_rate": 1e-2, "progress": False} | options
    return fit(diagonal, x, c, key=jax.random.key(2), **settings)


def run_alone(k, x, c, **options):
    build, train = own_keys(k)
    settings = {"num_steps": 300, "learning_rate": 1e-2, "progress": False} | options
    return fit(diagonal(build), x, c, key=train, **settings)


def assert_close(model, other):
    np.testing.assert_allclose(weights(model), weights(other), rtol=1e-3, atol=1e-4)


def stop_of(history, k):
    """The step after which member k is trained no more."""
    return history["step"][np.isfinite(history["train"][:, k])][-1]


@every_lowering
def test_a_member_is_what_it_would_be_alone(rows, monkeypatch, side_by_side):
    monkeypatch.setattr(loop, "SIDE_BY_SIDE", side_by_side)
    rates, decays = np.array([1e-2, 3e-3, 1e-3]), np.array([0.0, 2.0, 20.0])
    weight = np.random.default_rng(0).random(N)
    mixture, history = run_members(*rows, learning_rate=rates, weight_decay=decays, sample_weight=weight)
    assert history["validation"].shape == history["skipped"].shape == (3, SIZE)
    models = []
    for k in range(SIZE):
        model, alone = run_alone(
            k, *rows, learning_rate=rates[k], weight_decay=decays[k], sample_weight=weight
        )
        assert_close(mixture.member(k), model)
        assert history.best_step[k] == alone.best_step
        np.testing.assert_allclose(history.best_value[k], alone.best_value, rtol=1e-4)
        for name in ("train", "validation"):
            np.testing.assert_allclose(history[name][:, k], alone[name], rtol=1e-4)
        models.append(weights(model))
    assert min(np.abs(models[i] - models[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 0.1


@every_lowering
def test_a_member_that_has_stopped_changes_no_more_and_depends_on_no_other(rows, monkeypatch, side_by_side):
    monkeypatch.setattr(loop, "SIDE_BY_SIDE", side_by_side)
    options = {"learning_rate": steady, "batch_size": 16, "num_steps": 128 * 12, "patience": 256}
    mixture, history = run_members(*rows, **options)
    _, free = run_members(*rows, **options | {"patience": None})
    stops = [stop_of(history, k) for k in range(SIZE)]
    first = int(np.argmin(stops))
    assert stops[first] < history["step"][-1]
    later = free["validation"][free["step"] > stops[first], first]
    assert later.max() > history.best_value[first]  # it would have changed
    for k in range(SIZE):
        model, alone = run_alone(k, *rows, **options)
        assert_close(mixture.member(k), model)
        assert alone["step"][-1] == stops[k]
        assert alone.best_step == history.best_step[k]
        np.testing.assert_allclose(history.best_value[k], alone.best_value, rtol=1e-4)
        trained = history["step"] <= stops[k]
        np.testing.assert_allclose(history["validation"][trained, k], alone["validation"], rtol=1e-4)
        assert np.isnan(history["validation"][~trained, k]).all()
        assert (history["skipped"][~trained, k] == 0).all()
    shorter, cut = run_members(*rows, **options | {"num_steps": int(stops[first])})
    assert_close(shorter.member(first), mixture.member(first))
    assert cut.best_step[first] == history.best_step[first]


@pytest.mark.slow
def test_what_a_stopped_member_would_have_come_to_is_nobodys_concern(rows):
    def bias(model):
        return model.likelihood.head.parameters.linear.bias

    still = float(bias(diagonal(own_keys(0)[0]))[0])

    def spoil(model, progress):
        bad = (progress >= 0.5) & (bias(model)[0] == still)
        return eqx.tree_at(bias, model, jnp.where(bad, jnp.nan, bias(model)))

    options = {"learning_rate": np.array([0.0, 1e-3, 2e-3]), "num_steps": 512, "anneal": spoil}
    with pytest.raises(
        TrainingError, match="member 0: training gave numbers that are not finite around step 384"
    ):
        run_members(*rows, **options)
    mixture, history = run_members(*rows, **options, patience=128)
    assert stop_of(history, 0) == 256
    assert history.best_step[1:] == [512, 512]
    assert history["skipped"].sum() == 0
    np.testing.assert_array_equal(weights(mixture.member(0)), weights(diagonal(own_keys(0)[0])))


def test_a_mixture_is_trained_on(rows):
    mixture, _ = run_members(*rows)
    again, history = fit(mixture, *rows, key=KEY, num_steps=100, learning_rate=0.0, progress=False)
    np.testing.assert_array_equal(weights(again), weights(mixture))
    assert history["validation"].shape == (1, SIZE)
    assert len(np.unique(history["validation"])) == SIZE  # each by its own rows


def test_one_member_is_a_mixture_too_and_a_function_alone_is_a_model(rows):
    mixture, history = run_members(*rows, num_members=1)
    assert (mixture.num_members, history["validation"].shape) == (1, (3, 1))
    model, of_model = run_members(*rows, num_members=None)
    assert isinstance(model, CVAE)
    assert isinstance(of_model.best_step, int)
    assert of_model["validation"].shape == (3,)
    assert_close(mixture.member(0), model)


def test_a_mask_for_each_member_is_kept_to(rows):
    x, c = rows[0].copy(), rows[1]
    held = np.stack([np.arange(N) < 100, np.arange(N) >= 200])
    x[:100] += 100.0
    mixture = Mixture.of([diagonal(KEY)] * 2)
    _, history = fit(
        mixture, x, c, key=KEY, validation=held, learning_rate=0.0, num_steps=128, progress=False
    )
    assert history["validation"][0, 0] < -1000 < -50 < history["validation"][0, 1]
    assert history["train"][0, 1] < -1000 < -50 < history["train"][0, 0]


def test_a_part_of_the_way_is_trained_as_anneal_says_and_judged_by_the_model_itself(rows):
    def bias(model):
        return model.likelihood.head.parameters.linear.bias

    def shifted(model, progress):
        return eqx.tree_at(bias, model, bias(model) + jnp.where(progress < 0.25, 100.0, 0.0))

    frozen = {"learning_rate": 0.0, "num_steps": 512}
    _, plain = run(*rows, **frozen)
    _, annealed = run(*rows, **frozen, anneal=shifted)
    assert annealed["train"][0] < -1000
    np.testing.assert_allclose(annealed["train"][1:], plain["train"][1:], rtol=1e-6)
    np.testing.assert_array_equal(annealed["validation"], plain["validation"])


def test_the_average_of_the_parameters_is_kept(rows, monkeypatch):
    monkeypatch.setattr(batches, "round_steps", lambda *_: 8)
    options = {"learning_rate": steady, "validation": 0}
    path = [weights(diagonal(KEY))]
    path += [weights(run(*rows, **options, num_steps=steps).model) for steps in range(1, 15)]
    expected = path[0]
    for i, step in enumerate(path[1:]):
        expected = expected + max(1 - 0.5, 9 / (10 + i)) * (step - expected)
    averaged = run(*rows, **options, num_steps=14, averaging=0.5).model
    np.testing.assert_allclose(weights(averaged), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected - path[-1]).max() > 1e-3


def of_widths(x):
    """A function that builds a wider model at each call."""
    widths = iter(range(4, 100))
    return lambda key: mlp_cvae(x, latent_size=1, width=next(widths), depth=1, key=key)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (diagonal(KEY), {"num_members": 2}, "num_members is 2, but the model given is of 1"),
        (
            Mixture.of([diagonal(KEY)] * 2),
            {"num_members": 3},
            "num_members is 3, but the model given is of 2",
        ),
        (3, {}, "model is int, expected a CVAE, a Mixture, or a function"),
        (diagonal, {"num_members": 0}, "num_members is 0, expected at least 1"),
        (lambda key: 3, {"num_members": 2}, "the function that builds a model returned int"),
        (of_widths(np.zeros((N, 3), np.float32)), {"num_members": 2}, "differ in structure"),
        (diagonal, {"num_members": 3, "learning_rate": np.ones(2)}, "or 3 of them, one for each member"),
        (diagonal, {"num_members": 3, "weight_decay": np.ones(4)}, "weight_decay is .*, or 3 of them"),
        (diagonal, {"num_members": 3, "learning_rate": np.array([1.0, -1.0, 1.0])}, "not below 0"),
        (diagonal(KEY), {"learning_rate": np.ones(2)}, "expected a number not below 0$"),
        (diagonal, {"num_members": 3, "validation": np.ones((2, N), bool)}, r"or \(3, 300\), one for each"),
        (
            diagonal,
            {"num_members": 2, "validation": np.stack([np.arange(N) < 9, np.zeros(N, bool)])},
            "validation holds out no row of member 1, but some of others",
        ),
        (
            diagonal,
            {
                "num_members": 2,
                "sample_weight": (np.arange(N) < 9).astype(float),
                "validation": np.stack([np.arange(N) < 5, np.arange(N) < 9]),
            },
            "sample_weight is 0 on all training or all validation rows",
        ),
    ],
)
def test_members_that_cannot_be_trained_are_refused(rows, model, options, message):
    with pytest.raises(ValueError, match=message):
        fit(model, *rows, key=KEY, num_steps=10, **{"progress": False} | options)


def test_the_curves_of_members_are_drawn(rows):
    _, history = run_members(*rows)
    assert len(history.plot().get_lines()) == 2 * (SIZE + 1) + 1
