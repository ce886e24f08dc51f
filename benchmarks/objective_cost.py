"""What objectives cost against K, the number of draws: products of matrices, time and memory.

    python benchmarks/objective_cost.py
    python benchmarks/objective_cost.py --batch 20 --rounds 3    # a quick look

One model of the size that is usual for binary images: x of 784 bits, 10 conditions, three networks of
200-200 tanh, z of 50, prior learned. A step is the mean over a batch of 50 rows and its gradient.

*Products* are counted in the compiled program, where what is computed twice has been found out:
floating-point operations of all matrix products, by the network they belong to. *Time* is the lowest of
some rounds, in which all programs take turns: the processor's, of all threads, which other work on the
machine disturbs least, and the clock's. A step at K = 64 is held to a step at the least K and what the
decoder takes, forwards and backwards, for the draws that are more. *Memory* is what the compiler sets aside
for a step, besides arguments and results; nothing is run for it.
"""

import argparse
import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from rich.console import Console
from rich.table import Table

from condvae import CVAE, objectives
from condvae.architectures import mlp_cvae
from condvae.objectives.draws import evaluate

OBJECTIVES = (
    objectives.elbo,
    objectives.iwae,
    objectives.doubly_reparameterised,
    objectives.vimco,
    objectives.wake_wake,
    objectives.wake_sleep,
)
FEW, SOME, MANY, MOST = 1, 8, 64, 512
CHUNK = 8
NETWORKS = ("prior", "encoder", "decoder")
console = Console(width=118, highlight=False, markup=False)


class Named(eqx.Module):
    """A module whose operations carry its name into the compiled program."""

    name: str = eqx.field(static=True)
    module: Callable[..., Any]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        with jax.named_scope(self.name):
            return self.module(*inputs, **options)


def build(batch: int) -> tuple[CVAE, tuple[jax.Array, jax.Array]]:
    """The model and a batch."""
    x = jax.random.bernoulli(jax.random.key(0), 0.3, (batch, 784)).astype(float)
    c = jax.random.normal(jax.random.key(1), (batch, 10))
    model = mlp_cvae(
        x, c, latent_size=50, width=200, activation="tanh", likelihood="bernoulli", key=jax.random.key(2)
    )
    prior, encoder, decoder = NETWORKS
    named = CVAE(
        Named(prior, model.prior), Named(decoder, model.likelihood), Named(encoder, model.posterior)
    )
    return named, (x, c)


class Step(NamedTuple):
    """A compiled program and what it is called with."""

    program: Any
    arguments: tuple[Any, ...]

    @classmethod
    def of(cls, function: Callable[..., Any], *arguments: Any) -> "Step":
        return cls(jax.jit(function).lower(*arguments).compile(), arguments)

    def milliseconds(self) -> tuple[float, float]:
        """Of one call: the processor's and the clock's."""
        before = time.process_time(), time.perf_counter()
        jax.block_until_ready(self.program(*self.arguments))
        return 1e3 * (time.process_time() - before[0]), 1e3 * (time.perf_counter() - before[1])

    @property
    def mebibytes(self) -> float:
        """What the compiler sets aside."""
        return self.program.memory_analysis().temp_size_in_bytes / 2**20


def step(objective: Any, model: CVAE, batch: Any, num_samples: int, chunk: int | None = None) -> Step:
    """An objective's mean over the rows, and its gradient."""
    arrays, static = eqx.partition(model, eqx.is_inexact_array)

    def value(arrays: Any, keys: jax.Array) -> jax.Array:
        def row(x: jax.Array, c: jax.Array, key: jax.Array) -> jax.Array:
            model = eqx.combine(arrays, static)
            return evaluate(objective, model, x, c, key=key, num_samples=num_samples, chunk=chunk)

        return jax.vmap(row)(*batch, keys).mean()

    return Step.of(jax.value_and_grad(value), arrays, jax.random.split(jax.random.key(3), len(batch[0])))


def decoding(model: CVAE, batch: tuple[jax.Array, jax.Array], num_samples: int) -> Step:
    """The decoder alone, forwards and backwards, for so many z a row."""
    arrays, static = eqx.partition(model.likelihood, eqx.is_inexact_array)
    x, c = batch
    z = jax.random.normal(jax.random.key(4), (len(x), num_samples, 50))

    def value(arrays: Any, z: jax.Array) -> jax.Array:
        likelihood = eqx.combine(arrays, static)

        def row(x: jax.Array, c: jax.Array, z: jax.Array) -> jax.Array:
            return jax.vmap(lambda z: CVAE(model.prior, likelihood, model.posterior).p_x(z, c).log_prob(x))(
                z
            )

        return jax.vmap(row)(x, c, z).mean()

    return Step.of(jax.value_and_grad(value, argnums=(0, 1)), arrays, z)


SHAPE = re.compile(r"%?([\w.-]+) = \w+\[([\d,]*)\]")
DOT = re.compile(
    r" dot\((?:\w+\[[\d,]*\]\S* )?%?([\w.-]+), .*lhs_contracting_dims=\{([\d,]*)\}.*op_name=\"([^\"]*)\""
)


def products(program: Any) -> dict[str, float]:
    """Floating-point operations of the matrix products of each network, in 10⁶."""
    lines = program.as_text().splitlines()
    shapes = {m[1]: [int(n) for n in m[2].split(",") if n] for line in lines if (m := SHAPE.search(line))}
    found: dict[str, float] = dict.fromkeys((*NETWORKS, "other"), 0.0)
    for line in lines:
        if made := DOT.search(line):
            own = SHAPE.search(line)
            assert own is not None
            summed = [shapes[made[1]][int(axis)] for axis in made[2].split(",") if axis]
            whose = next((name for name in NETWORKS if name in made[3]), "other")
            found[whose] += 2e-6 * math.prod(shapes[own[1]]) * math.prod(summed)
    return found


def table(title: str, *columns: str) -> Table:
    """A table whose first column is of names."""
    made = Table(title=title, title_justify="left", box=None)
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left")
    return made


def least(objective: Any) -> int:
    """The smallest K of an objective: VIMCO holds each draw against the others."""
    return 2 if objective is objectives.vimco else FEW


def sizes(objective: Any) -> tuple[int, ...]:
    return least(objective), SOME, MANY


def show_products(steps: dict[tuple[str, int], Step]) -> None:
    """Of each network against K, and in words which grow."""
    shown = table("matrix products of a step, 10⁶ operations", "objective", "K", *NETWORKS, "other")
    counted = {own: products(step.program) for own, step in steps.items()}
    for (name, k), found in counted.items():
        shown.add_row(name, f"{k}", *(f"{value:,.1f}" for value in found.values()))
    console.print(shown, "")
    growing = []
    for objective in OBJECTIVES:
        low, high = (counted[objective.__name__, k] for k in (least(objective), MANY))
        growth = {name: high[name] / low[name] for name in NETWORKS}
        if growth["prior"] == growth["encoder"] == 1:
            continue
        said = " and ".join(f"{name} × {growth[name]:.1f}" for name in NETWORKS[:2] if growth[name] != 1)
        growing.append(f"{objective.__name__} ({said} from K = {least(objective)} to {MANY})")
    flat = [
        o.__name__ for o in OBJECTIVES if not any(said.startswith(o.__name__ + " ") for said in growing)
    ]
    console.print(
        f"Prior and encoder take the same at K = {FEW} (or 2), {SOME} and {MANY} for {', '.join(flat)}. "
        f"They do not for {', '.join(growing) or 'none'}."
    )
    each = [found["decoder"] / k for (_, k), found in counted.items()]
    console.print(f"The decoder takes {min(each):.2f} to {max(each):.2f} for each draw, whatever K.", "")


def show_times(steps: dict[tuple[str, int], Step], decoders: dict[int, Step], rounds: int) -> None:
    """Of each step; and what the draws that are more would cost by themselves."""
    every = {**steps, **{("decoder", k): decoder for k, decoder in decoders.items()}}
    for one in every.values():
        one.milliseconds()
    taken = [{own: one.milliseconds() for own, one in every.items()} for _ in range(rounds)]
    for clock, whose in enumerate(("processor", "clock")):
        lowest = {own: min(each[own][clock] for each in taken) for own in every}
        title = f"a step, the {whose}'s time, ms"
        shown = table(
            title,
            "objective",
            "least K",
            f"K = {SOME}",
            f"K = {MANY}",
            "decoder, draws that are more",
            "ratio",
        )
        ratios = {}
        for objective in OBJECTIVES:
            name, rest = objective.__name__, lowest["decoder", MANY - least(objective)]
            times = [lowest[name, k] for k in sizes(objective)]
            ratios[name] = times[-1] / (times[0] + rest)
            shown.add_row(name, *(f"{value:.1f}" for value in (*times, rest)), f"{ratios[name]:.2f}")
        console.print(shown)
        asleep = ratios.pop("wake_sleep")
        console.print(
            f"By the {whose}, a step at K = {MANY} takes {min(ratios.values()):.2f} to "
            f"{max(ratios.values()):.2f} times what a step at the least K takes and the decoder for the "
            f"draws that are more; iwae {ratios['iwae']:.2f} times. Dreams pass the encoder too: "
            f"wake_sleep {asleep:.2f} times.",
            "",
        )


def show_memory(model: CVAE, batch: Any) -> None:
    """With and without chunks of K."""
    chosen = (objectives.iwae, objectives.doubly_reparameterised)
    shown = table(
        "memory of a step, MiB",
        "objective",
        "chunk",
        f"K = {MANY}",
        f"K = {MOST}",
        "more for a draw",
        "of which z",
    )
    # One number is z of one draw, for all rows.
    z = 4 * 50 * len(batch[0]) / 2**20
    said = []
    for objective in chosen:
        for chunk in (None, CHUNK):
            low, high = (step(objective, model, batch, k, chunk).mebibytes for k in (MANY, MOST))
            more = (high - low) / (MOST - MANY)
            shown.add_row(
                objective.__name__,
                f"{chunk or '—'}",
                f"{low:,.1f}",
                f"{high:,.1f}",
                f"{more:.4f}",
                f"{z:.4f}",
            )
            said.append((objective.__name__, chunk, low, high, more))
    console.print(shown)
    for (name, _, _, whole, without), (_, _, low, high, more) in zip(said[::2], said[1::2], strict=True):
        console.print(
            f"{name}, {CHUNK} draws at a time: {low:,.1f} MiB at K = {MANY}, {high:,.1f} at K = {MOST}; "
            f"all at once {whole:,.1f}. A draw more takes {more / z:.1f} times the room of its z, which is "
            f"kept; all at once {without / z:.0f} times."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=50, help="rows, 50 by default")
    parser.add_argument("--rounds", type=int, default=15, help="of timing, 15 by default")
    arguments = parser.parse_args()
    began = time.perf_counter()
    model, batch = build(arguments.batch)
    steps = {(o.__name__, k): step(o, model, batch, k) for o in OBJECTIVES for k in sizes(o)}
    show_products(steps)
    decoders = {MANY - few: decoding(model, batch, MANY - few) for few in {least(o) for o in OBJECTIVES}}
    show_times(steps, decoders, arguments.rounds)
    show_memory(model, batch)
    console.print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
