"""Saved models: rebuilt from a description, or filled into a model of the same structure."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from condvae import CVAE, Mixture, Observed, bundle, log_prob
from condvae.architectures import mlp_cvae
from condvae.bundle import BundleError, load, load_bundle, save
from condvae.conditionals import PriorCorrection, StandardNormal
from condvae.linear_gaussian import random_linear_gaussian
from condvae.networks import ResidualMLP
from condvae.storage import StorageError, read_folder, write_folder

KEY = jax.random.key(0)
N = 4


def rows(kind):
    """x of a kind, and the numbers of levels of its integer cells."""
    real = jax.random.normal(KEY, (N, 3))
    codes = jnp.array([[0, 1], [1, 2], [0, 0], [1, 1]])
    if kind == "real":
        return real, ()
    if kind == "binary":
        return (real > 0).astype(jnp.float32), ()
    if kind == "codes":
        return codes, (2, 3)
    mask = jnp.array([[True, False, True]] * N)
    return {"categorical": Observed(codes, codes >= 0), "numeric": Observed(real, mask)}, (2, 3)


READY_MADE = {
    "gaussian": ("real", {}),
    "residual": ("real", {"residual": True}),
    "correction": ("real", {"posterior": "correction"}),
    "fixed prior": ("real", {"prior": "fixed"}),
    "fixed scale": ("real", {"scale": 0.5, "depth": 0}),
    "shared scale": ("real", {"scale": "shared", "activation": "tanh"}),
    "student_t": ("real", {"likelihood": "student_t"}),
    "bernoulli": ("binary", {"likelihood": "bernoulli"}),
    "categorical": ("codes", {}),
    "product": ("mixed", {"likelihood": "student_t"}),
}


@functools.cache
def ready_made(name, seed=0, with_c=True):
    kind, options = READY_MADE[name]
    x, levels = rows(kind)
    c = jax.random.normal(jax.random.key(1), (N, 2)) if with_c else None
    options = {"width": 8, "depth": 1, "latent_size": 2, **options}
    return mlp_cvae(x, c, x_levels=levels, key=jax.random.key(seed), **options), x, c


class Shift(eqx.Module):
    """A prior of a user's own."""

    weight: jax.Array

    def __call__(self, c):
        return StandardNormal((2,))(c)


def users_own(weight=1.0):
    model, _, _ = ready_made("gaussian")
    return CVAE(Shift(jnp.full((2, 2), weight)), model.likelihood, model.posterior)


def assert_same(model, other):
    assert jax.tree.structure(model) == jax.tree.structure(other)
    for leaf, twin in zip(jax.tree.leaves(model), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(leaf, twin, strict=eqx.is_array(leaf))


@pytest.mark.parametrize("name", READY_MADE)
def test_ready_made_models_are_rebuilt_from_the_manifest_alone(tmp_path, name):
    model, _, _ = ready_made(name)
    save(tmp_path / "model", model)
    assert_same(load(tmp_path / "model"), model)
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "manifest.json",
        "weights.safetensors",
    ]


def test_the_variants_are_what_they_are_called():
    assert isinstance(ready_made("residual")[0].prior.network, ResidualMLP)
    assert isinstance(ready_made("correction")[0].posterior, PriorCorrection)
    assert isinstance(ready_made("fixed prior")[0].prior, StandardNormal)


def test_a_rebuilt_model_scores_alike(tmp_path):
    model, x, c = ready_made("product")
    save(tmp_path / "model", model)
    before = log_prob(model, x, c, key=KEY, num_samples=8, progress=False)
    after = log_prob(load(tmp_path / "model"), x, c, key=KEY, num_samples=8, progress=False)
    np.testing.assert_allclose(after.value, before.value, rtol=1e-5)


@pytest.mark.parametrize("name", ["product", "residual", "correction"])
def test_mixtures_are_rebuilt_from_the_manifest_alone(tmp_path, name):
    members = [ready_made(name, seed)[0] for seed in range(3)]
    save(tmp_path / "model", Mixture.of(members))
    loaded = load(tmp_path / "model")
    assert isinstance(loaded, Mixture)
    assert_same(loaded, Mixture.of(members))
    for member, before in zip(loaded, members, strict=True):
        assert_same(member, before)


def test_mixtures_of_modules_of_a_users_own_are_filled_in(tmp_path):
    saved, like = (Mixture.of([users_own(w), users_own(w + 1)]) for w in (1.0, 5.0))
    save(tmp_path / "model", saved)
    assert_same(load(tmp_path / "model", like=like), saved)
    with pytest.raises(BundleError, match=r"is float32\[2, 2, 2\], in like float32\[3, 2, 2\]"):
        load(tmp_path / "model", like=Mixture.of([users_own()] * 3))


def test_plain_and_linear_gaussian_models(tmp_path):
    for model in (
        ready_made("gaussian", with_c=False)[0],
        random_linear_gaussian(KEY, x_size=3, z_size=2, c_size=2),
    ):
        save(tmp_path / "model", model, overwrite=True)
        assert_same(load(tmp_path / "model"), model)


def test_arrays_of_numpy_are_weights_too(tmp_path):
    model, _, _ = ready_made("gaussian")
    as_numpy = jax.tree.map(lambda leaf: np.asarray(leaf) if eqx.is_array(leaf) else leaf, model)
    save(tmp_path / "model", as_numpy)
    assert_same(load(tmp_path / "model"), model)


def test_the_callers_manifest_comes_back(tmp_path):
    model, _, _ = ready_made("gaussian")
    save(tmp_path / "model", model, manifest={"kind": "mine", "größe": [1, None]})
    manifest = load_bundle(tmp_path / "model").manifest
    assert manifest.items() >= {"kind": "mine", "größe": [1, None]}.items()


def test_a_users_own_model_needs_like(tmp_path):
    save(tmp_path / "model", users_own(3.0))
    with pytest.raises(BundleError, match="modules of its author's own: load it with like="):
        load(tmp_path / "model")
    like = users_own(0.0)
    assert_same(load(tmp_path / "model", like=like), users_own(3.0))
    assert float(like.prior.weight[0, 0]) == 0.0


def test_a_class_of_the_same_name_is_not_taken_for_ours(tmp_path):
    class StandardNormal(Shift):
        pass

    model, _, _ = ready_made("gaussian")
    save(tmp_path / "model", CVAE(StandardNormal(jnp.ones(2)), model.likelihood, model.posterior))
    with pytest.raises(BundleError, match="load it with like="):
        load(tmp_path / "model")


def test_like_of_another_structure_or_shape_is_refused(tmp_path):
    model, x, c = ready_made("gaussian")
    save(tmp_path / "model", model)
    simpler = CVAE(StandardNormal((2,)), model.likelihood, model.posterior)
    with pytest.raises(BundleError, match=r"not of like's structure: only the saved one has \.prior\.head"):
        load(tmp_path / "model", like=simpler)
    save(tmp_path / "simpler", simpler)
    with pytest.raises(BundleError, match=r"only like has \.prior\.weight; build like as"):
        load(tmp_path / "simpler", like=users_own())
    wider = mlp_cvae(x, c, latent_size=2, width=9, depth=1, key=KEY)
    with pytest.raises(BundleError, match=r"float32\[8, 2\], in like float32\[9, 2\]"):
        load(tmp_path / "model", like=wider)


@pytest.mark.parametrize("with_like", [False, True])
def test_float64_is_never_rounded_in_silence(tmp_path, x64, with_like):
    model = random_linear_gaussian(KEY, x_size=2, z_size=1)
    assert model.likelihood.bias.dtype == jnp.float64
    save(tmp_path / "model", model)
    like = model if with_like else None
    assert_same(load(tmp_path / "model", like=like), model)
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(BundleError, match=r"is in float64: enable that first, by jax\.config") as caught:
        load(tmp_path / "model", like=like)
    assert "cannot rebuild" not in str(caught.value)


def forge(path, change):
    """Write a bundle anew, its checks right, with another description of the architecture."""
    model, _, _ = ready_made("gaussian")
    save(path, model)
    manifest, arrays = read_folder(path)
    architecture = manifest["architecture"]
    replaced = change(architecture)
    write_folder(path, manifest | {"architecture": architecture if replaced is None else replaced}, arrays)


HOSTILE = {
    "unknown module": lambda a: a["fields"]["prior"].update(module="FlowConditional"),
    "path": lambda a: a["fields"]["prior"].update(module="os.system"),
    "builtin": lambda a: a["fields"]["prior"].update(module="eval"),
    "dunder": lambda a: a["fields"]["prior"].update(module="__import__"),
    "no name": lambda a: a["fields"]["prior"].update(module=["MLP"]),
    "unknown field": lambda a: a["fields"]["prior"]["fields"].update(hook="rm -rf"),
    "dunder field": lambda a: a["fields"]["prior"]["fields"].update(__class__="CVAE"),
    "missing field": lambda a: a["fields"]["prior"]["fields"].pop("head") and None,
    "unknown array": lambda a: a["fields"].update(prior={"array": "../../etc/passwd"}),
    "odd array": lambda a: a["fields"].update(prior={"array": {}}),
    "odd node": lambda a: a["fields"].update(prior={"pickle": "gASVAAAA"}),
    "no module": lambda a: "CVAE",
    "a list": lambda a: [a],
    "a tuple": lambda a: {"tuple": [1]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_odd_names_are_refused(tmp_path, name):
    forge(tmp_path / "model", HOSTILE[name])
    with pytest.raises(BundleError, match=r"this version cannot rebuild .*with like="):
        load(tmp_path / "model")


WEIGHT = ".prior.network.layers[0].weight"
BIAS = ".prior.network.layers[0].bias"


def swapped(arrays):
    arrays[WEIGHT], arrays[BIAS] = arrays[BIAS], arrays[WEIGHT]


DAMAGED = {
    "another type": (
        lambda a: a.update({WEIGHT: a[WEIGHT].astype(np.float16)}),
        r"weight is float16\[8, 2\]",
    ),
    "whole numbers": (lambda a: a.update({WEIGHT: a[WEIGHT].astype(int)}), "expected numbers of shape"),
    "another shape": (lambda a: a.update({WEIGHT: a[WEIGHT].T}), r"is float32\[2, 8\].*shape \[8, 2\]"),
    "broadcast": (lambda a: a.update({BIAS: a[BIAS][:1]}), r"is float32\[1\], expected .* \[8\]"),
    "no axes": (lambda a: a.update({BIAS: a[BIAS][0]}), r"is float32\[\], expected .* \[8\]"),
    "swapped": (swapped, r"expected numbers of shape"),
    "not a number": (lambda a: a[WEIGHT].fill(np.nan), "not finite"),
    "infinite": (lambda a: a[BIAS].fill(np.inf), "not finite"),
    "one too many": (lambda a: a.update(odd=np.float32([1])), "'odd' belongs to no part of the model"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_arrays_are_what_the_parts_of_the_model_declare(tmp_path, name):
    change, sentence = DAMAGED[name]
    save(tmp_path / "model", ready_made("gaussian")[0])
    manifest, arrays = read_folder(tmp_path / "model")
    arrays = {key: array.copy() for key, array in arrays.items()}
    change(arrays)
    write_folder(tmp_path / "model", manifest, arrays)
    with pytest.raises(BundleError, match=f"is damaged .*{sentence}"):
        load(tmp_path / "model")


def test_members_of_a_mixture_are_equally_many(tmp_path):
    save(tmp_path / "model", Mixture.of([ready_made("gaussian", seed)[0] for seed in range(3)]))
    manifest, arrays = read_folder(tmp_path / "model")
    arrays[".stacked" + BIAS] = arrays[".stacked" + BIAS][:2]
    write_folder(tmp_path / "model", manifest, arrays)
    with pytest.raises(BundleError, match=r"bias is float32\[2, 8\], expected numbers of shape \[3, 8\]"):
        load(tmp_path / "model")


def test_weights_for_a_model_of_the_same_structure_are_finite(tmp_path):
    save(tmp_path / "model", users_own(np.nan))
    with pytest.raises(BundleError, match=r"\.prior\.weight in .* holds numbers that are not finite"):
        load(tmp_path / "model", like=users_own())


FIELDS = {
    "text for a number": (
        lambda a: a["fields"]["prior"]["fields"]["network"]["fields"].update(in_size="2")
    ),
    "a module for text": (
        lambda a: a["fields"]["prior"]["fields"]["network"]["fields"].update(activation={"tuple": []})
    ),
    "a number for a module": (lambda a: a["fields"].update(prior=3)),
    "a module for an array": (
        lambda a: a["fields"]["prior"]["fields"]["head"]["fields"]["parameters"]["fields"].update(
            log_scale={"tuple": [1]}
        )
    ),
    "another place": (
        lambda a: a["fields"]["prior"]["fields"]["network"]["fields"]["layers"]["tuple"][0][
            "fields"
        ].update(weight={"array": BIAS})
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_what_the_parts_of_the_model_declare(tmp_path, name):
    forge(tmp_path / "model", FIELDS[name])
    with pytest.raises(BundleError, match=r"is damaged|cannot rebuild"):
        load(tmp_path / "model")


def test_a_bottomless_manifest_is_refused(tmp_path, monkeypatch):
    node = None
    for _ in range(10_000):
        node = {"tuple": [node]}
    monkeypatch.setattr(bundle, "read_folder", lambda _: ({"architecture": node}, {}))
    with pytest.raises(BundleError, match="cannot rebuild"):
        load(tmp_path / "model")


def test_an_unknown_module_is_named(tmp_path):
    forge(tmp_path / "model", HOSTILE["unknown module"])
    with pytest.raises(BundleError, match="it has no module 'FlowConditional'"):
        load(tmp_path / "model")


def test_every_part_is_a_module():
    assert all(
        issubclass(part, eqx.Module) and name == part.__name__ for name, part in bundle.PARTS.items()
    )


def test_saving_over_a_model_keeps_it_or_replaces_it_and_nothing_else(tmp_path):
    save(tmp_path / "model", ready_made("gaussian")[0])
    other = ready_made("gaussian", seed=9)[0]
    with pytest.warns(UserWarning, match=r"is kept as 'model\.1'; use overwrite=True to replace it"):
        save(tmp_path / "model", other)
    save(tmp_path / "model", other, overwrite=True)
    assert_same(load(tmp_path / "model"), other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.1"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    with pytest.raises(StorageError, match=r"chapter\.tex"):
        save(tmp_path / "thesis", other)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "precious"
