"""A folder of models and tables, made once; and the command line, run in this process."""

import jax
import pytest

from cli.saying import make_home, run


@pytest.fixture(scope="package", autouse=True)
def quick_compilation():
    """Models here are tiny: what takes time is compiling, which is not what is tested."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    make_home(home)
    return home


@pytest.fixture
def condvae_says(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments, **options: run(monkeypatch, capfd, *arguments, **options)
