"""The first rows of a table."""

import numpy as np
import pyarrow as pa

from cli.saying import assert_readable
from condvae.cli import preview


def test_wide_tables_take_a_line_for_each_column(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"a_rather_long_column_name_{i}" for i in range(30)]
    preview.show(pa.table({"row": range(9), **{name: np.arange(9) / 7 for name in names}}), "draw")
    said = capfd.readouterr().out
    assert_readable(said)
    assert any(line.split() == ["row", *"012345"] for line in said.splitlines())
    assert "a_rather_long_column_name_18  0  0.1429" in said
    assert "... and 11 more columns" in said
    assert "the first 6 of 9 draws:" in said


def test_narrow_tables_take_a_line_for_each_row(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    preview.show(pa.table({"a": [1.5, 2.0], "b": ["x", None]}), "row")
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert lines == [["a", "b"], ["1.5", "x"], ["2"]]
