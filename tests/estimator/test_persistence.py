"""A fitted estimator to a folder and back: every answer and attribute the same."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import condvae
from condvae import ConditionalVAE
from condvae.bundle import BundleError
from condvae.estimator import persistence
from condvae.storage import read_folder, write_folder
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


def saved_folder(tmp_path, name="latent"):
    shutil.copytree(SAVED / name, tmp_path / name)
    return tmp_path / name


def column(manifest, name):
    return next(
        c for c in (*manifest["schema"]["given"], *manifest["schema"]["target"]) if c["name"] == name
    )


FORGED = {
    "schema": (lambda m: m.update(schema=[]), "schema is"),
    "name": (lambda m: column(m, "hour").update(name=3), "given.*name is 3, expected text"),
    "levels": (lambda m: column(m, "zone").update(levels=3), "levels is 3, expected a list"),
    "no levels": (lambda m: column(m, "zone").update(levels=[]), "column 'zone' has no levels"),
    "fewer levels": (lambda m: column(m, "kind").update(levels=["card"]), "is float64.*expected"),
    "support": (lambda m: column(m, "start").update(support=[1, 2]), "support has 2 items, expected 8"),
    "sd": (lambda m: column(m, "start").update(sd=0), "column 'start' has the standard deviation 0"),
    "family": (lambda m: column(m, "start")["likelihood"].update(family="x"), "has the likelihood 'x'"),
    "role": (lambda m: column(m, "start").update(role="given"), "has the role 'given' among the target"),
    "a column less": (lambda m: m["schema"]["target"].pop(), "is float64.*expected|do not fit"),
    "a condition less": (lambda m: m["schema"]["given"].pop(), "do not fit the schema"),
    "best": (lambda m: m.update(best=9), "the best member is 9, of 2 members"),
    "no best": (lambda m: m.update(best=None), "best is None, expected a whole number"),
    "settings": (lambda m: m["settings"].update(width="8"), "settings.width is '8'"),
    "fitted": (lambda m: m.update(fitted=None), "fitted is None, expected an object"),
    "seed": (lambda m: m["fitted"].update(seed_="0"), "seed_ is '0', expected a whole number"),
    "kind": (lambda m: m["fitted"].update(kind_="excel"), "kind_ is 'excel', expected 'numpy' or"),
    "records": (
        lambda m: m["history"].update(records=[1]),
        r"history.records\[0\] is 1, expected an object",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_fields_of_another_type_or_range_are_refused(tmp_path, name):
    change, sentence = FORGED[name]
    path = saved_folder(tmp_path)
    manifest, arrays = read_folder(path)
    change(manifest)
    write_folder(path, manifest, arrays)
    with pytest.raises(
        BundleError, match=f"is damaged, or was saved by another version .*{sentence}"
    ) as caught:
        ConditionalVAE.load(path)
    assert len(str(caught.value)) - len(str(path)) < 440


ARRAYS = {
    "coefficients": ("beside:linear.coefficients", lambda a: a[:, :1]),
    "intercept": ("beside:marginal.intercept", lambda a: a[:1]),
    "rows": ("beside:neighbours.codes", lambda a: a[1:]),
    "mask": ("beside:neighbours.codes_mask", lambda a: a.astype(np.float32)),
    "not a number": ("beside:support.reference", lambda a: a * np.nan),
    "features": ("beside:support.reference", lambda a: a[:, 1:]),
    "count": ("beside:neighbours.count", lambda a: a.astype(np.float64)),
    "training rows": ("beside:training_rows", lambda a: a.astype(np.float64)),
    "nobody's": ("beside:linear.odd", lambda a: np.ones(1)),
    "no target's": ("beside:calibration.odd", lambda a: np.ones(1)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_beside_the_weights_are_what_their_parts_declare(tmp_path, name):
    place, change = ARRAYS[name]
    path = saved_folder(tmp_path)
    manifest, arrays = read_folder(path)
    arrays[place] = change(arrays.get(place))
    write_folder(path, manifest, arrays)
    with pytest.raises(BundleError, match="is damaged, or was saved by another version"):
        ConditionalVAE.load(path)
