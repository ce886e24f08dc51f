import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed, elbo, sample
from condvae.architectures import EASED, LINEAR, ease_scales, mlp_cvae
from condvae.conditionals import PriorCorrection, StandardNormal
from helpers import compiled_draws

KEY = jax.random.key(0)


def mixed(n: int):
    def part(value):
        return Observed(value, np.ones(value.shape, bool))

    x = {"categorical": part(np.zeros((n, 2), int)), "numeric": part(np.zeros((n, 3), np.float32))}
    c = {"categorical": part(np.ones((n, 1), int)), "numeric": part(np.zeros((n, 2), np.float32))}
    return x, c


def test_a_row_of_mixed_kinds():
    x, c = mixed(4)
    model = mlp_cvae(x, c, latent_size=2, likelihood="student_t", x_levels=(2, 5), c_levels=(3,), key=KEY)
    draws = sample(model, c, key=KEY, num_samples=6)
    assert draws["numeric"].shape == (4, 6, 3)
    assert draws["categorical"].shape == (4, 6, 2)
    assert draws["categorical"].max(axis=(0, 1)).tolist() == [1, 4]
    row_x, row_c = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), (x, c))
    assert jnp.isfinite(elbo(compiled_draws(model, row_x, row_c, key=KEY)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"residual": True},
        {"posterior": "correction"},
        {"prior": "fixed"},
        {"likelihood": "bernoulli"},
        {"likelihood": "student_t", "scale": "shared"},
        {"scale": 0.5, "activation": "tanh", "depth": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_c", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_option_gives_a_model_that_scores_and_samples(options, with_c):
    x = np.zeros((3, 2, 2), np.float32)
    c = np.zeros((3, 4), np.float32) if with_c else None
    model = mlp_cvae(x, c, latent_size=2, width=8, **{"depth": 1, **options}, key=KEY)
    draws = compiled_draws(model, x[0], None if c is None else c[0], key=KEY, num_samples=3)
    assert jnp.isfinite(draws.log_weights).all()
    assert sample(model, c, key=KEY, num_samples=5).shape[-3:] == (5, 2, 2)
    if options.get("prior") == "fixed" or not with_c:
        assert isinstance(model.prior, StandardNormal)
    assert isinstance(model.posterior, PriorCorrection) == (options.get("posterior") == "correction")


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["learned", "fixed", "mixture", "flow", "vamp"])
@pytest.mark.parametrize("posterior", ["network", "correction", "full", "flow", "ladder"])
@pytest.mark.parametrize("with_c", [True, False])
def test_every_pair_of_prior_and_posterior_scores_and_samples_or_is_refused(prior, posterior, with_c):
    x, c = mixed(3)
    c = c if with_c else None
    levels = {"x_levels": (2, 5), "c_levels": (3,) if with_c else ()}
    pair = {"prior": prior, "posterior": posterior, "num_components": 3, **levels}
    corrects = {"correction": ("learned", "fixed"), "ladder": ("learned",)}
    if prior not in corrects.get(posterior, ("learned", "fixed", "mixture", "flow", "vamp")):
        with pytest.raises(
            ValueError, match=f"posterior='{posterior}' corrects a .* and prior='{prior}' is"
        ):
            mlp_cvae(x, c, latent_size=2, **pair, key=KEY)
        return
    model = mlp_cvae(x, c, latent_size=2, width=8, depth=1, **pair, key=KEY)
    row_x, row_c = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), (x, c))
    assert jnp.isfinite(compiled_draws(model, row_x, row_c, key=KEY, num_samples=3).log_weights).all()
    assert np.isfinite(sample(model, c, key=KEY, num_samples=5)["numeric"]).all()


def test_bad_choices_are_refused():
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(
        ValueError, match="prior is 'flat', expected one of learned, fixed, mixture, flow, va"
    ):
        mlp_cvae(x, latent_size=1, prior="flat", key=KEY)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flow is 'planar', expected one of coupling, spline"):
        mlp_cvae(x, latent_size=1, flow="planar", key=KEY)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="posterior='ladder' corrects a learned hierarchy, and prior='vamp'"
    ):
        mlp_cvae(x, latent_size=1, prior="vamp", posterior="ladder", key=KEY)
    with pytest.raises(
        ValueError, match="prior='vamp' begins as rows of x, and x has 3: give at least num"
    ):
        mlp_cvae(x, latent_size=1, prior="vamp", key=KEY)
    with pytest.raises(ValueError, match="likelihood is 'poison', expected one of gaussian"):
        mlp_cvae(x, latent_size=1, likelihood="poison", key=KEY)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x_levels has 1 entries for 2 integer cells"):
        mlp_cvae(np.zeros((3, 2), int), latent_size=1, x_levels=(3,), key=KEY)


def test_scales_are_shared_at_the_very_start_of_training():
    x, c = mixed(4)
    model = mlp_cvae(x, c, latent_size=2, x_levels=(2, 5), c_levels=(3,), width=8, depth=1, key=KEY)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), c)

    def numeric(progress, z):
        eased = model if progress is None else ease_scales(model, jnp.asarray(progress))
        head = eased.likelihood.head.heads["numeric"]
        return head(eased.likelihood.network(eased.likelihood.features((z, row)))).base

    one, other = jnp.array([1.0, -2.0]), jnp.array([-1.5, 0.5])
    gaps = []
    for progress in (0.0, 0.99 * EASED, EASED, 1.0, None):
        gaps.append(np.abs(numeric(progress, one).scale - numeric(progress, other).scale).max())
        np.testing.assert_array_equal(numeric(progress, one).loc, numeric(None, one).loc)
    assert gaps[:2] == [0.0, 0.0]
    assert 0 < gaps[2] == gaps[3] == gaps[4]
    # What is not a location and a scale stays as it is, the prior and the posterior too.
    eased = ease_scales(model, jnp.asarray(0.0))
    moved = eqx.tree_at(lambda m: m.likelihood.head.heads["numeric"], eased, None)
    assert eqx.tree_equal(moved, eqx.tree_at(lambda m: m.likelihood.head.heads["numeric"], model, None))


def test_a_decoder_in_turn_is_linear_at_first():
    x, c = mixed(4)
    named = {"x_levels": (2, 5), "c_levels": (3,), "width": 8, "depth": 1}
    model = mlp_cvae(x, c, latent_size=0, in_turn=True, **named, key=KEY)
    shaken = jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, model)
    kinds = [eqx.tree_at(lambda m: m.likelihood.linear_first, shaken, jnp.array(kind)) for kind in (0, 1)]
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), (x, c))

    def terms(progress, shaken=kinds[1]):
        eased = ease_scales(shaken, jnp.asarray(progress))
        return eased.likelihood(jnp.zeros(0), row[1]).terms(row[0])

    linear, opened, whole = (terms(progress) for progress in (0.0, LINEAR, LINEAR + 1.01 * EASED))
    np.testing.assert_array_equal(linear, terms(0.99 * LINEAR))
    np.testing.assert_array_equal(whole, terms(1.0))
    assert (linear != opened).all()
    assert (opened != whole).any()  # of categories there are no scales
    # Without the networks, what they are does not matter; the linear path does.
    silenced, heard = (
        terms(
            0.0, eqx.tree_at(lambda m: m.likelihood.networks.own, kind, replace_fn=lambda leaf: leaf + 9.0)
        )
        for kind in kinds[::-1]
    )
    np.testing.assert_array_equal(silenced, linear)
    # Of the other kind, networks are there from the start.
    np.testing.assert_array_equal(terms(1.01 * EASED, kinds[0]), whole)
    assert (heard != terms(0.0, kinds[0])).any()


def test_members_begin_in_both_ways():
    def kind(key):
        return mlp_cvae(jnp.zeros((3, 2)), latent_size=0, in_turn=True, key=key).likelihood.linear_first

    kinds = jax.vmap(kind)(jax.random.split(KEY, 200))
    assert 0.35 < kinds.mean() < 0.65


def test_any_family_is_a_likelihood_by_its_name():
    x, c = jnp.zeros((3, 2)), jnp.zeros((3, 1))
    model = mlp_cvae(x, c, latent_size=2, likelihood="negative_binomial", key=jax.random.key(0))
    drawn = sample(model, c, key=jax.random.key(1), num_samples=5)
    assert drawn.shape == (3, 5, 2)
    assert (drawn == np.rint(drawn)).all()
    assert (drawn >= 0).all()
    eased = ease_scales(model, jnp.zeros(())).likelihood.head.linear.weight
    weight = model.likelihood.head.linear.weight
    assert (eased[:2] == weight[:2]).all()
    assert (eased[2:] == 0).all()
    with pytest.raises(ValueError, match="likelihood is 'gauss', expected one of gaussian, student_t"):
        mlp_cvae(x, c, latent_size=2, likelihood="gauss", key=jax.random.key(0))
