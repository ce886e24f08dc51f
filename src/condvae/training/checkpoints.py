"""Checkpoints: what a run needs to go on after an interruption, to the bit.

Where a run stands is its state, the step and the history; data, batches and noise follow from what the
run was given and the step. A checkpoint is a bundle (`condvae.storage`) in a folder of its own,
`step-000004096`, so that it is there as a whole or not at all; the last few are kept. The folder that they
are in is locked while a run uses it. A checkpoint says what its run was given, by hashes, and is refused by
another.
"""

import hashlib
import shutil
import time as clock
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import filelock
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from condvae.declared import MALFORMED, conform, reason, require_like
from condvae.sentences import Argument, Text, remedy_of
from condvae.storage import StorageError, read_folder, require_writable, write_folder
from condvae.text import listed, quote
from condvae.training.history import History
from condvae.training.rounds import State

FORMAT = 1
"""Of what is written; a checkpoint of another one is refused."""

LOCK = ".lock"


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a run is kept.

    Args:
        folder: it is made if it is not there; its parent must be.
        seconds: between one checkpoint and the next. One is also written before the first step (so that a
            folder that cannot be written is found at once), on an interruption, and at the end.
        keep: how many are kept: where the newest cannot be read, the one before is.
    """

    folder: str | Path
    seconds: float = 60.0
    keep: int = 2

    def __post_init__(self):
        if not self.seconds >= 0 or self.keep < 1:
            raise ValueError(
                f"checkpoints every {self.seconds} seconds of which {self.keep} are kept: expected seconds "
                "of at least 0, and keep of at least 1"
            )


RESUME = Argument("resume", True)
"""What to say to go on."""


class Interrupted(KeyboardInterrupt):
    """A signal has stopped the run; the message says where it stands and how it goes on.

    Attributes:
        signal: its number: 2 for Ctrl-C, 15 for SIGTERM, 1 for SIGHUP. A program that it stops exits with
            128 more.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


DAMAGED = "damaged-"
"""How the names of checkpoints begin that could not be read; nothing reads or removes them."""


def require_usable(folder: str | Path, *, resume: bool) -> None:
    """Check that a run can be kept in a folder, before any work is done for it.

    Raises:
        StorageError: if it is no folder, or holds other things; if it cannot be made; if another run uses
            it; if it holds checkpoints, but `resume` is false.
    """
    folder = Path(folder)
    shown = repr(str(folder))
    if not folder.exists():
        require_writable(folder)
        return
    if not folder.is_dir():
        raise StorageError(f"{shown} is a file, and checkpoints need a folder: choose another path")
    names = sorted(path.name for path in folder.iterdir())
    ours = ("step-", ".step-", DAMAGED)
    others = [n for n in names if not n.startswith(ours) and n not in (LOCK, ".DS_Store")]
    if others:
        raise StorageError(
            f"the folder {shown} holds other things than checkpoints ({others[0]!r}): choose another "
            "one, or a new one"
        )
    if (folder / LOCK).exists():
        try:
            filelock.FileLock(folder / LOCK).acquire(timeout=0).lock.release()
        except filelock.Timeout as error:
            raise _used(folder) from error
        except OSError:  # `Keeper` says what is wrong
            pass
    paths = _checkpoints_in(folder)
    if paths and not resume:
        raise StorageError(
            Text(
                "the folder {folder} holds checkpoints of a run (up to step {step:,}): go on with "
                "{resume}, or choose another folder",
                folder=shown,
                step=_step_of(paths[-1]),
                resume=RESUME,
            )
        )


def _used(folder: Path) -> StorageError:
    return StorageError(
        f"another run keeps its checkpoints in {str(folder)!r}; wait for it to end, or choose another "
        "folder"
    )


class Keeper:
    """The folder of checkpoints that one run uses.

    Args:
        checkpoints: where, and how often.
        identity: what the run was given: names and short descriptions or hashes.
        resume: whether to take up what is there; otherwise nothing may be there.

    Raises:
        StorageError: if the folder cannot be used, or another run uses it.
    """

    def __init__(self, checkpoints: Checkpoints, identity: Mapping[str, str], *, resume: bool):
        self.checkpoints, self.identity = checkpoints, dict(identity)
        self.folder = Path(checkpoints.folder)
        self.saved: int | None = None
        self._last = clock.monotonic()
        self._warned = False
        require_usable(self.folder, resume=resume)
        self._lock = filelock.FileLock(self.folder / LOCK)
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise _used(self.folder) from error
        except OSError as error:
            raise StorageError(
                f"checkpoints cannot be written to {self._shown}: {error.strerror}; {remedy_of(error)}"
            ) from error

    @property
    def _shown(self) -> str:
        return repr(str(self.folder))

    def start(self, state: State, history: History) -> tuple[State, History, int]:
        """Where the run starts: from the newest checkpoint that can be read, or as given.

        Newer ones that cannot be read are renamed; a warning names the step that the run continues from.

        Args:
            state: before the first step.
            history: an empty one.

        Raises:
            StorageError: if there are checkpoints of another run, or none of them can be read; if the first
                one cannot be written.
        """
        for leftover in self.folder.glob(".step-*"):  # of a run that was killed while it wrote
            shutil.rmtree(leftover, ignore_errors=True)
        damaged, problem = [], ""
        for path in reversed(_checkpoints_in(self.folder)):
            try:
                manifest, arrays = read_folder(path)
            except StorageError as error:
                damaged.append(path)
                problem = problem or str(error)
                continue
            self._require_same(manifest)
            try:
                filled, step = _filled(state, arrays), conform(int, manifest["step"], "step")
                history = History.from_json(manifest["history"])
                made_with = conform(str, manifest["made_with"], "made_with")
            except MALFORMED as error:
                damaged.append(path)
                problem = problem or f"{path.name} is damaged ({reason(error)})"
                continue
            history.events.append({"step": step, "event": "resumed"})
            if made_with != _made_with():
                history.warn(
                    f"begun with {made_with}, resumed at step {step:,} with {_made_with()}: "
                    "the weights will not be those of an uninterrupted run to the bit"
                )
            if damaged:
                history.warn(
                    f"{listed(quote(path.name) for path in damaged)} in {self._shown} cannot be read, and "
                    f"{'is' if len(damaged) == 1 else 'are'} kept as "
                    f"{listed(quote(_set_aside(path).name) for path in damaged)}: the run continues from "
                    f"step {step:,}"
                )
            self.saved = step
            return filled, history, step
        if damaged:
            raise StorageError(
                f"no checkpoint in {self._shown} can be read ({problem}): to start again, choose another "
                "folder"
            )
        self.save(state, history, 0)
        return state, history, 0

    def _require_same(self, manifest: Mapping[str, Any]) -> None:
        if manifest.get("checkpoint_format") != FORMAT:
            raise StorageError(
                f"the checkpoints in {self._shown} are of another version of condvae: resume with that "
                "one, or choose another folder"
            )
        theirs = manifest.get("identity")
        theirs = theirs if isinstance(theirs, dict) else {}
        names = [name for name in self.identity if theirs.get(name) != self.identity[name]]
        if names:
            raise StorageError(
                f"the checkpoints in {self._shown} are of a run with another "
                f"{' and another '.join(names)}: resume with the same data and settings, or choose "
                "another folder"
            )

    def interrupted(self, where: str, signal: int, problem: StorageError | None = None) -> Interrupted:
        """What ends the run after a signal, and says how to go on; `problem` if this state is not kept."""
        kept = "and kept in {folder!r}: go on from there with {resume}"
        if problem is not None:
            kept = (
                "which could not be kept ({problem}); go on from step {saved:,} in {folder!r} with {resume}"
            )
        more = {"problem": str(problem), "saved": self.saved, "resume": RESUME}
        return Interrupted(Text("{where}, " + kept, where=where, folder=str(self.folder), **more), signal)

    def due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return clock.monotonic() - self._last >= self.checkpoints.seconds

    def save(self, state: State, history: History, step: int) -> None:
        """Write a checkpoint, and let go of those that are too old.

        Raises:
            StorageError: if it cannot be written; those before it are as they were.
        """
        self._last = clock.monotonic()
        if self.saved == step:
            return
        manifest = {
            "checkpoint_format": FORMAT,
            "step": step,
            "identity": self.identity,
            "made_with": _made_with(),
            "history": history.to_json(),
        }
        write_folder(self.folder / f"step-{step:09d}", manifest, _arrays(state))
        self.saved = step
        for path in _checkpoints_in(self.folder)[: -self.checkpoints.keep]:
            shutil.rmtree(path, ignore_errors=True)

    def save_or_warn(self, state: State, history: History, step: int) -> None:
        """Write a checkpoint; where that fails, training can go on, and the first failure is a warning."""
        try:
            self.save(state, history, step)
        except StorageError as error:
            if not self._warned:
                history.warn(f"training continues without a checkpoint of step {step:,}: {error}")
            self._warned = True

    def close(self) -> None:
        """Let another run use the folder."""
        self._lock.release()


def _checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdecimal())


def _set_aside(path: Path) -> Path:
    """Rename a checkpoint that cannot be read, so that its step can be written again.

    Raises:
        StorageError: if it cannot be renamed.
    """
    try:
        return path.rename(path.with_name(f"{DAMAGED}{path.name}-{uuid.uuid4().hex[:8]}"))
    except OSError as error:
        raise StorageError(
            f"the checkpoint {str(path)!r} cannot be read and cannot be renamed ({error.strerror}): move "
            "it away, and resume again"
        ) from error


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _made_with() -> str:
    device = jax.devices()[0]
    return f"JAX {jax.__version__} on {jax.device_count()} {device.platform}"


def _named(state: State) -> tuple[list[str], list[Any], Any]:
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    return [jax.tree_util.keystr(path) for path, _ in leaves], [leaf for _, leaf in leaves], structure


def _is_key(leaf: Any) -> bool:
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _arrays(state: State) -> dict[str, np.ndarray]:
    names, leaves, _ = _named(state)
    data = [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves]
    return {name: np.asarray(leaf) for name, leaf in zip(names, data, strict=True) if eqx.is_array(leaf)}


def _filled(state: State, arrays: Mapping[str, np.ndarray]) -> State:
    require_like(_arrays(state), arrays, "the saved one", "this run")
    names, leaves, structure = _named(state)

    def filled(name: str, leaf: Any) -> Any:
        if not eqx.is_array(leaf):
            return leaf
        saved = jnp.asarray(arrays[name])
        return jax.random.wrap_key_data(saved, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else saved

    return jax.tree.unflatten(structure, map(filled, names, leaves))


def fingerprint(tree: PyTree) -> str:
    """A hash of the arrays of a tree, their places and their types."""
    digest = hashlib.sha256()
    leaves, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array_like))
    for path, leaf in leaves:
        array = np.ascontiguousarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]
