"""Data frames in, arrays with masks out, and back; tables on disk. Nothing here knows of JAX."""

from condvae.tables.cells import take
from condvae.tables.columns import Column, Role
from condvae.tables.encoding import Backend, Unseen, column_at, decode, encode, levels, only, places_of
from condvae.tables.errors import TableError
from condvae.tables.files import (
    File,
    read_as,
    read_file,
    read_table,
    require_writable,
    write_parts,
    write_table,
)
from condvae.tables.likelihoods import COUNTS, NUMERIC, OWN_UNITS, Likelihood
from condvae.tables.names import apart, join_names, level_name, level_text, match_names
from condvae.tables.notes import Note, notes_on, of_identifiers, of_readings
from condvae.tables.ranges import impossible, log_unforeseen, outside, unseen
from condvae.tables.recognition import reading_of
from condvae.tables.recording import (
    density_units,
    far_points,
    intervals,
    log_scale,
    reach,
    recorded,
    scored,
)
from condvae.tables.scans import ENDINGS as PARQUET
from condvae.tables.scans import Scan, scan
from condvae.tables.schema import Schema, Unknown
from condvae.tables.summaries import Kind
from condvae.tables.text_cells import Reading, require_readings

__all__ = [
    "COUNTS",
    "NUMERIC",
    "OWN_UNITS",
    "PARQUET",
    "Backend",
    "Column",
    "File",
    "Kind",
    "Likelihood",
    "Note",
    "Reading",
    "Role",
    "Scan",
    "Schema",
    "TableError",
    "Unknown",
    "Unseen",
    "apart",
    "column_at",
    "decode",
    "density_units",
    "encode",
    "far_points",
    "impossible",
    "intervals",
    "join_names",
    "level_name",
    "level_text",
    "levels",
    "log_scale",
    "log_unforeseen",
    "match_names",
    "notes_on",
    "of_identifiers",
    "of_readings",
    "only",
    "outside",
    "places_of",
    "reach",
    "read_as",
    "read_file",
    "read_table",
    "reading_of",
    "recorded",
    "require_readings",
    "require_writable",
    "scan",
    "scored",
    "take",
    "unseen",
    "write_parts",
    "write_table",
]
