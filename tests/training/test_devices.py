"""Several devices, forced upon the host, and several processes, over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from condvae import fit
from condvae.training.devices import Devices, Disconnected
from training.devices_script import fits, resumed

TESTS = Path(__file__).parent


def start(*arguments, devices=1):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = os.environ | {
        "XLA_FLAGS": flags.strip(),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # half of the time to compile
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
    }
    script = TESTS / "devices_script.py"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", script, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process):
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return json.loads(out.splitlines()[-1])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def on_one_device():
    return fits(None)


def assert_same_losses(actual, expected):
    assert actual.keys() == expected.keys()
    for name, losses in expected.items():
        np.testing.assert_allclose(actual[name], losses, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("counts", [(8,), pytest.param((1, 2, 4), marks=pytest.mark.slow)])
def test_losses_are_those_of_one_device(on_one_device, counts):
    by_count = said(start("devices", *counts, devices=8))
    assert set(by_count) == set(map(str, counts))
    for count, report in by_count.items():
        assert_same_losses(report["losses"], on_one_device)
        # What crosses is the sum of the gradients, all in one in a step, and that of the held-out values.
        assert report["all-reduce"] == ([0, 0] if count == "1" else [2, 2])
        assert report["all-gather"] == report["all-to-all"] == [0, 0]


@pytest.mark.slow
def test_two_processes_come_to_the_losses_of_one_and_a_run_outlives_the_end_of_one(on_one_device, tmp_path):
    port, folder = free_port(), tmp_path / "run"
    both = [start("processes", i, 2, port, folder) for i in range(2)]
    first, second = (process.communicate(timeout=300) for process in both)
    assert both[1].returncode == -signal.SIGKILL, second[1]
    assert both[0].returncode == 3, first[1]
    losses, groups, ended = map(json.loads, first[0].splitlines()[-3:])
    assert_same_losses(losses, on_one_device)
    assert "another of the 2 processes has ended or cannot be reached" in ended["said"]
    # Of a longer stream, in a part of an epoch, they read groups of their own.
    others = json.loads(second[0].splitlines()[-1])
    assert min(len(report["groups"]) for report in (groups, others)) > 8
    assert len(set(groups["groups"]) & set(others["groups"])) <= 1
    assert list(folder.glob("step-*"))
    assert (tmp_path / "run-whole" / "step-000000128").exists()
    with pytest.warns(UserWarning, match="begun with JAX .* on 2 cpu, resumed at step"):
        _, history = resumed(folder)
    assert history.events[0]["event"] == "resumed"
    _, whole = resumed(tmp_path / "other")
    np.testing.assert_allclose(history["validation"], whole["validation"], rtol=1e-5)


def test_a_mesh_is_of_one_axis():
    mesh = jax.make_mesh((1, 1), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    with pytest.raises(ValueError, match="the mesh has the axes a, b: give one of a single axis"):
        Devices(mesh)


def test_a_batch_is_shared_evenly():
    class Eight(Devices):
        count = 8

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("condvae.training.loop.Devices", Eight)
        with pytest.raises(ValueError, match="batch_size is 100, which 8 devices cannot share evenly"):
            fit(None, np.zeros((9, 1)), key=jax.random.key(0), batch_size=100)


def test_errors_of_one_process_are_its_own():
    with pytest.raises(ValueError, match="UNKNOWN: no"), Devices().connected():
        raise ValueError("UNKNOWN: no")
    assert issubclass(Disconnected, ConnectionError)
