"""Names and cells that read like arguments come out as they are; arguments come out as options."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cli.saying import assert_refused
from condvae.table_models import streaming


@pytest.mark.parametrize(
    "name", ["resume=True", 'unknown="other"', "test_fraction=0.1", "row 7", "{column}"]
)
def test_names_of_columns(condvae_says, tmp_path, name):
    table = pa.table({name: [1.0, np.inf, 2.0, 3.0], "y": [1.0, 2.0, 3.0, 4.0]})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    answer = condvae_says("fit", tmp_path / "t.parquet", "--out", tmp_path / "m")
    assert_refused(
        answer, f"condvae: column {name!r}, row 2 is infinite; correct the cell or leave it empty"
    )


def test_a_level(home, condvae_says, tmp_path):
    lines = (home / "unseen.csv").read_text().replace("Emperor", "test_fraction=0.1")
    (tmp_path / "t.csv").write_text(lines)
    answer = condvae_says("predict", home / "strict", tmp_path / "t.csv", "--out", tmp_path / "p.csv")
    said = "column 'species', row 1: the level 'test_fraction=0.1' was not there when the model was fitted"
    assert_refused(answer, said, "(fitting with --unknown other accepts such levels)")


def test_a_cell_of_a_table_too_long_for_memory(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "STREAMED_ROWS", 50)
    cells = [*map(str, range(90)), "row 7", *map(str, range(9))]
    table = pa.table({"a": cells, "y": np.arange(100) % 7 + 0.5})
    (tmp_path / "t").mkdir()
    pa.parquet.write_table(table, tmp_path / "t" / "t.parquet", row_group_size=50)
    answer = condvae_says("fit", tmp_path / "t", "--given", "a", "--out", tmp_path / "m")
    assert_refused(
        answer, "condvae: column 'a', row 91 ('row 7') is not a number;", "say --missing 'row 7' if"
    )


def test_an_argument(condvae_says, tmp_path):
    table = pa.table({"a": np.arange(60) % 11 + 0.5, "b": np.arange(60) % 7 + 0.5})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    answer = condvae_says("fit", tmp_path / "t.parquet", "--objective", "elbow", "--out", tmp_path / "m")
    assert_refused(answer, "condvae: --objective is 'elbow', expected one of ")
