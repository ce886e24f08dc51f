"""Every kind of head, in one list, of which each is tested alike. To add one, add a line."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from condvae.conditionals import Conditional
from condvae.heads import (
    FAMILIES,
    BernoulliHead,
    CategoricalHead,
    Cell,
    CodesHead,
    ColumnsHead,
    EmbeddingHead,
    FamilyHead,
    FlowHead,
    FullGaussianHead,
    GaussianHead,
    GaussianMixtureHead,
    LowRankGaussianHead,
    MixtureHead,
    OrdinalHead,
    PixelHead,
    ProductHead,
    RelaxedCategoricalHead,
    StudentTHead,
)
from condvae.networks import MLP, Features

KEY = jax.random.key(0)
WIDTH = 6
OPTIONS = {
    "truncated_gaussian": {"low": -0.5, "high": 2.0},
    "censored_gaussian": {"low": -0.5, "high": 1.0},
    "rounded_gaussian": {"width": 0.25, "origin": 0.1},
    "rounded_student_t": {"width": (0.25, 1.0)},
}


ENDS = {"above": {"low": -0.5}, "below": {"high": 2.0}, "everywhere": {}}
"""Limits on one side, and none."""

CELLS = [
    Cell("student_t"),
    Cell("negative_binomial", start=(1.0, 0.5), units=(3.0, 4.0)),
    Cell("ordinal", (("low", 1.0), ("high", 4.0)), units=(2.5, 1.0)),
    Cell("hurdle_gamma", start=(0.5, 0.5, -1.0), units=(1.0, 2.0)),
    Cell("rounded_student_t", (("width", 0.3), ("origin", 0.1))),
]
"""A row of numbers of several kinds."""


class Instance(NamedTuple):
    """A head, and what to call it."""

    name: str
    head: object


def instances() -> list[Instance]:
    """All of them, of two cells where nothing speaks for another number."""
    families = [Instance(n, FamilyHead(WIDTH, (2,), n, **OPTIONS.get(n, {}), key=KEY)) for n in FAMILIES]
    product = {"a": GaussianHead(WIDTH, (1,), key=KEY), "b": CategoricalHead(WIDTH, (3,), key=KEY)}
    limited = [
        Instance(f"{name}-{where}", FamilyHead(WIDTH, (2,), name, **ends, key=KEY))
        for name in ("truncated_gaussian", "censored_gaussian")
        for where, ends in ENDS.items()
    ]
    return [
        *families,
        *limited,
        Instance("gaussian-head", GaussianHead(WIDTH, (2,), key=KEY)),
        Instance("gaussian-unit", GaussianHead(WIDTH, (2,), scale=1.0, key=KEY)),
        Instance("gaussian-shared", GaussianHead(WIDTH, (2,), scale="shared", key=KEY)),
        Instance("student-t-head", StudentTHead(WIDTH, (2,), key=KEY)),
        Instance("bernoulli-head", BernoulliHead(WIDTH, (2,), key=KEY)),
        Instance("categorical", CategoricalHead(WIDTH, (2, 4), key=KEY)),
        Instance("ordinal", OrdinalHead(WIDTH, (2, 4), key=KEY)),
        Instance("embedding", EmbeddingHead(WIDTH, 300, size=4, key=KEY)),
        Instance("full", FullGaussianHead(WIDTH, 3, key=KEY)),
        Instance("low-rank", LowRankGaussianHead(WIDTH, 3, rank=1, key=KEY)),
        Instance("columns", ColumnsHead(WIDTH, CELLS, key=KEY)),
        Instance("codes", CodesHead(WIDTH, (3, 4, 2), ordinal=(False, True, False), key=KEY)),
        Instance("gaussian-mixture", MixtureHead(WIDTH, (2,), "gaussian", components=3, key=KEY)),
        Instance("poisson-mixture", MixtureHead(WIDTH, (2,), "poisson", components=2, key=KEY)),
        Instance("pixels", PixelHead(WIDTH, (2,), components=2, levels=32, key=KEY)),
        Instance("product", ProductHead(product)),
        Instance("joint-mixture", GaussianMixtureHead(WIDTH, 2, components=3, key=KEY)),
        Instance("coupling-flow", FlowHead(WIDTH, 3, "coupling", layers=2, width=8, key=KEY)),
        Instance("spline-flow", FlowHead(WIDTH, 2, "spline", layers=2, width=8, key=KEY)),
        Instance("relaxed", RelaxedCategoricalHead(WIDTH, 2, 3, key=KEY)),
    ]


def conditional(head) -> Conditional:
    """The head after a small network."""
    return Conditional(Features(), MLP(3, width=WIDTH, depth=1, key=jax.random.key(1)), head)


INPUTS = jnp.asarray(np.array([0.3, -1.0], np.float32)), jnp.asarray(np.array([0.5], np.float32))
