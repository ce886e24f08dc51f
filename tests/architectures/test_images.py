"""Images given anything: by shapes, with holes, trained and saved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import Observed, fit, load, log_prob, sample, save
from condvae.architectures import image_cvae

RNG = np.random.default_rng(0)
X = RNG.integers(0, 17, (6, 8, 8)).astype(np.float32)
HALF = np.broadcast_to(np.arange(8)[:, None] < 4, X.shape)
C = {
    "top": Observed(np.where(HALF, X, 0), HALF),
    "digit": RNG.integers(0, 10, (6, 1)),
    "ink": X.mean((1, 2))[:, None],
}
SMALL = {"latent_size": 2, "likelihood": "pixels", "levels": 17, "width": 3, "depth": 1, "features": 8}


@pytest.mark.parametrize("kind", ["conv", pytest.param("patch", marks=pytest.mark.slow)])
def test_half_a_picture_and_what_goes_with_it(kind, tmp_path):
    model = image_cvae(X, C, **SMALL, kind=kind, c_levels=(10,), key=jax.random.key(0))
    drawn = sample(model, C, key=jax.random.key(1), num_samples=3)
    assert drawn.shape == (6, 3, 8, 8)
    assert set(np.unique(drawn)) <= set(range(17))
    score = log_prob(model, X, C, key=jax.random.key(2), num_samples=8).value
    assert np.isfinite(score).all()
    assert (score < 0).all()  # probabilities
    save(tmp_path / "m", model)
    again = log_prob(load(tmp_path / "m"), X, C, key=jax.random.key(2), num_samples=8).value
    np.testing.assert_array_equal(again, score)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="likelihood"):
        image_cvae(X, C, latent_size=2, likelihood="gumbel", c_levels=(10,), key=jax.random.key(0))
    with pytest.raises(ValueError, match="kind"):
        image_cvae(X, C, latent_size=2, kind="graph", c_levels=(10,), key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conv", "patch"])
def test_training_finds_what_the_given_half_tells(kind):
    """Pictures whose lower half is the upper one: given it, each pixel is known but for a coin of 0.05."""
    rng = np.random.default_rng(1)
    top = rng.random((600, 4, 8)) < 0.5
    flipped = rng.random((600, 4, 8)) < 0.05
    x = np.concatenate([top, top ^ flipped], axis=1).astype(np.float32)
    below = jnp.asarray(np.broadcast_to(np.arange(8)[:, None] >= 4, x.shape))
    given = Observed(np.where(below, 0, x), ~np.asarray(below))
    target = Observed(np.where(below, x, 0), np.asarray(below))
    model = image_cvae(
        x, given, latent_size=0, kind=kind, width=8, depth=1, features=64, key=jax.random.key(0)
    )
    before = log_prob(model, target, given, key=jax.random.key(1), num_samples=4).value.mean()
    model, _ = fit(
        model, target, given, key=jax.random.key(2), num_steps=1500, batch_size=100, learning_rate=3e-3
    )
    after = log_prob(model, target, given, key=jax.random.key(1), num_samples=4).value.mean()
    assert before < -32 * 0.6
    assert after > -32 * 0.45  # the truth is at −32 · 0.199
