"""The published schema, and what it is held to."""

from pathlib import Path

from condvae.judging.results import evaluation_schema
from judging.evaluations import evaluation
from judging.json_schema import assert_valid

SCHEMA = Path(__file__).parents[2] / "docs" / "evaluation.schema.json"


def test_the_published_schema_is_that_of_the_classes():
    assert SCHEMA.read_text() == evaluation_schema(), "run `make schema`"


def test_what_was_not_looked_at_is_left_out():
    told = evaluation().to_json()
    assert_valid(told)
    assert next(iter(told)) == "version"
    assert not {"in_turn", "worst", "findings", "upper_estimate", "sandwich"} & set(told)
    looked = evaluation(findings=[]).to_json()
    assert_valid(looked)
    assert {"in_turn", "worst", "findings"} <= set(looked)
