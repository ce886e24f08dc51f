"""The lower half of a handwritten digit, given its upper half: all that it may be.

scikit-learn has 1,797 digits of 8 × 8 pixels with 17 levels of ink. The condition c is an image whose lower
half is missing; x is that half. Many lower halves go with one upper half, those of a 4 and of a 9, say: a
network that predicts each pixel averages them, and what it draws is of neither. A conditional VAE draws
whole lower halves, one for each z.

The script prints log p(x | c) over digits that were never seen, beside that of the same network without z,
whose pixels are independent given c, and that of each pixel's own histogram.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_digits

from condvae import Observed, fit, log_prob, sample
from condvae.architectures import image_cvae
from condvae.plots import plot_images, save_figure

HELD_OUT, LEVELS, DRAWN, DRAWS = 297, 17, 500, 5
SHOWN = (2, 3, 4, 5, 8, 9)  # the first held-out one of each
UPPER = np.broadcast_to(np.arange(8)[:, None] < 4, (8, 8))


def half(images, observed):
    """Images of which the same pixels are observed, and the others missing."""
    return Observed(np.where(observed, images, 0), np.broadcast_to(observed, images.shape))


def train(images, latent_size, num_steps, key):
    x, c = half(images, ~UPPER), half(images, UPPER)

    key_init, key_fit = jax.random.split(key)
    pixels = {"likelihood": "pixels", "levels": LEVELS, "width": 8, "depth": 1}
    model = image_cvae(x, c, latent_size=latent_size, **pixels, key=key_init)
    settings = {"num_steps": num_steps, "batch_size": 50, "learning_rate": 3e-3, "weight_decay": 0.02}
    return fit(model, x, c, key=key_fit, averaging=0.99, **settings).model


def by_histograms(images, held):
    """log p of the lower halves of `held` by the histogram of each pixel in `images`, a little smoothed."""
    ink = np.arange(LEVELS)[:, None, None, None]
    share = ((images == ink).sum(1) + 1 / LEVELS) / (len(images) + 1)  # (levels, 8, 8)
    row, column = np.indices((8, 8))
    return np.log(share[held.astype(int), row, column])[:, ~UPPER].sum(-1)


def plot(model, images, key, path):
    """Of one digit a row: what is given, the truth, draws, and how far draws differ at each pixel."""
    draws = np.asarray(sample(model, half(images, UPPER), key=key, num_samples=DRAWN), float)
    rows = []
    for image, own in zip(images, draws, strict=True):
        spread = np.where(UPPER, np.nan, 1 - own.std(0) / 8)  # 8 is the most that it can be
        completed = [np.where(UPPER, image, draw) for draw in own[:DRAWS]]
        ink = [np.where(UPPER, image, np.nan), image, *completed]
        rows.append([*(1 - picture / 16 for picture in ink), spread])
    titles = ["given", "truth", *(f"draw {i + 1}" for i in range(DRAWS)), "spread"]
    save_figure(plot_images(rows, titles).figure, path)


def main(arguments=None):
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--num-steps", type=int, default=1000, metavar="N", help="of training, for each model"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw lower halves beside the truth")
    options = parser.parse_args(arguments)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images, names = digits.images[order].astype(np.float32), digits.target[order]
    learn, held = images[HELD_OUT:], images[:HELD_OUT]
    x, c = half(held, ~UPPER), half(held, UPPER)

    with_z, without = (train(learn, size, options.num_steps, jax.random.key(0)) for size in (8, 0))
    scores = {
        "with z": log_prob(with_z, x, c, key=jax.random.key(1), num_samples=100, budget=800).value,
        "without z": log_prob(without, x, c, key=jax.random.key(1), num_samples=4).value,
        "histogram of each pixel": by_histograms(learn, held),
    }
    best = scores["with z"]
    what = f"log p, nats a lower half, over {HELD_OUT} digits"
    print(f"{what:<48}{'mean':>9}{'less than with z by':>21}{'stderr':>8}")
    for name, value in scores.items():
        gap = best - value
        line = f"{name:<48}{value.mean():9.2f}"
        print(line if value is best else f"{line}{gap.mean():21.2f}{gap.std() / np.sqrt(len(gap)):8.2f}")
    if options.plot is not None:
        shown = [int(np.flatnonzero(names[:HELD_OUT] == name)[0]) for name in SHOWN]
        plot(with_z, held[shown], jax.random.key(2), options.plot)
        print(f"drawn to {options.plot}")


if __name__ == "__main__":
    main()
