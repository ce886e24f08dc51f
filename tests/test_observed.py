import jax
import numpy as np

from condvae import Observed


def test_observed_is_a_pytree_that_keeps_its_type():
    row = Observed(np.ones(2), np.array([True, False]))
    doubled = jax.tree.map(lambda leaf: leaf, row)
    assert isinstance(doubled, Observed)
    assert len(jax.tree.leaves(row)) == 2
