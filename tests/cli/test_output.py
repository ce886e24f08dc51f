"""What the program says."""

import json

import pytest

from condvae.cli import output
from condvae.sentences import Argument, Text


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
    ends = {"rows": 9, "lower": -3.0, "upper": -2.2, "width": 0.8, "width_stderr": 0.1}
    ends |= {"chains": 16, "temperatures": 1000}
    said = output.between({"sandwich": ends, "upper_estimate": -2.5})
    assert said[0] == "from above it is estimated (not bounded) at -2.50"
    assert "log p lies between -3.000 and -2.200: 0.800 ± 0.100 nats, by 16 chains of 1,000" in said[1]
    assert said[2].startswith("do not trust log p to better than 0.8 nats")
    assert len(output.between({"sandwich": ends | {"width": 0.4}, "upper_estimate": -2.5})) == 2


def test_how_a_score_was_found():
    summary = {
        "method": "importance sampling",
        "draws": {"fewest": 1000, "most": 1000},
        "ess": {"smallest": 7.2},
    }
    said = output.how(summary | {"log_prob_noise": 0.01})
    assert said.startswith(
        "by importance sampling with 1,000 draws a row: that adds ± 0.0100; the smallest"
    )
    varied = summary | {"draws": {"fewest": 1000, "most": 16_000}, "log_prob_noise": None}
    assert "with 1,000 to 16,000 draws a row; the smallest" in output.how(varied)
    assert output.how(summary | {"method": "enumeration"}) == "exact: no draws are needed"
