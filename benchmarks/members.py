"""What several members cost, trained in one compiled program, against one.

    python benchmarks/members.py [--members 8] [--sizes table image] [--steps N]

Each size is a model and a table of random numbers (training takes as long on them as on others). The first
fit of each kind compiles; it is printed, and the ratio is of the fits after it, whose median is taken.
"""

import argparse
import statistics
import time

import jax
import numpy as np

from condvae import fit
from condvae.architectures import mlp_cvae

# rows, targets, conditions, latent, width, batch, likelihood, steps
SIZES = {
    "table": (455, 1, 13, 2, 64, 64, "student_t", 3000),
    "image": (2000, 784, 10, 50, 200, 128, "bernoulli", 200),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--steps", type=int, help="training steps; each size has a number of its own")
    parser.add_argument("--rounds", type=int, default=3, help="counted fits")
    arguments = parser.parse_args()
    print(f"{'size':6} {'members':>7} {'first fit, s':>12} {'median fit, s':>13} {'ratio':>6}")
    for size in arguments.sizes:
        one = seconds(size, 1, arguments)
        print(f"{size:6} {1:7} {one[0]:12.2f} {one[1]:13.2f}", flush=True)
        many = seconds(size, arguments.members, arguments)
        ratio = many[1] / one[1]
        print(f"{size:6} {arguments.members:7} {many[0]:12.2f} {many[1]:13.2f} {ratio:6.2f}", flush=True)


def seconds(size: str, members: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """The first fit, and the median of those after it."""
    rows, targets, conditions, latent, width, batch, likelihood, steps = SIZES[size]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, targets)).astype(np.float32)
    if likelihood == "bernoulli":
        x = (x > 0).astype(np.float32)
    c = rng.normal(size=(rows, conditions)).astype(np.float32)

    def build(key: jax.Array):
        return mlp_cvae(x, c, latent_size=latent, width=width, likelihood=likelihood, key=key)

    def run(seed: int) -> float:
        start = time.perf_counter()
        fit(
            build,
            x,
            c,
            key=jax.random.key(seed),
            num_members=members,
            num_steps=arguments.steps or steps,
            batch_size=batch,
            progress=False,
        )
        return time.perf_counter() - start

    first = run(0)
    return first, statistics.median(run(seed) for seed in range(1, arguments.rounds + 1))


if __name__ == "__main__":
    main()
