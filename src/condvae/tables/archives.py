"""Zip archives of one table."""

import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

from condvae.declared import reason
from condvae.tables.errors import TableError
from condvae.tables.memory import within
from condvae.text import quote

_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, ValueError, EOFError, OSError)


def only_file(data: bytes, source: str, limit: int) -> tuple[str, bytes]:
    """The one file of a zip archive: its name and its bytes.

    Args:
        data: the archive.
        source: the archive, for errors.
        limit: bytes of memory that unpacking may take.

    Raises:
        TableError: for an archive that is damaged, holds no file or several, or takes more memory.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if _is_member(name)]
            if len(names) != 1:
                what = (
                    "no file"
                    if not names
                    else f"{len(names)} files ({', '.join(map(quote, names[:3]))}, ...)"
                )
                raise TableError(
                    "{source} holds {what}",
                    remedy="give an archive of one table, or unpack it",
                    source=source,
                    what=what,
                )
            with archive.open(names[0]) as member:
                inner = within(member.read, limit, 1, source)
    except TableError:
        raise
    except _DAMAGED as error:
        raise TableError(
            "{source} cannot be unpacked ({reason})",
            remedy="unpack it yourself",
            source=source,
            reason=reason(error),
        ) from error
    return names[0], inner


def _is_member(name: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in Path(name).parts)
    return not (name.endswith("/") or hidden)
