"""How the tests and the examples in docstrings are run: quickly compiled, and each file for itself."""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import jax
import pytest

# Programs started by tests leave nothing in the user's own cache.
os.environ["CONDVAE_NO_CACHE"] = "1"
# Models in tests are tiny: what takes time is compiling, which is not what is tested. On a CPU most of it
# goes into how fused loops are written, for which this version has a quicker way.
jax.config.update("jax_disable_most_optimizations", True)
if int(version("jaxlib").split(".")[1]) < 11:
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false".strip()


@pytest.fixture(scope="session", autouse=True)
def compiled_once():
    """What one file compiles is kept on disk for the next, as most of it is the same few operations."""
    with tempfile.TemporaryDirectory(prefix="condvae-tests-") as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        yield
        jax.config.update("jax_compilation_cache_dir", None)


MAPS, MOST = Path("/proc/self/maps"), 30_000
"""Where Linux lists what a process maps: at most 65,530 pieces, else it is ended."""


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


@pytest.fixture(autouse=True)
def room_for_programs(request):
    """The slow tests of one file compile too many by themselves, so that some are dropped between them."""
    yield
    slow = request.node.get_closest_marker("slow") and MAPS.exists()
    if slow and MAPS.read_bytes().count(b"\n") > MOST:
        jax.clear_caches()
