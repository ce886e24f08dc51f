"""Damaged files: one sentence of a known error, or what could be read, quickly and in little memory."""

import gzip
import io
import resource
import shutil
import time
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from condvae import ConditionalVAE
from condvae.bundle import BundleError
from condvae.storage import MANIFEST, WEIGHTS, StorageError, read_folder, write_folder
from condvae.tables import TableError, read_table, scan
from condvae.training import Checkpoints
from condvae.training.checkpoints import Keeper
from condvae.training.history import History
from condvae.training.rounds import State
from fuzz.mutations import of_arrays, of_bytes, of_json

SAVED = Path(__file__).parents[1] / "estimator" / "saved"
SECONDS, MEMORY, LONGEST = 5.0, 2**30, 500
TIMES = pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
KNOWN = (StorageError, BundleError, TableError)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def outcome(read, case):
    """What reading gives, or None where it ends with a known error."""
    start, before = time.process_time(), peak()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = read()
    except KNOWN as error:
        result = None
        said = str(error)
        assert said and len(said) <= LONGEST and "\n" not in said, (case, said)
    except BaseException as error:
        raise AssertionError(f"case {case} raises {error!r}") from error
    assert time.process_time() - start < SECONDS, case
    assert peak() - before < MEMORY, case
    return result


@contextmanager
def damaged(path, name, data):
    intact = (path / name).read_bytes()
    (path / name).write_bytes(data)
    yield
    (path / name).write_bytes(intact)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]


def assert_same(one, two):
    for leaf, twin in zip(leaves(one), leaves(two), strict=True):
        np.testing.assert_array_equal(leaf, twin)


@pytest.fixture
def saved(tmp_path):
    shutil.copytree(SAVED / "marginal", tmp_path / "model")
    return tmp_path / "model"


@TIMES
def test_damaged_models_are_refused_or_as_they_were(saved, times):
    intact = ConditionalVAE.load(saved)
    for case in range(100 * times):
        rng = np.random.default_rng((1, case))
        name = MANIFEST if case % 2 else WEIGHTS
        with damaged(saved, name, of_bytes((saved / name).read_bytes(), rng)):
            model = outcome(lambda: ConditionalVAE.load(saved), case)
        if model is not None:
            assert_same(model.model_, intact.model_)


@TIMES
def test_forged_models_are_refused_or_read(saved, tmp_path, times):
    manifest, arrays = read_folder(saved)
    for case in range(60 * times):
        rng = np.random.default_rng((2, case))
        forged = (of_json(manifest, rng), arrays) if case % 2 else (manifest, of_arrays(arrays, rng))
        if not isinstance(forged[0], dict):
            continue
        write_folder(tmp_path / "forged", *forged)
        outcome(lambda: ConditionalVAE.load(tmp_path / "forged"), case)


def state(seed):
    parameters = {"weight": jax.random.normal(jax.random.key(seed), (2, 3)), "bias": jnp.zeros(2)}
    fields = dict.fromkeys(State._fields, jnp.zeros(())) | {"parameters": parameters}
    return State(**fields)


@TIMES
def test_damaged_checkpoints_are_refused_or_the_one_before_is_read(tmp_path, times):
    folder = Checkpoints(tmp_path / "run", seconds=0)
    keeper = Keeper(folder, {"data": "1"}, resume=False)
    for step in (0, 8):
        keeper.save(state(step), History(), step)
    keeper.close()
    newest = tmp_path / "run" / "step-000000008"
    shutil.copytree(newest, tmp_path / "intact")
    manifest, arrays = read_folder(newest)

    def read():
        again = Keeper(folder, {"data": "1"}, resume=True)
        try:
            return again.start(state(99), History())
        finally:
            again.close()

    for case in range(60 * times):
        rng = np.random.default_rng((3, case))
        for step in (newest, *newest.parent.glob("damaged-*")):
            shutil.rmtree(step, ignore_errors=True)
        shutil.copytree(tmp_path / "intact", newest)
        if case % 3 == 0:
            name = MANIFEST if case % 2 else WEIGHTS
            (newest / name).write_bytes(of_bytes((newest / name).read_bytes(), rng))
        elif case % 3 == 1 and isinstance(forged := of_json(manifest, rng), dict):
            write_folder(newest, forged, arrays)
        else:
            write_folder(newest, manifest, {**arrays, "odd": np.ones(1)})
        resumed = outcome(read, case)
        if resumed is not None:
            kept = 0 if case % 3 == 2 else resumed[2]
            assert resumed[2] == kept
            if resumed[2] in (0, 8):
                assert_same(resumed[0].parameters, state(resumed[2]).parameters)


ROWS = "id;name;when;share\n" + "".join(
    f'{i};"a, {i % 7}";2024-01-{i % 28 + 1:02};{i / 3:.3f}\n'.replace(".", ",") for i in range(60)
)


@TIMES
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "zip"])
def test_damaged_text_is_refused_or_read(tmp_path, ending, times):
    data = ROWS.encode()
    if ending == "csv.gz":
        data = gzip.compress(data)
    elif ending == "zip":
        with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("rows.csv", ROWS)
        data = buffer.getvalue()
    path = tmp_path / f"rows.{ending}"
    for case in range(60 * times):
        path.write_bytes(of_bytes(data, np.random.default_rng((4, case))))
        outcome(lambda: read_table(path, max_memory="1G"), case)


@TIMES
@pytest.mark.parametrize("read", [read_table, lambda path: list(scan(path).parts())], ids=["whole", "scan"])
def test_damaged_parquet_is_refused_or_read(tmp_path, read, times):
    numbers = np.arange(200)
    frame = pa.table({"a": numbers / 7, "b": [f"level {i % 5}" for i in numbers], "c": numbers > 99})
    pq.write_table(frame, buffer := io.BytesIO(), row_group_size=100, write_page_checksum=True)
    path = tmp_path / "rows.parquet"
    for case in range(50 * times):
        path.write_bytes(of_bytes(buffer.getvalue(), np.random.default_rng((5, case))))
        outcome(lambda: read(path), case)
