"""Signals, at any moment: the program ends at once, with one sentence, and leaves nothing half written."""

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from condvae import interruptions
from condvae.interruptions import NUMBERS, catch_signals, temporary

SAVED = Path(__file__).parent / "estimator" / "saved"
CONDITIONS, TARGETS = SAVED / "conditions.csv", SAVED / "targets.csv"
MODEL = SAVED / "latent"
OLD = "old\n"
COMMANDS = {
    "predict": ["predict", MODEL, CONDITIONS, "--interval", "0.9", "--out", "out.csv"],
    "sample": ["sample", MODEL, "--given", CONDITIONS, "-n", "3", "--out", "out.csv"],
    "impute": ["impute", MODEL, "both.csv", "--out", "out.csv"],
    "score": ["score", MODEL, "both.csv", "--out", "out.csv"],
    "inspect": ["inspect", MODEL],
    "fit": ["fit", "both.csv", "--given", "hour,zone", "--out", "model", "--checkpoint", "run", "--quiet"],
}


@pytest.fixture(autouse=True)
def _not_ignored():
    """A shell that starts the tests in the background has SIGINT ignored, here and in what is started."""
    before = {
        number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS if number != signal.SIGINT
    }
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def start(folder, arguments, cache):
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-m", "condvae", *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_watched(process):
    """Before its first imports, no program can handle signals."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():  # no Linux
        time.sleep(1)
        return
    hangup = 1 << (signal.SIGHUP - 1)
    while process.poll() is None:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) & hangup:
            return
        time.sleep(0.005)


def interrupt(folder, name, moment, number, cache):
    """Start a command, send it the signal at that moment, in seconds, and check how it ends."""
    folder.mkdir()
    rows = zip(CONDITIONS.read_text().splitlines(), TARGETS.read_text().splitlines(), strict=True)
    (folder / "both.csv").write_text("".join(f"{given},{target}\n" for given, target in rows))
    (folder / "out.csv").write_text(OLD)
    process = start(folder, COMMANDS[name], cache)
    wait_until_watched(process)
    time.sleep(moment)
    process.send_signal(number)
    sent = time.monotonic()
    said = process.communicate(timeout=60)[1]
    seconds = time.monotonic() - sent
    written = (folder / "out.csv").read_text()
    assert written == OLD or written.count("\n") == (61 if name == "sample" else 21)
    hidden = {path.name for path in folder.rglob(".*")}
    assert hidden <= {".lock"}
    assert "Traceback" not in said
    if process.returncode == 0:  # it was through before
        return None
    assert process.returncode == 128 + number, said
    assert said.startswith("condvae: ")
    assert said.count("\n") == 1
    if "stopped at step" not in said:
        assert f"interrupted by {signal.Signals(number).name}" in said
    assert ("--resume" in said) <= (name == "fit")
    return seconds


def interrupt_often(tmp_path, cache, names, times, longest):
    draws = random.Random(0)
    took = []
    for i in range(times):
        name = draws.choice(names)
        moment, number = draws.uniform(0, longest), draws.choice(NUMBERS)
        took.append(interrupt(tmp_path / str(i), name, moment, number, cache))
        shutil.rmtree(tmp_path / str(i))
    interrupted = [seconds for seconds in took if seconds is not None]
    assert len(interrupted) > times / 2
    assert statistics.median(interrupted) < 2  # most, as this machine may have other work


unix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


@unix
def test_a_signal_at_any_moment_ends_a_command_with_one_sentence(tmp_path, cache):
    interrupt_often(tmp_path, cache, ["predict", "sample", "score", "inspect"], 20, 3.0)


@unix
@pytest.mark.slow
def test_a_signal_at_any_of_200_moments(tmp_path, cache):
    interrupt_often(tmp_path, cache, sorted(COMMANDS), 200, 6.0)


# --- within a process


WATCHED = """
import os, signal, sys, threading, time
from pathlib import Path
from condvae.interruptions import advise, catch_signals, temporary, watch, watch_again
watch()
def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
"""


def watched(code, folder, *wrapper):
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", WATCHED + code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


INTERRUPTED = (143, "", "condvae: interrupted by SIGTERM\n")


@unix
@pytest.mark.parametrize(
    "code",
    [
        pytest.param("send(); time.sleep(9)", id="asleep"),
        pytest.param("send()\nwhile True: pass", id="busy"),
        pytest.param("send()\ntry: raise OSError\nfinally: print('late')", id="before an error"),
        pytest.param("signal.signal(15, print); watch_again(); send(); time.sleep(9)", id="taken back"),
        pytest.param(
            "signal.pthread_sigmask(signal.SIG_BLOCK, [15]); send(); time.sleep(9)",
            id="while the main thread cannot handle it",
        ),
        pytest.param(
            "import gc\ngc.callbacks.append(lambda *_: send())\ngc.collect(); time.sleep(9)",
            id="in a callback of the garbage collection",
        ),
    ],
)
def test_a_signal_ends_a_watched_process(tmp_path, code):
    assert watched(code, tmp_path) == INTERRUPTED


@unix
def test_temporary_files_are_removed_and_what_is_under_way_is_completed(tmp_path):
    code = """
from condvae.interruptions import undisturbed
with temporary(Path("file"), Path.touch), temporary(Path("folder"), Path.mkdir):
    Path("folder/part").touch()
    with undisturbed:
        Path("first").touch()
        send()
        time.sleep(0.2)
        Path("second").touch()
    time.sleep(9)
"""
    assert watched(code, tmp_path) == INTERRUPTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


@unix
def test_the_sentence_says_how_to_go_on(tmp_path):
    status, _, said = watched("advise('go on with --resume'); send(1); time.sleep(9)", tmp_path)
    assert (status, said) == (129, "condvae: interrupted by SIGHUP; go on with --resume\n")


@unix
def test_signals_that_the_parent_ignores_are_ignored(tmp_path):
    code = "send(signal.SIGHUP); time.sleep(0.2); print('done')"
    status, out, _ = watched(code, tmp_path, "sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
    assert (status, out) == (0, "done\n")


@unix
def test_a_watched_loop_notes_the_first_signal_and_the_second_one_ends_it(tmp_path):
    noted = """
with catch_signals(True) as caught:
    send(signal.SIGHUP)
    while caught.signal is None: time.sleep(0.01)
    print(caught.signal, flush=True)
    {rest}
time.sleep(9)
"""
    second = noted.format(rest="send(); time.sleep(9)")
    assert watched(second, tmp_path) == (143, "1\n", "condvae: interrupted by SIGTERM\n")
    too_late = noted.format(rest="pass")
    assert watched(too_late, tmp_path) == (129, "1\n", "condvae: interrupted by SIGHUP\n")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_that_no_loop_has_looked_at_is_not_lost(number):
    seen = []
    signal.signal(number, lambda number, _: seen.append(number))
    with catch_signals(True) as caught:
        signal.raise_signal(number)
        assert (caught.signal, seen) == (number, [])
    assert seen == [number]


def test_nothing_is_caught_elsewhere():
    before = [signal.getsignal(number) for number in NUMBERS]
    seen = []

    def look():
        with catch_signals(True):
            seen.extend(signal.getsignal(number) for number in NUMBERS)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    with catch_signals(False):
        look_here = [signal.getsignal(number) for number in NUMBERS]
    assert seen == before == look_here


def test_a_temporary_file_may_be_renamed_and_is_forgotten(tmp_path):
    with temporary(tmp_path / "draft", Path.touch) as path:
        path.rename(tmp_path / "final")
    assert [entry.name for entry in tmp_path.iterdir()] == ["final"]
    assert not interruptions._temporary
    with pytest.raises(FileNotFoundError), temporary(tmp_path / "absent" / "draft", Path.touch):
        pass
    assert not interruptions._temporary


def test_the_entry_point_imports_next_to_nothing():
    code = """
import sys
import condvae.__main__
print(sorted({"jax", "numpy", "typer", "rich", "importlib.metadata", "condvae.cli"} & {*sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
