"""Several processes on the command line; that they train one model is in `test_devices`."""

import json
import os
import subprocess
import sys

import pytest

from cli.saying import PENGUINS, TARGETS, assert_refused
from condvae import ConditionalVAE
from condvae.cli import cluster
from condvae.tables import TableError
from training.test_devices import free_port

FIT = ("fit", PENGUINS, "--given", "species,sex", "--target", ",".join(TARGETS), "--out", "m")


def test_a_process_that_is_alone(monkeypatch):
    for name in cluster.SIZES:
        monkeypatch.delenv(name, raising=False)
    assert cluster.join(None, None, None) is None
    assert cluster.join(1, 0, "localhost:1") is None

    def fails(error):
        def initialize(*_, **__):
            raise error

        monkeypatch.setattr("jax.distributed.initialize", initialize)

    monkeypatch.setenv("SLURM_NTASKS", "4")  # an allocation, in which this was started by hand
    fails(ValueError("coordinator_address should be defined."))
    assert cluster.join(None, None, None) is None
    assert cluster.is_first()
    fails(RuntimeError("DEADLINE_EXCEEDED: nobody came"))
    with pytest.raises(TableError, match=r"the processes do not meet at a:1 \(DEADLINE_EXCEEDED"):
        cluster.join(2, 0, "a:1")


def test_what_processes_need_is_asked_for(condvae_says):
    answer = condvae_says(*FIT, "--num-processes", 2, "--process-id", 0)
    assert_refused(answer, "give --coordinator too")
    answer = condvae_says(*FIT, "--coordinator", "a:1")
    assert_refused(answer, "give --num-processes and --process-id too")
    answer = condvae_says(*FIT, "--num-processes", 2, "--process-id", 2, "--coordinator", "a:1")
    assert_refused(answer, "--process-id is 2, expected 0 to 1")


@pytest.mark.slow
def test_two_processes_fit_and_the_first_one_speaks(tmp_path):
    port = free_port()
    program = [sys.executable, "-W", "ignore", "-c", "from condvae.cli import main; main()"]
    common = [*program, *FIT[:-1], str(tmp_path / "m"), "--steps", "64", "--members", "2", "--json"]
    common += ["--num-processes", "2", "--coordinator", f"127.0.0.1:{port}"]
    both = [
        subprocess.Popen(
            [*map(str, common), "--process-id", str(i)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CONDVAE_NO_CACHE": "1"},
        )
        for i in range(2)
    ]
    (out, error), (silent, _) = (process.communicate(timeout=300) for process in both)
    assert [process.returncode for process in both] == [0, 0], error
    assert json.loads(out)["settings"]["num_steps"] == 64
    assert silent == ""
    assert ConditionalVAE.load(tmp_path / "m").settings_.num_members == 2
