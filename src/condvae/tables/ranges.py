"""Which cells of a table lie outside of what a model was trained on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from narwhals.typing import IntoDataFrame

from condvae.tables.cells import Cells, cells, open_frame
from condvae.tables.columns import Column
from condvae.tables.readings import UNSEEN, checked, coded, measured


def outside(columns: Sequence[Column], frame: IntoDataFrame) -> dict[str, np.ndarray]:
    """Which cells lie outside of what the columns held at fitting.

    Outside is a number or a date below the smallest or above the largest of training, a level that was not
    there (whether or not there is one for others), and a missing cell in a column that had none. Each
    column is judged by itself: a row of familiar cells may still be an unfamiliar row.

    Args:
        columns: the columns to look at, as a schema holds them; those of the conditions, as a rule.
        frame: a table of n rows with at least these columns, in any order.

    Returns:
        For each column's name a bool array [n].

    Raises:
        TableError: for a missing column, a cell of the wrong kind, or a number that is infinite or too
            large.

    Example:
        >>> import pyarrow as pa
        >>> columns = [Column("a", "given", "numeric", "double", minimum=0.0, maximum=1.0)]
        >>> outside(columns, pa.table({"a": [0.5, 1.5, None]}))
        {'a': array([False,  True,  True])}
    """
    table = open_frame(frame)
    return {column.name: _outside(column, cells(table, column.name)) for column in columns}


def unseen(columns: Sequence[Column], frame: IntoDataFrame) -> dict[Any, dict[Any, np.ndarray]]:
    """The levels that categorical columns lacked at fitting, and the rows that have them.

    Args:
        columns: the columns to look at; those that are not categorical have no levels.
        frame: a table of n rows with at least these columns, in any order.

    Returns:
        For the name of each column that has some, the rows of each such level, from 0.

    Raises:
        TableError: for a missing column or a cell of the wrong kind.

    Example:
        >>> import pyarrow as pa
        >>> columns = [Column("a", "given", "categorical", "string", levels=("f", "m"))]
        >>> unseen(columns, pa.table({"a": ["x", "m", None, "x"]}))
        {'a': {'x': array([0, 3])}}
    """
    table = open_frame(frame)
    found = {}
    for column in columns:
        if column.kind != "categorical":
            continue
        own = checked(column, cells(table, column.name))
        strange, _ = _strange_levels(column, own)
        if strange.any():
            rows = np.flatnonzero(strange)
            names = own.array.take(rows).dictionary_encode()
            codes = np.asarray(names.indices)
            found[column.name] = {
                level: rows[codes == code] for code, level in enumerate(names.dictionary.to_pylist())
            }
    return found


def impossible(columns: Sequence[Column], frame: IntoDataFrame) -> dict[Any, dict[Any, np.ndarray]]:
    """The cells of targets that have no probability: levels never seen, and numbers that cannot be.

    Args:
        columns: targets, each with its likelihood.
        frame: a table of n rows with at least these columns, in any order.

    Returns:
        For the name of each column that has some, the rows of each such level or number, from 0.

    Raises:
        TableError: for a missing column or a cell of the wrong kind.

    Example:
        >>> import pyarrow as pa
        >>> from condvae.tables import Likelihood
        >>> count = Column("n", "target", "numeric", "int64", likelihood=Likelihood("poisson", step=1.0))
        >>> impossible([count], pa.table({"n": [3, -1, 0, None]}))
        {'n': {-1.0: array([1])}}
    """
    found = unseen(columns, frame)
    table = open_frame(frame)
    for column in columns:
        if column.kind != "numeric" or column.likelihood is None:
            continue
        values, mask = measured(column, checked(column, cells(table, column.name)))
        rows = np.flatnonzero(mask & ~column.possible(values))
        if len(rows):
            found[column.name] = {float(one): rows[values[rows] == one] for one in np.unique(values[rows])}
    return found


def _strange_levels(column: Column, found: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Which cells are of a level that was not there, and which are observed."""
    codes, mask = coded(column, found)
    strange = codes == UNSEEN
    if column.boolean and column.minimum is not None and column.minimum == column.maximum:
        strange |= codes != int(column.minimum)
    return strange & mask, mask


def _outside(column: Column, found: Cells) -> np.ndarray:
    found = checked(column, found)
    if column.kind == "categorical":
        strange, mask = _strange_levels(column, found)
    else:
        values, mask = measured(column, found)
        low = -np.inf if column.minimum is None else column.minimum
        high = np.inf if column.maximum is None else column.maximum
        strange = (values < low) | (values > high)
    return np.where(mask, strange, column.missing == 0)
