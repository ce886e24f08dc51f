"""Collapse, told apart: is z used, not needed, or ignored? On problems whose log p(x | c) is known.

    python benchmarks/collapse.py                  # 40 fixtures of each kind
    python benchmarks/collapse.py --dev            # of the seeds by which thresholds and recipes were set
    python benchmarks/collapse.py --fixtures 5 --seed 3 --json found.json

A fixture is a problem drawn from its seed, 2,000 rows to train on and 1,000 held out, and three fits to the
same rows by the same recipe: the model, the same without z, and the same with free bits. Of a *problem*

    p(x | c) = Σ_u w_u p(x | u, c),   x given (u, c) of independent cells,   u one of A atoms,

log p is known. With one atom no z is needed, whatever c does to means, scales and categories; with atoms in
clusters, on a line or on a ring it is. *Kinds*:

    healthy      z needed, and a recipe that uses it: the KL term is warmed up
    not needed   one atom; by the recipe of the healthy ones, and by all those of the ignored ones
    ignored      z needed, and given up: for a KL weight of 5 or 10, a decoder that does not see z at
                 first, an encoder that hardly sees x at first (the last two on rings)

Whether z was given up is not left to the recipe: z is *worth* E[log p_true − log p_without], and a healthy
model has more than half of it, one that ignores z less than a quarter. That is measured on 1,000 more rows;
a fixture that turns out otherwise, or in between, is replaced by that of the next seed, and counted by
itself. `condvae.diagnosis.collapse` judges from held-out rows, and without any of this.
"""

import argparse
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax, logsumexp
from scipy.stats import binomtest, norm

from condvae import CVAE, elbo, fit, log_prob
from condvae.architectures import mlp_cvae
from condvae.diagnosis import collapse
from condvae.diagnosis.findings import Finding
from condvae.progress import Progress

TRAIN_ROWS, ROWS = 2000, 1000
LATENTS, WIDTH = 2, 32
LEVELS = 3
FREE_BITS = 1.0
HEALTHY, GIVEN_UP = 0.5, 0.25
"""The part of what z is worth that a healthy model has at least, and one that ignores z at most."""

OFFICIAL, SPACING = 1_000_000, 10_000
"""Seeds of fixtures are OFFICIAL + SPACING times `--seed` and on; those of `--dev` are below OFFICIAL."""

# --- problems


class Shape(NamedTuple):
    """Cells of a row: numbers and categories of x, numbers of c."""

    numeric: int
    categories: int
    given: int


SHAPES = (Shape(2, 0, 2), Shape(3, 0, 0), Shape(5, 0, 1), Shape(2, 2, 2))


class Problem(NamedTuple):
    """p(x | c) as a finite mixture of independent cells: atoms [A, d], weights [A], logits [A, k, levels].

    The means are atoms + c slope + sin(c bend), the scales exp(log_scale + c widen), and c adds to logits.
    """

    atoms: np.ndarray
    weights: np.ndarray
    logits: np.ndarray
    slope: np.ndarray
    bend: np.ndarray
    log_scale: np.ndarray
    widen: np.ndarray
    tilt: np.ndarray

    def given_c(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Without u: shifts of means and scales [n, d], shifts of logits [n, k, levels]."""
        tilted = np.tensordot(c, self.tilt, 1)
        return c @ self.slope + np.sin(c @ self.bend), np.exp(self.log_scale + c @ self.widen), tilted

    def rows(self, rng: np.random.Generator, n: int) -> tuple[Any, Any]:
        """n rows (x, c), as they are given to `fit`."""
        c = rng.normal(size=(n, len(self.slope)))
        u = rng.choice(len(self.weights), n, p=self.weights)
        shift, scale, tilted = self.given_c(c)
        numeric = (self.atoms[u] + shift + scale * rng.normal(size=shift.shape)).astype(np.float32)
        logits = self.logits[u] + tilted
        category = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1).astype(np.int32)
        x = {"category": category, "numeric": numeric} if category.shape[1] else numeric
        return x, c.astype(np.float32) if c.shape[1] else None

    def log_prob(self, x: Any, c: Any) -> np.ndarray:
        """log p(x | c) of each row."""
        numeric = x["numeric"] if isinstance(x, dict) else x
        shift, scale, tilted = self.given_c(np.zeros((len(numeric), 0)) if c is None else c)
        terms = norm.logpdf(numeric[:, None], self.atoms + shift[:, None], scale[:, None]).sum(axis=-1)
        if isinstance(x, dict):
            levels = log_softmax(self.logits + tilted[:, None], axis=-1)
            terms += np.take_along_axis(levels, x["category"][:, None, :, None], -1)[..., 0].sum(axis=-1)
        return logsumexp(terms, axis=1, b=self.weights)


def clusters(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Three or four corners of a cube, of unequal weights, and none near another."""
    count = int(rng.integers(3, 5))
    signs = np.array(list(np.ndindex(*(2,) * shape.numeric))) * 2.0 - 1.0
    corners = signs[rng.choice(len(signs), count, replace=False)]
    return corners * rng.uniform(0.8, 1.3, (count, shape.numeric)), rng.dirichlet(np.full(count, 20.0))


def line(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """One factor, Normal(0, 1), by its quantiles; every target loads on it."""
    quantiles = norm.ppf((np.arange(64) + 0.5) / 64)
    loadings = rng.uniform(0.8, 1.3, shape.numeric) * rng.choice([-1, 1], shape.numeric)
    return quantiles[:, None] * loadings, np.full(64, 1 / 64)


def ring(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """A closed curve: x and y of a circle, then of one that goes round twice, then once again."""
    angle = 2 * np.pi * (np.arange(64) + 0.5) / 64
    turns = np.arange(shape.numeric) // 2 % 2 + 1
    phase = rng.uniform(0, 2 * np.pi) - (np.arange(shape.numeric) % 2) * np.pi / 2
    radius = rng.uniform(1.6, 2.0, shape.numeric)
    return radius * np.cos(turns * angle[:, None] + phase), np.full(64, 1 / 64)


def point(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """One atom: cells are independent given c."""
    return rng.normal(size=(1, shape.numeric)), np.ones(1)


NEEDED = (clusters, line, ring)


def draw_problem(
    rng: np.random.Generator, shape: Shape, place: Callable[[np.random.Generator, Shape], Any]
) -> Problem:
    """Atoms by `place`; what c does is drawn anew, and so are scales. Categories go with the atoms."""
    atoms, weights = place(rng, shape)
    given, numeric = shape.given, shape.numeric
    curved, uneven = rng.integers(0, 2, 2)
    # Atoms near each other get like categories.
    directions = rng.normal(size=(numeric, shape.categories, LEVELS)) / np.sqrt(numeric)
    return Problem(
        atoms,
        weights,
        1.5 * np.tensordot(atoms, directions, 1),
        rng.normal(size=(given, numeric)) / np.sqrt(max(given, 1)),
        curved * 0.7 * rng.normal(size=(given, numeric)),
        np.log(rng.uniform(0.2, 0.35, numeric)),
        uneven * 0.2 * rng.normal(size=(given, numeric)),
        0.7 * rng.normal(size=(given, shape.categories, LEVELS)),
    )


# --- recipes


def decoder_first(model: CVAE, progress: jax.Array) -> CVAE:
    """The decoder does not see z in the first two thirds of training."""
    first = model.likelihood.network.layers[0].weight  # pyright: ignore[reportAttributeAccessIssue]
    seen = jnp.where(jnp.arange(first.shape[1]) < LATENTS, progress >= 2 / 3, True)
    return eqx.tree_at(lambda m: m.likelihood.network.layers[0].weight, model, first * seen)


class Recipe(NamedTuple):
    """How a model is trained.

    Attributes:
        beta: the weight of the KL term.
        warm_up: the part of training in which it rises to 1. At 0 there is none, but in the same compiled
            program; None where another beta is to stay.
        anneal: as that of `fit`.
        blind: whether the encoder starts with weights of x and c next to 0.
    """

    beta: float = 1.0
    warm_up: float | None = None
    anneal: Any = None
    blind: bool = False


RECIPES = {
    "warm-up": Recipe(warm_up=0.25),
    "beta 5": Recipe(beta=5.0),
    "beta 10": Recipe(beta=10.0),
    "decoder first": Recipe(warm_up=0.0, anneal=decoder_first),
    "blind encoder": Recipe(warm_up=0.0, blind=True),
}
SETTINGS = {
    "healthy": [(place, "warm-up") for place in NEEDED],
    "not needed": [(point, name) for name in RECIPES],
    "ignored": [
        *itertools.product(NEEDED, ("beta 5", "beta 10")),
        *itertools.product((ring,), ("decoder first", "blind encoder")),
    ],
}
"""Of each kind, which problems are fitted by which recipes."""

# One object for each, as `fit` compiles anew for another.
OBJECTIVES = {
    (beta, free): partial(elbo, beta=beta, free_bits=free)
    for beta in {recipe.beta for recipe in RECIPES.values()}
    for free in (0.0, FREE_BITS)
}


class Size(NamedTuple):
    """Of a fit: rows, steps, and layers of each network."""

    rows: int = TRAIN_ROWS
    steps: int = 4000
    depth: int = 2


FULL = Size()


def train(
    x: Any, c: Any, recipe: Recipe, seed: int, size: Size, *, latents: int = LATENTS, free: float = 0.0
) -> CVAE:
    """One fit by the recipe; without z there is nothing in it but steps and rates."""
    build_key, fit_key = jax.random.split(jax.random.key(seed))
    levels = (LEVELS,) * x["category"].shape[1] if isinstance(x, dict) else ()
    model = mlp_cvae(
        x, c, latent_size=latents, width=WIDTH, depth=size.depth, x_levels=levels, key=build_key
    )
    options: dict[str, Any] = {}
    if latents:
        options = {"objective": OBJECTIVES[recipe.beta, free], "anneal": recipe.anneal}
        if recipe.warm_up is not None:
            options["kl_warmup"] = max(1, int(recipe.warm_up * size.steps))
        if recipe.blind:
            model = eqx.tree_at(
                lambda m: m.posterior.network.layers[0].weight, model, replace_fn=lambda w: 1e-3 * w
            )
    options |= {"num_steps": size.steps, "learning_rate": 3e-3, "averaging": 0.99}
    return fit(model, x, c, key=fit_key, progress=False, **options)[0]


# --- fixtures


class Fixture(NamedTuple):
    """One problem and its three fits.

    Attributes:
        worth: E[log p_true − log p_without], nats per row; 0 where z is not needed.
        share: the part of it that the model has.
    """

    kind: str
    seed: int
    shape: str
    problem: str
    recipe: str
    model: CVAE
    without: CVAE
    freed: CVAE
    x: Any
    c: Any
    worth: float
    share: float

    @property
    def as_meant(self) -> bool:
        """Whether it is of its kind: by the truth, and not by the verdict."""
        return {
            "healthy": self.share > HEALTHY,
            "not needed": True,
            "ignored": self.share < GIVEN_UP,
        }[self.kind]

    def found(self) -> Finding:
        """What `collapse` says of it."""
        return collapse(
            self.model, self.without, self.freed, self.x, self.c, key=jax.random.key(self.seed + 7)
        )

    def words(self) -> str:
        """What it is."""
        said = f"{self.kind} {self.seed:,}: {self.problem}, {self.recipe}, {self.shape}"
        had = f"; has {self.share:.0%} of {self.worth:.2f} nats"
        return said if self.kind == "not needed" else said + had

    def to_json(self) -> dict[str, Any]:
        """What it is, without models and rows."""
        names = ("kind", "seed", "shape", "problem", "recipe", "worth", "share", "as_meant")
        return {name: getattr(self, name) for name in names}


KINDS = {"healthy": "z-used", "not needed": "z-not-needed", "ignored": "z-ignored"}


def make(kind: str, seed: int, size: Size = FULL) -> Fixture:
    """The fixture of a kind and seed: seeds go through shapes and settings, and draw the rest."""
    rng = np.random.default_rng([list(KINDS).index(kind), seed])
    shape = SHAPES[seed % len(SHAPES)]
    place, name = SETTINGS[kind][seed // len(SHAPES) % len(SETTINGS[kind])]
    recipe = RECIPES[name]
    problem = draw_problem(rng, shape, place)
    (x, c), (held_x, held_c), (truth_x, truth_c) = (problem.rows(rng, n) for n in (size.rows, ROWS, ROWS))
    seeds = rng.integers(2**31, size=3).tolist()
    model = train(x, c, recipe, seeds[0], size)
    without = train(x, c, recipe, seeds[1], size, latents=0)
    freed = train(x, c, recipe, seeds[2], size, free=FREE_BITS)
    worth = share = 0.0
    if kind != "not needed":
        own, least = (
            float(log_prob(each, truth_x, truth_c, key=jax.random.key(seed), num_samples=200).value.mean())
            for each in (model, without)
        )
        worth = float(problem.log_prob(truth_x, truth_c).mean()) - least
        share = (own - least) / worth
    said = f"{shape.numeric} numbers, {shape.categories} categories, {shape.given} conditions"
    return Fixture(
        kind, seed, said, place.__name__, name, model, without, freed, held_x, held_c, worth, share
    )


# --- the table


def wilson(count: int, of: int) -> str:
    """A share with its 95% interval."""
    if not of:
        return "none"
    low, high = binomtest(count, of).proportion_ci(method="wilson")
    return f"{count:>3} of {of:<3} {count / of:>6.1%}  ({low:.1%} to {high:.1%})"


def report(everything: Sequence[tuple[Fixture, Finding]]) -> None:
    """The confusion table, power and false alarms; then what was replaced, and what was judged wrongly."""
    judged = [(fixture, found) for fixture, found in everything if fixture.as_meant]
    counts = Counter((fixture.kind, found.code) for fixture, found in judged)
    others = Counter((fixture.kind, found.code) for fixture, found in everything if not fixture.as_meant)
    verdicts = (*KINDS.values(), "z-unclear")
    print(f"{'':24}" + "".join(f"{verdict:>14}" for verdict in verdicts))
    for name, table in (("", counts), (", replaced", others)):
        for kind in KINDS:
            said = "".join(f"{table[kind, verdict]:>14}" for verdict in verdicts)
            print(f"{kind + name:24}{said}")
    of = Counter(fixture.kind for fixture, _ in judged)
    print("\npower, with the Wilson interval of 95%")
    for kind, verdict in KINDS.items():
        print(f"    {f'{verdict}, of {kind}':34}{wilson(counts[kind, verdict], of[kind])}")
    print("\nfalse alarms")
    alarms = {
        "anything but z-used, of healthy": (("z-not-needed", "z-ignored", "z-unclear"), ("healthy",)),
        "z-ignored, of healthy": (("z-ignored",), ("healthy",)),
        "z-ignored, of not needed": (("z-ignored",), ("not needed",)),
        "z-ignored, of both": (("z-ignored",), ("healthy", "not needed")),
        "z-not-needed, of healthy": (("z-not-needed",), ("healthy",)),
        "z-not-needed, of ignored": (("z-not-needed",), ("ignored",)),
        "z-not-needed, of both": (("z-not-needed",), ("healthy", "ignored")),
        "z-used, of not needed and ignored": (("z-used",), ("not needed", "ignored")),
    }
    for name, (verdicts, kinds) in alarms.items():
        count = sum(counts[kind, verdict] for kind in kinds for verdict in verdicts)
        print(f"    {name:34}{wilson(count, sum(of[kind] for kind in kinds))}")
    for fixture, found in everything:
        if not fixture.as_meant:
            print(f"\nreplaced: {fixture.words()}:\n    {found.code}: {found.words()}")
        elif found.code != KINDS[fixture.kind]:
            print(f"\nwrong: {fixture.words()}:\n    {found.code}: {found.words()}")


def main(fixtures: int, first: int, path: Path | None) -> None:
    """Fixtures of every kind until there are enough of each, judged, and the table."""
    judged: list[tuple[Fixture, Finding]] = []
    before = time.perf_counter()
    with Progress("fixtures", len(KINDS) * fixtures, enabled=True) as bar:
        for kind in KINDS:
            seeds = itertools.count(first)
            found = 0
            while found < fixtures:
                fixture = make(kind, next(seeds))
                judged.append((fixture, fixture.found()))
                found += fixture.as_meant
                bar.advance(int(fixture.as_meant))
    seconds = time.perf_counter() - before
    print(
        f"{fixtures} fixtures of each kind, seeds from {first:,}; {TRAIN_ROWS:,} rows, {ROWS:,} held out\n"
    )
    report(judged)
    print(f"\n{seconds:.0f} s, {seconds / len(judged):.1f} s a fixture")
    if path is not None:
        rows = [fixture.to_json() | {"found": found.to_json()} for fixture, found in judged]
        path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fixtures", type=int, default=40, help="of each kind, 40 by default")
    parser.add_argument("--seed", type=int, default=0, help="which fixtures: other ones for each number")
    parser.add_argument("--dev", action="store_true", help="those by which recipes and thresholds were set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every fixture and its verdict")
    arguments = parser.parse_args()
    start = 0 if arguments.dev else OFFICIAL
    main(arguments.fixtures, start + SPACING * arguments.seed, arguments.json)
