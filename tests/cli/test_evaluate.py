"""`condvae evaluate`."""

import json

import pytest

from cli.saying import PENGUINS, TARGETS, assert_readable

FAST = ("--num-samples", 20)


def test_as_json(home, condvae_says):
    status, said, err = condvae_says("evaluate", home / "model", PENGUINS, "--json", *FAST)
    assert status == 0
    found = json.loads(said)
    wanted = {
        "rows",
        "log_prob",
        "log_prob_stderr",
        "elbo",
        "ess",
        "crps",
        "coverage",
        "accuracy",
        "baseline",
    }
    assert wanted <= set(found)
    assert (found["rows"], found["rows_scored"]) == (344, 342)
    assert list(found["crps"]) == list(found["coverage"]) == TARGETS
    assert found["accuracy"] == {}
    assert found["elbo"] <= found["log_prob"]
    assert "of 342 rows are rows that the model was trained on" in err


@pytest.mark.parametrize(
    "model, words",
    [
        ("model", ["34 rows", "flipper_length_mm", "in the 50% interval", "without the conditions"]),
        ("mixed", ["accuracy", "adjusted 50%", "linear and multinomial regression"]),
        ("plain", ["a Gaussian, shares of levels", "than a Gaussian"]),
        ("levels", ["accuracy", "multinomial regression"]),
    ],
)
def test_in_words(home, condvae_says, tmp_path, model, words):
    (tmp_path / "some.csv").write_text("\n".join(PENGUINS.read_text().splitlines()[:40:1]) + "\n")
    status, said, _ = condvae_says("evaluate", home / model, tmp_path / "some.csv", *FAST)
    assert status == 0
    assert_readable(said)
    for word in words[1:]:
        assert word in " ".join(said.split())
