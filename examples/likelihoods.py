"""Six columns of known kinds, and what each is modelled by: chosen from its cells, or Gaussian for all.

Claims of policies, parts that failed, ratings, rain, prices in steps of a half and an instrument that ends
at 40, all driven by one condition. The same conditional VAE is fitted to them twice; the script prints what
each column gets, and why, and the log p of rows that neither saw, and draws both beside the truth.

The Gaussian's density is unbounded where cells repeat themselves (a narrow peak on the zeros of rain), so a
cell that repeats is scored by its probability under both: P(x = 3) by P(2.5 < x < 3.5), P(rain = 0) by
P(x < 0).
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from condvae import ConditionalVAE
from condvae.plots import DATA, MODEL, save_figure

ROWS, HELD_OUT, SHOWN = 2000, 1000, 4000
GAUSSIAN = "#d55e00"


def simulate(c, rng):
    """A row of the six for each c."""
    n, grows = len(c), np.exp(c)
    hidden = 1 / (1 + np.exp(-2 * c - 1.5 * rng.normal(size=n)))
    return pd.DataFrame(
        {
            "claims": rng.negative_binomial(1.5, 1.5 / (1.5 + 3 * grows)),
            "failures": rng.poisson(4 * grows) * (rng.random(n) > 0.4),
            "rating": 1 + rng.binomial(4, hidden),
            "rain": rng.gamma(2, 2 * grows) * (rng.random(n) > 0.35),
            "price": np.round(2 * (10 + 2 * c + 0.4 * rng.normal(size=n))) / 2,
            "reading": np.minimum(30 + 10 * c + 6 * rng.normal(size=n), 40.0),
        }
    )


def edges(name, cells):
    """Of the bars of a histogram: one for each value of those that are counted."""
    if name in ("rain", "reading"):
        return np.histogram_bin_edges(cells, 30, np.quantile(cells, [0.0, 0.995]))
    step = 0.5 if name == "price" else 1.0
    return np.arange(cells.min() - step / 2, np.quantile(cells, 0.995) + step, step)


def log_p(model, given, table, name):
    """Of each cell of a column given c alone: a probability where cells repeat, else a density."""
    one = table.astype(float).assign(**{other: np.nan for other in table if other != name})
    density, cells = model.log_prob(given, one).value, table[name].to_numpy(float)

    def below(values):
        own = one.assign(**{name: values})
        return np.asarray(model.cdf(given, own)[name], float)

    if name in ("rain", "reading"):
        zero, most = (name == "rain") & (cells <= 0), (name == "reading") & (cells >= 40)
        piled = np.where(most, 1 - below(np.where(most, 40 - 1e-3, cells)), below(cells))
        return np.where(zero | most, np.log(np.maximum(piled, 1e-12)), density)
    half = 0.25 if name == "price" else 0.5
    inside = below(cells + 0.98 * half) - below(cells - 1.02 * half)
    return np.log(np.maximum(inside, 1e-12) / (2 * half))


def plot(models, titles, at, path):
    rng = np.random.default_rng(1)
    truth = simulate(np.full(SHOWN, at), rng)
    drawn = [model.sample(pd.DataFrame({"c": [at]}), SHOWN, random_state=1) for model in models]
    figure = Figure(figsize=(11, 6), layout="constrained")
    for ax, name in zip(figure.subplots(2, 3).flat, truth, strict=True):
        bins = edges(name, truth[name])
        ax.hist(truth[name], bins, density=True, color="#d9d9d9", label="truth")
        # As far below the least that there can be, in bars as wide.
        width = bins[1] - bins[0]
        wide = np.concatenate([bins[0] - width * np.arange(len(bins) // 3, 0, -1), bins])
        for own, colour, label in zip(drawn, (MODEL, GAUSSIAN), ("chosen", "Gaussian"), strict=True):
            height, _ = np.histogram(own[name], wide)
            ax.stairs(height / len(own) / np.diff(wide), wide, color=colour, lw=1.6, label=label)
        ax.set_title(titles[name], fontsize=9, loc="left", color=DATA)
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)


def main():
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw samples of both beside the truth")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # a few new rows lie a hair outside of those trained on
    rng = np.random.default_rng(0)
    c = rng.uniform(-1, 1, ROWS + HELD_OUT)
    table, given = simulate(c, rng), pd.DataFrame({"c": c})
    settings = {"num_members": 2, "num_steps": 3000, "test_fraction": 0.0}
    models, values = [], []
    for likelihood in ("auto", "gaussian"):
        model = ConditionalVAE(**settings, likelihood=likelihood).fit(given[:ROWS], table[:ROWS])
        models.append(model)
        alone = {name: log_p(model, given[ROWS:], table[ROWS:], name) for name in table}
        values.append(alone)
    titles = {}
    what = f"nats per cell, over {HELD_OUT:,} held-out rows"
    print(f"{what:<44}{'chosen':>9}{'Gaussian':>10}{'gain':>8}{'stderr':>8}")
    for column in models[0].schema_.target:
        chosen, plain = (alone[column.name] for alone in values)
        gain = chosen - plain
        found = column.likelihood
        print(
            f"{column.name + ': ' + found.family:<44}{chosen.mean():9.3f}{plain.mean():10.3f}"
            f"{gain.mean():8.3f}{gain.std() / np.sqrt(len(gain)):8.3f}\n    {found.reason}"
        )
        titles[column.name] = f"{column.name}: {found.family}, {gain.mean():+.2f} nats"
    if options.plot is not None:
        plot(models, titles, 0.5, options.plot)
        print(f"drawn to {options.plot}")


if __name__ == "__main__":
    main()
