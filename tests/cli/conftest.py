"""A folder of models and tables, made once; and the command line, run in this process."""

import pytest

from cli.saying import make_home, run


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    make_home(home)
    return home


@pytest.fixture
def condvae_says(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments, **options: run(monkeypatch, capfd, *arguments, **options)
