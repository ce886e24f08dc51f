"""Atomic files and bundles: what is written comes back, and what is not whole is refused."""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np
import pytest

from condvae import storage
from condvae.storage import MANIFEST, WEIGHTS, Arrays, StorageError, read_folder, write_bytes, write_folder

OLD = ({"which": "old"}, {"w": np.arange(6, dtype=np.float32).reshape(2, 3)})
NEW = ({"which": "new", "names": ["größe"]}, {"w": np.ones(4), "n": np.array(3)})


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "model"
    write_folder(path, *OLD)
    return path


def which(path):
    return read_folder(path)[0]["which"]


@pytest.mark.parametrize(
    "array",
    [
        np.float32([[1, 2], [3, 4]]),
        np.float64(0.1 + 0.2),
        np.array([True, False]),
        np.uint32([0, 2**32 - 1]),
        np.int64([-(2**63)]),
        np.zeros((0, 3)),
        np.arange(6).reshape(2, 3).T,
        np.arange(10)[::2],
        np.arange(4, dtype=">f4"),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}{'' if a.flags.c_contiguous else '-strided'}",
)
def test_arrays_come_back_exactly(tmp_path, array):
    write_folder(tmp_path / "m", {}, {"a": array, "layers.0/größe": np.zeros(1)})
    back = read_folder(tmp_path / "m")[1]["a"]
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_the_manifest_comes_back(tmp_path):
    manifest = {"scale": 0.1 + 0.2, "names": ("größe", "b"), "none": None, "deep": {"x": [1, True]}}
    write_folder(tmp_path / "m", manifest, {})
    back, arrays = read_folder(tmp_path / "m")
    assert arrays == {}
    assert back.items() >= {"format": "condvae", "format_version": 1, "scale": 0.1 + 0.2}.items()
    assert back["names"] == ["größe", "b"]
    write_folder(tmp_path / "again", back, {})
    assert read_folder(tmp_path / "again")[0] == back
    assert sorted(entry.name for entry in (tmp_path / "m").iterdir()) == [MANIFEST, WEIGHTS]


def test_a_bundle_replaces_a_bundle_and_leaves_nothing_else(bundle):
    write_folder(bundle, *NEW)
    manifest, arrays = read_folder(bundle)
    assert manifest["which"] == "new"
    assert sorted(arrays) == ["n", "w"]
    assert [entry.name for entry in bundle.parent.iterdir()] == ["model"]


def test_an_older_bundle_is_kept_under_a_free_name(bundle):
    (bundle.parent / "model.1").write_text("mine")
    assert write_folder(bundle, *NEW, keep=True) == bundle.parent / "model.2"
    assert (which(bundle), which(bundle.parent / "model.2")) == ("new", "old")
    assert write_folder(bundle, {"which": "newer"}, {}) is None
    assert sorted(entry.name for entry in bundle.parent.iterdir()) == ["model", "model.1", "model.2"]
    assert write_folder(bundle.parent / "first", *NEW, keep=True) is None


def test_what_lies_beside_a_bundle_is_left_alone(bundle):
    names = [".model.old", ".model.new", ".model.0123abcd.old", "model.1"]
    for name in names:
        fill(bundle.parent / name, "thesis.tex")
    for _ in range(2):
        write_folder(bundle, *NEW)
    for name in names:
        assert (bundle.parent / name / "thesis.tex").exists()
    assert len(list(bundle.parent.iterdir())) == 5


@pytest.mark.parametrize("keep", [True, False])
def test_a_bundle_that_stepped_aside_before_a_crash_is_kept(bundle, keep):
    aside = bundle.rename(bundle.parent / ".model.0123abcd.old")
    assert which(bundle) == "old"
    write_folder(bundle, *NEW, keep=keep)
    assert which(bundle) == "new"
    assert not aside.exists()
    assert (bundle.parent / "model.1").exists() == keep


def test_an_empty_folder_and_a_linked_bundle_may_be_written_to(tmp_path, bundle):
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", *NEW)
    assert which(tmp_path / "empty") == "new"
    link = tmp_path / "link"
    link.symlink_to(bundle)
    write_folder(link, *NEW)
    assert link.is_symlink()
    assert which(bundle) == "new"


def test_write_bytes_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_for_a_file_is_looked_for_before_the_work(tmp_path):
    storage.require_file(tmp_path / "a.html", ".html")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "b.html").mkdir()
    for path, words in {
        "a.pdf": "does not end in .html",
        "b.html": "is a folder",
        "no/a.html": "cannot be written: No such file or directory",
    }.items():
        with pytest.raises(StorageError, match=words):
            storage.require_file(tmp_path / path, ".html")


def test_write_bytes_refuses_in_a_sentence(tmp_path):
    with pytest.raises(StorageError, match=r"cannot be written: .*choose a folder that exists"):
        write_bytes(tmp_path / "absent" / "file", b"")
    with pytest.raises(StorageError, match="cannot be written"):
        write_bytes(tmp_path, b"")
    assert list(tmp_path.iterdir()) == []


# What is not whole


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
@pytest.mark.parametrize("keep", [0, 1, 7, 8, 40, 0.5, -2])
def test_a_truncated_file_is_refused(bundle, name, keep):
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(StorageError, match=rf"^{name} of the model .*(cut short)"):
        read_folder(bundle)


def test_a_byte_more_is_refused(bundle):
    with (bundle / WEIGHTS).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(StorageError, match="has 97 bytes, expected at most 96"):
        read_folder(bundle)


@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_every_flipped_byte_is_refused_or_harmless(bundle, name, bit):
    data = (bundle / name).read_bytes()
    before = read_folder(bundle)
    refused = 0
    for i in range(len(data)):
        (bundle / name).write_bytes(data[:i] + bytes([data[i] ^ bit]) + data[i + 1 :])
        try:
            after = read_folder(bundle)
        except StorageError:
            refused += 1
        else:  # JSON has spellings of one value, such as a letter's case in an escape
            assert name == MANIFEST
            assert after[0] == before[0]
            np.testing.assert_array_equal(after[1]["w"], before[1]["w"])
    assert refused > 0.95 * len(data)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(StorageError, match=f"lacks its {name}"):
        read_folder(bundle)


def rewrite(bundle, **changes):
    manifest = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"which": "other"}, "manifest.json of the model .* altered"),
        ({"extra": 1}, "altered"),
        ({"weights_sha256": "0" * 64}, "altered"),
        ({"manifest_sha256": None}, "altered"),
        ({"format": "zip"}, "is not a condvae model"),
        ({"format_version": 2}, "made by a newer condvae .*upgrade"),
        ({"format_version": "2"}, "altered"),
    ],
)
def test_an_altered_manifest_is_refused(bundle, changes, sentence):
    rewrite(bundle, **changes)
    with pytest.raises(StorageError, match=sentence):
        read_folder(bundle)


@pytest.mark.parametrize("text", ["[1, 2]", "null", "3", "[" * 100_000, "{}", "\xff"])
def test_json_that_is_no_manifest_is_refused(bundle, text):
    (bundle / MANIFEST).write_bytes(text.encode("latin1"))
    with pytest.raises(StorageError, match=r"not JSON|not a condvae model"):
        read_folder(bundle)


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(StorageError, match="there is no model at"):
        read_folder(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is a file, and a model is a folder"):
        read_folder(tmp_path / "file")
    with pytest.raises(StorageError, match=r"is not a condvae model \(it has no manifest.json\)"):
        read_folder(tmp_path)


# What is refused when writing


def fill(folder, name):
    folder.mkdir()
    (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("name", ["thesis.tex", MANIFEST, WEIGHTS])
def test_a_folder_of_something_else_is_not_replaced(tmp_path, name):
    folder = fill(tmp_path / "work", name)
    with pytest.raises(StorageError, match="exists and is not only a condvae model"):
        write_folder(folder, *NEW)
    assert (folder / name).read_text() == "{}"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_bundle_with_notes_beside_it_is_not_replaced(bundle):
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        write_folder(bundle, *NEW)
    assert which(bundle) == "old"


def test_a_file_and_an_absent_parent_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="is a file"):
        write_folder(tmp_path / "file", *NEW)
    with pytest.raises(StorageError, match="cannot be written"):
        write_folder(tmp_path / "absent" / "model", *NEW)
    with pytest.raises(StorageError, match="cannot be written"):
        write_folder(tmp_path / "file" / "model", *NEW)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_an_unwritable_parent_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            write_folder(tmp_path / "model", *NEW)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "manifest", [{"x": float("nan")}, {"x": object()}, {"x": np.float32(1)}, {"x": "\ud800"}, {"x": {1, 2}}]
)
def test_a_manifest_that_is_not_json_is_refused(bundle, manifest):
    with pytest.raises(StorageError, match="manifest is not JSON"):
        write_folder(bundle, manifest, {})
    assert which(bundle) == "old"


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j]), np.longdouble([1])])
def test_an_array_that_cannot_be_saved_is_named(bundle, array):
    with pytest.raises(StorageError, match="array 'layer' is of type"):
        write_folder(bundle, {}, {"layer": array})
    assert which(bundle) == "old"


# Crashes


class Crash(BaseException):
    """The machine stops: nothing after it runs, not even the tidying up."""


def stop_at(monkeypatch, moment, error):
    """Let `error` be raised at the `moment`-th change of the disk, and at every one after it."""
    count = 0

    def counted(change):
        def wrapper(*args, **kwargs):
            nonlocal count
            count += 1
            if count > moment:
                raise error
            return change(*args, **kwargs)

        return wrapper

    for module, name in [
        (os, "rename"),
        (os, "replace"),
        (os, "fsync"),
        (os, "mkdir"),
        (storage.shutil, "rmtree"),
    ]:
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return lambda: count > moment


@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")], ids=["crash", "full"])
def test_wherever_saving_stops_a_whole_bundle_can_be_read(tmp_path, error):
    seen, moment, stopped = [], 0, True
    while stopped:
        path = tmp_path / str(moment) / "model"
        path.parent.mkdir()
        write_folder(path, *OLD)
        with pytest.MonkeyPatch.context() as patch:
            has_stopped = stop_at(patch, moment, error)
            with contextlib.suppress(Crash, StorageError, OSError):
                write_folder(path, *NEW)
            stopped = has_stopped()
        seen.append(which(path))
        write_folder(path, {"which": "next"}, {})  # and saving again mends the place
        assert which(path) == "next"
        moment += 1
    assert seen == sorted(seen, reverse=True)  # old until some moment, new from it on
    assert {"old", "new"} == set(seen)
    assert moment > 6


def test_a_failed_save_puts_the_old_bundle_back(bundle, monkeypatch):
    rename, calls = os.rename, []

    def second_fails(source, target, **kwargs):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return rename(source, target, **kwargs)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(StorageError, match="Input/output error"):
        write_folder(bundle, *NEW)
    assert len(calls) == 3
    assert [entry.name for entry in bundle.parent.iterdir()] == ["model"]
    assert which(bundle) == "old"


def test_wherever_writing_a_file_stops_it_is_old_or_new(tmp_path):
    for moment in range(4):
        path = tmp_path / str(moment)
        write_bytes(path, b"old")
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, moment, Crash())
            with contextlib.suppress(Crash):
                write_bytes(path, b"new")
        assert path.read_bytes() == (b"old" if moment < 2 else b"new")


@dataclass
class Kept(Arrays):
    table: np.ndarray
    share: float
    rows: int


def test_what_is_kept_comes_back_with_its_types():
    kept = Kept(np.arange(6.0).reshape(2, 3).T, 0.1, 7)
    arrays = kept.to_arrays()
    assert all(isinstance(array, np.ndarray) and array.flags.c_contiguous for array in arrays.values())
    restored = Kept.from_arrays(arrays)
    np.testing.assert_array_equal(restored.table, kept.table)
    assert (restored.share, restored.rows) == (0.1, 7)
    assert type(restored.rows) is int


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="the arrays of Kept lack table, rows"):
        Kept.from_arrays({"share": np.array(1.0)})


# Files that are not what a bundle is made of


def resealed(path, manifest=None, weights=None):
    """A bundle whose hashes are right, with another manifest or other bytes of weights."""
    old = json.loads((path / MANIFEST).read_text())
    data = (path / WEIGHTS).read_bytes() if weights is None else weights
    body = {name: value for name, value in (manifest or old).items() if name != "manifest_sha256"}
    body |= {"weights_sha256": hashlib.sha256(data).hexdigest(), "weights_bytes": len(data)}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    body["manifest_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (path / WEIGHTS).write_bytes(data)
    (path / MANIFEST).write_text(json.dumps(body))


def packed(dtype, shape, data=b"\0" * 8):
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    "weights",
    [
        packed("BF16", [4]),
        packed("F8_E4M3", [8]),
        packed("F32", [2**40, 2**40]),
        packed("F32", [2**62, 2, 0], b""),
        packed("Q7", [8]),
        b"",
        b"\xff" * 8,
    ],
)
def test_weights_of_no_type_or_shape_of_numpy_are_refused(bundle, weights):
    resealed(bundle, weights=weights)
    with pytest.raises(StorageError, match=r"weights\.safetensors of the model .* cannot be read \("):
        read_folder(bundle)


@pytest.mark.parametrize("depth", [500, 990, 3000, 200_000])
def test_a_manifest_of_deep_nesting_is_refused_or_read(bundle, depth):
    text = (bundle / MANIFEST).read_text().rstrip()[:-1]
    (bundle / MANIFEST).write_text(f'{text}, "deep": {"[" * depth}{"]" * depth}}}')
    with pytest.raises(StorageError, match=r"is not JSON|altered"):
        read_folder(bundle)


def test_numbers_that_json_does_not_have_are_refused(bundle):
    (bundle / MANIFEST).write_text('{"format": "condvae", "x": NaN}')
    with pytest.raises(StorageError, match="is not JSON"):
        read_folder(bundle)


def folder_at(path):
    path.mkdir()


def loop_at(path):
    path.symlink_to(path.name)


def sparse_at(path):
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
@pytest.mark.parametrize(
    "make", [folder_at, os.mkfifo, lambda path: path.symlink_to("/dev/zero"), loop_at, sparse_at]
)
@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_what_is_no_file_of_a_sensible_size_is_not_read(bundle, make, name):
    (bundle / name).unlink()
    make(bundle / name)
    with pytest.raises(StorageError, match=r"regular file|Too many levels|has 1,099,511,627,776 bytes"):
        read_folder(bundle)


@pytest.mark.parametrize("path", ["a" * 5000, "a/" * 5000, "nul\0", "\udcff"])
def test_a_path_that_cannot_be_is_one_sentence(path):
    with pytest.raises(StorageError, match=r"there is no model at .*check the path") as caught:
        read_folder(path)
    assert len(str(caught.value)) < 500


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
def test_a_loop_of_links_is_one_sentence(tmp_path):
    (tmp_path / "model").symlink_to("model")
    with pytest.raises(StorageError, match=r"there is no model at .*check the path"):
        read_folder(tmp_path / "model")
