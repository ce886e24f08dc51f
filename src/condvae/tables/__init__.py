"""Data frames in, arrays with masks out, and back; tables on disk. Nothing here knows of JAX."""

from condvae.tables.cells import take
from condvae.tables.encoding import Backend, Unseen, column_at, decode, encode, levels
from condvae.tables.errors import TableError
from condvae.tables.frames import read_table, require_writable, write_parts, write_table
from condvae.tables.likelihoods import COUNTS, NUMERIC, OWN_UNITS, Likelihood
from condvae.tables.names import join_names, level_name, level_text, match_names
from condvae.tables.ranges import outside, unseen
from condvae.tables.recording import intervals, log_scale, measure, reach, recorded, scored
from condvae.tables.scans import ENDINGS as PARQUET
from condvae.tables.scans import Scan, scan
from condvae.tables.schema import Column, Kind, Role, Schema, Unknown

__all__ = [
    "COUNTS",
    "NUMERIC",
    "OWN_UNITS",
    "PARQUET",
    "Backend",
    "Column",
    "Kind",
    "Likelihood",
    "Role",
    "Scan",
    "Schema",
    "TableError",
    "Unknown",
    "Unseen",
    "column_at",
    "decode",
    "encode",
    "intervals",
    "join_names",
    "level_name",
    "level_text",
    "levels",
    "log_scale",
    "match_names",
    "measure",
    "outside",
    "reach",
    "read_table",
    "recorded",
    "require_writable",
    "scan",
    "scored",
    "take",
    "unseen",
    "write_parts",
    "write_table",
]
