"""Files that are whole or not there: atomic writes, and bundles of a manifest and arrays.

A bundle is a folder of two files: `manifest.json` says what was saved, `weights.safetensors` holds the
arrays. Both are covered by SHA-256, so that what was cut short or altered is refused with a sentence;
reading them executes nothing.

A folder cannot be replaced in one step, so saving over a bundle takes two renames: the old one steps
aside as `.NAME.0123abcd.old`, with random digits, and the new one takes its place. A crash between the two
leaves no `NAME`, and `read_folder` then reads the old one from where it stepped aside. After the second
rename the old one is removed, or becomes `NAME.1` where it is to be kept. Nothing else beside a bundle is
touched.
"""

import hashlib
import itertools
import json
import math
import os
import re
import shutil
import stat
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from condvae.declared import MALFORMED, Shape, reason, require_array
from condvae.interruptions import temporary, undisturbed
from condvae.sentences import Text, remedy_of
from condvae.text import path_in_words

FORMAT = "condvae"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"


MOST_MANIFEST = 64 * 2**20
"""Bytes of a manifest at most."""

MOST_WEIGHTS = 4 * 2**30
"""Bytes of weights at most, in models whose manifest does not state how many there are."""


class StorageError(ValueError):
    """A file or bundle cannot be read or written; the message is one sentence that says why.

    Example:
        >>> read_folder("no/such/model")
        Traceback (most recent call last):
        condvae.storage.StorageError: there is no model at 'no/such/model'; check the path
    """


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file such that a crash at any moment leaves the old content or the new.

    Raises:
        StorageError: when its folder does not exist or cannot be written to, or `path` is a folder.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> write_bytes(path, b"hello")
        >>> path.read_bytes()
        b'hello'
    """
    path = Path(path)
    try:
        with temporary(_sibling(path, "tmp"), Path.touch) as written:
            _write_synced(written, data, "r+b")
            written.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_folder(
    path: str | Path,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    keep: bool = False,
) -> Path | None:
    """Write a bundle, in the place of an older one if there is one.

    Args:
        path: the bundle's folder; its parent must exist.
        manifest: any JSON object. `format`, `format_version`, `weights_sha256`, `weights_bytes`
            and `manifest_sha256` are set here.
        arrays: boolean, integer or floating arrays of any shapes, by name.
        keep: whether an older bundle is kept beside the new one: `NAME` as the first of `NAME.1`, `NAME.2`,
            ... that is free.

    Returns:
        Where the older bundle is kept, if there was one and `keep`.

    Raises:
        StorageError: when `path` is something other than a bundle (nothing of which is touched),
            cannot be written, or when the manifest is not JSON or an array not numeric.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model"
        >>> write_folder(path, {"kind": "plain"}, {"w": np.arange(3.0)})
        >>> manifest, arrays = read_folder(path)
        >>> manifest["kind"], arrays["w"]
        ('plain', array([0., 1., 2.]))
        >>> write_folder(path, {"kind": "other"}, {"w": np.arange(3.0)}, keep=True).name
        'model.1'
    """
    path = Path(path).resolve()  # a link to a bundle stays a link: what it points to is replaced
    weights = _pack(arrays)
    text = _seal(manifest, weights)
    try:
        _check_replaceable(path)
        with temporary(_sibling(path, "new"), Path.mkdir) as written:
            _write_synced(written / WEIGHTS, weights, "xb")
            _write_synced(written / MANIFEST, text, "xb")
            _sync_folder(written)
            with undisturbed:
                _swap(written, path)
        return _clear(path, keep)
    except OSError as error:
        raise _cannot_write(path, error) from error


def read_folder(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a bundle and check that it is whole.

    Returns:
        The manifest, with the entries that `write_folder` set, and the arrays by name.

    Raises:
        StorageError: when there is no bundle, or it is cut short, altered, foreign or newer.

    Example: see `write_folder`.
    """
    shown = path_in_words(path)
    try:
        folder = _folder_of(Path(path), shown)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, StorageError):
            raise
        why = getattr(error, "strerror", None) or reason(error)
        raise StorageError(f"there is no model at {shown} ({why}); check the path") from error
    manifest = _unseal(_read(folder, MANIFEST, shown, MOST_MANIFEST), shown)
    size = manifest.get("weights_bytes", MOST_WEIGHTS)  # which models of before do not state
    weights = _read(folder, WEIGHTS, shown, size if isinstance(size, int) else 0)
    if _sha256(weights) != manifest.get("weights_sha256"):
        raise _altered(shown, WEIGHTS)
    try:
        return manifest, safetensors.numpy.load(weights)
    except (SafetensorError, *MALFORMED) as error:
        raise StorageError(
            f"{WEIGHTS} of the model {shown} cannot be read ({reason(error)}); copy or save the model again"
        ) from error


def _folder_of(path: Path, shown: str) -> Path:
    """The folder that holds the bundle."""
    folder = path.resolve()
    if not folder.exists() and (aside := [old for old in _aside(folder) if _is_bundle(old)]):
        folder = aside[-1]  # a save was cut off between its two renames
    if not folder.exists():
        raise StorageError(f"there is no model at {shown}; check the path")
    if not folder.is_dir():
        raise StorageError(f"{shown} is a file, and a model is a folder; check the path")
    if not any(os.path.lexists(folder / name) for name in (MANIFEST, WEIGHTS)):
        raise StorageError(f"the folder {shown} is not a condvae model (it has no {MANIFEST})")
    return folder


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    # `order="C"`: safetensors reads memory as it lies, so that a transposed array would be garbled.
    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in packed.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise StorageError(
                f"array {name!r} is of type {array.dtype}, which cannot be saved; "
                "make it boolean, integer, float32 or float64"
            )
    return safetensors.numpy.save(packed)


def _seal(manifest: Mapping[str, Any], weights: bytes) -> bytes:
    """The text of the manifest with its checks."""
    sealed = {
        **manifest,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "weights_sha256": _sha256(weights),
        "weights_bytes": len(weights),
    }
    sealed.pop("manifest_sha256", None)
    try:
        sealed = json.loads(json.dumps(sealed, allow_nan=False))  # tuples become lists, as read back
        sealed["manifest_sha256"] = _sha256(_canonical(sealed))
        return (json.dumps(sealed, indent=2, ensure_ascii=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise StorageError(f"the manifest is not JSON ({error}); use only JSON's types") from error


def _unseal(text: bytes, shown: str) -> dict[str, Any]:
    try:
        manifest = json.loads(text, parse_constant=_no_constant)
        canonical = _canonical(manifest)  # which refuses deeper nesting than reading does
    except (ValueError, RecursionError) as error:
        raise StorageError(
            f"{MANIFEST} of the model {shown} is not JSON (cut short or altered); save the model again"
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StorageError(
            f"the folder {shown} is not a condvae model (its {MANIFEST} is another program's)"
        )
    version = manifest.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StorageError(
            f"the model {shown} was made by a newer condvae (format {version}, this one reads up to "
            f"{FORMAT_VERSION}): upgrade condvae"
        )
    if manifest.get("manifest_sha256") != _sha256(canonical):
        raise _altered(shown, MANIFEST)
    return manifest


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _canonical(manifest: Any) -> bytes:
    """What the hash of a manifest covers: all but the hash."""
    body = manifest
    if isinstance(manifest, dict):
        body = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(folder: Path, name: str, shown: str, most: int) -> bytes:
    """The bytes of a regular file, which are `most` at most."""
    path = folder / name
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(
                f"{name} of the model {shown} is not a regular file; copy the whole folder again"
            )
        if status.st_size > most:
            raise StorageError(
                f"{name} of the model {shown} has {status.st_size:,} bytes, expected at most {most:,}; "
                "copy the whole folder again"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise StorageError(f"the model {shown} lacks its {name}; copy the whole folder again") from error
    except OSError as error:
        raise StorageError(
            f"{name} of the model {shown} cannot be read: {error.strerror}; check its permissions"
        ) from error


NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""Numbers that JSON has no word for."""


def spelled(value: Any) -> Any:
    """Lists and dictionaries of JSON's types, with the numbers spelled that it has no word for.

    Example:
        >>> from condvae.storage import spelled, unspelled
        >>> spelled([1.0, float("inf")])
        [1.0, {'number': 'inf'}]
        >>> unspelled(spelled([1.0, float("inf")]))
        [1.0, inf]
    """
    if isinstance(value, Text):
        return value.to_json()
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if isinstance(value, dict):
        return {name: spelled(item) for name, item in value.items()}
    return {"number": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def unspelled(value: Any) -> Any:
    """What `spelled` was given."""
    if isinstance(value, list):
        return [unspelled(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {"number"}:
            return NOT_FINITE[value["number"]]
        if set(value) == {"template", "values"}:
            return Text.from_json(value)
        return {name: unspelled(item) for name, item in value.items()}
    return value


def require_writable(path: str | Path) -> None:
    """Check that a bundle can be written at `path`, before any work is done for it.

    Raises:
        StorageError: when `path` is something other than a bundle, or its parent is not there or cannot
            be written to.
    """
    path = Path(path)
    _check_replaceable(path)
    try:
        with temporary(_sibling(path, "probe"), Path.mkdir):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def require_file(path: str | Path, ending: str) -> None:
    """Check that a file can be written at `path`, before any work is done for it.

    Raises:
        StorageError: when its name does not end so, it is a folder, or its folder is not there or not to be
            written to.

    Example:
        >>> require_file("report.pdf", ".html")
        Traceback (most recent call last):
        condvae.storage.StorageError: 'report.pdf' does not end in .html; name a file that does
    """
    path = Path(path)
    if path.suffix.lower() != ending:
        raise StorageError(f"{str(path)!r} does not end in {ending}; name a file that does")
    if path.is_dir():
        raise StorageError(f"{str(path)!r} is a folder; name a file to write")
    try:
        with temporary(_sibling(path, "probe"), Path.touch):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def _check_replaceable(path: Path) -> None:
    """Refuse to put a bundle where something else would be lost."""
    if not path.exists():
        return
    if not path.is_dir():
        raise StorageError(f"{str(path)!r} is a file, and a model is a folder; choose another path")
    others = _others(path)
    if others or not (_is_bundle(path) or not any(path.iterdir())):
        reason = f"it holds {others[0]!r}" if others else f"its {MANIFEST} is not condvae's"
        raise StorageError(
            f"the folder {str(path)!r} exists and is not only a condvae model ({reason}); "
            "choose another path, or move it away"
        )


def _is_bundle(path: Path) -> bool:
    try:
        return json.loads((path / MANIFEST).read_bytes())["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _swap(new: Path, path: Path) -> None:
    """Put `new` in the place of `path`, which may exist."""
    old = _sibling(path, "old")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    _sync_folder(path.parent)


def _clear(path: Path, keep: bool) -> Path | None:
    """Keep or remove what stepped aside, now or before an earlier crash; the last that is kept."""
    kept = None
    for old in _aside(path):
        if keep and _is_bundle(old):
            free = (path.with_name(f"{path.name}.{i}") for i in itertools.count(1))
            kept = old.rename(next(name for name in free if not os.path.lexists(name)))
        else:
            shutil.rmtree(old, ignore_errors=True)
    return kept


def _aside(path: Path) -> list[Path]:
    """Bundles, or what is left of them, that stepped aside for another at `path`; the oldest first."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.old")
    if not path.parent.is_dir():
        return []
    beside = [entry for entry in path.parent.iterdir() if name.fullmatch(entry.name) and entry.is_dir()]
    ours = [entry for entry in beside if not _others(entry)]
    return sorted(ours, key=lambda entry: entry.stat().st_mtime_ns)


def _others(folder: Path) -> list[str]:
    """What a folder holds apart from a bundle."""
    return sorted({entry.name for entry in folder.iterdir()} - {MANIFEST, WEIGHTS, ".DS_Store"})


def _sibling(path: Path, ending: str) -> Path:
    """A name of its own in the same folder, since renames are atomic only within one file system."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


def _write_synced(path: Path, data: bytes, mode: Literal["r+b", "xb"]) -> None:
    with path.open(mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # where folders cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    return StorageError(f"{str(path)!r} cannot be written: {reason}; {remedy_of(error)}")


def _altered(shown: str, name: str) -> StorageError:
    return StorageError(
        f"{name} of the model {shown} was cut short or altered after it was saved "
        "(its SHA-256 differs); copy or save the model again"
    )


_SCALARS: dict[Any, Shape] = {int: Shape("", "iu"), float: Shape(""), bool: Shape("", "b")}


class Arrays:
    """A dataclass of arrays and numbers as arrays by name, and back, exactly.

    Example:
        >>> from dataclasses import dataclass
        >>> import numpy as np
        >>> from condvae.storage import Arrays
        >>> @dataclass
        ... class Line(Arrays):
        ...     slope: np.ndarray
        ...     rows: int
        >>> Line.from_arrays(Line(np.ones(2), 5).to_arrays())
        Line(slope=array([1., 1.]), rows=5)
    """

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The fields by name, for a file; `from_arrays` takes them back, exactly."""
        instance: Any = self
        return {field.name: np.asarray(getattr(self, field.name), order="C") for field in fields(instance)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], **sizes: int) -> Self:
        """The inverse of `to_arrays`; a field with a default may be absent, as in files of before.

        Args:
            arrays: the fields by name.
            sizes: the lengths of axes that are known, by the names that the fields' hints give them.

        Raises:
            ValueError: if an array is missing, or is not as its field declares it by a `Shape`.
        """
        kind: Any = cls
        needed = [field.name for field in fields(kind) if field.default is MISSING]
        names = [field.name for field in fields(kind) if field.name in arrays or field.name in needed]
        if absent := [name for name in names if name not in arrays]:
            raise ValueError(f"the arrays of {cls.__name__} lack {', '.join(absent)}")
        values: dict[str, Any] = {name: np.asarray(arrays[name]) for name in names}
        for field in fields(kind):
            if field.name not in values:
                continue
            scalar = _SCALARS.get(field.type)
            for shape in [scalar] if scalar else getattr(field.type, "__metadata__", ()):
                require_array(f"{cls.__name__}.{field.name}", values[field.name], shape, sizes)
            if scalar:
                values[field.name] = values[field.name].item()
        return cls(**values)
