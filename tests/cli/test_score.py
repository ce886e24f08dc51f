"""`condvae score`."""

import json

import numpy as np
import pytest

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
    expected = ConditionalVAE.load(home / "model").log_prob(few, few, num_samples=50)
    np.testing.assert_allclose(value, expected.value, rtol=1e-5)
    summary = json.loads(condvae_says("score", *arguments, "--json")[1])
    assert (summary["rows"], summary["rows_scored"]) == (8, 7)
    np.testing.assert_allclose(summary["log_prob"], mean, rtol=1e-5)


def test_score_to_standard_output_is_a_table_alone(home, condvae_says):
    arguments = (home / "model", home / "few.csv", "--num-samples", 50)
    status, out, said = condvae_says("score", *arguments, "--out", "-")
    assert (status, said) == (0, "")
    assert out.splitlines()[0] == '"log_prob","log_prob_stderr","ess","pareto_k","draws","trusted"'
    assert len(out.splitlines()) == 9


def test_rows_that_cannot_be_trusted_are_named(home, condvae_says, monkeypatch):
    from condvae.scoring import LogProb

    monkeypatch.setattr(LogProb, "trusted", property(lambda score: score.value != score.value.max()))
    arguments = (home / "model", home / "few.csv", "--num-samples", 50, "--budget", 50)
    _, said, warned = condvae_says("score", *arguments)
    assert_readable(said)
    assert "1 of 7 rows cannot be trusted (row " in warned
    assert "is averaged in; without them log p is " in warned
    summary = json.loads(condvae_says("score", *arguments, "--json")[1])
    best = int(
        np.argmax(
            ConditionalVAE.load(home / "model")
            .log_prob(*[read_table(home / "few.csv")] * 2, num_samples=50, budget=50)
            .value[[0, 1, 2, 4, 5, 6, 7]]
        )
    )
    assert summary["untrusted"]["which"] == [best + (best > 2)]
    assert summary["untrusted"]["rows"] == 1
    assert summary["untrusted"]["log_prob_without"] < summary["log_prob"]
    assert summary["draws"] == {"fewest": 50, "most": 50, "mean": 50.0}


@pytest.mark.slow
def test_score_by_annealing(home, condvae_says):
    arguments = (home / "model", home / "few.csv")
    _, said, _ = condvae_says("score", *arguments, "--method", "ais", "--budget", 60)
    assert_readable(said)
    assert "by annealed importance sampling over 60 temperatures with 16 chains a row" in said.replace(
        "\n", " "
    )
    ways = {
        method: json.loads(condvae_says("score", *arguments, "--method", method, *more, "--json")[1])
        for method, more in (("is", ()), ("ais", ("--budget", 60)))
    }
    noise = np.hypot(*(way["log_prob_noise"] for way in ways.values()))
    assert abs(ways["is"]["log_prob"] - ways["ais"]["log_prob"]) < 5 * noise + 0.05


def test_a_budget_that_cannot_be_kept_is_refused(home, condvae_says):
    for more, sentence in (
        (("--budget", 100), "--budget is 100, less than the 1000 draws that every row gets"),
        (("--method", "ais", "--budget", 5), "--budget is 5, expected at least 10 temperatures"),
        (("--method", "other"), "'other' is not one of 'is', 'ais'"),
    ):
        status, _, said = condvae_says("score", home / "model", home / "few.csv", *more)
        assert status == 2
        assert sentence in said


def test_nothing_to_score(home, condvae_says):
    status, out, _ = condvae_says("score", home / "model", home / "blank.csv")
    assert (status, out) == (0, "no row has an observed target to score\n")
    summary = json.loads(condvae_says("score", home / "model", home / "blank.csv", "--json")[1])
    assert (summary["rows_scored"], summary["log_prob"]) == (0, None)


@pytest.mark.slow
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
    expected = model.log_prob(part, part, num_samples=50).value
    np.testing.assert_allclose(scores["log_prob"].to_numpy()[200:300], expected, rtol=1e-5)
    summary = json.loads(condvae_says(*arguments, "--json")[1])
    assert (summary["rows"], summary["rows_scored"]) == (344, 342)
