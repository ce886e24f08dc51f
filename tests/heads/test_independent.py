import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from condvae.heads import BernoulliHead, GaussianHead, StudentTHead

KEY = jax.random.key(0)
FEATURES = jax.random.normal(jax.random.key(1), (6,))


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
        score, gradient = jax.jit(jax.value_and_grad(lambda f, head=head: head(f).log_prob(jnp.zeros(2))))(
            1e4 * FEATURES
        )
        assert jnp.isfinite(score)
        assert jnp.isfinite(gradient).all()


def test_bernoulli_is_its_logits():
    head = BernoulliHead(6, (3,), key=KEY)
    p = jax.nn.sigmoid(head.linear(FEATURES))
    expected = jnp.sum(jnp.log(jnp.array([p[0], 1 - p[1], p[2]])))
    np.testing.assert_allclose(head(FEATURES).log_prob(jnp.array([1.0, 0.0, 1.0])), expected, rtol=1e-5)
