"""Bias, variance and signal-to-noise of every objective's gradient, against K, the number of draws.

    python benchmarks/gradients.py                         # tables and sentences
    python benchmarks/gradients.py --plot gradients.png    # and a picture
    python benchmarks/gradients.py --repeats 8192          # more keys, smaller errors

Two models and one row of each. *Linear-Gaussian*: z and x of 10 dimensions, made as in Rainforth et al.
(2018): q has 4/3 of the exact posterior's covariance, then all parameters of the model are moved by
Normal(0, 0.01²), so that θ and φ are near their best and not there. *Discrete*: z of 3 values, x of 3 bits,
q far from the posterior.

The gradient of one row is taken for many keys, for θ (prior and likelihood) and for φ (posterior):

    bias     the norm of the mean less the gradient that the objective claims to have, ± its standard error.
             Sampling alone makes the norm larger, which is taken off. A star: some parameter is off by more
             than chance would have it, 1 in 10,000 for all of them together
    std      the square root of the summed variances
    SNR      |mean| / std of each parameter, averaged over those whose gradient differs from key to key

What is claimed is known. Of the linear-Gaussian model the ELBO, log p, E_p log p(x | z) and −KL(p || q)
are in closed form. The gradient of the importance-weighted bound is that of the ELBO at K = 1; at other K
it is held to `doubly_reparameterised` with other keys, whose φ in turn is held to `iwae`. Rényi's bound is
known at K = 1 only. Of the discrete model everything is a sum: over z, over x, and over how many of K draws
are of each value. So the mean of every gradient is exact there, and it is what "bias" is held to; what that
mean is off from the claim is printed by itself.

The SNR of `iwae` at large K is below 1/√keys, the noise floor of its own mean. So the signal is the claim
where that is unbiased and better known than the mean, and the mean squared less its own variance elsewhere.

Gradients are in float32, their means and variances in float64.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial, wraps
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from condvae import CVAE, objectives
from condvae.objectives.declaration import declaration_of
from condvae.objectives.draws import evaluate
from condvae.plots.files import require_drawable, save_figure
from condvae.plots.style import GROUPS, MUTED, tidy
from condvae.progress import Progress
from exact_gradients import closed_forms, discrete, expected, flat_gradient, near_its_best, parts_of

SAMPLES = (1, 4, 16, 64, 256)
FITTED_FROM = 16
"""The least K to which a slope is fitted: those of theory are for weights whose mean is well known."""
AT_ONCE = 4096
"""Draws of all keys that are held in memory at a time."""
PARTS = ("θ", "φ")
CHANCE, ROUNDING = 1e-4, 1e-5
console = Console(width=118, highlight=False, markup=False)


class Estimator(NamedTuple):
    """An objective and what is known of its gradient.

    Attributes:
        claims: what it claims to be the gradient of, for θ and for φ; "" where that is not known.
        slopes: by theory, of log SNR against log K.
        least: K has to be at least this.
    """

    name: str
    objective: Callable[..., Any]
    claims: tuple[str, str]
    slopes: tuple[float | None, float | None] = (0.5, 0.5)
    least: int = 1


BIASED = ("log p", "−KL(p || q)")
"""Claims that are met as K → ∞ only, with a bias of 1/K."""
MONTE_CARLO, FALLING = partial(objectives.elbo, monte_carlo=True), (0.5, -0.5)
# Those that take the same draws stand together: they are one program.
ESTIMATORS = (
    Estimator("elbo", objectives.elbo, ("elbo", "elbo")),
    Estimator("elbo(monte_carlo=True)", MONTE_CARLO, ("elbo", "elbo")),
    Estimator("sticking_the_landing", objectives.sticking_the_landing, ("elbo", "elbo")),
    Estimator("renyi(alpha=0.5)", objectives.renyi, ("", "")),
    Estimator("iwae", objectives.iwae, ("bound", "bound"), FALLING),
    Estimator("doubly_reparameterised", objectives.doubly_reparameterised, ("bound", "iwae")),
    Estimator("generalised_doubly_...", objectives.generalised_doubly_reparameterised, ("bound", "iwae")),
    Estimator("vimco", objectives.vimco, ("bound", "bound"), FALLING, 2),
    Estimator("wake_wake", objectives.wake_wake, ("bound", "−KL(p || q)")),
    Estimator("defensive_wake_wake", objectives.defensive_wake_wake, BIASED, least=2),
    Estimator("wake_sleep", objectives.wake_sleep, ("bound", "dreams")),
    Estimator(
        "gaussian_stochastic_...", objectives.gaussian_stochastic_network, ("blind", "blind"), (0.5, None)
    ),
    Estimator("hybrid(alpha=0.5)", objectives.hybrid, ("hybrid", "hybrid")),
)
OF_ANY_Z = ("vimco", "wake_wake", "defensive_wake_wake", "wake_sleep")


class Sampled(NamedTuple):
    """Means and variances of a gradient over keys, parameter by parameter."""

    mean: np.ndarray
    variance: np.ndarray
    number: int


class Truth(NamedTuple):
    """An expected gradient, and the variance with which it is known."""

    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def exactly(cls, mean: Any) -> "Truth":
        return cls(np.asarray(mean, float), np.zeros(np.shape(mean)))

    @classmethod
    def of(cls, sampled: Sampled) -> "Truth":
        return cls(sampled.mean, sampled.variance / sampled.number)


class Found(NamedTuple):
    """What is said of one estimator at one K, of θ or of φ."""

    bias: float
    error: float
    seen: bool
    std: float
    snr: float
    floor: float
    own_floor: float


Judged = dict[tuple[str, str], dict[int, Found]]
"""By estimator and part, of each K."""

# --- gradients over many keys


def together(group: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """Objectives of the same draws as one, with a value for each."""

    @wraps(group[0])
    def values(*drawn: Any, **named: Any) -> jax.Array:
        return jnp.stack([objective(*drawn, **named) for objective in group])

    return values


def sample_gradients(
    group: Sequence[Callable[..., Any]], model: CVAE, x: jax.Array, num_samples: int, keys: jax.Array
) -> list[Sampled]:
    """Of each of some objectives of the same draws."""
    objective = together(group)

    def one(key: jax.Array) -> jax.Array:
        return flat_gradient(lambda m: evaluate(objective, m, x, key=key, num_samples=num_samples), model)

    at_once = max(1, min(len(keys), AT_ONCE // num_samples))
    sampled = np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=at_once))(keys))
    each = [sampled[:, i].astype(float) for i in range(len(group))]
    return [Sampled(own.mean(0), own.var(0, ddof=1), len(own)) for own in each]


def measure(
    estimators: Sequence[Estimator], model: CVAE, x: jax.Array, keys: jax.Array
) -> dict[str, dict[int, Sampled]]:
    """Every estimator at every K."""
    groups = [list(group) for _, group in groupby(estimators, lambda e: declaration_of(e.objective).draws)]
    found: dict[str, dict[int, Sampled]] = {estimator.name: {} for estimator in estimators}
    with Progress("gradients", len(groups) * len(SAMPLES), enabled=True) as bar:
        for group in groups:
            for k in SAMPLES:
                if k >= group[0].least:
                    sampled = sample_gradients([e.objective for e in group], model, x, k, keys)
                    for estimator, own in zip(group, sampled, strict=True):
                        found[estimator.name][k] = own
                bar.advance(1, f"{group[0].name}, K = {k}")
    return found


def judge(own: Sampled, truth: Truth | None, unbiased: bool) -> Found:
    """Bias, spread and signal of one part."""
    stderr = own.variance / own.number
    bias = error = np.nan
    seen, signal = False, Truth(own.mean, stderr)
    if truth is not None:
        off, variance = own.mean - truth.mean, stderr + truth.variance
        bias = np.sqrt(max(np.sum(off**2) - np.sum(variance), 0.0))
        error = np.sqrt(np.sum(variance))
        allowed = norm.isf(CHANCE / 2 / len(off)) * np.sqrt(variance)
        seen = bool((np.abs(off) > allowed + ROUNDING * (1 + np.abs(truth.mean).max())).any())
        if unbiased and truth.variance.sum() < stderr.sum():
            signal = truth
    moving = own.variance > (1e-4 * own.mean) ** 2 + 1e-12
    if not moving.any():
        return Found(bias, error, seen, 0.0, np.nan, np.nan, np.nan)
    variance = own.variance[moving]
    squared = np.maximum(signal.mean**2 - signal.variance, 0.0)[moving]
    snr, floor = (np.sqrt(a / variance).mean() for a in (squared, signal.variance[moving]))
    std = np.sqrt(own.variance.sum())
    return Found(bias, error, seen, std, snr, floor, 1 / np.sqrt(own.number))


def judged(
    estimators: Sequence[Estimator],
    sampled: dict[str, dict[int, Sampled]],
    truth: Callable[[Estimator, int, int], Truth | None],
    model: CVAE,
) -> Judged:
    """Every estimator's θ and φ at every K, held to what `truth` says of them."""
    found: Judged = {}
    for estimator in estimators:
        for part, (name, place) in enumerate(zip(PARTS, parts_of(model), strict=True)):
            row = found.setdefault((estimator.name, name), {})
            for k, own in sampled[estimator.name].items():
                known = truth(estimator, k, part)
                row[k] = judge(
                    Sampled(own.mean[place], own.variance[place], own.number),
                    None if known is None else Truth(known.mean[place], known.variance[place]),
                    estimator.claims[part] not in BIASED,
                )
    return found


def of_linear_gaussian(repeats: int) -> Judged:
    """Every estimator at every K, held to closed forms and to each other."""
    model, x = near_its_best()
    exact = {
        name: Truth.exactly(jax.jit(partial(flat_gradient, value))(model))
        for name, value in closed_forms(x).items()
    }
    sampled = measure(ESTIMATORS, model, x, jax.random.split(jax.random.key(3), repeats))
    others = jax.random.split(jax.random.key(4), 2 * repeats)
    doubly = [objectives.doubly_reparameterised]
    bound = {k: Truth.of(sample_gradients(doubly, model, x, k, others)[0]) for k in SAMPLES[1:]}

    def truth(estimator: Estimator, k: int, part: int) -> Truth | None:
        claim = estimator.claims[part]
        if k == 1 and claim in ("bound", "iwae", ""):
            return exact["elbo"]
        return {"bound": bound.get(k), "iwae": Truth.of(sampled["iwae"][k]), **exact}.get(claim)

    return judged(ESTIMATORS, sampled, truth, model)


def of_discrete(repeats: int) -> tuple[Judged, dict[str, dict[int, float]]]:
    """Estimators for any z, held to exact means; and how far these are from what is claimed, at every K."""
    model, x = discrete()
    estimators = [e._replace(claims=("mean", "mean")) for e in ESTIMATORS if e.name in OF_ANY_Z]
    sampled = measure(estimators, model, x, jax.random.split(jax.random.key(5), 8 * repeats))
    exact = {k: expected(model, x, k) for k in SAMPLES[1:]}
    found = judged(
        estimators,
        {name: {k: own for k, own in row.items() if k > 1} for name, row in sampled.items()},
        lambda estimator, k, part: Truth.exactly(exact[k][estimator.name]),
        model,
    )
    theta, phi = parts_of(model)
    norms = {
        f"{name}, {part}": {
            k: float(np.linalg.norm((own[name] - own["limit"])[place])) for k, own in exact.items()
        }
        for name, part, place in (
            ("wake_wake", "φ", phi),
            ("defensive_wake_wake", "θ", theta),
            ("defensive_wake_wake", "φ", phi),
        )
    }
    return found, norms


# --- tables, sentences and the picture


def number(value: float) -> str:
    """Three digits."""
    return "—" if np.isnan(value) else "0" if value == 0 else f"{value:.3g}"


def slope(values: dict[int, float]) -> float:
    """Of the logarithms, from FITTED_FROM on."""
    kept = [(k, value) for k, value in values.items() if k >= FITTED_FROM and value > 0]
    return float(np.polyfit(*np.log(np.array(kept).T), 1)[0]) if len(kept) > 1 else np.nan


def snr_slope(row: dict[int, Found]) -> float:
    return slope({k: found.snr for k, found in row.items()})


def show(title: str, found: Judged) -> None:
    """For each part bias, standard deviation and SNR of every estimator, against K."""
    theory = {(e.name, part): s for e in ESTIMATORS for part, s in zip(PARTS, e.slopes, strict=True)}
    for part in PARTS:
        for what in ("bias ± error", "std", "SNR"):
            table = Table(
                title=f"{title}: {what} of the gradient for {part}", title_justify="left", box=None
            )
            table.add_column("K")
            for k in SAMPLES:
                table.add_column(f"{k}", justify="right")
            if what == "SNR":
                table.add_column("slope", justify="right")
                table.add_column("theory", justify="right")
            for (name, own), row in found.items():
                if own == part:
                    cells = [cell(row[k], what) if k in row else "" for k in SAMPLES]
                    said = theory[name, part]
                    ends = (
                        [number(snr_slope(row)), "—" if said is None else f"{said:+}"]
                        if what == "SNR"
                        else []
                    )
                    table.add_row(name, *cells, *ends)
            console.print(table, "")


def cell(found: Found, what: str) -> str:
    if what == "SNR":
        return number(found.snr)
    if what == "std":
        return number(found.std)
    if np.isnan(found.bias):
        return "—"
    return f"{number(found.bias)} ± {number(found.error)}{'*' if found.seen else ' '}"


def show_slopes(found: Judged) -> None:
    """What Rainforth et al. say of iwae, and Tucker et al. of its other gradient."""
    rows = {name: found[name, "φ"] for name in ("iwae", "doubly_reparameterised", "vimco")}
    own, doubly, score = (f"{snr_slope(row):+.2f}" for row in rows.values())
    first, last = (rows["iwae"][k] for k in (SAMPLES[0], SAMPLES[-1]))
    console.print(
        f"φ: the SNR of iwae goes as K^{own} (theory −1/2, Rainforth et al. 2018), from {first.snr:.3g} at "
        f"K = 1 to {last.snr:.3g} at K = {SAMPLES[-1]}; that of vimco as K^{score}; that of "
        f"doubly_reparameterised as K^{doubly} (theory +1/2, Tucker et al. 2019). Fitted from "
        f"K = {FITTED_FROM} on."
    )
    console.print(
        f"Noise floors of iwae at K = {SAMPLES[-1]}: {last.own_floor:.2g} of its own mean, "
        f"{last.floor:.1g} of the signal that was used."
    )


def show_biases(title: str, found: Judged, biased: dict[tuple[str, str], bool]) -> None:
    """Which stars there are, of gradients that are to be without bias and of the others."""
    for sort, words in ((False, "without bias"), (True, "biased as 1/K")):
        cases = [
            (f"{own}, {part}, K = {k}", one.seen)
            for (own, part), row in found.items()
            for k, one in row.items()
            if not np.isnan(one.bias) and biased.get((own, part), False) is sort
        ]
        stars = [name for name, seen in cases if seen]
        if cases:
            console.print(
                f"{title}: of {len(cases)} means that are to be {words}, {len(stars)} have a star"
                f"{': ' * bool(stars)}{'; '.join(stars)}."
            )


# --- the picture

COLOURED = ("iwae", "doubly_reparameterised", "elbo", "wake_wake", "vimco", "sticking_the_landing")
LEADER = dict(arrowstyle="-", color=MUTED, linewidth=0.5, shrinkA=1, shrinkB=3, relpos=(0, 0.5))


def plot(found: Judged, path: Path) -> None:
    """SNR of θ and of φ against K, where it is above the noise floor."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, part, of in zip(axes, PARTS, ("prior and likelihood", "posterior"), strict=True):
        rows = {name: row for (name, own), row in found.items() if own == part}
        plot_part(
            ax,
            {
                name: {k: one.snr for k, one in row.items() if one.snr > one.floor}
                for name, row in rows.items()
            },
        )
        tidy(
            ax,
            title=f"{part}: {of}",
            x="K",
            y="" if part == "φ" else "signal-to-noise ratio of the gradient",
            grid="both",
        )
    save_figure(axes[0], path)


def plot_part(ax: Axes, rows: dict[str, dict[int, float]]) -> None:
    """A line for each estimator, named at its end; those that are the same have one."""
    lines: list[tuple[list[str], dict[int, float]]] = []
    for name, row in rows.items():
        names, own = min(lines, key=lambda line: distance(row, line[1]), default=([], {}))
        if distance(row, own) < 0.02:
            names.append(name)
        elif row:
            lines.append(([name], row))
    ax.set(xscale="log", yscale="log")
    for names, row in lines:
        known = [name for name in COLOURED if name in names]
        colour = GROUPS[COLOURED.index(known[0])] if known else MUTED
        strong = bool({"iwae", "doubly_reparameterised"} & set(names))
        ax.plot(
            list(row),
            list(row.values()),
            ".-",
            color=colour,
            linewidth=2.4 if strong else 1.1,
            zorder=2 + strong,
        )
    ax.set_xticks(SAMPLES, [f"{k}" for k in SAMPLES])
    ax.minorticks_off()
    low, high = np.log(ax.get_ylim())
    ends = [(np.log(row[SAMPLES[-1]]) - low) / (high - low) for _, row in lines]
    places = apart(ends, [len(names) for names, _ in lines])
    for (names, row), place, line in zip(lines, places, ax.get_lines(), strict=True):
        ax.annotate(
            "\n".join(names),
            (SAMPLES[-1], row[SAMPLES[-1]]),
            (1.07, place),
            textcoords="axes fraction",
            fontsize=7.5,
            va="center",
            color="#707070" if line.get_color() == MUTED else line.get_color(),
            parse_math=False,
            arrowprops=LEADER,
        )


def distance(one: dict[int, float], other: dict[int, float]) -> float:
    """The largest difference of logarithms at a K that both have."""
    return max((abs(np.log(one[k] / other[k])) for k in one.keys() & other.keys()), default=np.inf)


def apart(ends: Sequence[float], heights: Sequence[int], line: float = 0.034) -> list[float]:
    """Places of labels near the ends of their lines, none over another."""
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    places = list(ends)
    for _ in range(500):
        places[order[-1]] = min(places[order[-1]], 1.0)
        for i, j in pairwise(order):
            short = line * (heights[i] + heights[j]) / 2 - (places[j] - places[i])
            if short > 0:
                places[i] -= short / 2
                places[j] += short / 2
    return places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2048, help="keys, 2048 by default")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the signal-to-noise ratios")
    arguments = parser.parse_args()
    if arguments.plot:
        require_drawable(arguments.plot)
    began = time.perf_counter()
    found = of_linear_gaussian(arguments.repeats)
    show("linear-Gaussian", found)
    sums, limits = of_discrete(arguments.repeats)
    show("discrete", sums)
    show_slopes(found)
    claims = {
        (e.name, part): claim in BIASED
        for e in ESTIMATORS
        for part, claim in zip(PARTS, e.claims, strict=True)
    }
    show_biases("Linear-Gaussian", found, claims)
    show_biases("Discrete, held to exact means", sums, {})
    for name, norms in limits.items():
        values = ", ".join(f"{value:.2g}" for value in norms.values())
        console.print(
            f"Discrete, {name}: the exact mean is off from what is claimed by {values} at K = "
            f"{', '.join(map(str, norms))}: as K^{slope(norms):+.2f} (theory −1)."
        )
    if arguments.plot:
        plot(found, arguments.plot)
    console.print(f"{time.perf_counter() - began:.0f} s, {time.process_time():.0f} s of processor")


if __name__ == "__main__":
    main()
