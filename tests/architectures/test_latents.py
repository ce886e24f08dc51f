"""Every pair of prior and posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from architectures.rows import mixed
from condvae import sample
from condvae.architectures import mlp_cvae
from helpers import compiled_draws

KEY = jax.random.key(0)


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
