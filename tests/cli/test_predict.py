"""`condvae predict`."""

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from cli.saying import GIVEN, TARGETS, assert_readable, untrained
from condvae import ConditionalVAE
from condvae.tables import read_table


def test_means_quantiles_and_intervals(home, condvae_says, tmp_path):
    out = tmp_path / "p.parquet"
    status, said, _ = condvae_says(
        "predict", home / "model", home / "few.csv", "--quantiles", "0.05, 0.5,0.95", "--interval", 0.9,
        "--support", "--out", out,
    )  # fmt: skip
    assert status == 0
    assert_readable(said)
    assert "the predictions of 8 rows written to" in said
    endings = ("mean", "q0.05", "q0.5", "q0.95", "low", "high")
    made = [f"{name}_{ending}" for name in TARGETS for ending in endings]
    support = ["support_outside", "support_columns", "support_percentile"]
    table = read_table(out)
    assert table.column_names == [*GIVEN, *made, *support]
    few = read_table(home / "few.csv")
    assert table["sex"].to_pylist() == few["sex"].to_pylist()
    model = ConditionalVAE.load(home / "model")
    np.testing.assert_allclose(table["body_mass_g_mean"], model.predict(few)["body_mass_g"], rtol=1e-6)
    low, middle, high = (np.array(table[f"bill_depth_mm_{part}"]) for part in ("low", "q0.5", "high"))
    assert (low < middle).all()
    assert (middle < high).all()
    np.testing.assert_allclose(low, table["bill_depth_mm_q0.05"])


def test_levels_and_others(home, condvae_says):
    rows = "island,body_mass_g\nDream,4000\nMars,4000\n"
    status, out, err = condvae_says("predict", home / "mixed", "-", "--proba", "--out", "-", stdin=rows)
    assert status == 0
    head, first, _ = out.splitlines()
    levels = [f'"species={name}"' for name in ("Adelie", "Chinstrap", "Gentoo")]
    assert head.split(",")[2:] == ['"species_mode"', *levels, '"bill_length_mm_mean"']
    cells = first.split(",")
    shares = np.array(cells[3:6], float)
    assert abs(shares.sum() - 1) < 1e-5
    assert cells[2] == f'"{("Adelie", "Chinstrap", "Gentoo")[shares.argmax()]}"'
    assert "1 of 2 rows lies outside" in err
    assert "in 'island': 1" in err


def test_levels_of_numbers_and_names_with_an_equals_sign(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr("condvae.table_models.fitting.fit", untrained)
    table = pa.table({"a": ["b=c", "d"] * 15, "a=b": ["c", "d"] * 15, "sick": [0, 1, 1] * 10})
    ConditionalVAE(num_members=1).fit(None, table).save(tmp_path / "m")
    status, _, _ = condvae_says("predict", tmp_path / "m", "--proba", "--out", tmp_path / "p.parquet")
    assert status == 0
    predicted = pq.read_table(tmp_path / "p.parquet")
    levels = ["a=b=c", "a=d", '"a=b"=c', '"a=b"=d', "sick=0", "sick=1"]
    assert predicted.column_names == [
        "a_mode",
        *levels[:2],
        "a=b_mode",
        *levels[2:4],
        "sick_mean",
        *levels[4:],
    ]
    assert sum(predicted[name][0].as_py() for name in levels) == pytest.approx(3, rel=1e-5)


def test_sets_of_levels_are_one_text(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr("condvae.table_models.fitting.fit", untrained)
    table = pa.table({"a": ["dark, blue", "red", "green"] * 20, "x": [float(i % 7) for i in range(60)]})
    model = ConditionalVAE(num_members=1, calibration_fraction=0.5).fit(
        table.select(["x"]), table.select(["a"])
    )
    model.save(tmp_path / "m")
    (tmp_path / "rows.csv").write_text("x\n1\n2\n")
    status, out, _ = condvae_says(
        "predict", tmp_path / "m", tmp_path / "rows.csv", "--interval", 0.9, "--out", "-"
    )
    assert status == 0
    predicted = pcsv.read_csv(io.BytesIO(out.encode()))
    assert predicted.column_names == ["x", "a_mode", "a_set"]
    sets = model.level_set(table.slice(1, 2).select(["x"]))["a_set"].to_pylist()
    for text, mode, levels in zip(
        predicted["a_set"].to_pylist(), predicted["a_mode"].to_pylist(), sets, strict=True
    ):
        assert next(csv.reader([text])) == levels
        assert levels[0] == mode


def test_a_plain_vae_has_one_prediction(home, condvae_says):
    status, out, err = condvae_says("predict", home / "plain", "--interval", 0.5, "--out", "-")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 2


def test_a_name_that_is_taken(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr("condvae.table_models.fitting.fit", untrained)
    table = pa.table({"y_mean": np.arange(30.0), "y": np.arange(30.0) ** 2})
    model = ConditionalVAE(num_members=1).fit(table.select(["y_mean"]), table.select(["y"]))
    model.save(tmp_path / "m")
    (tmp_path / "rows.csv").write_text("y_mean\n1\n")
    status, _, _ = condvae_says(
        "predict", tmp_path / "m", tmp_path / "rows.csv", "--out", tmp_path / "o.csv"
    )
    assert status == 0
    assert (tmp_path / "o.csv").read_text().startswith('"y_mean","y_mean_"\n1,')
