"""What the program says; names that read like arguments come out as they are."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cli.saying import assert_refused
from condvae.cli import output
from condvae.judging.results import AnnealedBounds
from condvae.scoring.estimates import DrawCounts
from condvae.sentences import Argument, Text
from condvae.table_models import streaming
from judging.evaluations import evaluation


def test_arguments_are_called_what_they_are_here():
    fraction = Argument("test_fraction", 0.1)
    said = output.in_options(Text("{fraction}: holding out 0.1 of 1 rows", fraction=fraction))
    assert said == "--test-fraction 0.1: holding out 0.1 of 1 rows"
    assert output.in_options("test_fraction=0.1: a column's name") == "test_fraction=0.1: a column's name"


def test_results_and_warnings_have_their_own_streams(capfd):
    output.say("[b] :smile: 12", "bold")
    output.say_json({"name": "ü"})
    output.note("a")
    output.warn("b")
    out, err = capfd.readouterr()
    assert out.startswith("[b] :smile: 12\n")
    assert json.loads(out.partition("\n")[2]) == {"name": "ü"}
    assert err == "note: a\ncondvae: warning: b\n"
    with pytest.raises(ValueError, match="Out of range"):
        output.say_json(float("nan"))


def test_a_wide_sandwich_is_said_not_to_be_trusted():
    ends = AnnealedBounds(9, -3.0, -2.2, 0.8, 0.1, 1000, 16)
    said = output.between(evaluation(sandwich=ends, upper_estimate=-2.5))
    assert said[0] == "from above it is estimated (not bounded) at -2.50"
    assert "log p lies between -3.000 and -2.200: 0.800 ± 0.100 nats, by 16 chains of 1,000" in said[1]
    assert said[2].startswith("do not trust log p to better than 0.8 nats")
    assert len(output.between(evaluation(sandwich=replace(ends, width=0.4), upper_estimate=-2.5))) == 2


def test_how_a_score_was_found():
    summary = evaluation()
    said = output.how(summary)
    assert said.startswith(
        "by importance sampling with 1,000 draws a row: that adds ± 0.0100; the smallest"
    )
    varied = replace(summary, draws=DrawCounts(1000, 16_000, 3000.0), log_prob_noise=None)
    assert "with 1,000 to 16,000 draws a row; the smallest" in output.how(varied)
    assert output.how(replace(summary, method="enumeration")) == "exact: no draws are needed"


@pytest.mark.parametrize(
    "name", ["resume=True", 'unknown="other"', "test_fraction=0.1", "row 7", "{column}"]
)
def test_names_of_columns_are_verbatim(condvae_says, tmp_path, name):
    table = pa.table({name: [1.0, np.inf, 2.0, 3.0], "y": [1.0, 2.0, 3.0, 4.0]})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    answer = condvae_says("fit", tmp_path / "t.parquet", "--out", tmp_path / "m")
    assert_refused(
        answer, f"condvae: column {name!r}, row 2 is infinite; correct the cell or leave it empty"
    )


def test_a_level_is_verbatim(home, condvae_says, tmp_path):
    lines = (home / "unseen.csv").read_text().replace("Emperor", "test_fraction=0.1")
    (tmp_path / "t.csv").write_text(lines)
    answer = condvae_says("predict", home / "strict", tmp_path / "t.csv", "--out", tmp_path / "p.csv")
    said = "column 'species', row 1: the level 'test_fraction=0.1' was not there when the model was fitted"
    assert_refused(answer, said, "(fitting with --unknown other accepts such levels)")


def test_a_cell_of_a_table_too_long_for_memory_is_verbatim(condvae_says, monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "STREAMED_ROWS", 50)
    cells = [*map(str, range(90)), "row 7", *map(str, range(9))]
    table = pa.table({"a": cells, "y": np.arange(100) % 7 + 0.5})
    (tmp_path / "t").mkdir()
    pa.parquet.write_table(table, tmp_path / "t" / "t.parquet", row_group_size=50)
    answer = condvae_says("fit", tmp_path / "t", "--given", "a", "--out", tmp_path / "m")
    assert_refused(
        answer, "condvae: column 'a', row 91 ('row 7') is not a number;", "say --missing 'row 7' if"
    )


def test_an_argument_is_an_option(condvae_says, tmp_path):
    table = pa.table({"a": np.arange(60) % 11 + 0.5, "b": np.arange(60) % 7 + 0.5})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    answer = condvae_says("fit", tmp_path / "t.parquet", "--objective", "elbow", "--out", tmp_path / "m")
    assert_refused(answer, "condvae: --objective is 'elbow', expected one of ")
