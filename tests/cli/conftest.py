"""A folder of models and tables, made once; and the command line, run in this process."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from cli.saying import PENGUINS, make_home, run
from condvae.table_models import streaming
from condvae.tables import read_table


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    make_home(home)
    return home


@pytest.fixture
def condvae_says(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments, **options: run(monkeypatch, capfd, *arguments, **options)


@pytest.fixture
def long(monkeypatch, tmp_path):
    """A folder of the penguins that counts as a table too long for memory."""
    monkeypatch.setattr(streaming, "STREAMED_ROWS", 100)
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 120)
    folder = tmp_path / "penguins"
    folder.mkdir()
    penguins = read_table(PENGUINS)
    pa.parquet.write_table(penguins.slice(0, 200), folder / "a.parquet", row_group_size=100)
    pa.parquet.write_table(penguins.slice(200), folder / "b.parquet", row_group_size=100)
    return folder
