"""Rows of a model that is none: columns and cells, for what needs no more."""

from types import SimpleNamespace

import numpy as np

from condvae import tables
from condvae.judging.rows import Rows
from condvae.table_models.model import TableModel


def rows_of(X, y):
    """Rows of a table, before a model that knows its columns and nothing else."""
    schema = tables.Schema.infer_pair(X, y)
    model = SimpleNamespace(schema=schema, training_rows=None)
    model.numeric = [column for column in schema.target if column.kind == "numeric"]
    model.categorical = [column for column in schema.target if column.kind == "categorical"]
    model.to_units = lambda standard: TableModel.to_units(model, standard)  # pyright: ignore
    c = None if X is None else tables.encode(schema.given, X)
    return Rows(model, tables.encode(schema.target, y), c, np.arange(len(y)))  # pyright: ignore
