"""`condvae sample`."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from cli.saying import TARGETS, assert_readable, untrained
from condvae.tables import read_table


def test_sample_and_draw(home, condvae_says, tmp_path):
    out, picture = tmp_path / "samples.csv", tmp_path / "samples.png"
    status, said, _ = condvae_says(
        "sample", home / "model", "--given", home / "few.csv", "-n", 5, "--out", out, "--plot", picture
    )
    assert status == 0
    assert_readable(said)
    assert all(name in said for name in TARGETS)
    assert "the first 6 of 40 draws" in said
    assert "40 draws written to" in said
    table = read_table(out)
    assert table.column_names == ["row", "draw", "species", "island", "sex", *TARGETS]
    assert table["row"].to_pylist() == [row for row in range(8) for _ in range(5)]
    few = read_table(home / "few.csv")
    assert table["sex"].to_pylist() == [sex for sex in few["sex"].to_pylist() for _ in range(5)]
    assert pa.types.is_integer(table["body_mass_g"].type)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.csv", "samples.png"]


def test_sample_to_parquet_and_to_standard_output_agree(home, condvae_says, tmp_path):
    out = tmp_path / "samples.parquet"
    common = ("sample", home / "model", "--given", home / "few.csv", "-n", 5, "--seed", 3)
    assert condvae_says(*common, "--out", out, "--quiet") == (0, "", "")
    status, csv, said = condvae_says(*common, "--out", "-")
    assert (status, said) == (0, "")
    (tmp_path / "samples.csv").write_text(csv)
    from_csv, from_parquet = read_table(tmp_path / "samples.csv"), pa.parquet.read_table(out)
    assert from_csv.column_names == from_parquet.column_names
    np.testing.assert_allclose(from_csv["bill_depth_mm"], from_parquet["bill_depth_mm"])


def test_standard_input_may_be_drawn_too(home, condvae_says, tmp_path):
    few, picture = (home / "few.csv").read_text(), tmp_path / "p.svg"
    common = ("sample", home / "model", "--given", "-", "-n", 5, "--out", "-")
    status, out, said = condvae_says(*common, "--plot", picture, stdin=few)
    assert (status, said) == (0, "")
    assert out.count("\n") == 41
    assert "real rows (outlined)" in picture.read_text()


def test_a_plain_vae(home, condvae_says):
    status, out, _ = condvae_says("sample", home / "plain", "-n", 3, "--out", "-")
    assert status == 0
    assert out.splitlines()[0] == '"row","draw",' + ",".join(f'"{name}"' for name in TARGETS)
    assert [line.split(",")[:2] for line in out.splitlines()[1:]] == [["0", "0"], ["0", "1"], ["0", "2"]]


def test_a_table_too_long_for_memory(home, long, condvae_says, tmp_path):
    out, picture = tmp_path / "samples.parquet", tmp_path / "p.png"
    common = ("sample", home / "model", "--given", long, "-n", 2, "--plot", picture)
    status, said, _ = condvae_says(*common, "--out", out)
    assert status == 0
    assert_readable(said)
    assert "the first 6 of 688 draws" in said
    table = read_table(out)
    assert table["row"].to_pylist() == [row for row in range(344) for _ in range(2)]
    assert table["species"].to_pylist()[::2] == read_table(long)["species"].to_pylist()
    # Each part has noise of its own.
    numbers = np.stack([table[name].to_numpy() for name in ("bill_depth_mm", "bill_length_mm")])
    assert len(np.unique(numbers, axis=1).T) > 660  # of 688; recorded to 0.1, a few are alike
    assert picture.exists()
    status, csv, _ = condvae_says("sample", home / "model", "--given", long, "--out", "-")
    assert status == 0
    assert csv.count("\n") == 345


def test_without_conditions_a_long_table_is_only_drawn_beside(home, long, condvae_says, tmp_path):
    out, picture = tmp_path / "samples.csv", tmp_path / "p.png"
    common = ("sample", home / "plain", "--given", long, "-n", 10, "--plot", picture)
    status, said, _ = condvae_says(*common, "--out", out)
    assert status == 0
    assert "10 draws written" in said
    assert len(read_table(out)) == 10
    assert picture.exists()


def test_columns_that_are_called_as_what_numbers_draws(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr("condvae.table_models.fitting.fit", untrained)
    (tmp_path / "t.csv").write_text(
        "row,draw,y\n" + "".join(f"{'ab'[i % 2]},{i % 4},{i / 7}\n" for i in range(30))
    )
    small = ("--members", 1, "--steps", 1, "--quiet", "--out", tmp_path / "m")
    assert condvae_says("fit", tmp_path / "t.csv", "--given", "row,draw", *small)[0] == 0
    answer = condvae_says(
        "sample", tmp_path / "m", "--given", tmp_path / "t.csv", "--out", tmp_path / "s.csv"
    )
    assert answer[0] == 0, answer
    assert read_table(tmp_path / "s.csv").column_names == ["row_", "draw_", "row", "draw", "y"]
