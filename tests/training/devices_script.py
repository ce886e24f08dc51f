"""What `test_devices` runs in processes of their own."""

import json
import os
import re
import signal
import sys

import equinox as eqx
import jax
import numpy as np

from condvae import fit
from condvae.training import Checkpoints, rounds, streams
from condvae.training.devices import Disconnected
from condvae.training.streams import ArrayStream
from helpers import diagonal

OPTIONS = {"batch_size": 16, "learning_rate": 3e-3, "num_members": 2, "num_steps": 256, "progress": False}


class Watched(ArrayStream):
    """Knows which groups were read."""

    def __init__(self, *arrays):
        super().__init__(*arrays, group_rows=64)
        self.groups = set()

    def read(self, group):
        self.groups.add(group)
        return super().read(group)


def rows(n=1024):
    rng = np.random.default_rng(0)
    c = rng.normal(size=(n, 2)).astype(np.float32)
    x = c[:, :1] * np.array([1.0, -0.5, 0.0]) + 0.3 * rng.normal(size=(n, 3))
    return x.astype(np.float32), c


def mesh_of(devices):
    kinds = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((len(devices),), ("batch",), axis_types=kinds, devices=devices)


def fits(mesh):
    """The losses of members, of arrays and of a stream."""
    losses_of = {}
    for name, data in (("arrays", rows()), ("stream", (Watched(*rows()),))):
        _, history = fit(diagonal, *data, key=jax.random.key(0), mesh=mesh, **OPTIONS)
        for losses in ("train", "validation"):
            losses_of[f"{losses} of {name}"] = history[losses].tolist()
    return losses_of


def resumed(folder, mesh=None, **more):
    """A longer run of a stream that is kept in a folder."""
    options = OPTIONS | {"num_steps": 768, "checkpoint": Checkpoints(folder, seconds=0), "resume": True}
    return fit(diagonal, Watched(*rows()), key=jax.random.key(0), mesh=mesh, **options, **more)


def main(kind, *arguments):
    if kind == "devices":
        print(json.dumps({count: on_devices(int(count)) for count in arguments}))
        return
    process, count, port, folder = arguments
    process = int(process)
    jax.distributed.initialize(f"127.0.0.1:{port}", int(count), process, heartbeat_timeout_seconds=20)
    mesh = mesh_of(jax.devices())
    print(json.dumps(fits(mesh)), flush=True)
    # Less than an epoch of a longer stream, in windows of two groups.
    usual, streams.WINDOW_BYTES = streams.WINDOW_BYTES, 16 * 64 * 20
    stream = Watched(*rows(4096))
    held = rows(102)
    fit(diagonal, stream, key=jax.random.key(0), mesh=mesh, validation=held, **OPTIONS | {"num_steps": 128})
    print(json.dumps({"groups": sorted(stream.groups - {0})}), flush=True)

    streams.WINDOW_BYTES = usual
    # One that is kept, to its end.
    options = OPTIONS | {"num_steps": 128, "checkpoint": f"{folder}-whole"}
    fit(diagonal, Watched(*rows()), key=jax.random.key(0), mesh=mesh, **options)

    def die(record, step):
        if process == 1 and step >= 384:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        resumed(folder, mesh, callbacks=[die])
    except Disconnected as error:
        print(json.dumps({"said": str(error)}), flush=True)
        os._exit(3)


def on_devices(count):
    """The losses, and how often the programs of their rounds let anything cross between devices."""
    compiled, run = {}, rounds._round
    jitted = eqx.filter_jit(run.__wrapped__)

    def compile_once(*arguments, **named):
        streamed = arguments[0].plan.streamed
        if streamed not in compiled:
            compiled[streamed] = jitted.lower(*arguments, **named).compile()
        return compiled[streamed](*arguments, **named)

    rounds._round = compile_once
    report = {"losses": fits(mesh_of(jax.devices()[:count]))}
    rounds._round = run
    texts = [program.compiled.as_text() for program in compiled.values()]
    for kind in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        report[kind] = [len(re.findall(rf"= .* {kind}\(", text)) for text in texts]
    return report


if __name__ == "__main__":
    main(*sys.argv[1:])
