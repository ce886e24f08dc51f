"""What is checked before any work, and what is warned of."""

import pyarrow as pa
import pyarrow.parquet as pq

from cli.saying import PENGUINS, TARGETS
from condvae.cli import inputs
from condvae.table_models import streaming
from condvae.tables import Scan


def test_rows_outside_are_counted_by_column(home, capfd):
    estimator = inputs.load(home / "mixed")
    rows = inputs.read_for(estimator, str(home / "outside.csv"))
    with inputs.outside_counted() as counted:
        estimator.predict(rows)
        estimator.interval(rows)  # the same rows count once
    assert counted.rows >= 2
    said = capfd.readouterr().err
    assert said.startswith("condvae: warning: ")
    assert said.count("\n") == 1
    assert "of 3 rows lie outside" in said
    assert "in 'island': 1, levels never seen: 'Mars' in 1 row; in 'body_mass_g': 1" in said
    with inputs.outside_counted() as counted:
        estimator.predict(pa.table({"island": ["Biscoe"], "body_mass_g": [4500]}))
        inputs.load(home / "plain").predict()
    assert counted.rows == 0
    assert capfd.readouterr().err == ""


def test_a_long_table_is_a_scan_and_a_short_one_is_in_memory(home, tmp_path, monkeypatch):
    pq.write_table(pa.table({"a": range(10)}), tmp_path / "t.parquet")
    assert isinstance(inputs.read_data(str(tmp_path / "t.parquet")).table, pa.Table)
    assert isinstance(inputs.read_data(str(tmp_path)).table, pa.Table)
    monkeypatch.setattr(streaming, "STREAMED_ROWS", 5)
    assert isinstance(inputs.read_data(str(tmp_path / "t.parquet")).table, Scan)
    assert len(inputs.read_data(str(tmp_path)).table) == 10
    estimator = inputs.load(home / "model")
    whole = inputs.read_whole(estimator, str(tmp_path))
    assert isinstance(whole, pa.Table)
    looked = inputs.by_part(estimator, whole, lambda number, first, part: (number, first, len(part)))
    assert list(looked) == [(0, 0, 10)]


def test_a_refit_is_given_the_columns_of_the_model_alone(home):
    options = {"method": "is", "num_samples": None, "budget": None}
    estimator, _, _, more = inputs.to_judge(
        home / "model", str(home / "few.csv"), str(PENGUINS), True, True, options
    )
    X, y = more["train"]
    assert X.column_names == [column.name for column in estimator.schema_.given]
    assert y.column_names == TARGETS
