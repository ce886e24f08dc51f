"""Compiled programs, kept from one run of the command line to the next.

JAX writes each program that it compiles to a folder, and reads it from there the next time. The folder is
in the user's cache, one for each kind of machine and version of JAX, as code made for one processor may not
run on another. Processes that share it take turns at each file. A process that is killed while it writes
may leave a file cut short: JAX then says so, and the folder is emptied at the end of the run that finds it.
"""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from condvae.cli.output import warn

MAX_BYTES = 2**28
"""Of the programs kept; a model of a table has about two million bytes of them."""

MAX_FOLDERS = 4
"""Kinds of machines and versions of JAX that have a folder at most; the oldest go."""


def keep_programs() -> Path | None:
    """Have JAX, not yet imported, keep its programs; the folder, or None where it cannot be written.

    What the user has set in JAX's own variables is left as it is.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or "jax" in sys.modules:
        return None
    root = _root()
    folder = root / _kind_of_machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _forget_others(root)
    except OSError:  # a home that cannot be written: nothing is kept
        return None
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(MAX_BYTES)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return folder


def _root() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("condvae") / "programs"


def _kind_of_machine() -> str:
    """A name for this processor, Python and JAX."""
    processor = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib")]
    told = repr((platform.system(), platform.machine(), processor, sys.version, versions))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _forget_others(root: Path) -> None:
    folders = sorted(root.iterdir(), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[:-MAX_FOLDERS]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mended() -> Iterator[None]:
    """Within, JAX's warnings about the folder are not shown, and mended at the end; others are told."""
    damaged, show = False, warnings.showwarning

    def note(message: Any, *_: Any, **__: Any) -> None:
        nonlocal damaged
        if "persistent compilation cache entry" not in str(message):
            warn(message)
        elif "Timeout" not in str(message):  # that is only another process that takes its time
            damaged = True

    warnings.showwarning = note
    try:
        yield
    finally:
        warnings.showwarning = show
        folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", ""))
        if damaged and folder.parent == _root():  # and no folder of the user's own
            shutil.rmtree(folder, ignore_errors=True)
