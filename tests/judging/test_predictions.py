import numpy as np
import pandas as pd
import pytest

from condvae.judging import predictions
from judging.stand_in import rows_of

N = 400


@pytest.fixture(scope="module")
def levels():
    """Rows of two categories, and the probabilities that one of them was drawn with."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet([2.0, 2.0, 1.0], N)
    code = (rng.random((N, 1)) > p.cumsum(axis=1)).sum(axis=1)
    y = pd.DataFrame(
        {"kind": np.array(["a", "b", "c"])[code], "ok": rng.random(N) < 0.8, "mass": rng.normal(size=N)}
    )
    y.loc[:9, "kind"] = None
    rows = rows_of(None, y)
    probability = np.zeros((N, 2, 3))
    probability[:, 0], probability[:, 1, :2] = p, [0.2, 0.8]
    return rows, probability, code


def test_accuracy_is_of_observed_cells(levels):
    rows, probability, code = levels
    shares = predictions.accuracy(rows, probability)
    assert shares["kind"] == (probability[10:, 0].argmax(axis=1) == code[10:]).mean()
    assert shares["ok"] == rows.x["categorical"].value[:, 1].mean()
    assert predictions.accuracy(rows, None) == {}


def test_reliability_of_right_probabilities(levels):
    rows, probability, _ = levels
    by_target = predictions.reliabilities(rows, probability)
    assert {name: list(curves) for name, curves in by_target.items()} == {
        "kind": ["a", "b", "c"],
        "ok": ["False", "True"],
    }
    for curve in by_target["kind"].values():
        assert curve.rows.sum() == N - 10
        assert (np.abs(curve.observed - curve.predicted) < 3.5 * curve.stderr).all()
    assert by_target["ok"]["True"].predicted.tolist() == pytest.approx([0.8])
    assert predictions.reliabilities(rows, None) == {}


def test_cells_are_counted_in_the_order_of_the_table(levels):
    assert list(predictions.cells(levels[0]).items()) == [("kind", N - 10), ("ok", N), ("mass", N)]
