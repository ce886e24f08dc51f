"""What encoders and decoders have to find is known: models with them come to the log p of the truth.

x is normal about something that only what is encoded tells, such as how one step differs from another, and
nothing else does. By Gibbs' inequality no model has more than the truth's log p.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from condvae import CVAE, Observed, fit, log_prob
from condvae.architectures import image_cvae
from condvae.conditionals import Conditional, SameAsPrior, StandardNormal
from condvae.heads import GaussianHead
from condvae.networks import (
    MLP,
    ByPart,
    ConvEncoder,
    Encoder,
    Features,
    PatchDecoder,
    PatchEncoder,
    SequenceEncoder,
    SetDecoder,
    SetEncoder,
)

OPTIMISED = True  # it trains for long
KEY = jax.random.key(0)
ROWS, HELD_OUT, NOISE = 20_000, 4_000, 0.5
ENOUGH = 0.05
"""Nats a row: how near the truth is to be reached."""


class Case(NamedTuple):
    """Conditions, the mean of x given them, and what encodes one of them."""

    c: Any
    mean: np.ndarray
    encoder: Encoder


def shown(value: np.ndarray, mask: np.ndarray) -> Observed:
    """With junk where nothing is."""
    return Observed(np.where(mask, value, 9.0).astype(np.float32), mask)


def lengths(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Which steps there are, of sequences of all lengths from 2."""
    there = np.arange(shape[1]) < rng.integers(2, shape[1] + 1, shape[0])[:, None]
    return np.broadcast_to(there[..., None], shape)


def a_set(rng: np.random.Generator) -> Case:
    """The mean of the first coordinate, and the greatest of the second."""
    value, mask = rng.normal(size=(ROWS + HELD_OUT, 6, 2)), lengths(rng, (ROWS + HELD_OUT, 6, 2))
    mean = np.where(mask, value, 0).sum(1)[:, 0] / mask.sum(1)[:, 0]
    most = np.where(mask, value, -np.inf).max(1)[:, 1]
    c = shown(value, mask)
    return Case(c, mean + most, SetEncoder(jax.tree.map(lambda a: a[0], c), width=32, key=KEY))


def a_sequence(rng: np.random.Generator) -> Case:
    """How the first step differs from the second."""
    value, mask = rng.normal(size=(ROWS + HELD_OUT, 6, 1)), lengths(rng, (ROWS + HELD_OUT, 6, 1))
    c = shown(value, mask)
    encoder = SequenceEncoder(jax.tree.map(lambda a: a[0], c), width=32, depth=1, num_heads=2, key=KEY)
    return Case(c, value[:, 0, 0] - value[:, 1, 0], encoder)


def an_image(rng: np.random.Generator, kind: str) -> Case:
    """How much brighter one corner is than another, where it is seen."""
    value = rng.normal(size=(ROWS + HELD_OUT, 8, 8))
    mask = np.broadcast_to(rng.random((ROWS + HELD_OUT, 1, 1)) < 0.75, value.shape)
    mean = np.where(mask[:, 0, 0], 2 * (value[:, :4, :4].mean((1, 2)) - value[:, 4:, 4:].mean((1, 2))), 0.5)
    c = shown(value, mask)
    like = jax.tree.map(lambda a: a[0], c)
    encoder: Encoder = (
        ConvEncoder(like, width=8, depth=2, out_size=32, key=KEY)
        if kind == "conv"
        else PatchEncoder(like, patch=4, width=32, depth=1, num_heads=2, key=KEY)
    )
    return Case(c, mean, encoder)


def several(rng: np.random.Generator) -> Case:
    """A number, a sequence and an image that may be missing, each with an encoder of its own."""
    sequence, image = a_sequence(rng), an_image(rng, "patch")
    age = rng.normal(size=(ROWS + HELD_OUT, 1)).astype(np.float32)
    c = {"age": age, "scan": image.c, "visits": sequence.c}
    encoder = ByPart({"age": Features(), "scan": image.encoder, "visits": sequence.encoder})
    return Case(c, age[:, 0] + image.mean + sequence.mean, encoder)


CASES = {
    "set": a_set,
    "sequence": a_sequence,
    "conv": lambda rng: an_image(rng, "conv"),
    "patch": lambda rng: an_image(rng, "patch"),
    "several": several,
}


def reach(model: CVAE, x: Any, c: Any, truth: np.ndarray, draws: int = 4, **options: Any) -> None:
    """Train on the first rows; the others are to be scored as the truth scores them."""
    learn, judge = (jax.tree.map(lambda a, s=s: a[s], (x, c)) for s in (slice(ROWS), slice(ROWS, None)))
    settings = {"num_steps": 4000, "batch_size": 200, "learning_rate": 3e-3, "averaging": 0.99} | options
    before = log_prob(model, *judge, key=KEY, num_samples=draws).value.mean()
    assert truth[ROWS:].mean() - before > 5 * ENOUGH  # there is something to learn
    trained, _ = fit(model, *learn, key=KEY, progress=False, **settings)
    missed = truth[ROWS:] - log_prob(trained, *judge, key=KEY, num_samples=draws).value
    stderr = missed.std() / np.sqrt(HELD_OUT)
    assert stderr < ENOUGH / 2
    assert -4 * stderr < missed.mean() < ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_a_condition_tells_is_found(name):
    rng = np.random.default_rng(3)
    case = CASES[name](rng)
    x = (case.mean + NOISE * rng.normal(size=len(case.mean))).astype(np.float32)[:, None]
    encode, latent = ByPart((Features(), case.encoder)), jnp.zeros(0)
    size = encode.size((latent, jax.tree.map(lambda a: a[0], case.c)))
    body = MLP(size, width=32, depth=1, key=KEY)
    head = GaussianHead(32, (1,), scale="shared", key=KEY)
    model = CVAE(StandardNormal((0,)), Conditional(encode, body, head), SameAsPrior())
    reach(model, x, case.c, norm.logpdf(x[:, 0], case.mean, NOISE))


@pytest.mark.slow
def test_a_set_given_a_number():
    """Elements are c, what they have in common, and noise, together normal; some are not there."""
    rng = np.random.default_rng(5)
    n, c = ROWS + HELD_OUT, rng.normal(size=(ROWS + HELD_OUT, 1)).astype(np.float32)
    value = c[:, None] + rng.normal(size=(n, 1, 1)) + NOISE * rng.normal(size=(n, 6, 1))
    there = lengths(rng, value.shape)
    x, number = shown(value, there), there[..., 0].sum(1)
    off = np.where(there, value - c[:, None], 0)[..., 0]
    # Normal(0, noise² I + 1 1ᵀ), by the formulas of Sherman and Morrison, and of Sylvester.
    shrunk = off.sum(1) ** 2 / (NOISE**2 * (NOISE**2 + number))
    log_det = 2 * (number - 1) * np.log(NOISE) + np.log(NOISE**2 + number)
    truth = -0.5 * ((off**2).sum(1) / NOISE**2 - shrunk + log_det + number * np.log(2 * np.pi))
    like = jax.tree.map(lambda a: a[0], x)
    encode = ByPart((SetEncoder(like, width=32, key=KEY), Features()))
    one = GaussianHead(32, (1,), key=KEY)
    model = CVAE(
        StandardNormal((1,)),
        Conditional(
            Features(),
            SetDecoder(2, 6, width=32, depth=1, key=KEY),
            GaussianHead(32, (1,), scale="shared", key=KEY),
        ),
        Conditional(encode, MLP(encode.size((like, c[0])), width=32, depth=1, key=KEY), one),
    )
    reach(model, x, c, truth, draws=200)


@pytest.mark.slow
def test_a_sequence_given_a_sequence():
    """Each step about the one before it in the other: `PatchDecoder` of one axis, a head over steps."""
    rng = np.random.default_rng(4)
    c = rng.normal(size=(ROWS + HELD_OUT, 6, 1)).astype(np.float32)
    mean = np.roll(c[..., 0], 1, axis=1)
    x = (mean + NOISE * rng.normal(size=mean.shape)).astype(np.float32)
    encode = ByPart((Features(), Features()))
    decoder = PatchDecoder(6, (6,), patch=1, width=32, out_size=32, depth=1, num_heads=2, key=KEY)
    head = GaussianHead(32, (), scale="shared", key=KEY)
    model = CVAE(StandardNormal((0,)), Conditional(encode, decoder, head), SameAsPrior())
    reach(model, x, c, norm.logpdf(x, mean, NOISE).sum(1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conv", "patch"])
def test_the_lower_half_of_a_picture(kind):
    """It is the upper one, but for a coin of 0.2 in each pixel."""
    rng = np.random.default_rng(1)
    top = rng.random((ROWS + HELD_OUT, 2, 4)) < 0.5
    flipped = rng.random(top.shape) < 0.2
    x = np.concatenate([top, top ^ flipped], axis=1).astype(np.float32)
    below = np.broadcast_to(np.arange(4)[:, None] >= 2, x.shape)
    given, target = shown(x, ~below), shown(x, below)
    model = image_cvae(x, given, latent_size=0, kind=kind, width=16, depth=1, patch=2, features=64, key=KEY)
    truth = np.where(flipped, np.log(0.2), np.log(0.8)).sum((1, 2))
    reach(model, target, given, truth)
