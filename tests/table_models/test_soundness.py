"""What is read from a file must fit together; `tests/estimator/test_persistence.py` damages files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from condvae import ConditionalVAE
from condvae.table_models.soundness import require_sound

SAVED = Path(__file__).parents[1] / "estimator" / "saved"


@pytest.fixture(scope="module")
def table():
    return ConditionalVAE.load(SAVED / "latent").table_


def test_a_saved_model_is_sound(table):
    require_sound(table)


def test_networks_of_other_conditions_are_not(table):
    schema = replace(table.schema, given=table.schema.given[:1])
    with pytest.raises(ValueError, match="do not fit the schema"):
        require_sound(replace(table, schema=schema, support=None, neighbours=None))


def test_scores_of_calibration_rows_are_of_targets(table):
    with pytest.raises(ValueError, match="'odd' are of no target"):
        require_sound(replace(table, calibration={"odd": np.zeros(3)}))
    with pytest.raises(ValueError, match=r"calibration\.kind is float64\[3, 2\]"):
        require_sound(replace(table, calibration={"kind": np.zeros((3, 2))}))
