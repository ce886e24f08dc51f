"""How the tests and the examples in docstrings are run: quickly compiled, and most of it once."""

import gc
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

# Models in tests are tiny: what takes time is compiling, which is not what is tested. On a CPU most of it
# goes into how fused loops are written, for which this version has a quicker way, and each of the processes
# that test does it by itself.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # of programs that tests start
FLAGS = "--xla_cpu_parallel_codegen_split_count=1"
if int(version("jaxlib").split(".")[1]) < 11:
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()
# Tracing makes many small objects that live: it is rarely worth looking through them all for what may go.
gc.set_threshold(200_000, 20, 100)

# Shapes and types are checked at each call of these modules. They take no argument that
# they refuse in a sentence, as such sentences are tested.
TYPED = """mixture objectives.draws objectives.gradients objectives.wake_sleep
    scoring.bounds scoring.chains scoring.estimates scoring.imputation scoring.members
    scoring.pareto scoring.proposals scoring.refinement"""
install_import_hook([f"condvae.{module}" for module in TYPED.split()], "beartype.beartype")

PROGRAMS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0,
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": -1,
}


def pytest_configure(config):
    """What one file compiles is kept on disk for the next, and for other processes: most of it is alike."""
    if not hasattr(config, "workerinput"):  # the process that starts the others, which inherit this
        folder = tempfile.TemporaryDirectory(prefix="condvae-tests-")
        config.add_cleanup(folder.cleanup)
        # Programs that tests start leave nothing in the user's own cache.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
        os.environ.update({name: str(value) for name, value in PROGRAMS.items()})
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    for name, value in PROGRAMS.items():
        jax.config.update(name.lower(), value)


MAPS, MOST = Path("/proc/self/maps"), 45_000
"""Where Linux lists what a process maps: at most 65,530 pieces, else it is ended."""


@pytest.fixture(scope="module", autouse=True)
def own_programs(request):
    """A file that trains for long says `OPTIMISED = True`."""
    jax.config.update("jax_disable_most_optimizations", not getattr(request.module, "OPTIMISED", False))
    yield
    jax.config.update("jax_disable_most_optimizations", True)
    forget_programs()


@pytest.fixture(autouse=True)
def room_for_programs(request):
    """The slow tests of one file compile too many by themselves, so that some are dropped between them."""
    yield
    if request.node.get_closest_marker("slow"):
        forget_programs()


def forget_programs():
    """Where there is no room for many more."""
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST:
        jax.clear_caches()
