"""`condvae score`."""

import json

import numpy as np

from cli.saying import assert_readable
from condvae import ConditionalVAE
from condvae.tables import read_table


def test_score(home, condvae_says, tmp_path):
    out = tmp_path / "scores.csv"
    arguments = (home / "model", home / "few.csv", "--num-samples", 50)
    status, said, _ = condvae_says("score", *arguments, "--out", out)
    assert status == 0
    assert_readable(said)
    scores = read_table(out)
    assert scores.column_names == ["log_prob", "log_prob_stderr", "ess", "pareto_k", "draws", "trusted"]
    value = np.array(scores["log_prob"])
    assert value[3] == 0  # the fourth penguin was not measured
    mean = np.delete(value, 3).mean()
    assert f"log p = {mean:.4f}" in said
    assert "over 7 rows" in said
    assert "not averaged in: 1 row without an observed target" in said
    few = read_table(home / "few.csv")
    own = ConditionalVAE.load(home / "model").log_prob(few, few, num_samples=50)
    np.testing.assert_allclose(value, own.value, rtol=1e-5)
    found = json.loads(condvae_says("score", *arguments, "--json")[1])
    assert (found["rows"], found["rows_scored"]) == (8, 7)
    np.testing.assert_allclose(found["log_prob"], mean, rtol=1e-5)


def test_score_to_standard_output_is_a_table_alone(home, condvae_says):
    arguments = (home / "model", home / "few.csv", "--num-samples", 50)
    status, out, said = condvae_says("score", *arguments, "--out", "-")
    assert (status, said) == (0, "")
    assert out.splitlines()[0] == '"log_prob","log_prob_stderr","ess","pareto_k","draws","trusted"'
    assert len(out.splitlines()) == 9


def test_nothing_to_score(home, condvae_says):
    status, out, _ = condvae_says("score", home / "model", home / "blank.csv")
    assert (status, out) == (0, "no row has an observed target to score\n")
    found = json.loads(condvae_says("score", home / "model", home / "blank.csv", "--json")[1])
    assert (found["rows_scored"], found["log_prob"]) == (0, None)


def test_a_table_too_long_for_memory(home, long, condvae_says, tmp_path):
    out = tmp_path / "scores.parquet"
    arguments = ("score", home / "model", long, "--num-samples", 50)
    status, said, _ = condvae_says(*arguments, "--out", out)
    assert status == 0
    assert_readable(said)
    assert "over 342 rows" in said
    scores, rows = read_table(out), read_table(long)
    assert len(scores) == 344
    model, part = ConditionalVAE.load(home / "model"), rows.slice(200, 100)
    own = model.log_prob(part, part, num_samples=50).value
    np.testing.assert_allclose(scores["log_prob"].to_numpy()[200:300], own, rtol=1e-5)
    found = json.loads(condvae_says(*arguments, "--json")[1])
    assert (found["rows"], found["rows_scored"]) == (344, 342)
