"""Every kind of latent through every objective, score, diagnosis and file: an answer, or one sentence."""

import functools
from contextlib import nullcontext

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from condvae import (
    Observed,
    elbo,
    encode,
    fit,
    load,
    log_prob,
    reconstruct,
    sample,
    save,
    sticking_the_landing,
)
from condvae.diagnosis import (
    collapse,
    condition_use,
    decompose,
    gaps,
    latent_use,
    posterior_ranks,
    prior_match,
)
from condvae.objectives import OBJECTIVES
from condvae.objectives.declaration import declaration_of
from condvae.objectives.draws import evaluate, evaluate_batch
from condvae.scoring import anneal, bound, impute
from latents import C_SIZE, KINDS, X_SIZE, rows, truth

KEY = jax.random.key(0)
QUICK = {"above"}
"""That of the default suite; all are in the slow one."""


def built(kind):
    return _built(kind.name)


@functools.cache
def _built(name):
    (build,) = (kind.build for kind in KINDS if kind.name == name)
    return build(jax.random.key(1))


def each(*quick):
    return pytest.mark.parametrize(
        "kind",
        [pytest.param(k, id=k.name, marks=() if k.name in quick else pytest.mark.slow) for k in KINDS],
    )


def refused(kind, what):
    """What is to be caught: the sentence by which this kind refuses it, or nothing."""
    sentence = kind.refuses.get(what)
    return pytest.raises(ValueError, match=sentence) if sentence else nullcontext()


def doubled(tree):
    return jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64) if eqx.is_inexact_array(leaf) else leaf,
        tree,
    )


@each(*QUICK)
def test_objectives_have_the_gradient_of_their_value(kind):
    """Against finite differences, the noise held: an estimate that is unbiased has such a gradient too."""
    model = built(kind)
    x, c = jax.tree.map(lambda leaf: leaf[0], rows(1, kind.has_c))
    for name in ("elbo", "iwae"):
        objective = OBJECTIVES[name]
        with jax.enable_x64(True):
            arrays, rest = eqx.partition(doubled(model), eqx.is_inexact_array)
            row = doubled((x, c))
            start, back = ravel_pytree(arrays)

            def value(flat, back=back, rest=rest, row=row, objective=objective):
                return objective(eqx.combine(back(flat), rest).draws(*row, key=KEY, num_samples=2))

            value = jax.jit(value)
            with refused(kind, name):
                slope = jax.jit(jax.grad(value))(start)
                direction = np.random.default_rng(0).normal(size=start.shape) / np.sqrt(start.size)
                step = 1e-5 * direction
                difference = (value(start + step) - value(start - step)) / 2e-5
                np.testing.assert_allclose(slope @ direction, difference, rtol=1e-4, atol=1e-6)


@each("above")
def test_every_objective_has_a_value_and_a_gradient_or_a_sentence(kind):
    model = built(kind)
    batch = rows(2, kind.has_c)
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    for name, function in OBJECTIVES.items():

        def value(parameters, function=function):
            model, keys = eqx.combine(parameters, static), jax.random.split(KEY, 2)
            if declaration_of(function).of_batches:
                return evaluate_batch(function, model, batch, keys, num_samples=3).mean()
            each = jax.vmap(lambda row, key: evaluate(function, model, *row, key=key, num_samples=3))
            return each(batch, keys).mean()

        with refused(kind, name):
            loss, gradient = jax.jit(jax.value_and_grad(value))(parameters)
            assert np.isfinite(loss), name
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)), name
            assert any((leaf != 0).any() for leaf in jax.tree.leaves(gradient)), name


@each(*QUICK)
def test_bounds_are_below_log_p_and_scores_agree_with_it(kind):
    model = built(kind)
    x, c = rows(3, kind.has_c)
    x = x._replace(value=0.3 * x.value)  # not so far out that draws from the prior miss them
    value, stderr = truth(model, x, c, draws=400_000)
    score = log_prob(model, x, c, key=KEY, num_samples=2000)
    assert (np.abs(score.value - value) < 5 * np.hypot(score.stderr, stderr) + 1e-3).all()
    assert (stderr < 0.1).all()
    for name in ("elbo", "iwae"):
        with refused(kind, name):
            lower = bound(model, x, c, key=KEY, objective=OBJECTIVES[name], num_samples=20_000)
            if name == "elbo":
                assert (lower < value + 0.15).all()
            else:  # near log p, and now and then above it: this posterior is not trained
                assert ((lower > value - 2.0) & (lower < value + 0.5)).all()


@each(*QUICK)
def test_it_is_rebuilt_from_what_is_saved(kind, tmp_path):
    model = built(kind)
    save(tmp_path / "model", model)
    same = load(tmp_path / "model")
    assert eqx.tree_equal(same, model)
    assert repr(same) == repr(model)


@each()
def test_sticking_the_landing_is_the_elbo_on_average(kind):
    model = built(kind)
    x, c = rows(2, kind.has_c)
    with refused(kind, "sticking_the_landing"):
        gradients = [
            [bound(model, x, c, key=k, objective=f, num_samples=200) for k in jax.random.split(KEY, 8)]
            for f in (sticking_the_landing, elbo)
        ]
        path, plain = np.array(gradients)
        stderr = np.hypot(path.std(axis=0), plain.std(axis=0)) / 8**0.5
        assert (np.abs(path.mean(axis=0) - plain.mean(axis=0)) < 6 * stderr + 1e-4).all()


@each()
def test_annealing_agrees_with_scores(kind):
    model = built(kind)
    x, c = rows(3, kind.has_c)
    with refused(kind, "anneal"):
        lower = anneal(model, x, c, key=KEY, num_temperatures=200, num_chains=8).lower
        score = log_prob(model, x, c, key=KEY, num_samples=2000)
        assert (np.abs(lower.value - score.value) < 5 * np.hypot(lower.stderr, score.stderr) + 0.1).all()


@each()
def test_rows_are_sampled_encoded_reconstructed_and_imputed(kind):
    model = built(kind)
    x, c = rows(3, kind.has_c)
    made = sample(model, c, key=KEY, num_samples=4)
    assert made.shape[-2:] == (4, X_SIZE)
    assert np.isfinite(made).all()
    for leaf in jax.tree.leaves(encode(model, x, c, key=KEY, num_samples=4)):
        assert leaf.shape[:2] == (3, 4)
        assert np.isfinite(leaf).all()
    with refused(kind, "mean"):
        means = encode(model, x, c)
        many = encode(model, x, c, key=KEY, num_samples=4000)
        stderr = many.std(axis=1) / 4000**0.5
        assert (np.abs(means - many.mean(axis=1)) < 5 * stderr).all()
    assert np.isfinite(reconstruct(model, x, c, key=KEY, num_samples=2)).all()
    filled = impute(model, x, c, key=KEY, num_samples=2)
    assert np.isfinite(filled).all()
    assert (np.where(x.mask[:, None], filled == x.value[:, None], True)).all()


@each()
def test_it_is_trained(kind):
    x, c = rows(300, kind.has_c)
    options = {"num_steps": 300, "batch_size": 64, "progress": False, "learning_rate": 1e-2}
    with refused(kind, "fit"):
        model, _ = fit(built(kind), x, c, key=KEY, **options)
        before, after = (
            log_prob(m, x, c, key=KEY, num_samples=100, budget=100).value.mean()
            for m in (built(kind), model)
        )
        assert after > before


ENOUGH = 0.05
"""Nats a row: how near the truth is to be reached."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_truth_of_its_kind_is_reached(kind):
    """Rows of a model of this kind, and another one that is trained on them."""
    jax.config.update("jax_disable_most_optimizations", False)  # it trains for long
    truth_key, c_key, x_key, start_key = jax.random.split(jax.random.key(5), 4)
    learned, held = 20_000, 300
    # Gentler than what is built: rows that prior draws do not miss, so that their log p is known.
    teacher = jax.tree.map(lambda a: 0.6 * a if eqx.is_inexact_array(a) else a, kind.build(truth_key))
    c = jax.random.normal(c_key, (learned + held, C_SIZE)) if kind.has_c else None
    drawn = sample(teacher, c, key=x_key, num_samples=1 if kind.has_c else learned + held)
    value = jnp.asarray(drawn).reshape(-1, X_SIZE)
    x = Observed(value, jnp.ones(value.shape, bool))
    learn, judge = (
        jax.tree.map(lambda rows, s=s: rows[s], (x, c)) for s in (slice(learned), slice(-held, None))
    )
    options = {"num_steps": 4000, "batch_size": 256, "learning_rate": 1e-2, "averaging": 0.99}
    objective = OBJECTIVES[kind.taught_by]
    student, _ = fit(
        kind.build(start_key),
        *learn,
        key=KEY,
        objective=objective,
        num_samples=8,
        progress=False,
        **options,
    )
    now, before = (
        log_prob(model, *judge, key=KEY, num_samples=1000, budget=4000).value
        for model in (student, kind.build(start_key))
    )
    best, errors = truth(teacher, *judge)
    assert (best - before).mean() > 2 * ENOUGH  # there is something to learn
    missed = best - now
    stderr = np.sqrt((missed.var() + (errors**2).mean()) / held)
    assert stderr < ENOUGH / 2
    assert -4 * stderr < missed.mean() < ENOUGH


class _Truth:
    """Pairs of some other distribution, each cell by itself."""

    def __init__(self, has_c):
        self.has_c = has_c

    def sample(self, key):
        row = jax.tree.map(lambda leaf: leaf[0], rows(1, self.has_c))
        value = row[0]._replace(value=1.5 * jax.random.normal(key, (X_SIZE,)), mask=jnp.ones(X_SIZE, bool))
        return value, row[1]

    def log_prob(self, x, c):
        return jnp.sum(jax.scipy.stats.norm.logpdf(x.value, 0.0, 1.5))


@each()
def test_its_elbo_is_decomposed(kind):
    with refused(kind, "decompose"):
        decomposition = decompose(built(kind), _Truth(kind.has_c), key=KEY, num_rows=40)
        assert np.isfinite([decomposition.elbo, decomposition.kl_model, decomposition.data_term]).all()
        assert decomposition.method in ("enumeration", "quadrature") or decomposition.method.startswith(
            "not checkable: the"
        )
        if decomposition.checkable:
            assert abs(decomposition.residual) < 5 * decomposition.stderr


@each()
def test_its_gaps_are_measured(kind):
    x, c = rows(2, kind.has_c)
    with refused(kind, "gaps"):
        measured = gaps(built(kind), x, c, key=KEY, num_samples=500)
        assert np.isfinite(measured.elbo).all()
        assert (measured.elbo_local > measured.elbo - 0.1).all()
        assert (measured.elbo_local < measured.log_prob.value + 0.15 + 5 * measured.log_prob.stderr).all()


@each()
def test_its_use_is_measured(kind):
    model = built(kind)
    x, c = rows(60, kind.has_c)
    use = latent_use(model, x, c, key=KEY, num_samples=32)
    assert np.isfinite(use.rate).all()
    assert np.isfinite(use.kl).all()
    assert use.rate.mean() > -0.05
    np.testing.assert_allclose(use.kl.sum(), use.rate.mean(), atol=0.3)
    assert np.isfinite(use.information).all()
    assert len(use.activity) == sum(leaf[0].size for leaf in jax.tree.leaves(encode(model, x, c, key=KEY)))
    if kind.has_c:
        assert np.isfinite(condition_use(model, x, c, key=KEY, num_samples=64).everything).all()


@each()
def test_prior_and_posterior_are_compared(kind):
    model = built(kind)
    x, c = rows(60, kind.has_c)
    match = prior_match(model, x, c, key=KEY)
    assert np.isfinite([match.latents.p_value, match.samples.p_value]).all()
    ranks = posterior_ranks(model, c, like=x, key=KEY, num_samples=19)
    assert all(((u > 0) & (u < 1)).all() for u in ranks.u.values())
    finding = collapse(model, model, model, x, c, key=KEY, num_samples=16)
    assert finding.code in ("z-used", "z-not-needed", "z-ignored", "z-unclear")
