"""Data frames in, arrays with masks out, and back; tables on disk. Nothing here knows of JAX."""

from condvae.tables.encoding import Backend, decode, encode, levels, log_scale
from condvae.tables.errors import TableError
from condvae.tables.frames import read_table, require_writable, write_table
from condvae.tables.schema import Column, Kind, Role, Schema

__all__ = [
    "Backend",
    "Column",
    "Kind",
    "Role",
    "Schema",
    "TableError",
    "decode",
    "encode",
    "levels",
    "log_scale",
    "read_table",
    "require_writable",
    "write_table",
]
