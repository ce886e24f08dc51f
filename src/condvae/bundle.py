"""Saved models: a folder with a manifest and weights, from which nothing is ever executed.

A model made of the library's own parts is described in the manifest, field by field, and rebuilt from it:
names are looked up in `PARTS`, a fixed table, and nothing is imported or evaluated. A model with modules of
the user's own has weights and no description; it is loaded into a model of the same structure, `like=`.
"""

import dataclasses
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from condvae import conditionals, heads, networks
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.sentences import Argument, Text
from condvae.storage import StorageError, read_folder, write_folder

PARTS: dict[str, type[eqx.Module]] = {
    part.__name__: part
    for part in (
        CVAE,
        Mixture,
        conditionals.AffineGaussian,
        conditionals.Conditional,
        conditionals.ConditionalInTurn,
        conditionals.Hierarchy,
        conditionals.LadderPosterior,
        conditionals.OneHotInput,
        conditionals.PriorCorrection,
        conditionals.SameAsPrior,
        conditionals.StandardNormal,
        conditionals.VampPrior,
        heads.BernoulliHead,
        heads.CategoricalHead,
        heads.CodesHead,
        heads.ColumnsHead,
        heads.EmbeddingHead,
        heads.FamilyHead,
        heads.FlowHead,
        heads.FullGaussianHead,
        heads.GaussianHead,
        heads.GaussianMixtureHead,
        heads.LocationScale,
        heads.LowRankGaussianHead,
        heads.MixtureHead,
        heads.OrdinalHead,
        heads.PixelHead,
        heads.ProductHead,
        heads.RelaxedCategoricalHead,
        heads.StudentTHead,
        heads.UniversalHead,
        networks.AttentionBlock,
        networks.ByPart,
        networks.CellwiseLinear,
        networks.CellwiseMLP,
        networks.ConvDecoder,
        networks.ConvEncoder,
        networks.Features,
        networks.PiecewiseLinear,
        networks.MLP,
        networks.PatchDecoder,
        networks.SetDecoder,
        networks.PatchEncoder,
        networks.Pixels,
        networks.ResidualMLP,
        networks.SequenceEncoder,
        networks.SetEncoder,
        eqx.nn.Conv2d,
        eqx.nn.LayerNorm,
        eqx.nn.Linear,
    )
}
"""Every module that a manifest may name."""

BESIDE = "beside:"
"""How the names of arrays begin that are no weights; those of weights begin with a dot or a bracket."""


class BundleError(ValueError):
    """A saved model cannot be loaded; the message says why and what to do."""


def save(
    path: str | Path,
    model: eqx.Module,
    *,
    manifest: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    overwrite: bool = False,
) -> None:
    """Save a model to the folder `path`, atomically: a crash leaves the old one or the new one.

    Args:
        path: the folder. It must be new or empty, or hold a saved model, which is then kept beside it as
            `path.1` (or the next number that is free), with a warning.
        model: any Equinox module; its arrays are the weights.
        manifest: what else to keep, of JSON's types, under names of the caller's choice.
        arrays: other arrays to keep beside the weights, likewise.
        overwrite: whether an older saved model is removed instead of kept.

    Raises:
        StorageError: if the folder cannot be written, or holds other things than a saved model.

    Example:
        >>> import jax, tempfile
        >>> from condvae import load, save
        >>> from condvae.linear_gaussian import random_linear_gaussian
        >>> model = random_linear_gaussian(jax.random.key(0), x_size=2, z_size=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(folder + "/model", model)
        ...     same = load(folder + "/model")
        >>> bool((same.likelihood.bias == model.likelihood.bias).all())
        True
    """
    try:
        architecture = _describe(model, "")
    except _NotAPart:
        architecture = None
    weights = {name: np.asarray(leaf) for name, leaf in _named_arrays(model).items()}
    others = {f"{BESIDE}{name}": np.asarray(array) for name, array in (arrays or {}).items()}
    described = {**(manifest or {}), "architecture": architecture}
    kept = write_folder(Path(path), described, weights | others, keep=not overwrite)
    if kept is not None:
        said = "the model that was in {path!q} is kept as {kept!q}; use {overwrite} to replace it"
        overwriting = Argument("overwrite", True)
        warnings.warn(Text(said, path=str(path), kept=kept.name, overwrite=overwriting), stacklevel=2)


def load(path: str | Path, *, like: PyTree = None) -> Any:
    """Load a model that was saved by `save`.

    Args:
        path: the folder.
        like: a model of the same structure, for one with modules of the user's own; its arrays are
            replaced by those saved.

    Raises:
        StorageError: if there is no intact saved model there.
        BundleError: if the model needs `like`, or does not fit it.
    """
    return load_bundle(path, like=like).model


class Bundle(NamedTuple):
    """All that a folder holds: the model, the manifest, and the arrays beside the weights."""

    model: Any
    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]


def load_bundle(path: str | Path, *, like: PyTree = None) -> Bundle:
    """The model and what was saved with it; arguments and errors as those of `load`."""
    manifest, saved = read_folder(Path(path))
    arrays = {name: array for name, array in saved.items() if not name.startswith(BESIDE)}
    others = {name.removeprefix(BESIDE): saved[name] for name in saved if name.startswith(BESIDE)}
    _check_precision(arrays, path)
    if like is not None:
        return Bundle(_fill(like, arrays, path), manifest, others)
    architecture = manifest.get("architecture")
    if architecture is None:
        raise BundleError(
            f"{path} holds a model with modules of its author's own: load it with like=, a model of the "
            "same structure"
        )
    try:
        model = _rebuild(architecture, arrays)
        if not isinstance(model, eqx.Module):
            raise TypeError(f"it is a {type(model).__name__}, not a module")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{path} describes a model that this version cannot rebuild ({error}): load it with the "
            "condvae that saved it, or with like="
        ) from error
    return Bundle(model, manifest, others)


def _named_arrays(tree: PyTree) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, _is_array))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


class _NotAPart(Exception):
    """Something that a manifest cannot describe."""


def _describe(node: Any, name: str) -> Any:
    """JSON for a node of the model; arrays are named as JAX names their place."""
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if _is_array(node):
        return {"array": name}
    if isinstance(node, Observed):
        return {"observed": [_describe(item, f"{name}.{field}") for field, item in node._asdict().items()]}
    if isinstance(node, tuple):
        return {"tuple": [_describe(item, f"{name}[{i}]") for i, item in enumerate(node)]}
    if isinstance(node, dict) and all(isinstance(key, str) for key in node):
        return {"dict": {key: _describe(item, f"{name}['{key}']") for key, item in node.items()}}
    part = PARTS.get(type(node).__name__)
    if part is not None and part is type(node):
        fields = [field.name for field in dataclasses.fields(part)]
        described = {field: _describe(getattr(node, field), f"{name}.{field}") for field in fields}
        return {"module": type(node).__name__, "fields": described}
    raise _NotAPart(type(node).__name__)


def _rebuild(node: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(node, str):
        return sys.intern(node)  # so that a default is known to be one, and is left out of the repr
    if not isinstance(node, dict):
        return node
    if "array" in node:
        return jnp.asarray(arrays[node["array"]])
    if "observed" in node:
        return Observed(*(_rebuild(item, arrays) for item in node["observed"]))
    if "tuple" in node:
        return tuple(_rebuild(item, arrays) for item in node["tuple"])
    if "dict" in node:
        return {key: _rebuild(item, arrays) for key, item in node["dict"].items()}
    if node["module"] not in PARTS:
        raise ValueError(f"it has no module {node['module']!r}")
    part = PARTS[node["module"]]
    # A model saved before a part had a field has the field's default.
    defaults = {field.name: field.default for field in dataclasses.fields(part)}
    missing = set(defaults) - set(node["fields"])
    if set(node["fields"]) - set(defaults) or any(
        defaults[name] is dataclasses.MISSING for name in missing
    ):
        raise ValueError(f"{part.__name__} has other fields")
    module = object.__new__(part)
    for field in missing:
        object.__setattr__(module, field, defaults[field])
    for field, value in node["fields"].items():
        object.__setattr__(module, field, _rebuild(value, arrays))
    return module


def _fill(like: PyTree, arrays: Mapping[str, np.ndarray], path: Any) -> Any:
    expected = _named_arrays(like)
    if set(expected) != set(arrays):
        odd = sorted(set(expected) ^ set(arrays))[0]
        where = "the saved one" if odd in arrays else "like"
        raise BundleError(
            f"the model in {path} is not of like's structure: only {where} has {odd}; build like as the "
            "saved model was built"
        )
    for name, leaf in expected.items():
        if leaf.shape != arrays[name].shape or leaf.dtype != arrays[name].dtype:
            raise BundleError(
                f"{name} in {path} is {arrays[name].dtype}{list(arrays[name].shape)}, in like "
                f"{leaf.dtype}{list(leaf.shape)}: build like as the saved model was built"
            )
    dynamic, static = eqx.partition(like, _is_array)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(dynamic)
    filled = [jnp.asarray(arrays[jax.tree_util.keystr(where)]) for where, _ in leaves]
    return eqx.combine(jax.tree_util.tree_unflatten(treedef, filled), static)


def _check_precision(arrays: Mapping[str, np.ndarray], path: Any) -> None:
    """Refuse what JAX would silently round."""
    double = any(array.dtype == np.float64 for array in arrays.values())
    if double and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise BundleError(
            f"the model in {path} is in float64: enable that first, by "
            "jax.config.update('jax_enable_x64', True)"
        )


__all__ = ["PARTS", "Bundle", "BundleError", "StorageError", "load", "load_bundle", "save"]
