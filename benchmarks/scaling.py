"""Training on several devices: what a step costs here, what crosses between devices, and a projection.

    python benchmarks/scaling.py [--sizes table image] [--steps 512] [--json FILE]

Measured: the time of a step on 1, 2, 4 and 8 devices that are forced upon this host, and in 2 processes
over loopback. They share the same few cores, so what is measured is what dividing costs, not what it gains.

Computed: a step communicates the sum of the gradients and nothing else. In a ring each of N devices sends
2 (N - 1) / N of their bytes. A step needs about 6 floating-point operations for each weight, row, draw and
member: two in the forward pass, four in the backward pass.

Projected from these, with the figures that `ASSUMED` holds, and nothing measured: the time of a step on
several GPUs of a host, and on several hosts.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np


class Size(NamedTuple):
    """A model and its batches."""

    targets: int
    conditions: int
    latent: int
    width: int
    members: int
    batch: int
    likelihood: str


SIZES = {
    "table": Size(10, 10, 10, 256, 2, 1024, "student_t"),
    "image": Size(784, 10, 50, 500, 1, 1024, "bernoulli"),
}

ASSUMED = {
    "operations a second": 20e12,  # float32, sustained: a third of what an H200 is sold for
    "least seconds a step": 300e-6,  # a hundred kernels, one after the other
    "bytes a second, GPU to GPU": 300e9,
    "bytes a second, host to host": 20e9,  # of 200 Gb/s
    "seconds a collective, GPUs": 25e-6,
    "seconds a collective, hosts": 60e-6,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--steps", type=int, default=512, help="timed, after as many that are not")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.sizes[0], arguments.steps, *arguments.child)
        return
    found = {}
    for name in arguments.sizes:
        found[name] = measured(name, arguments.steps) | {"parameters": parameters(SIZES[name])}
        show(name, found[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


def measured(name: str, steps: int) -> dict[str, float]:
    """Seconds a step, by where it is taken."""
    found = {}
    for devices in (1, 2, 4, 8):
        found[f"{devices} devices"] = run(name, steps, devices, 1)
    found["2 processes"] = run(name, steps, 1, 2)
    return found


def run(name: str, steps: int, devices: int, processes: int) -> float:
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, __file__, "--sizes", name, "--steps", str(steps), "--child"]
    children = [
        subprocess.Popen(
            [*command, str(devices), str(processes), str(i), port],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]
    said = [process.communicate()[0] for process in children]
    if any(process.returncode for process in children):
        raise SystemExit(f"{name} on {devices} devices in {processes} processes failed")
    return float(said[0].splitlines()[-1])


def child(name: str, steps: int, devices: str, processes: str, process: str, port: str) -> None:
    """Train, and print the seconds a step."""
    if processes != "1":
        jax.distributed.initialize(f"127.0.0.1:{port}", int(processes), int(process))
    from condvae import fit

    size = SIZES[name]
    mesh = None
    if int(devices) * int(processes) > 1:
        mesh = jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8192, size.targets)).astype(np.float32)
    x = (x > 0).astype(np.float32) if size.likelihood == "bernoulli" else x
    c = rng.normal(size=(8192, size.conditions)).astype(np.float32)
    _, history = fit(
        lambda key: build(size, x, c, key),
        x,
        c,
        key=jax.random.key(0),
        num_members=size.members,
        num_steps=2 * steps,
        batch_size=size.batch,
        validation=0,
        mesh=mesh,
        progress=False,
    )
    timed = history["step"] >= steps
    print(np.ptp(history["seconds"][timed]) / np.ptp(history["step"][timed]))


def build(size: Size, x: np.ndarray, c: np.ndarray, key: jax.Array):
    from condvae.architectures import mlp_cvae

    return mlp_cvae(
        x, c, latent_size=size.latent, width=size.width, depth=2, likelihood=size.likelihood, key=key
    )


def parameters(size: Size) -> int:
    """Of one member."""
    x, c = np.zeros((2, size.targets), np.float32), np.zeros((2, size.conditions), np.float32)
    model = build(size, x, c, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array))


def show(name: str, found: dict[str, float]) -> None:
    size, count = SIZES[name], int(found["parameters"])
    gradient = 4 * count * size.members
    operations = 6 * count * size.members * size.batch
    print(f"\n{name}: {size.members} x {count:,} parameters, batches of {size.batch}")
    one = found["1 devices"]
    for where, seconds in found.items():
        if where != "parameters":
            print(f"  measured  {where:12} {1e6 * seconds:9,.0f} us a step  {seconds / one:5.2f}x")
    print(
        f"  computed  {operations / 1e9:.2f} G operations a step, gradients of {gradient / 2**20:.2f} MiB"
    )
    for devices in (2, 8):
        sent = 2 * (devices - 1) / devices * gradient
        print(f"  computed  each of {devices} devices sends {sent / 2**20:.2f} MiB a step")
    print("  projected, batches divided (fixed) or of as many rows for each device (grown):")
    for hosts, each in ((1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (8, 8)):
        fixed, grown = (projected(operations, gradient, hosts, each, grow) for grow in (False, True))
        alone = projected(operations, gradient, 1, 1, False)
        total = hosts * each
        print(
            f"  projected {hosts} x {each} GPUs   fixed {1e6 * fixed:6.0f} us, {alone / fixed:5.2f}x"
            f"   grown {1e6 * grown:6.0f} us, {total * alone / grown:5.1f}x the rows"
        )


def projected(operations: float, gradient: float, hosts: int, each: int, grow: bool) -> float:
    """Seconds a step: computing, but no less than starting its kernels takes, then the sum of gradients."""
    total = hosts * each
    share = operations if grow else operations / total
    compute = max(share / ASSUMED["operations a second"], ASSUMED["least seconds a step"])
    if total == 1:
        return compute
    inside = 2 * (each - 1) / each * gradient / ASSUMED["bytes a second, GPU to GPU"]
    inside += ASSUMED["seconds a collective, GPUs"] if each > 1 else 0.0
    # Between hosts, each GPU of a host carries its part of the sum.
    across = 2 * (hosts - 1) / hosts * gradient / ASSUMED["bytes a second, host to host"]
    across += ASSUMED["seconds a collective, hosts"] if hosts > 1 else 0.0
    return compute + inside + across


if __name__ == "__main__":
    main()
