import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from condvae import Observed
from condvae.heads import (
    LOG_SCALE_BOUNDS,
    BernoulliHead,
    CategoricalHead,
    EmbeddingHead,
    FamilyHead,
    FullGaussianHead,
    GaussianHead,
    LowRankGaussianHead,
    MixtureHead,
    OrdinalHead,
    ProductHead,
    StudentTHead,
    bounded_exp,
)

KEY = jax.random.key(0)
FEATURES = jax.random.normal(jax.random.key(1), (6,))


def test_bounded_exp_is_exp_inside_bounded_outside_and_rises_between():
    low, high = LOG_SCALE_BOUNDS
    inside = jnp.linspace(-3.0, 3.0, 13)
    np.testing.assert_allclose(bounded_exp(inside, low, high), jnp.exp(inside), rtol=0.04)
    far = bounded_exp(jnp.array([-1e4, 1e4]), low, high)
    np.testing.assert_allclose(far, np.exp([low, high]), rtol=1e-2)
    slope = jax.vmap(jax.grad(lambda v: bounded_exp(v, low, high)))(jnp.linspace(-12.0, 12.0, 49))
    assert (slope > 0).all()
    extreme = jax.vmap(jax.grad(lambda v: bounded_exp(v, low, high)))(jnp.array([-1e30, -1e3, 1e3, 1e30]))
    assert jnp.isfinite(extreme).all()


@pytest.mark.parametrize("head", [GaussianHead, StudentTHead])
@pytest.mark.parametrize("scale", ["input", "shared", 0.7])
def test_location_scale_heads(head, scale):
    d = head(6, (2, 1), scale=scale, key=KEY)(FEATURES)
    assert d.sample(KEY).shape == (2, 1)
    assert (d.base.scale == 0.7).all() if scale == 0.7 else (d.base.scale > 0).all()
    other = head(6, (2, 1), scale=scale, key=KEY)(2 * FEATURES)
    assert (d.base.scale != other.base.scale).any() == (scale == "input")


@pytest.mark.parametrize("head", [GaussianHead, StudentTHead])
def test_numeric_heads_integrate_to_one(head):
    d = head(6, (1,), key=KEY)(FEATURES)
    total, _ = integrate.quad(lambda x: float(jnp.exp(d.log_prob(jnp.array([x])))), -60, 60, limit=200)
    assert abs(total - 1) < 1e-2


def test_extreme_features_stay_finite():
    for head in (GaussianHead(6, (2,), key=KEY), StudentTHead(6, (2,), key=KEY)):
        score, gradient = jax.value_and_grad(lambda f, head=head: head(f).log_prob(jnp.zeros(2)))(
            1e4 * FEATURES
        )
        assert jnp.isfinite(score)
        assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("scale", [0.0, -1.0, "wide"])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="scale is"):
        GaussianHead(6, (2,), scale=scale, key=KEY)


def test_categorical_cells_have_their_own_levels():
    d = CategoricalHead(6, (2, 4), key=KEY)(FEATURES)
    pairs = jnp.array([[i, j] for i in range(2) for j in range(4)])
    np.testing.assert_allclose(jnp.exp(jax.vmap(d.log_prob)(pairs)).sum(), 1.0, rtol=1e-5)
    draws = np.asarray(jax.vmap(d.sample)(jax.random.split(KEY, 500)))
    assert draws.max(axis=0).tolist() == [1, 3]
    gradient = jax.grad(lambda f: CategoricalHead(6, (2, 4), key=KEY)(f).log_prob(jnp.array([1, 3])))(
        FEATURES
    )
    assert jnp.isfinite(gradient).all()


def test_bernoulli_is_its_logits():
    head = BernoulliHead(6, (3,), key=KEY)
    p = jax.nn.sigmoid(head.linear(FEATURES))
    expected = jnp.sum(jnp.log(jnp.array([p[0], 1 - p[1], p[2]])))
    np.testing.assert_allclose(head(FEATURES).log_prob(jnp.array([1.0, 0.0, 1.0])), expected, rtol=1e-5)


def test_a_row_of_mixed_kinds_is_the_product_with_a_mask_each():
    numeric, categorical = GaussianHead(6, (2,), key=KEY), CategoricalHead(6, (3,), key=KEY)
    d = ProductHead({"numeric": numeric, "categorical": categorical})(FEATURES)
    x = {
        "numeric": Observed(jnp.array([0.5, 0.0]), jnp.array([True, False])),
        "categorical": Observed(jnp.array([2]), jnp.array([True])),
    }
    expected = numeric(FEATURES).log_prob(x["numeric"]) + categorical(FEATURES).log_prob(jnp.array([2]))
    np.testing.assert_allclose(d.log_prob(x), expected, rtol=1e-6)


@pytest.mark.parametrize("head", [GaussianHead, StudentTHead])
def test_an_eased_scale_is_shared_at_first_and_the_heads_own_at_last(head):
    built = head(6, (2, 1), key=KEY)

    def at(ramp, features):
        eased = eqx.tree_at(lambda h: h.parameters, built, built.parameters.eased(jnp.asarray(ramp)))
        return eased(features).base

    uneased = [built(features).base for features in (FEATURES, -FEATURES)]
    for ramp, shared in ((0.0, True), (0.5, False), (1.0, False)):
        one, other = at(ramp, FEATURES), at(ramp, -FEATURES)
        assert np.allclose(one.scale, other.scale) == shared
        np.testing.assert_array_equal(one.loc, uneased[0].loc)
        np.testing.assert_array_equal(other.loc, uneased[1].loc)
    np.testing.assert_array_equal(at(1.0, FEATURES).scale, uneased[0].scale)
    fixed = head(6, (2, 1), scale=0.7, key=KEY).parameters
    assert fixed.eased(jnp.asarray(0.0)) is fixed


def test_families_take_their_options_and_no_others():
    with pytest.raises(ValueError, match="no family 'normal': choose one of gaussian"):
        FamilyHead(6, (2,), "normal", key=KEY)
    with pytest.raises(ValueError, match="'low' is no option of 'gamma', which takes no options"):
        FamilyHead(6, (2,), "gamma", low=0.0, key=KEY)
    with pytest.raises(ValueError, match="'rounded_gaussian' needs 'width'"):
        FamilyHead(6, (2,), "rounded_gaussian", key=KEY)
    d = FamilyHead(6, (2,), "rounded_gaussian", width=np.array([0.5, 2.0]), key=KEY)(FEATURES)
    np.testing.assert_allclose(d.base.width, [0.5, 2.0])


def test_ordinal_masses_are_those_of_a_cut_logistic():
    head = OrdinalHead(6, (2, 4), key=KEY)
    loc, scale = head.parameters(FEATURES)
    probabilities = jax.nn.softmax(head(FEATURES).base.logits, axis=-1)
    gaps = bounded_exp(head.log_gaps[1], *LOG_SCALE_BOUNDS)
    cuts = np.concatenate([[-np.inf], head.first[1] + np.cumsum(np.concatenate([[0.0], gaps])), [np.inf]])
    expected = np.diff(stats.logistic(float(loc[1]), float(scale[1])).cdf(cuts))
    np.testing.assert_allclose(probabilities[1], expected, rtol=1e-4)
    assert probabilities[0, 2:].sum() == 0
    with pytest.raises(ValueError, match="a cell has 1 levels"):
        OrdinalHead(6, (1,), key=KEY)


def test_a_hundred_thousand_levels_are_scored_drawn_and_learned():
    head = EmbeddingHead(6, 100_000, size=8, key=KEY)
    d = head(FEATURES)
    log_p = jax.nn.log_softmax(d.base.logits[0])
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1.0, rtol=1e-4)
    assert 0 <= int(d.sample(KEY)[0]) < 100_000
    features, levels = jnp.stack([FEATURES, -FEATURES, 1 - FEATURES]), jnp.array([[0], [99_999], [54_321]])
    np.testing.assert_allclose(d.log_prob(levels[1]), log_p[99_999], rtol=1e-6)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(head):
        return -jnp.mean(jax.vmap(lambda f, level: head(f).log_prob(level))(features, levels))

    for _ in range(20):
        nats, gradient = loss(head)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
        head = eqx.apply_updates(head, jax.tree.map(lambda g: -g, gradient))
    assert nats < 0.1 < loss(EmbeddingHead(6, 100_000, size=8, key=KEY))[0]


def test_components_begin_apart():
    base = MixtureHead(6, (1,), "gaussian", components=3, key=KEY)(jnp.zeros(6)).base
    assert (jnp.diff(base.component_distribution.loc[0]) > 0.5).all()
    with pytest.raises(ValueError, match="components is 0"):
        MixtureHead(6, (1,), components=0, key=KEY)


def test_gaussians_whose_cells_hang_together():
    full = FullGaussianHead(6, 3, key=KEY)(FEATURES).base
    low = LowRankGaussianHead(6, 3, rank=1, key=KEY)(FEATURES).base
    for base in (full, low):
        covariance = np.asarray(base.covariance_matrix)
        assert (np.linalg.eigvalsh(covariance) > 0).all()
        assert (np.abs(covariance[np.triu_indices(3, 1)]) > 0).all()
    with pytest.raises(ValueError, match="rank is 0"):
        LowRankGaussianHead(6, 3, rank=0, key=KEY)
