"""`condvae inspect`."""

import json
import re

import pytest

import condvae
from cli.saying import assert_readable


def test_inspect(home, condvae_says):
    status, said, notes = condvae_says("inspect", home / "model")
    assert status == 0
    assert_readable(said)
    for words in ("flipper_length_mm", "308 rows to learn from", "z has 4 dimensions", "parameters"):
        assert words in said
    assert f"by condvae {condvae.__version__}, JAX" in " ".join(said.split())
    assert "learned: log p" in said
    assert notes.startswith("note: ")


def test_the_likelihoods_and_why(home, condvae_says):
    said = " ".join(condvae_says("inspect", home / "model")[1].split())
    assert re.search(r"bill_length_mm[^:]*: universal \(numbers from 0, recorded to 0.1\)", said)
    assert re.search(r"body_mass_g: universal \(numbers from 0, recorded \d+% to 50, \d+% to 25\)", said)
    assert re.search(r"of the probability of a step of 0.1, over the step, in [^;]*bill_depth_mm", said)
    summary = json.loads(condvae_says("inspect", home / "mixed", "--json")[1])
    species, bill = (column["likelihood"] for column in summary["target"])
    assert (species["family"], species["reason"]) == ("categorical", "categories")
    assert (bill["family"], bill["step"]) == ("universal", 0.1)
    assert bill["reason"] == "numbers from 0, recorded to 0.1"
    assert "likelihood" not in summary["given"][0]


@pytest.mark.parametrize("model", ["model", "mixed", "plain", "levels"])
def test_as_json(home, condvae_says, model):
    status, said, err = condvae_says("inspect", home / model, "--json")
    assert (status, err) == (0, "")
    summary = json.loads(said)
    assert {"given", "target", "settings", "training", "measured", "notes", "made"} <= set(summary)
    for column in (*summary["given"], *summary["target"]):
        assert column["kind"] == "categorical" or column["minimum"] < column["maximum"]


def test_a_narrow_screen_cuts_nothing(home, condvae_says, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    said = condvae_says("inspect", home / "model")[1]
    assert max(map(len, said.splitlines())) <= 50
    together = said.replace(" ", "").replace("\n", "")
    for words in ("Torgersen", "Chinstrap"):
        assert words in together
    assert "…" not in said


def test_targets_in_turn_have_no_latent(home, condvae_says):
    _, said, _ = condvae_says("inspect", home / "plain")
    said = " ".join(said.split())
    assert "targets are decoded in turn, each given those before it, chosen by joint=auto: worth " in said
    assert "no latent; each member has a network for each target" in said
