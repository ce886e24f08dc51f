import importlib.util
import sys
from collections import Counter
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
import pytest

from condvae import Mixture, Observed, sample
from condvae.architectures import mlp_cvae
from condvae.calibration import TwoSample
from condvae.diagnosis import collapse
from condvae.diagnosis.collapse import _told, collapse_finding, latent_finding, unused
from condvae.diagnosis.latent import LatentUse

OPTIMISED = True
KEY = jax.random.key(0)

ALIKE, APART = TwoSample(0.5, 0.02, 0.4, 0.0, 0.01, 500), TwoSample(0.7, 0.02, 1e-9, 0.2, 0.02, 500)


def use(information, active=1):
    rng = np.random.default_rng(0)
    shared = information + 0.1 * rng.normal(size=1000)
    activity = np.array([0.8] * active + [0.0] * (2 - active))
    return LatentUse(shared, shared, np.zeros(2), np.zeros(2), ["z[0]", "z[1]"], activity, shared)


def rows(mean, seed=1):
    return mean + np.random.default_rng(seed).normal(size=500)


@pytest.mark.parametrize(
    ("information", "without", "freed", "told", "code"),
    [
        (1.0, -0.5, 0.0, ALIKE, "z-used"),
        (1.0, -0.5, 0.05, ALIKE, "z-used"),
        (0.0, 0.0, 0.4, APART, "z-ignored"),
        (0.0, 0.0, 0.0, ALIKE, "z-not-needed"),
        (0.0, 0.02, -0.1, ALIKE, "z-not-needed"),
        (0.0, 0.0, 0.0, APART, "z-unclear"),
        # Better by free bits, and used by no more than a part of it.
        (1.0, -0.5, 0.4, APART, "z-ignored"),
        # Free bits help, and so does leaving z out: the model was a bad fit.
        (0.5, 0.3, 0.3, ALIKE, "z-not-needed"),
        # It is better without z, which is not used: by the chance of training.
        (0.0, -0.1, -0.1, ALIKE, "z-not-needed"),
        # Sure, and of no weight.
        (0.5, -0.01, 0.0, ALIKE, "z-not-needed"),
        (0.0, 0.0, 0.01, ALIKE, "z-not-needed"),
    ],
)
def test_collapse_is_told_apart(information, without, freed, told, code):
    score = rows(0.0)
    noise = 0.1 * rows(0.0, 2), 0.1 * rows(0.0, 3)
    verdict = collapse_finding(
        use(information), score, score + without + noise[0], score + freed + noise[1], told
    )
    assert verdict.code == code
    assert (verdict.level == "problem") == (code == "z-ignored")
    assert (verdict.advice is None) == (code == "z-used")


def test_what_the_model_alone_can_tell():
    assert not unused(use(0.5))
    assert unused(use(0.01))
    assert latent_finding(use(0.5)).words().startswith("z is used: 1 of 2 latent units are active")
    assert latent_finding(use(0.01, active=0)).code == "z-unused"


def test_scores_are_of_the_same_rows():
    with pytest.raises(ValueError, match="score the same rows by both"):
        collapse_finding(use(1.0), rows(0.0), rows(0.0)[:-1], rows(0.0), ALIKE)


# --- measured


def test_missing_cells_and_categories_tell_nothing():
    """Draws of the model itself, with the same cells missing: no classifier can tell."""
    rng = np.random.default_rng(0)
    x = {"kind": np.zeros((1, 2), np.int32), "size": np.zeros((1, 3), np.float32)}
    model = mlp_cvae(x, np.zeros((1, 1)), latent_size=0, width=4, depth=1, x_levels=(3, 2), key=KEY)
    c = rng.normal(size=(300, 1)).astype(np.float32)
    drawn = {name: part[:, 0] for name, part in sample(model, c, key=KEY).items()}
    # What is missing depends on c: it must not tell which rows were drawn.
    masks = {name: rng.random(part.shape) + (c > 0) > 0.5 for name, part in drawn.items()}
    x = {name: Observed(np.where(masks[name], part, 0), masks[name]) for name, part in drawn.items()}
    assert _told(model, x, c, jax.random.key(1), False).p_value > 0.01
    x["size"] = Observed(x["size"].value + 1, x["size"].mask)
    assert _told(model, x, c, jax.random.key(1), False).p_value < 1e-4


# --- refitted: fixtures of the benchmark, of seeds below those that it reports


@pytest.fixture(scope="module")
def benchmark():
    """The script as a module of its own."""
    path = Path(__file__).parents[2] / "benchmarks" / "collapse.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_collapse", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(benchmark):
    """Small fixtures, all of one shape and objective: most of the time goes into compiling."""
    return cache(partial(benchmark.make, size=benchmark.Size(rows=1000, steps=1000, depth=1)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "seeds"),
    [
        ("healthy", (5, 17)),
        ("not needed", (1, 21)),
        ("ignored", (29, 93)),
    ],
)
def test_refits_tell_it_apart(benchmark, made, kind, seeds):
    for seed in seeds:
        fixture = made(kind, seed)
        assert fixture.as_meant, fixture.words()
        verdict = fixture.found()
        assert verdict.code == benchmark.KINDS[kind], f"{fixture.words()}: {verdict.words()}"


@pytest.mark.slow
def test_of_mixtures_and_of_a_test_made_elsewhere(made):
    """Mixtures of a model and itself, of half as many draws each, are that model."""
    fixture = made("healthy", 5)
    twice = [Mixture.of([model] * 2) for model in (fixture.model, fixture.without, fixture.freed)]
    options = {"key": KEY, "told": APART, "num_samples": 400}
    with pytest.raises(ValueError, match="say by member="):
        collapse(*twice, fixture.x, fixture.c, **options)
    verdict = collapse(*twice, fixture.x, fixture.c, member=1, **options)
    assert verdict.code == "z-used"
    options["num_samples"] = 200
    alone = collapse(fixture.model, fixture.without, fixture.freed, fixture.x, fixture.c, **options)
    assert verdict.nats == pytest.approx(alone.nats, abs=0.02)


@pytest.mark.slow
def test_power_and_false_alarms(benchmark):
    """16 of each: at a power of 90%, 3 misses or fewer in 93% of cases; at 5% alarms, 2 in 96%."""
    for kind, verdict in benchmark.KINDS.items():
        fixtures = [benchmark.make(kind, seed) for seed in range(16, 32)]
        said = Counter(each.found().code for each in fixtures if each.as_meant)
        alarms = {other for other in said if other not in (verdict, "z-unclear")}
        assert said.total() >= 12
        assert said[verdict] >= said.total() - 3, f"{kind}: {said}"
        assert sum(said[other] for other in alarms) <= 2, f"{kind}: {said}"
