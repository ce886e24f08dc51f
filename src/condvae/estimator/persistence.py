"""A fitted estimator to a folder and back."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from condvae import bundle, tables
from condvae.declared import MALFORMED, conform, reason
from condvae.mixture import Mixture
from condvae.storage import spelled, unspelled
from condvae.table_models.defaults import Settings
from condvae.table_models.model import TableModel
from condvae.table_models.soundness import require_sound
from condvae.tables.native import settled
from condvae.text import MAX_PATH, cut
from condvae.training import History
from condvae.version import VERSION

FORMAT = 4
"""Of what is written; a folder of a later one is refused."""

PLAIN: dict[str, Any] = {
    "kind_": Literal["numpy", "pandas", "polars", "pyarrow"],
    "num_rows_": int,
    "notes_": list[str],
    "validation_": dict[str, Any] | None,
    "provenance_": dict[str, str],
    "seed_": int,
    "n_features_in_": int,
}
"""Attributes that are JSON as they stand, and their types."""


def save(estimator: Any, path: str | Path, overwrite: bool) -> None:
    """Write the estimator to the folder `path`, atomically; arguments as those of `bundle.save`."""
    manifest = {
        "kind": "table",
        "table_format": FORMAT,
        "schema": estimator.schema_.to_json(),
        "parameters": {name: plain(value) for name, value in estimator.get_params().items()},
        "settings": dict(estimator.settings_._asdict()),
        "best": estimator.table_.best,
        "fitted": {name: spelled(getattr(estimator, name)) for name in PLAIN},
        "history": estimator.history_.to_json(),
    }
    arrays = estimator.table_.arrays()
    bundle.save(path, estimator.model_, manifest=manifest, arrays=arrays, overwrite=overwrite)


def load(cls: Any, path: str | Path) -> Any:
    """Read what `save` wrote.

    Raises:
        StorageError: if there is no intact model there.
        BundleError: if it is a model, but not of a table, or of another version, or its parts do not fit.
    """
    saved, shown = bundle.load_bundle(path), cut(str(path), MAX_PATH)
    manifest = saved.manifest
    if manifest.get("kind") != "table":
        raise bundle.BundleError(f"{shown} holds a model that is not of a table: use condvae.load")
    try:
        if manifest["table_format"] != FORMAT:
            raise ValueError(f"format {manifest['table_format']}, not {FORMAT}")
        parameters = manifest["parameters"]
        estimator = cls(**parameters | {"missing": tuple(parameters.get("missing", ()))})
        estimator.schema_ = tables.Schema.from_json(manifest["schema"])
        fitted = conform(dict[str, Any], manifest["fitted"], "fitted")
        for name, hint in PLAIN.items():
            setattr(estimator, name, conform(hint, unspelled(fitted[name]), name))
        estimator.settings_ = conform(Settings, manifest["settings"], "settings")
        if not isinstance(saved.model, Mixture):
            raise TypeError("the model is no mixture")
        estimator.model_ = saved.model
        best = conform(int, manifest["best"], "best")
        estimator.table_ = TableModel.from_arrays(estimator.schema_, saved.model, best, saved.arrays)
        require_sound(estimator.table_)
        estimator.history_ = History.from_json(manifest["history"])
    except MALFORMED as error:
        raise bundle.BundleError(
            f"{shown} is damaged, or was saved by another version of condvae "
            f"({reason(error)}): copy it again, or load it with the version that saved it"
        ) from error
    estimator.num_parameters_ = num_parameters(estimator.model_)
    names = [column.name for column in estimator.schema_.given]
    if estimator.kind_ != "numpy" and names and all(isinstance(name, str) for name in names):
        estimator.feature_names_in_ = np.array(names, dtype=object)
    return estimator


def plain(value: Any) -> Any:
    """What JSON can hold of a parameter: of NumPy's scalars Python's, of a function its name."""
    if isinstance(value, np.random.RandomState):
        return None
    if callable(value):  # a user's own objective
        return getattr(value, "__qualname__", type(value).__name__)
    if isinstance(value, Mapping):
        return {str(settled(name)): text for name, text in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def num_parameters(model: Any) -> int:
    """How many numbers were learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array))


def provenance() -> dict[str, str]:
    """With what, and when, a model was made."""
    return {
        "condvae": VERSION,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
