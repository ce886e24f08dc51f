"""Images given anything: by shapes, with holes, trained and saved."""

import jax
import numpy as np
import pytest

from condvae import Observed, load, log_prob, sample, save
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
