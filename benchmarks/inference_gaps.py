"""Pictures: log p of MNIST, what inference costs there, and the quadrant task.

    python benchmarks/inference_gaps.py --mnist mnist.npz              # both
    python benchmarks/inference_gaps.py --mnist mnist.npz --task gaps --test-rows 1000

`gaps`: a VAE (200-200 tanh, z of 50) of dynamically binarised images; −log p by importance sampling with
5,000 draws, the sandwich of 100 simulated images, and both gaps of 100 test images, whose log p is found by
annealing, beside Cremer, Li and Duvenaud (2018). `quadrant`: the bottom left quarter is given, the rest is
learned, after Sohn, Lee and Yan (2015): −ELBO, Monte Carlo through the prior, and importance sampling,
on all test images.

The file holds `x_train`, `y_train`, `x_test`, `y_test`, as it comes with Keras (`mnist.npz`).
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from condvae import CVAE, elbo, fit, log_prob
from condvae.architectures import mlp_cvae
from condvae.calibration import mean_stderr, paired_difference
from condvae.diagnosis import gaps
from condvae.scoring import bound, sandwich

KEY = jax.random.key(0)


def binarised(key: jax.Array, batch: tuple[Any, Any]) -> tuple[Any, Any]:
    """One draw of every pixel: x and c are parts of the same binary image."""
    leaves, structure = jax.tree.flatten(batch)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        (jax.random.uniform(k, leaf.shape) < leaf).astype(leaf.dtype)
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def train(build: Any, x: Any, c: Any, epochs: int) -> tuple[CVAE, float]:
    """The model and the seconds that it took, compiling included."""
    before = time.perf_counter()
    model, _ = fit(
        build(jax.random.key(1)),
        x,
        c,
        key=KEY,
        objective=elbo,
        num_steps=epochs * len(x) // 128,
        batch_size=128,
        learning_rate=1e-3,
        averaging=0.999,
        validation=0.05,
        batch_transform=binarised,
    )
    return model, time.perf_counter() - before


def said(value: Any, sign: float = -1.0) -> str:
    mean, stderr = mean_stderr(value)
    return f"{sign * mean:.2f} ± {stderr:.2f}"


class Clock:
    """Seconds since the last time it was asked."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def __call__(self) -> str:
        before, self.last = self.last, time.perf_counter()
        return f"{self.last - before:.0f} s"


def inference_gaps(train_x: Any, test_x: Any, epochs: int) -> None:
    build = partial(_build, train_x, None, width=200, activation="tanh")
    model, seconds = train(build, train_x, None, epochs)
    print(f"VAE, 200-200 tanh, z of 50: {epochs} epochs in {seconds:.0f} s")
    x, _ = binarised(jax.random.key(2), (jnp.asarray(test_x), None))
    clock = Clock()
    score = log_prob(model, x, key=KEY, num_samples=5000, budget=5000, progress=True)
    print(
        f"−log p of {len(x):,} test images, importance sampling with 5,000 draws: {said(score.value)}, of "
        f"which estimates add ± {np.sqrt(np.sum(score.stderr.astype(float) ** 2)) / len(x):.3f}; "
        f"{(~score.trusted).sum():,} rows are not to be trusted; {clock()}"
    )
    ends = sandwich(model, like=x[:100], key=KEY, progress=True)
    width, stderr = ends.width
    print(
        f"log p of {len(ends.x)} simulated images lies between {ends.lower.value.mean():.2f} and "
        f"{ends.upper.value.mean():.2f}: {width:.3f} ± {stderr:.3f} nats, 1,000 temperatures; {clock()}"
    )
    if width > 0.5:
        print(f"do not trust log p to better than {width:.1f} nats")
    found = gaps(model, x[:100], key=KEY, num_samples=5000, method="ais", progress=True)
    less, stderr = paired_difference(score.value[:100], found.log_prob.value)
    (family, family_error), (encoder, encoder_error) = found.approximation, found.amortisation
    print(f"gaps of {len(found.elbo)} test images, log p by annealing, in nats; {clock()}")
    print(f"{'':24}{'here':>16}{'Cremer et al.':>16}")
    print(f"{'log p':24}{said(found.log_prob.value, 1.0):>16}{'−89.80':>16}")
    print(f"{'by importance sampling':24}{f'{less:+.3f} ± {stderr:.3f}':>16}")
    print(f"{'approximation gap':24}{f'{family:.2f} ± {family_error:.2f}':>16}{'1.43':>16}")
    print(f"{'amortisation gap':24}{f'{encoder:.2f} ± {encoder_error:.2f}':>16}{'1.34':>16}")
    print(found.words())


def quadrant(train_x: Any, test_x: Any, epochs: int) -> None:
    given = np.zeros((28, 28), bool)
    given[14:, :14] = True  # bottom left
    given = given.ravel()
    rows = train_x[:, ~given], train_x[:, given]
    model, seconds = train(partial(_build, *rows, width=500, activation="silu"), *rows, epochs)
    print(f"1 quadrant given, 2 x 500 units, z of 50: {epochs} epochs in {seconds:.0f} s")
    x, c = binarised(jax.random.key(2), (jnp.asarray(test_x[:, ~given]), jnp.asarray(test_x[:, given])))
    clock = Clock()
    options: dict[str, Any] = {"key": KEY, "progress": True}
    print(f"{len(x):,} test images, in nats an image{'here':>24}{'Sohn et al.':>16}")
    low = bound(model, x, c, num_samples=100, **options)
    print(f"{'−ELBO':32}{said(low):>30}{'':>16}  {clock()}")
    blind = log_prob(model, x, c, proposal="prior", num_samples=1000, budget=1000, **options)
    print(f"{'−log p, 1,000 draws of the prior':32}{said(blind.value):>30}{'68.39':>16}  {clock()}")
    score = log_prob(model, x, c, num_samples=1000, **options)
    print(f"{'−log p, importance sampling':32}{said(score.value):>30}{'63.91':>16}  {clock()}")
    for name, of in (("through the prior", blind), ("importance sampling", score)):
        print(
            f"{name}: {of.num_samples.min():,} to {of.num_samples.max():,} draws; estimates add ± "
            f"{np.sqrt(np.sum(of.stderr.astype(float) ** 2)) / len(x):.3f}; {(~of.trusted).sum():,} of "
            f"{len(x):,} rows are not to be trusted"
        )


def _build(x: Any, c: Any, key: jax.Array, *, width: int, activation: Any) -> CVAE:
    x, c = x[:1], None if c is None else c[:1]
    return mlp_cvae(
        x, c, latent_size=50, width=width, depth=2, activation=activation, likelihood="bernoulli", key=key
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True, metavar="FILE")
    parser.add_argument("--task", choices=("gaps", "quadrant", "both"), default="both")
    parser.add_argument("--epochs", type=int, help="80 for gaps, 40 for the quadrant")
    parser.add_argument("--test-rows", type=int, default=10_000)
    arguments = parser.parse_args()
    if not arguments.mnist.exists():
        sys.exit(f"{arguments.mnist} is not there: it wants mnist.npz, MNIST as it comes with Keras")
    with np.load(arguments.mnist) as found:
        images = [found[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test")]
    images[1] = images[1][: arguments.test_rows]
    if arguments.task != "quadrant":
        inference_gaps(*images, arguments.epochs or 80)
    if arguments.task != "gaps":
        quadrant(*images, arguments.epochs or 40)
