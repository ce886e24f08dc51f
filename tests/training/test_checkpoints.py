import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from condvae import elbo, fit
from condvae.interruptions import NUMBERS
from condvae.storage import StorageError, read_folder, write_folder
from condvae.training import Checkpoints, History, Interrupted, checkpoints, loop
from helpers import diagonal

KEY = jax.random.key(0)


def run(x, c, **options):
    settings = {"num_steps": 400, "batch_size": 16, "learning_rate": 1e-2, "progress": False} | options
    return fit(diagonal, x, c, key=KEY, **settings)


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")]


def assert_same(model, other):
    for one, two in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def steps(folder):
    return sorted(int(path.name[5:]) for path in Path(folder).glob("step-*"))


class Stopped(Exception):
    """A crash in the middle of a run."""


def crash_at(step):
    def callback(record, now):
        if now >= step:
            raise Stopped

    return callback


OPTIONS = {
    "plain": {},
    "members": {"num_members": 3, "patience": 150, "averaging": 0.9, "weight_decay": 0.1},
    "own optimiser": {"optimiser": optax.adam(1e-2), "kl_warmup": 200},
    "noisy optimiser": {
        "optimiser": optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(1)), optax.sgd(0.01))
    },
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n == "own optimiser" else []) for n in OPTIONS],
)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(rows, tmp_path, name):
    options = OPTIONS[name]
    whole, history = run(*rows, **options)
    with pytest.raises(Stopped):
        run(
            *rows, checkpoint=Checkpoints(tmp_path / "run", seconds=0), callbacks=[crash_at(128)], **options
        )
    resumed, again = run(*rows, checkpoint=tmp_path / "run", resume=True, **options)
    assert_same(resumed, whole)
    for metric in ("step", "train", "validation", "skipped"):
        np.testing.assert_array_equal(again[metric], history[metric])
    assert again.best_step == history.best_step
    assert [event["event"] for event in again.events] == ["resumed"]


def test_it_does_not_matter_where_calls_end(rows, tmp_path, monkeypatch):
    whole, _ = run(*rows)
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    other, _ = run(*rows)
    assert_same(other, whole)


def test_a_finished_run_is_resumed_in_no_time(rows, tmp_path):
    whole, _ = run(*rows, checkpoint=tmp_path / "run")
    again, history = run(*rows, checkpoint=tmp_path / "run", resume=True)
    assert_same(again, whole)
    assert history.events == [{"step": 400, "event": "resumed"}]


def test_resuming_where_there_is_nothing_yet_begins(rows, tmp_path):
    whole, _ = run(*rows, checkpoint=tmp_path / "run", resume=True)
    assert_same(whole, run(*rows)[0])
    with pytest.raises(ValueError, match="resume=True needs checkpoint,"):
        run(*rows, resume=True)


def test_the_last_few_are_kept_and_one_before_is_read_if_need_be(rows, tmp_path):
    folder = tmp_path / "run"
    whole, _ = run(*rows, checkpoint=Checkpoints(folder, seconds=0, keep=3))
    kept = steps(folder)
    assert len(kept) == 3
    assert kept[-1] == 400
    with (folder / "step-000000400" / "weights.safetensors").open("r+b") as file:
        file.truncate(100)
    (folder / ".step-000000400.abc.new").mkdir()  # left by a run that was killed
    with pytest.warns(UserWarning, match=f"continues from step {kept[-2]}"):
        again, history = run(*rows, checkpoint=folder, resume=True)
    assert_same(again, whole)
    assert history.events[0]["step"] == kept[-2]
    assert not list(folder.glob(".step-*"))
    for step in steps(folder):
        (folder / f"step-{step:09d}" / "manifest.json").write_text("{}")
    with pytest.raises(StorageError, match=r"no checkpoint in .* can be read"):
        run(*rows, checkpoint=folder, resume=True)


def test_damaged_checkpoints_are_set_aside_and_the_run_ends(rows, tmp_path):
    folder = tmp_path / "run"
    whole, _ = run(*rows, checkpoint=Checkpoints(folder, seconds=0, keep=3))
    kept = steps(folder)
    for step in kept[1:]:
        manifest = folder / f"step-{step:09d}" / "manifest.json"
        manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])
    with pytest.warns(UserWarning) as warned:
        again, history = run(*rows, checkpoint=folder, resume=True)
    (said,) = (str(one.message) for one in warned)
    assert "cannot be read, and are kept as 'damaged-step-000000400-" in said
    assert said.endswith(f"the run continues from step {kept[0]:,}")
    assert history.notes == [said]
    assert_same(again, whole)
    assert steps(folder)[-1] == 400
    assert len(list(folder.glob("damaged-step-*"))) == 2
    run(*rows, checkpoint=folder, resume=True)


def test_checkpoints_are_not_begun_over_nor_mixed_up(rows, tmp_path):
    x, c = rows
    folder = tmp_path / "run"
    run(x, c, checkpoint=folder)
    with pytest.raises(StorageError, match=r"a run \(up to step 400\): go on with resume=True"):
        run(x, c, checkpoint=folder)
    with pytest.raises(StorageError, match="of a run with another x: resume with the same data"):
        run(x + 1, c, checkpoint=folder, resume=True)
    with pytest.raises(StorageError, match="another learning_rate and another num_steps"):
        run(x, c, checkpoint=folder, resume=True, learning_rate=0.1, num_steps=410)
    with pytest.raises(StorageError, match="another batch_transform"):
        run(x, c, checkpoint=folder, resume=True, batch_transform=lambda key, batch: batch)
    with pytest.raises(StorageError, match="another objective"):
        run(x, c, checkpoint=folder, resume=True, objective=lambda draws: elbo(draws))
    with pytest.raises(StorageError, match="another objective"):
        run(x, c, checkpoint=folder, resume=True, objective=partial(elbo, free_bits=0.5))
    assert steps(folder)[-1] == 400


def test_other_versions_are_told(rows, tmp_path, monkeypatch):
    run(*rows, checkpoint=tmp_path / "run")
    monkeypatch.setattr(checkpoints, "_made_with", lambda: "JAX 99.0 on 1 cpu")
    with pytest.warns(UserWarning, match="begun with JAX .* resumed at step 400 with JAX 99.0 on 1 cpu"):
        run(*rows, checkpoint=tmp_path / "run", resume=True)
    monkeypatch.setattr(checkpoints, "FORMAT", 99)
    with pytest.raises(StorageError, match="of another version of condvae"):
        run(*rows, checkpoint=tmp_path / "run", resume=True)


def test_a_folder_is_of_one_run_at_a_time(rows, tmp_path):
    seen = []

    def second(record, now):
        with pytest.raises(StorageError, match="another run keeps its checkpoints"):
            run(*rows, checkpoint=tmp_path / "run", resume=True)
        with pytest.raises(
            StorageError, match=r"another run keeps .* wait for it to end, or choose another"
        ):
            checkpoints.require_usable(tmp_path / "run", resume=False)
        seen.append(now)

    run(*rows, checkpoint=tmp_path / "run", callbacks=[second])
    assert seen


def test_folders_that_cannot_be_used_are_refused_before_training(rows, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"holds other things than checkpoints \('notes.txt'\)"):
        run(*rows, checkpoint=tmp_path)
    with pytest.raises(StorageError, match="cannot be written: No such file or directory; choose a folder"):
        run(*rows, checkpoint=tmp_path / "no" / "folder")
    with pytest.raises(StorageError, match="is a file, and checkpoints need a folder"):
        run(*rows, checkpoint=tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="keep of at least 1"):
        Checkpoints(tmp_path, keep=0)


@pytest.mark.parametrize("refused", [range(2, 4), range(2, 100)], ids=["for a while", "to the end"])
def test_a_disk_that_fills_up_is_told_once_and_ends_nothing(rows, tmp_path, monkeypatch, refused):
    folder = tmp_path / "run"
    write, calls = checkpoints.write_folder, []

    def full(path, *rest):
        calls.append(path)
        if len(calls) in refused:
            raise StorageError(f"{str(path)!r} cannot be written: No space left on device")
        write(path, *rest)

    monkeypatch.setattr(checkpoints, "write_folder", full)
    with pytest.warns(
        UserWarning, match="continues without a checkpoint of step .* No space left"
    ) as warned:
        model, history = run(*rows, checkpoint=Checkpoints(folder, seconds=0))
    assert [str(one.message) for one in warned] == history.notes
    assert len(history.notes) == 1
    assert steps(folder)[-1] == (0 if len(calls) in refused else 400)
    assert_same(model, run(*rows)[0])


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_keeps_the_run_and_says_how_it_goes_on(rows, tmp_path, number):
    before = signal.getsignal(number)
    at_once = []

    def send(record, now):
        os.kill(os.getpid(), number)
        at_once.append(signal.getsignal(number))  # a second one is not caught

    with pytest.raises(Interrupted, match=r"at step \d+ of 400, and kept in .*: go on from") as caught:
        run(*rows, checkpoint=tmp_path / "run", callbacks=[send])
    assert caught.value.signal == number
    assert at_once == [before]
    assert signal.getsignal(number) == before
    resumed, _ = run(*rows, checkpoint=tmp_path / "run", resume=True)
    assert_same(resumed, run(*rows)[0])


def test_a_signal_that_comes_while_the_end_is_written_is_not_lost(rows, tmp_path, monkeypatch):
    write = checkpoints.write_folder

    def slow(path, *rest):
        if path.name.endswith("400"):
            os.kill(os.getpid(), signal.SIGTERM)
        write(path, *rest)

    monkeypatch.setattr(checkpoints, "write_folder", slow)
    with pytest.raises(Interrupted, match="stopped at step 400 of 400"):
        run(*rows, checkpoint=tmp_path / "run")


def test_a_signal_where_nothing_can_be_kept_says_from_where_it_goes_on(rows, tmp_path, monkeypatch):
    def spoil(record, now):
        def full(path, *rest):
            raise StorageError("No space left on device")

        monkeypatch.setattr(checkpoints, "write_folder", full)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=r"could not be kept \(No space .*\); go on from step 0 in"):
        run(*rows, checkpoint=tmp_path / "run", callbacks=[spoil])


def test_without_checkpoints_and_in_other_threads_signals_are_left_alone(rows, tmp_path):
    seen = []

    def look(record, now):
        seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    run(*rows, callbacks=[look])
    thread = threading.Thread(
        target=run, args=rows, kwargs={"callbacks": [look], "checkpoint": tmp_path / "run"}
    )
    thread.start()
    thread.join()
    assert seen
    assert all(handler == before for handler in seen)
    assert steps(tmp_path / "run")[-1] == 400


SCRIPT = """
import hashlib, sys
import jax, numpy as np
from condvae import fit
from condvae.architectures import mlp_cvae
from condvae.training import Checkpoints
x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
model, history = fit(
    lambda key: mlp_cvae(x, latent_size=2, width=64, depth=1, key=key), x, key=jax.random.key(0),
    num_steps=4000, batch_size=64, progress=False,
    checkpoint=Checkpoints(sys.argv[1], seconds=0), resume=True,
)
leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")]
print(hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())
"""


def killed_at_random(tmp_path, kills):
    """Kill the script at so many random moments; a run that ends must be as one never killed.

    Returns:
        From how many different steps it went on, and how many of the kills came inside a save.
    """
    environment = os.environ | {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def start(folder):
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def end(process):
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        return out

    expected = end(start(tmp_path / "whole"))
    moments = random.Random(0)
    folders = (tmp_path / f"run{i}" for i in itertools.count())
    folder, killed, resumed_from, inside = next(folders), 0, set(), 0
    while killed < kills:
        process = start(folder)
        newest = steps(folder)[-1:]
        while process.poll() is None and steps(folder)[-1:] == newest:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.3))
        if killed % 2:  # every second one while it writes, which takes a small part of the time
            while process.poll() is None and not any(folder.glob(".step-*")):
                pass
        process.send_signal(signal.SIGKILL)
        out, error = process.communicate()
        resumed_from.update(newest)
        if process.returncode == 0:  # it was through before
            assert out == expected
            folder = next(folders)
            continue
        assert process.returncode == -signal.SIGKILL, error
        killed += 1
        inside += any(folder.glob(".step-*"))
    assert end(start(folder)) == expected
    return len(resumed_from), inside


@pytest.mark.slow
def test_a_run_that_is_killed_fifty_times_goes_on(tmp_path):
    places, inside_a_save = killed_at_random(tmp_path, 50)
    assert places > 10
    assert inside_a_save > 10


def forged(path, change):
    """A checkpoint whose hashes are right, with other contents."""
    manifest, arrays = read_folder(path)
    arrays = dict(arrays)
    change(manifest, arrays)
    write_folder(path, manifest, arrays)


WEIGHT = "['weight']"
FORGED = {
    "a step in words": lambda m, a: m.update(step="8"),
    "no history": lambda m, a: m.pop("history"),
    "records": lambda m, a: m["history"].update(records=[3]),
    "another type": lambda m, a: a.update({WEIGHT: a[WEIGHT].astype(np.float64)}),
    "another shape": lambda m, a: a.update({WEIGHT: a[WEIGHT][:1]}),
    "one array less": lambda m, a: a.pop(WEIGHT),
    "one array more": lambda m, a: a.update(odd=np.ones(1)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_checkpoint_of_another_form_gives_way_to_the_one_before(tmp_path, name):
    state = {"weight": jax.random.normal(KEY, (2, 3))}
    keeper = checkpoints.Keeper(Checkpoints(tmp_path / "run"), {}, resume=False)
    for step in (0, 8):
        keeper.save(state, History(), step)
    newest = tmp_path / "run" / "step-000000008"
    assert keeper.start(state, History())[2] == 8
    forged(newest, FORGED[name])
    with pytest.warns(UserWarning, match="'step-000000008' in .* cannot be read, and is kept as 'damaged-"):
        assert keeper.start(state, History())[2] == 0
    shutil.rmtree(tmp_path / "run" / "step-000000000")
    next((tmp_path / "run").glob("damaged-*")).rename(newest)
    with pytest.raises(StorageError, match=r"no checkpoint in .* can be read \(step-000000008 is damaged"):
        keeper.start(state, History())
    keeper.close()


def test_an_identity_of_another_form_is_that_of_another_run(tmp_path):
    keeper = checkpoints.Keeper(Checkpoints(tmp_path / "run"), {"data": "1"}, resume=False)
    write_folder(tmp_path / "run" / "step-000000000", {"checkpoint_format": 1, "identity": 3}, {})
    with pytest.raises(StorageError, match="are of a run with another data"):
        keeper.start(None, History())
    keeper.close()
