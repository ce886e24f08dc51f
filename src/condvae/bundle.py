"""Saved models: a folder with a manifest and weights, from which nothing is ever executed.

A model made of the library's own parts is described in the manifest, field by field, and rebuilt from it:
names are looked up in `PARTS`, a fixed table, and nothing is imported or evaluated. A model with modules of
the user's own has weights and no description; it is loaded into a model of the same structure, `like=`.
"""

import dataclasses
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from condvae import conditionals, heads, networks
from condvae.declared import MALFORMED, Shape, Sizes, conform, reason, require_array, require_like
from condvae.mixture import Mixture
from condvae.model import CVAE
from condvae.observed import Observed
from condvae.runtime import require_runtime
from condvae.sentences import Argument, Text
from condvae.storage import StorageError, read_folder, write_folder
from condvae.text import MAX_PATH, cut, quote

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
        RuntimeError: in a forked process.
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
    require_runtime()
    manifest, saved = read_folder(Path(path))
    arrays = {name: array for name, array in saved.items() if not name.startswith(BESIDE)}
    others = {name.removeprefix(BESIDE): saved[name] for name in saved if name.startswith(BESIDE)}
    path = cut(str(path), MAX_PATH)
    _check_precision(arrays, path)
    if like is not None:
        return Bundle(_fill(like, arrays, path), manifest, others)
    architecture = manifest.get("architecture")
    if architecture is None:
        raise BundleError(
            f"{path} holds a model with modules of its author's own: load it with like=, a model of the "
            "same structure"
        )
    rebuilding = _Rebuilding(arrays)
    try:
        model = rebuilding.rebuild(architecture, "")
        if not isinstance(model, eqx.Module):
            raise TypeError(f"it is a {type(model).__name__}, not a module")
    except MALFORMED as error:
        raise BundleError(
            f"{path} describes a model that this version cannot rebuild ({reason(error)}): load it with "
            "the condvae that saved it, or with like="
        ) from error
    try:
        rebuilding.require_declared()
    except MALFORMED as error:
        raise BundleError(
            f"the model in {path} is damaged ({reason(error)}): copy it again, or save it again"
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


class _Rebuilding:
    """A model that is rebuilt from its description, and the checks of its fields and arrays."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays
        self.modules: list[tuple[str, eqx.Module]] = []
        self.members: Sizes = {}
        self.places: set[str] = set()

    def rebuild(self, node: Any, place: str) -> Any:
        """The part of the model that a node of the description stands for; arrays are in their places."""
        if isinstance(node, str):
            return sys.intern(node)  # so that a default is known to be one, and is left out of the repr
        if not isinstance(node, dict):
            return node
        if "array" in node:
            if node["array"] != place:
                raise ValueError(f"the array {quote(node['array'])} stands at {quote(place)}")
            self.places.add(place)
            return jnp.asarray(self.arrays[place])
        if "observed" in node:
            pairs = zip(Observed._fields, node["observed"], strict=True)
            return Observed(*(self.rebuild(item, f"{place}.{name}") for name, item in pairs))
        if "tuple" in node:
            return tuple(self.rebuild(item, f"{place}[{i}]") for i, item in enumerate(node["tuple"]))
        if "dict" in node:
            return {key: self.rebuild(item, f"{place}['{key}']") for key, item in node["dict"].items()}
        return self._module(node, place)

    def _module(self, node: Any, place: str) -> eqx.Module:
        if node["module"] not in PARTS:
            raise ValueError(f"it has no module {quote(node['module'])}")
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
            object.__setattr__(module, field, self.rebuild(value, f"{place}.{field}"))
        self.modules.append((place, module))
        return module

    def require_declared(self) -> None:
        """Check that each field is as its module declares it, and that each array has its place.

        Raises:
            ValueError: if one is not.
        """
        if odd := sorted(set(self.arrays) - self.places):
            raise ValueError(f"the array {quote(odd[0])} belongs to no part of the model")
        mixtures = [place for place, module in self.modules if isinstance(module, Mixture)]
        for place, module in self.modules:
            leading = "members " if any(place.startswith(outer) for outer in mixtures) else ""
            _require_fields(module, place, leading, self.members)


def _require_fields(module: Any, place: str, leading: str, members: Sizes) -> None:
    """Check the fields of a module by its hints; `members` is the length of the leading axis."""
    fields = dataclasses.fields(module)
    numbers = {each.name: getattr(module, each.name) for each in fields if each.type is int}
    arrays: list[tuple[str, Any, Shape]] = []
    for each in fields:
        arrays += _arrays_of(each.type, getattr(module, each.name), f"{place}.{each.name}")
    for name, declared in _shapes_of_equinox(module).items():
        if getattr(module, name) is not None:
            arrays.append((f"{place}.{name}", getattr(module, name), Shape(" ".join(map(str, declared)))))
    sizes = members | numbers
    for name, array, shape in arrays:
        require_array(name, array, shape._replace(axes=leading + shape.axes), sizes)
    if leading and "members" in sizes:
        members["members"] = sizes["members"]


def _shapes_of_equinox(module: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays that Equinox declares without one."""
    if isinstance(module, eqx.nn.Linear):
        out, into = (1 if n == "scalar" else n for n in (module.out_features, module.in_features))
        return {"weight": (out, into), "bias": (out,)}
    if isinstance(module, eqx.nn.Conv2d):
        out, ones = module.out_channels, (1,) * module.num_spatial_dims
        weight = (out, module.in_channels // module.groups, *module.kernel_size)
        return {"weight": weight, "bias": (out, *ones)}
    return {"weight": module.shape, "bias": module.shape} if isinstance(module, eqx.nn.LayerNorm) else {}


def _arrays_of(hint: Any, value: Any, place: str) -> list[tuple[str, Any, Shape]]:
    """The arrays of a field and what its hint declares them to be; an error for a value of another type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hasattr(hint, "dim_str"):
        kinds = "f" if "float32" in hint.dtypes else "iu" if "int32" in hint.dtypes else ""
        axes = "..." if "*shape" in hint.dim_str else hint.dim_str
        return [(place, value, Shape(axes, kinds))]
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return []
        rest = [argument for argument in arguments if argument is not NoneType]
        hint = rest[0] if len(rest) == 1 else next((each for each in rest if _suits(each, value)), rest[0])
        return _arrays_of(hint, value, place)
    if origin is tuple:
        if not isinstance(value, tuple) or (arguments[-1] is not ... and len(value) != len(arguments)):
            raise ValueError(f"{place} is {quote(value)}, expected a tuple of other items")
        hints = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        pairs = enumerate(zip(hints, value, strict=True))
        return [one for i, (each, item) in pairs for one in _arrays_of(each, item, f"{place}[{i}]")]
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{place} is {quote(value)}, expected parts by name")
        return [one for key in value for one in _arrays_of(arguments[1], value[key], f"{place}['{key}']")]
    if origin is Literal or hint in (bool, int, float, str):
        conform(hint, value, place)
    elif hint is tuple and not isinstance(value, tuple):
        raise ValueError(f"{place} is {quote(value)}, expected a tuple")
    elif (origin is Callable or hint is Callable or _is_module(hint)) and not (
        isinstance(value, hint if hint is CVAE else eqx.Module)
    ):
        raise ValueError(f"{place} is {quote(value)}, expected a module")
    return []


def _is_module(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, eqx.Module)


def _suits(hint: Any, value: Any) -> bool:
    try:
        _arrays_of(hint, value, "")
    except ValueError:
        return False
    return True


def _fill(like: PyTree, arrays: Mapping[str, np.ndarray], path: str) -> Any:
    try:
        require_like(_named_arrays(like), arrays, "the saved one", "like")
    except ValueError as error:
        raise BundleError(
            f"the model in {path} is not of like's structure: {reason(error)}; build like as the saved "
            "model was built"
        ) from error
    for name, leaf in _named_arrays(like).items():
        if not np.isfinite(arrays[name]).all() and np.isfinite(leaf).all():
            raise BundleError(f"{name} in {path} holds numbers that are not finite: train the model again")
    dynamic, static = eqx.partition(like, _is_array)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(dynamic)
    filled = [jnp.asarray(arrays[jax.tree_util.keystr(where)]) for where, _ in leaves]
    return eqx.combine(jax.tree_util.tree_unflatten(treedef, filled), static)


def _check_precision(arrays: Mapping[str, np.ndarray], path: str) -> None:
    """Refuse what JAX would silently round."""
    double = any(array.dtype == np.float64 for array in arrays.values())
    if double and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise BundleError(
            f"the model in {path} is in float64: enable that first, by "
            "jax.config.update('jax_enable_x64', True)"
        )


__all__ = ["PARTS", "Bundle", "BundleError", "StorageError", "load", "load_bundle", "save"]
