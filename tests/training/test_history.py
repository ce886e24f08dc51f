import json

import numpy as np
import pytest

from condvae.training import History


@pytest.fixture
def history():
    history = History()
    history.records = [
        {"step": 100, "seconds": 0.5, "train": [-2.0, -3.0], "validation": [-2.5, -3.5], "skipped": [0, 1]},
        {
            "step": 200,
            "seconds": 1.0,
            "train": [-1.0, np.nan],
            "validation": [-1.5, np.nan],
            "skipped": [0, 0],
        },
    ]
    history.best_step, history.best_value = [200, 100], [-1.5, -np.inf]
    history.events = [{"step": 100, "event": "skipped", "member": 1, "count": 1}]
    return history


def test_a_metric_is_an_array_over_the_rounds(history):
    assert len(history) == 2
    np.testing.assert_array_equal(history["train"], [[-2.0, -3.0], [-1.0, np.nan]])


def test_it_plots_itself(history):
    assert history.plot().get_xlabel() == "step"


def test_it_goes_into_json_and_back(history):
    with pytest.warns(UserWarning, match="watch out"):
        history.warn("watch out")
    text = json.dumps(history.to_json(), allow_nan=False)
    again = History.from_json(json.loads(text))
    np.testing.assert_equal(vars(again), vars(history))
    assert again.notes == ["watch out"]
