import os
import subprocess
import sys

import condvae

SOLVES = """
import condvae, jax, jax.numpy as jnp, numpyro.distributions as npd

def row(lower, keys):
    normals = [npd.MultivariateNormal(jnp.zeros(6), scale_tril=lower * f) for f in (1.0, 1.3, 0.8)]
    return jax.vmap(lambda key: sum(n.log_prob(normals[0].sample(key)) for n in normals))(keys)

lower, keys = jnp.tile(jnp.eye(6), (256, 1, 1)), jax.random.split(jax.random.key(0), (256, 400))
scores = jax.jit(jax.vmap(row))
for _ in range(3):
    print(float(scores(lower, keys).mean()))
"""


def test_multivariate_normals_side_by_side_do_not_deadlock():
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", SOLVES], env=environment, capture_output=True, text=True, timeout=120
    )
    assert len(done.stdout.split()) == 3, done.stderr


def test_everything_that_is_offered_is_there():
    for name in condvae.__all__:
        assert getattr(condvae, name) is not None
    assert dir(condvae) == sorted(condvae.__all__)


def test_what_is_not_there_is_an_attribute_error():
    assert not hasattr(condvae, "nothing")
