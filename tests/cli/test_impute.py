"""`condvae impute`."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest

from cli.saying import PENGUINS, TARGETS, assert_readable
from condvae import scoring
from condvae.tables import read_table


def test_the_table_comes_back_without_holes(home, condvae_says, tmp_path):
    out = tmp_path / "filled.csv.gz"
    status, said, _ = condvae_says("impute", home / "model", PENGUINS, "--out", out)
    assert status == 0
    assert_readable(said)
    assert "8 missing cells in 2 rows filled, 344 rows written to" in said
    before, after = read_table(PENGUINS), read_table(out)
    assert after.column_names == before.column_names
    for name in before.column_names:
        pairs = list(zip(before[name].to_pylist(), after[name].to_pylist(), strict=True))
        assert all(old == new for old, new in pairs if old is not None)
        assert (after[name].null_count == 0) == (name != "sex")  # which is given, not modelled


def test_copies(home, condvae_says, tmp_path):
    out = tmp_path / "copies.parquet"
    arguments = ("impute", home / "model", home / "few.csv", "-n", 3, "--seed", 2, "--out", out, "--json")
    status, said, _ = condvae_says(*arguments)
    assert status == 0
    made = json.loads(said)
    assert (made["rows"], made["rows_filled"], made["cells_filled"], made["copies"]) == (8, 1, 4, 3)
    table = parquet.read_table(out)
    assert table.column_names[:2] == ["row", "draw"]
    assert table["row"].to_pylist() == [row for row in range(8) for _ in range(3)]
    drawn = table.filter(table["row"].to_numpy() == 3)
    assert len(set(drawn["bill_length_mm"].to_pylist())) == 3
    assert all(table[name].null_count == 0 for name in TARGETS)


def test_rough_draws_are_said_in_one_sentence(home, condvae_says, tmp_path, monkeypatch):
    imputed = scoring.imputed

    def rough(*arguments, **options):
        draws = imputed(*arguments, **options)
        return draws._replace(ess=np.ones_like(draws.ess))

    monkeypatch.setattr(scoring, "imputed", rough)
    (tmp_path / "t.csv").write_text(f"{','.join(TARGETS)}\n39.1,,190,\n")
    arguments = ("impute", home / "plain", tmp_path / "t.csv", "--out", tmp_path / "o.csv")
    status, _, said = condvae_says(*arguments)
    assert status == 0
    assert "missing cells of 1 of 1 row are rough" in " ".join(said.split())


def test_a_table_that_has_rows_and_draws_of_its_own(home, condvae_says, tmp_path):
    (tmp_path / "t.csv").write_text(f"row,{','.join(TARGETS)}\n1,39.1,,190,\n")
    arguments = ("impute", home / "plain", tmp_path / "t.csv", "-n", 2, "--out", tmp_path / "o.csv")
    assert condvae_says(*arguments)[0] == 0
    table = read_table(tmp_path / "o.csv")
    assert table.column_names == ["row_", "draw", "row", *TARGETS]
    assert (table["row_"].to_pylist(), table["row"].to_pylist()) == ([0, 0], [1, 1])


@pytest.mark.slow
def test_levels_and_no_conditions(home, condvae_says):
    rows = "bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g\n39.1,,190,\n"
    status, out, err = condvae_says("impute", home / "plain", "-", "--out", "-", stdin=rows)
    assert (status, err) == (0, "")
    cells = out.splitlines()[1].split(",")
    assert (cells[0], cells[2]) == ("39.1", "190")
    assert all(cells)
    rows = "island,body_mass_g,species,bill_length_mm\nDream,4000,,40\n"
    status, out, _ = condvae_says("impute", home / "mixed", "-", "--out", "-", stdin=rows)
    assert status == 0
    assert out.splitlines()[1].split(",")[2] in ('"Adelie"', '"Chinstrap"', '"Gentoo"')


@pytest.mark.slow
def test_a_table_too_long_for_memory(home, long, condvae_says, tmp_path):
    out = tmp_path / "filled.parquet"
    status, said, _ = condvae_says("impute", home / "model", long, "-n", 2, "--out", out)
    assert status == 0
    assert_readable(said)
    assert "8 missing cells in 2 rows filled, 688 rows written to" in said
    before, after = read_table(long), read_table(out)
    assert after["row"].to_pylist() == [row for row in range(344) for _ in range(2)]
    assert all(after[name].null_count == 0 for name in TARGETS)
    pairs = zip(before["body_mass_g"].to_pylist(), after["body_mass_g"].to_pylist()[::2], strict=True)
    assert all(original == filled for original, filled in pairs if original is not None)
