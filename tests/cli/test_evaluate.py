"""`condvae evaluate`."""

import json

import pytest

from cli.saying import PENGUINS, TARGETS, assert_readable

FAST = ("--num-samples", 20, "--no-diagnosis")


def test_as_json(home, condvae_says):
    status, said, err = condvae_says("evaluate", home / "model", PENGUINS, "--json", *FAST)
    assert status == 0
    evaluation = json.loads(said)
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
    assert wanted <= set(evaluation)
    assert (evaluation["rows"], evaluation["rows_scored"]) == (344, 342)
    assert list(evaluation["crps"]) == list(evaluation["coverage"]) == TARGETS
    assert evaluation["accuracy"] == {}
    assert evaluation["elbo"] <= evaluation["log_prob"]
    assert "of 342 rows are rows that the model was trained on" in err


@pytest.mark.parametrize(
    "model, words",
    [
        (
            "model",
            [
                "34 rows",
                "flipper_length_mm",
                "in the 50% interval",
                "without the conditions",
                "nearest training rows",
            ],
        ),
        ("mixed", ["accuracy", "in the 50% interval", "adjusted", "a chain of regressions"]),
        pytest.param("plain", ["a chain of regressions", "each target by itself"], marks=pytest.mark.slow),
        pytest.param("levels", ["accuracy", "multinomial regression"], marks=pytest.mark.slow),
    ],
)
def test_in_words(home, condvae_says, tmp_path, model, words):
    (tmp_path / "some.csv").write_text("\n".join(PENGUINS.read_text().splitlines()[:40:1]) + "\n")
    status, said, _ = condvae_says("evaluate", home / model, tmp_path / "some.csv", *FAST)
    assert status == 0
    assert_readable(said)
    for word in words[1:]:
        assert word in " ".join(said.split())


@pytest.mark.slow
def test_the_verdicts_are_those_of_json(home, condvae_says):
    arguments = ("evaluate", home / "model", home / "few.csv", "--train", PENGUINS)
    status, said, _ = condvae_says(*arguments)
    assert status == 0
    assert_readable(said)
    assert "Is it right? Judged by 7 rows:" in said
    verdicts = json.loads(condvae_says(*arguments, "--json")[1])["findings"]
    assert len(verdicts) > 3
    for one in verdicts:
        assert one["what"] in " ".join(said.split())
    assert "rows-trained-on" in {one["code"] for one in verdicts}


@pytest.mark.slow
def test_evaluate_by_annealing_says_how_well_log_p_is_known(home, condvae_says):
    arguments = (
        "evaluate",
        home / "model",
        home / "few.csv",
        "--method",
        "ais",
        "--budget",
        60,
        "--no-diagnosis",
    )
    _, said, _ = condvae_says(*arguments)
    assert_readable(said)
    said = " ".join(said.split())
    assert "from above it is estimated (not bounded) at" in said
    assert "on 7 rows simulated from the model, log p lies between" in said
    assert "do not trust" not in said
    evaluation = json.loads(condvae_says(*arguments, "--json")[1])
    ends = evaluation["sandwich"]
    assert (ends["rows"], ends["temperatures"]) == (7, 60)
    assert abs(ends["upper"] - ends["lower"] - ends["width"]) < 1e-4
    assert abs(ends["width"]) < 0.3
    assert abs(evaluation["upper_estimate"] - evaluation["log_prob"]) < 0.3
