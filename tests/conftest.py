import jax
import pytest


@pytest.fixture
def x64():
    """float64 in JAX, for a test that is held to a closed form."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)
