"""How much memory reading a table may take, and files read within it."""

import contextlib
import os
import re
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from condvae.sentences import Argument
from condvae.tables.errors import TableError
from condvae.text import path_in_words

PIECE = 2**22
"""Bytes read at a time."""

TEXT_COST, PARQUET_COST = 5, 2
"""Bytes of memory that reading takes for each byte of text, and for each of a Parquet file's columns."""

WRITER_SECONDS = 5.0
"""How long a pipe may be without a program that writes to it."""

PLENTY = 2**50
"""The budget where the system does not tell how much memory is available."""

MaxMemory = int | str | None
"""Bytes, a text such as "2G", or None for the default."""

chosen: ContextVar[MaxMemory] = ContextVar("chosen", default=None)
"""The budget of reads that are given none; None for half of the memory that is available."""

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def num_bytes(size: int | str) -> int:
    """A size in bytes; K, M, G and T are powers of 1024.

    Raises:
        TableError: for anything else than a positive number with or without a unit.

    Example:
        >>> num_bytes("2G"), num_bytes("1.5 MiB"), num_bytes(4096)
        (2147483648, 1572864, 4096)
    """
    match = _SIZE.fullmatch(str(size))
    value = int(float(match[1]) * _UNITS[match[2].lower()]) if match and len(str(size)) < 32 else 0
    if value < 1 or isinstance(size, bool):
        raise TableError(
            "{argument} is no size",
            remedy="give bytes with or without a unit, such as 500M or 2G",
            argument=Argument("max_memory", str(size)[:32]),
        )
    return value


def in_units(size: float) -> str:
    """A size as people read it.

    Example:
        >>> in_units(2147483648), in_units(1500), in_units(12)
        ('2.0 GiB', '1.5 KiB', '12 bytes')
    """
    for unit, letter in reversed(_UNITS.items()):
        if unit and size >= letter:
            return f"{size / letter:.1f} {unit.upper()}iB"
    return f"{size:.0f} bytes"


def budget(max_memory: MaxMemory = None) -> int:
    """The bytes that reading may take."""
    size = chosen.get() if max_memory is None else max_memory
    return _available() // 2 if size is None else num_bytes(size)


def _available() -> int:
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kib) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2 * PLENTY


def require_within(limit: int, needed: int, source: str) -> None:
    """Refuse what takes more memory than the budget.

    Raises:
        TableError: if `needed` bytes are more than `limit`.
    """
    if needed > limit:
        raise TableError(
            "reading {source} takes {needed} of memory or more, and {limit} are allowed",
            remedy="give fewer rows or columns, write a Parquet file, which is read in parts, or raise "
            "{argument}",
            source=source,
            needed=in_units(needed),
            limit=in_units(limit),
            argument="max_memory",
        )


def parquet_bytes(metadata: Any, types: pa.Schema, share: float = 1.0) -> int:
    """Bytes that columns of a Parquet file take in memory, at least, as its metadata tell.

    Args:
        metadata: of the file.
        types: of the columns.
        share: of the file's columns that they are.
    """
    widths = [kind.bit_width if pa.types.is_primitive(kind) else 64 for kind in types.types]
    of_row = sum(widths) // 8
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return sum(max(int(share * group.total_byte_size), group.num_rows * of_row) for group in groups)


def read_bytes(
    path: Path,
    limit: int,
    cost: int,
    compression: str | None = None,
    hopeless: Callable[[bytes], bool] = lambda _: False,
) -> bytes:
    """The content of a file, unpacked.

    Args:
        path: a regular file, or a pipe that a program writes to.
        limit: bytes of memory that reading the table may take.
        cost: bytes of memory for each byte of the content.
        compression: by which the file is compressed, by pyarrow's name.
        hopeless: whether the first piece tells that the rest need not be read.

    Raises:
        TableError: for a file of another kind, or one that takes too much memory.
        OSError: if it cannot be read.
    """
    source = path_in_words(path)
    with _opened(path, source) as file:
        size = os.fstat(file.fileno()).st_size
        require_within(limit, size * (cost if compression is None else 1), source)
        if compression is None:
            return within(file.read, limit, cost, source, hopeless)
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression) as unpacked:
            return within(unpacked.read, limit, cost, source, hopeless)


def within(
    read: Callable[[int], bytes],
    limit: int,
    cost: int,
    source: str,
    hopeless: Callable[[bytes], bool] = lambda _: False,
) -> bytes:
    """All that a stream holds, read in pieces until that takes too much memory."""
    pieces: list[bytes] = []
    size = 0
    while piece := read(PIECE):
        size += len(piece)
        require_within(limit, size * cost, source)
        pieces.append(piece)
        if len(pieces) == 1 and hopeless(piece):
            break
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def require_regular(path: Path) -> None:
    """Refuse what cannot be read from any place: pipes, devices and sockets.

    Raises:
        TableError: for anything else than a regular file.
        OSError: if there is no such file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise TableError(
            "{source} is not a regular file", remedy="copy it to one", source=path_in_words(path)
        )


def _opened(path: Path, source: str) -> BinaryIO:
    kind = path.stat().st_mode
    if stat.S_ISFIFO(kind):
        return os.fdopen(_pipe(path, source), "rb")
    if not stat.S_ISREG(kind):
        raise TableError(
            "{source} is a device or a socket, not a file", remedy="name a file", source=source
        )
    return path.open("rb")


def _pipe(path: Path, source: str) -> int:
    """A pipe, opened for reading, which waits for a program that writes to it."""
    opened: Future[int] = Future()

    def wait() -> None:
        try:
            opened.set_result(os.open(path, os.O_RDONLY))
        except OSError as error:
            opened.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        return opened.result(WRITER_SECONDS)
    except TimeoutError as error:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # which ends the waiting
        opened.add_done_callback(lambda one: os.close(one.result()))
        raise TableError(
            "{source} is a pipe that no program writes to", remedy="start the program first", source=source
        ) from error
