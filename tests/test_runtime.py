"""Processes in which JAX cannot compute."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import condvae
from condvae import runtime
from condvae.linear_gaussian import random_linear_gaussian
from condvae.sentences import InputError
from condvae.tables import read_table

SAVED = Path(__file__).parent / "estimator" / "saved"


def in_a_fork(work):
    """What an error in a forked process says; nothing, if it waits for ever."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            work()
            said = "no error"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_process_is_refused_with_a_sentence():
    estimator = condvae.ConditionalVAE.load(SAVED / "latent")
    rows, targets = read_table(SAVED / "conditions.csv"), read_table(SAVED / "targets.csv")
    key = jax.random.key(0)
    model, x = random_linear_gaussian(key, x_size=2, z_size=1), jnp.zeros((3, 2))
    for work in (
        lambda: estimator.predict(rows),
        lambda: estimator.sample(rows),
        lambda: estimator.log_prob(rows, targets),
        lambda: condvae.ConditionalVAE().fit(rows, targets),
        lambda: condvae.ConditionalVAE.load(SAVED / "latent"),
        lambda: condvae.log_prob(model, x, key=key),
        lambda: condvae.sample(model, key=key, num_samples=2),
        lambda: condvae.fit(model, x, key=key, num_steps=1),
    ):
        said = in_a_fork(work)
        assert said.startswith("RuntimeError: this process was forked")
        assert "get_context('spawn')" in said


def test_a_device_that_is_not_there_is_named(monkeypatch):
    def devices():
        raise AssertionError

    monkeypatch.setattr(runtime, "_process", None)
    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(
        InputError, match=r"JAX_PLATFORMS is 'cuda'.*; install JAX for .* JAX_PLATFORMS=cpu"
    ):
        runtime.require_runtime()
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(AssertionError):
        runtime.require_runtime()


def test_the_program_names_a_device_that_is_not_there():
    done = subprocess.run(
        [sys.executable, "-m", "condvae", "inspect", str(SAVED / "latent")],
        env=os.environ | {"JAX_PLATFORMS": "nonsense"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("condvae: JAX_PLATFORMS is 'nonsense', and JAX finds no such device; ")
    assert done.stderr.count("\n") == 1
