"""Counts given a batch, a dose and a library size, as single-cell experiments leave them.

Cells of three hidden types are measured in four batches, each of which reads some genes more, others less.
A dose raises some genes, in one type only. How many molecules of a cell were read at all is known, its
library size. The counts of gene g are

    x_g ~ NegativeBinomial(mean = library · share_g(type, batch, dose), dispersion r_g)

and the type is never seen: it is what z is for. As this is simulated, log p(x | c) is known, a sum over
types. The script fits a conditional VAE whose genes are negative binomials; the same with Poisson for every
gene; and the first without the batch. It prints the log p that each gives to cells it never saw.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import logsumexp
from scipy.stats import nbinom

from condvae import ConditionalVAE
from condvae.plots import MODEL, save_figure

CELLS, HELD_OUT, GENES, SHOWN = 3000, 1000, 20, 4000
TYPES, BATCHES = np.array([0.5, 0.3, 0.2]), ["day 1", "day 2", "day 3", "day 4"]
POISSON = "#d55e00"


class Experiment:
    """What is true: of each type, batch and dose the mean of each gene, and how its counts spread."""

    def __init__(self, rng):
        self.level = rng.normal(0, 0.8, GENES) + rng.normal(0, 0.9, (len(TYPES), GENES))
        self.batch = rng.normal(0, 0.5, (len(BATCHES), GENES))
        self.dose = np.zeros((len(TYPES), GENES))
        self.dose[1, : GENES // 4] = 2.0
        self.dispersion = rng.uniform(1, 3, GENES)

    def given(self, n, rng):
        """The conditions of n cells."""
        library = np.exp(rng.normal(np.log(60), 0.35, n)).round()
        return pd.DataFrame({"batch": rng.choice(BATCHES, n), "dose": rng.random(n), "library": library})

    def means(self, c):
        """Of each cell, if it were of each type: (cells, types, genes)."""
        batch = self.batch[[BATCHES.index(name) for name in c["batch"]], None]
        log_share = self.level + batch + c["dose"].to_numpy()[:, None, None] * self.dose
        return c["library"].to_numpy()[:, None, None] * np.exp(log_share) / GENES

    def counts(self, c, rng):
        types = rng.choice(len(TYPES), len(c), p=TYPES)
        mean = self.means(c)[np.arange(len(c)), types]
        drawn = rng.negative_binomial(self.dispersion, self.dispersion / (self.dispersion + mean))
        return pd.DataFrame(drawn, columns=[f"gene {i + 1}" for i in range(GENES)])

    def log_prob(self, c, x):
        """log p(x | c), summed over the types."""
        mean = self.means(c)
        share = self.dispersion / (self.dispersion + mean)
        given_type = nbinom.logpmf(x.to_numpy()[:, None], self.dispersion, share).sum(-1)
        return logsumexp(given_type + np.log(TYPES), axis=1)


def plot(truth, models, c, path):
    """Counts of three genes at one condition: drawn from the truth, and from two models."""
    rng = np.random.default_rng(2)
    repeated = pd.concat([c] * SHOWN, ignore_index=True)
    drawn = truth.counts(repeated, rng)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for ax, name in zip(figure.subplots(1, 3), drawn.columns[:3], strict=True):
        most = int(np.quantile(drawn[name], 0.99))
        edges = np.arange(-0.5, most + 1, 1 + most // 40)
        ax.hist(drawn[name], edges, density=True, color="#d9d9d9", label="truth")
        for (label, model), colour in zip(models.items(), (MODEL, POISSON), strict=True):
            own = model.sample(c, SHOWN, random_state=1)[name]
            height, _ = np.histogram(own, edges)
            ax.stairs(height / SHOWN / np.diff(edges), edges, color=colour, lw=1.6, label=label)
        ax.set_title(name, fontsize=9, loc="left")
        ax.set_xlabel("molecules counted", fontsize=9)
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)


def main(arguments=None):
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--num-steps", type=int, default=4000, metavar="N", help="of training, for each model"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw counts of both beside the truth")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    truth = Experiment(rng)
    c = truth.given(CELLS + HELD_OUT, rng)
    x = truth.counts(c, rng)
    learn, held = slice(CELLS), slice(CELLS, None)
    settings = {"num_members": 1, "num_steps": options.num_steps, "test_fraction": 0.0}

    def fitted(given, family):
        every_gene = {name: family for name in x}
        return ConditionalVAE(**settings, likelihoods=every_gene).fit(given[learn], x[learn])

    # Molecules that are counted in cells are overdispersed; that is known, so the family is named.
    named, poisson = fitted(c, "negative_binomial"), fitted(c, "poisson")
    without = c.drop(columns="batch")
    no_batch = fitted(without, "negative_binomial")
    best = named.log_prob(c[held], x[held]).value
    others = {
        "the truth": truth.log_prob(c[held], x[held]),
        "negative binomial": best,
        "negative binomial, without the batch": no_batch.log_prob(without[held], x[held]).value,
        "Poisson": poisson.log_prob(c[held], x[held]).value,
    }
    what = f"log p, nats per cell, over {HELD_OUT:,} held-out cells"
    print(f"{what:<52}{'mean':>9}{'less than the second by':>24}{'stderr':>8}")
    for name, value in others.items():
        gap = best - value
        line = f"{name:<52}{value.mean():9.2f}"
        print(line if value is best else f"{line}{gap.mean():24.2f}{gap.std() / np.sqrt(len(gap)):8.2f}")
    if options.plot is not None:
        one = pd.DataFrame({"batch": BATCHES[:1], "dose": [0.9], "library": [60.0]})
        plot(truth, {"negative binomial": named, "Poisson": poisson}, one, options.plot)
        print(f"drawn to {options.plot}")


if __name__ == "__main__":
    main()
