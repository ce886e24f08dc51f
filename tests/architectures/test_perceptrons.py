import jax
import jax.numpy as jnp
import numpy as np
import pytest

from architectures.rows import mixed
from condvae import elbo, sample
from condvae.architectures import ease_scales, mlp_cvae
from condvae.conditionals import PriorCorrection, StandardNormal
from helpers import compiled_draws

KEY = jax.random.key(0)


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


def test_members_begin_in_both_ways():
    def kind(key):
        return mlp_cvae(jnp.zeros((3, 2)), latent_size=0, in_turn=True, key=key).likelihood.linear_first

    kinds = jax.jit(jax.vmap(kind))(jax.random.split(KEY, 200))
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
