import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae.diagnosis.quadrature import integrates, posterior_by_quadrature
from condvae.linear_gaussian import exact_elbo, exact_log_prob, random_linear_gaussian
from condvae.vectorise import map_rows
from helpers import CASES

KEY = jax.random.key(0)


@pytest.mark.parametrize("z_size", [1, 2])
def test_quadrature_is_the_closed_form(z_size, x64):
    model = random_linear_gaussian(KEY, x_size=3, z_size=z_size, c_size=1)
    x, c = jax.random.normal(KEY, (4, 3)), jnp.ones((4, 1))
    score, divergence, error = map_rows(posterior_by_quadrature, model, (x, c), KEY, draws=4001)
    np.testing.assert_allclose(score, exact_log_prob(model, x, c), rtol=1e-9)
    np.testing.assert_allclose(score - divergence, exact_elbo(model, x, c), rtol=1e-7)
    assert (error < 1e-5).all()


def test_only_small_latents_are_integrated():
    for z_size, points in ((1, 4001), (2, 241**2), (3, None)):
        model = random_linear_gaussian(KEY, x_size=3, z_size=z_size)
        assert integrates(model.q_z(jnp.zeros(3))) == points
    chain = next(case for case in CASES if case.name == "hierarchical").build(KEY)
    assert integrates(chain.q_z(jnp.zeros(3), jnp.zeros(2))) is None
