"""What a column of a schema says of its cells, and its JSON."""

import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from condvae.declared import conform
from condvae.tables import Column, Likelihood, Schema


@pytest.mark.parametrize(
    ("likelihood", "ends", "points"),
    [
        (None, (-np.inf, np.inf), ()),
        (Likelihood("student_t"), (-np.inf, np.inf), ()),
        (Likelihood("rounded_student_t", step=0.5), (-np.inf, np.inf), ()),
        (Likelihood("negative_binomial", step=1.0), (0, np.inf), ()),
        (Likelihood("gamma"), (0, np.inf), ()),
        (Likelihood("hurdle_log_normal"), (0, np.inf), ()),
        (Likelihood("censored_gaussian", low=-2.0), (-2, np.inf), ()),
        (Likelihood("censored_gaussian", high=50.0), (-np.inf, 50), ()),
        (Likelihood("beta", low=0.0, high=1.0), (0, 1), ()),
        (Likelihood("bernoulli", step=1.0, low=0.0, high=1.0), (0, 1), (0, 1)),
        (Likelihood("ordinal", step=1.0, low=-1.0, high=2.0), (-1, 2), (-1, 0, 1, 2)),
    ],
)
def test_what_a_number_can_be(likelihood, ends, points):
    column = Column("a", "target", "numeric", "double", likelihood=likelihood)
    assert (column.ends, column.points, column.outcomes) == (ends, points, points)


def test_a_universal_column_can_be_what_its_support_holds():
    rng = np.random.default_rng(0)
    cells = {
        "levels": rng.choice([0, 25, 50, 100], 300),
        "counts": rng.poisson(3, 300),
        "x": rng.normal(size=300),
    }
    frame = pa.table(cells)
    levels, counts, x = Schema.infer(frame, target=list(cells)).with_likelihoods(frame).target
    assert (levels.ends, levels.outcomes, levels.discrete) == ((0, 100), (0, 25, 50, 100), True)
    assert (counts.ends, counts.points, counts.discrete) == ((0, np.inf), (), True)
    assert (x.ends, x.points, x.discrete) == ((-np.inf, np.inf), (), False)
    assert counts.possible(np.array([-1.0, 0.0, 40.0])).tolist() == [False, True, True]
    assert levels.possible(np.array([25.0, 30.0])).tolist() == [True, False]


def test_json_is_exact_with_what_was_learned_of_the_cells():
    rng = np.random.default_rng(0)
    frame = pa.table({"a": ["$1.5", "$2", "$7.25"] * 40, "b": rng.exponential(size=120)})
    schema = Schema.infer(frame, given=["a"], target=["b"]).with_likelihoods(frame)
    for column in (*schema.given, *schema.target):
        assert column.support is not None and column.scores is not None
        assert conform(Column, json.loads(json.dumps(asdict(column), allow_nan=False)), "it") == column
    assert schema.given[0].reading.unit == "$"
