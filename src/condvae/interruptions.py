"""Signals that end a program: SIGINT (Ctrl-C), SIGTERM and SIGHUP; and the files that are removed then.

The command line calls `watch` before it imports anything else. From then on a thread waits for signals, and
the first one ends the process: temporary files are removed, and one sentence is written. A thread is needed
because Python runs handlers only between the instructions of the main thread, which may compile for many
seconds, and because an exception that a handler raises is lost in a callback, such as that of JAX at every
garbage collection.

Training that keeps checkpoints uses `catch_signals` to end at a good moment, in any program.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that are handled; Windows has no SIGHUP."""

undisturbed = threading.Lock()
"""Held while files change in several steps, all of which must happen or none."""

_temporary: set[Path] = set()


class Caught:
    """The signal that has come, if any."""

    signal: int | None = None


@contextmanager
def temporary(path: Path, make: Callable[[Path], Any]) -> Iterator[Path]:
    """Make a file or a folder of files, which is removed at the end, or when a signal ends the program.

    Write to the file with a mode that does not create it, such as "r+b": a signal may have removed it.

    Args:
        path: where it is made; it may be renamed within the context.
        make: creates it.

    Raises:
        OSError: if it cannot be made.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "draft"
        >>> with temporary(path, Path.touch):
        ...     path.exists()
        True
        >>> path.exists()
        False
    """
    with undisturbed:
        make(path)
        _temporary.add(path)
    try:
        yield path
    finally:
        _remove(path)
        _temporary.discard(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class _Watch:
    """What the watching thread of this process knows."""

    started = False
    caught: Caught | None = None
    advice = ""


def advise(sentence: str) -> None:
    """Have the sentence that a signal ends the program with say also how to go on."""
    _Watch.advice = sentence


def watch() -> None:
    """End this process at the first signal, from now on, with exit status 128 + its number.

    It ends within a second, at whatever the main thread is, and without an exception. A signal that the
    parent process has set to be ignored, as `nohup` does with SIGHUP, is still ignored. On Windows nothing
    changes.
    """
    if os.name == "nt":
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _Watch.started = True
    watch_again()
    threading.Thread(target=_attend, args=(reader,), name="signals", daemon=True).start()


def watch_again() -> None:
    """In a process that is watched, take the signals back from a library that has set other handlers."""
    if _Watch.started:
        for number in _not_ignored():
            signal.signal(number, _pause)


def _not_ignored() -> list[int]:
    return [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN]


def _pause(number: int, _: FrameType | None) -> None:
    """Keep the main thread from going on, with another error perhaps, while the thread ends the process."""
    if _Watch.caught is None and not undisturbed.locked():
        time.sleep(1)


def _attend(reader: int) -> None:
    while True:
        number = os.read(reader, 1)[0]
        if number not in NUMBERS:
            continue
        caught = _Watch.caught
        if caught is None or caught.signal is not None:
            _end(number)
        caught.signal = number


def _end(number: int) -> NoReturn:
    try:
        stderr = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # the other threads still run: what they say is of no use
            os.dup2(nowhere, stream)
        undisturbed.acquire(timeout=1)  # for good
        for path in list(_temporary):
            _remove(path)
        cleared = "\r\x1b[2K\x1b[?25h" if os.isatty(stderr) else ""  # of a progress bar
        advice = f"; {_Watch.advice}" if _Watch.advice else ""
        said = f"{cleared}condvae: interrupted by {signal.Signals(number).name}{advice}\n"
        os.write(stderr, said.encode(sys.getfilesystemencoding(), "backslashreplace"))
    finally:
        os._exit(128 + number)


@contextmanager
def catch_signals(enabled: bool) -> Iterator[Caught]:
    """Within, the first signal is noted, for a loop to act upon; a second one acts as it does outside.

    A signal that the loop has not looked at acts at the end. Python handles signals in the main thread
    alone: elsewhere nothing is caught. A signal that is ignored stays so.
    """
    caught = Caught()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield caught
        return
    release = _note_in_thread(caught) if _Watch.started else _note_in_handlers(caught)
    try:
        yield caught
    finally:
        release()
    if caught.signal is not None:  # it came after the last look
        signal.raise_signal(caught.signal)


def _note_in_thread(caught: Caught) -> Callable[[], None]:
    _Watch.caught = caught

    def release() -> None:
        _Watch.caught = None

    return release


def _note_in_handlers(caught: Caught) -> Callable[[], None]:
    before = {number: signal.getsignal(number) for number in _not_ignored()}

    def release() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        caught.signal = number
        release()

    for number in before:
        signal.signal(number, note)
    return release
