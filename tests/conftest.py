import jax
import pytest

from fitted import (  # noqa: F401 - fixtures of fitted tables
    known,
    known_arrays,
    known_plain,
    model,
    one_shape,
    tables,
    untrained,
)


@pytest.fixture
def x64():
    """float64 in JAX, for a test that is held to a closed form."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)
