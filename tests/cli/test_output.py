"""What the program says."""

import json
from dataclasses import replace

import pytest

from condvae.cli import output
from condvae.judging.results import AnnealedBounds
from condvae.scoring.estimates import DrawCounts
from condvae.sentences import Argument, Text
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
