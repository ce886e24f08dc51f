"""A fitted estimator to a folder and back: every answer and attribute the same."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import condvae
from condvae import ConditionalVAE
from condvae.bundle import BundleError
from condvae.estimator import persistence
from estimator.mixed import BARE
from fitted import without_training

pytestmark = pytest.mark.usefixtures("one_shape")


@pytest.fixture(scope="module")
def model(tables):
    """With everything that is kept beside the weights."""
    settings = BARE | {"calibration_fraction": 0.1, "test_fraction": 0.1, "unknown": "other"}
    with pytest.MonkeyPatch.context() as patch:
        without_training(patch)
        return ConditionalVAE(**settings, learning_rate=0.01).fit(*tables)


@pytest.fixture
def saved(model, tmp_path):
    """A model that may be changed, and its folder."""
    model.save(tmp_path / "model")
    return copy.copy(model), tmp_path / "model"


def test_every_answer_is_the_same(saved, tables):
    m, path = saved
    X, y = (table.head(6) for table in tables)
    loaded = ConditionalVAE.load(path)
    assert_allclose(loaded.log_prob(X, y).value, m.log_prob(X, y).value, rtol=1e-6)
    for ask in (lambda e: e.sample(X, 2), lambda e: e.interval(X, 0.8), lambda e: e.support(X)):
        pd.testing.assert_frame_equal(ask(loaded), ask(m))
    assert set(loaded.table_.calibration) == set(y)
    for name in ("training_rows",):
        assert_array_equal(getattr(loaded.table_, name), getattr(m.table_, name))
    rows = m.table_.linear.to_arrays()
    for name, array in loaded.table_.linear.to_arrays().items():
        assert_array_equal(array, rows[name])


def test_every_attribute_is_the_same(saved):
    m, path = saved
    loaded = ConditionalVAE.load(path)
    for name in (*persistence.PLAIN, "schema_", "settings_", "num_parameters_"):
        assert getattr(loaded, name) == getattr(m, name), name
    assert list(loaded.feature_names_in_) == list(m.feature_names_in_)
    assert loaded.get_params() == m.get_params()
    assert loaded.table_.best == m.table_.best
    for name in ("records", "best_step", "best_value", "notes"):
        assert getattr(loaded.history_, name) == getattr(m.history_, name)
    fitted = {name for name in vars(m) if name.endswith("_")}
    assert fitted == {name for name in vars(loaded) if name.endswith("_")}


def test_saved_again_it_is_the_same(saved, tmp_path):
    _, path = saved
    ConditionalVAE.load(path).save(tmp_path / "again")
    again = ConditionalVAE.load(tmp_path / "again")
    assert again.schema_ == ConditionalVAE.load(path).schema_


def test_a_model_that_is_there_is_kept_unless_it_is_to_be_replaced(saved):
    m, path = saved
    with pytest.warns(UserWarning, match=r"is kept as 'model\.1'; use overwrite=True to replace it"):
        m.save(path)
    m.save(path, overwrite=True)
    assert sorted(folder.name for folder in path.parent.iterdir()) == ["model", "model.1"]
    assert ConditionalVAE.load(path.parent / "model.1").schema_ == m.schema_


def test_what_parameter_searches_leave_can_be_saved(saved, tmp_path):
    m, _ = saved
    m.set_params(
        num_steps=np.int64(7), learning_rate=np.float32(0.5), random_state=np.random.RandomState(0)
    )
    m.save(tmp_path / "again")
    loaded = ConditionalVAE.load(tmp_path / "again")
    assert (loaded.num_steps, loaded.learning_rate, loaded.random_state) == (7, 0.5, None)
    assert loaded.seed_ == m.seed_


def test_arrays_and_no_conditions(known_arrays, known_plain, tmp_path):
    for known in (known_arrays, known_plain):
        manifest = known.estimator
        assert persistence.num_parameters(manifest.model_) == manifest.num_parameters_
    with pytest.raises(Exception, match="not fitted yet"):
        ConditionalVAE().save(tmp_path / "nothing")


def test_a_model_that_is_of_no_table(saved, tmp_path):
    m, _ = saved
    condvae.save(tmp_path / "core", m.model_)
    with pytest.raises(BundleError, match=r"not of a table: use condvae\.load"):
        ConditionalVAE.load(tmp_path / "core")


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "table"},
        {"kind": "table", "table_format": persistence.FORMAT + 1},
        {"kind": "table", "table_format": persistence.FORMAT, "parameters": {"hidden": 3}},
    ],
)
def test_a_model_of_another_version(saved, tmp_path, manifest):
    m, _ = saved
    condvae.save(tmp_path / "odd", m.model_, manifest=manifest)
    with pytest.raises(BundleError, match="saved by another version of condvae"):
        ConditionalVAE.load(tmp_path / "odd")


def test_provenance_is_plain():
    found = persistence.provenance()
    assert found["condvae"] == condvae.__version__
    assert json.loads(json.dumps(found)) == found


SAVED = Path(__file__).parent / "saved"


@pytest.mark.parametrize("name", ["in_turn", "latent", "marginal"])
def test_models_saved_by_an_earlier_version_score_the_same(name):
    """In turn with limits of the row; a latent and named likelihoods; no conditions, Student-t.

    To the rounding of single precision: these tests compile with other optimisations than users do.
    """
    loaded = ConditionalVAE.load(SAVED / name)
    X, y = (pd.read_csv(SAVED / f"{part}.csv", keep_default_na=True) for part in ("conditions", "targets"))
    y["kind"] = pd.read_csv(SAVED / "targets.csv", keep_default_na=False)["kind"]  # "none" is a level
    score = loaded.log_prob(
        X if loaded.schema_.given else None, y[[column.name for column in loaded.schema_.target]]
    )
    assert_allclose(score.value, json.loads((SAVED / f"{name}.json").read_text())["log_prob"], atol=5e-5)
