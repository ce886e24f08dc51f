"""How the tests and the examples in docstrings are run: quickly compiled, and each file for itself."""

import jax
import pytest

# Models in tests are tiny: what takes time is compiling, which is not what is tested.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module", autouse=True)
def own_programs(request):
    """Programs are dropped after each file: thousands of them outgrow what a process may map.

    A file that trains for long says `OPTIMISED = True`.
    """
    optimised = getattr(request.module, "OPTIMISED", False)
    jax.config.update("jax_disable_most_optimizations", not optimised)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
    jax.clear_caches()
