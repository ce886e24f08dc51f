"""What the universal column costs, against the family that made each of thirty columns.

    python benchmarks/columns.py [--rows 1000] [--steps 1500]

The columns are those of `tests/tables/kinds.py`, all driven by one condition. Two models without a latent
are trained on the same rows, one with universal columns and one with the family that made each column;
printed is log p of 3,000 other rows, nats a cell, in the columns' own units, and the difference with its
paired error.
"""

import argparse
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from condvae import fit, tables
from condvae.architectures import ease_scales, mlp_cvae
from condvae.calibration import paired_difference
from condvae.estimator.fitting import likelihoods

sys.path.append(str(Path(__file__).parents[1] / "tests" / "tables"))
from kinds import kinds

HELD_OUT, MEMBERS = 3000, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="rows to train on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    c, columns = kinds(arguments.rows + HELD_OUT, arguments.seed)
    given, target = (
        pd.DataFrame({"c": c}),
        pd.DataFrame({name: cells for name, (cells, _) in columns.items()}),
    )
    right = {name: sorted(families)[0] for name, (_, families) in columns.items()}
    values = {}
    for which, named in (("universal", {}), ("named", right)):
        start = time.perf_counter()
        values[which] = log_p(given, target, named, arguments.rows, arguments.steps)
        print(f"{which}: {time.perf_counter() - start:.0f} s", flush=True)
    print(f"{'column':24}{'family that made it':>34}{'universal':>11}{'named':>9}{'gain':>8}{'stderr':>8}")
    gains = []
    for j, name in enumerate(columns):
        one, other = values["universal"][:, j], values["named"][:, j]
        gain, stderr = paired_difference(one, other)
        gains.append(gain)
        print(f"{name:24}{right[name]:>34}{one.mean():11.3f}{other.mean():9.3f}{gain:8.3f}{stderr:8.3f}")
    finite = np.array(gains)[np.isfinite(gains)]
    print(f"median gain {np.median(finite):.3f}, least {finite.min():.3f}, greatest {finite.max():.3f}")


def log_p(given, target, named, rows, steps):
    """log p of the held-out cells, [rows, columns]."""
    schema = tables.Schema.infer_pair(given, target).with_likelihoods(target, named, given=given)
    x, c = tables.encode(schema.target, target), tables.encode(schema.given, given)
    cells, _ = likelihoods(schema)

    def build(key):
        return mlp_cvae(x, c, latent_size=0, likelihood=cells, key=key)

    def part(tree, rows):
        return jax.tree.map(lambda leaf: leaf[rows], tree)

    rng = np.random.default_rng(0)
    masks = np.stack([rng.permutation(rows) < rows // 10 for _ in range(MEMBERS)])
    mixture, _ = fit(
        build,
        x=part(x, slice(rows)),
        c=part(c, slice(rows)),
        validation=masks,
        key=jax.random.key(0),
        num_members=MEMBERS,
        num_steps=steps,
        batch_size=64,
        learning_rate=0.015,
        weight_decay=0.05,
        patience=steps,
        averaging=0.99,
        anneal=ease_scales,
        progress=False,
    )
    held = part((c, x["numeric"].value), slice(rows, None))

    @eqx.filter_jit
    def score(member, c, x):
        return jax.vmap(lambda c, x: member.p_x(jnp.zeros(0), c).blocks["numeric"].terms(x))(c, x)

    members = [np.asarray(score(member, *held), np.float64) for member in mixture]
    value = np.logaddexp.reduce(members, axis=0) - np.log(MEMBERS)
    shift = [
        tables.log_scale([column], tables.encode([column], target.iloc[rows:])["numeric"])
        for column in schema.target
    ]
    return value - np.stack(shift, axis=1)


if __name__ == "__main__":
    main()
