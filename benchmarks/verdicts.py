"""How often the verdicts on calibration are right: predictions that are right, and ones broken on purpose.

    y | c ~ N(c, 1),   c ~ N(0, 1)

n rows each; what is predicted of y given c is the truth, or something else, as 1000 draws a row. Counted is
how often a target, or a slice of it by quarter of c, is called miscalibrated, and how often a classifier is
said to tell rows from samples. Of what is right both are called so in 1% of cases, by construction: that is
held to the counts. No model is fitted, so that nothing but the verdicts is measured.

    python benchmarks/verdicts.py
    python benchmarks/verdicts.py --fixtures 20 --rows 200
"""

import argparse
from time import perf_counter

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from condvae import tables
from condvae.calibration import pit, uniformity
from condvae.judging import calibration, samples
from condvae.judging.rows import Rows
from condvae.table_models.model import TableModel

DRAWS = 1000


def tails(rng, shape):
    """Of variance 1, three degrees of freedom."""
    return rng.standard_t(3, shape) / np.sqrt(3)


PREDICTIONS = {
    "right": lambda c, rng: c[:, None] + rng.normal(size=(len(c), DRAWS)),
    "too wide": lambda c, rng: c[:, None] + 1.3 * rng.normal(size=(len(c), DRAWS)),
    "too narrow": lambda c, rng: c[:, None] + 0.75 * rng.normal(size=(len(c), DRAWS)),
    "shifted": lambda c, rng: c[:, None] + 0.3 + rng.normal(size=(len(c), DRAWS)),
    "ignoring c": lambda c, rng: np.sqrt(2) * rng.normal(size=(len(c), DRAWS)),
    "wrong tails": lambda c, rng: c[:, None] + tails(rng, (len(c), DRAWS)),
}


def flagged(predict, rows: int, seed: int) -> dict[str, bool]:
    """Whether each kind of verdict calls these predictions wrong."""
    rng = np.random.default_rng(seed)
    c = rng.normal(size=rows)
    y = c + rng.normal(size=rows)
    frames = pd.DataFrame({"c": c}), pd.DataFrame({"y": y})
    schema = tables.Schema.infer_pair(*frames)
    nothing = None
    model = TableModel(schema, nothing, 0, nothing, nothing, nothing, nothing)
    x = tables.encode(schema.target, frames[1])
    own = Rows(model, x, tables.encode(schema.given, frames[0]), np.arange(rows))
    drawn = predict(c, rng)
    u = {"y": pit(drawn, y, rng)}
    said = calibration.findings({"y": uniformity(u["y"])}, calibration.slices(own, u))
    column = schema.target[0]
    told = samples.told(own, {"numeric": (drawn[:, :1] - column.mean) / column.sd})
    codes = {one.code for one in [*said, *samples.findings(told)]}
    return {
        "overall": "miscalibrated" in codes,
        "in a slice": "slice-miscalibrated" in codes,
        "by a classifier": "samples-told" in codes,
        "by any": "calibrated" not in codes or "samples-told" in codes,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fixtures", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1000)
    arguments = parser.parse_args()
    began = perf_counter()
    print(f"{arguments.fixtures} fixtures of each kind, {arguments.rows:,} rows; called wrong:\n")
    for number, (name, predict) in enumerate(PREDICTIONS.items()):
        found = [flagged(predict, arguments.rows, 10_000 * number + i) for i in range(arguments.fixtures)]
        if number == 0:
            print(" " * 14 + "".join(f"{kind:>26}" for kind in found[0]))
        cells = []
        for kind in found[0]:
            hits = sum(one[kind] for one in found)
            low, high = binomtest(hits, len(found)).proportion_ci(method="wilson")
            cells.append(f"{hits:>8} ({low:6.1%} to {high:6.1%})")
        print(f"{name:<14}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
    print(f"\n{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
