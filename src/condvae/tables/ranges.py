"""Which cells of a table lie outside of what a model was trained on."""

from collections.abc import Mapping, Sequence
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
    rows_of = {}
    for column in columns:
        if column.kind != "categorical":
            continue
        column_cells = checked(column, cells(table, column.name))
        strange, _ = _strange_levels(column, column_cells)
        if strange.any():
            rows = np.flatnonzero(strange)
            names = column_cells.array.take(rows).dictionary_encode()
            codes = np.asarray(names.indices)
            rows_of[column.name] = {
                level: rows[codes == code] for code, level in enumerate(names.dictionary.to_pylist())
            }
    return rows_of


def impossible(columns: Sequence[Column], frame: IntoDataFrame) -> dict[Any, dict[Any, np.ndarray]]:
    """The cells of targets that are not in their support: levels never seen, and numbers that cannot be.

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
    rows_of = unseen(columns, frame)
    table = open_frame(frame)
    for column in columns:
        if column.kind != "numeric" or column.likelihood is None:
            continue
        values, mask = measured(column, checked(column, cells(table, column.name)))
        rows = np.flatnonzero(mask & ~column.possible(values))
        if len(rows):
            each, counts = np.unique(values[rows], return_counts=True)
            places = np.split(rows[np.argsort(values[rows], kind="stable")], np.cumsum(counts)[:-1])
            rows_of[column.name] = dict(zip(each.tolist(), places, strict=True))
    return rows_of


def log_unforeseen(
    columns: Sequence[Column],
    rows_of: Mapping[Any, Mapping[Any, np.ndarray]],
    num_rows: int,
    training_rows: int,
) -> np.ndarray:
    """What the cells that `impossible` found add to the log-density of their rows, in nats.

    Levels and supports are inferred from n training cells, so that the next cell is none of them with a
    probability of about 1 / (n + 1), the rule of succession. A cell of a column whose levels or support
    were inferred adds log 1 / (n + 1); a number also the log-density of a Cauchy distribution of the
    column's mean and standard deviation (for levels that are numbers, times the least distance between
    two). A cell that a likelihood which the user named cannot give adds -inf.

    Args:
        columns: targets, each with its likelihood.
        rows_of: what `impossible` gives.
        num_rows: rows of the frame.
        training_rows: n.

    Returns:
        float64 [num_rows]; 0 for a row without such a cell.

    Example:
        >>> columns = [Column("a", "target", "categorical", "string", levels=("f", "m"))]
        >>> log_unforeseen(columns, {"a": {"x": np.array([1])}}, 3, 99).round(2).tolist()
        [0.0, -4.61, 0.0]
    """
    total = np.zeros(num_rows)
    for column in columns:
        for value, rows in rows_of.get(column.name, {}).items():
            cell = -np.log(training_rows + 1.0)
            if column.kind == "numeric":
                cell += -np.inf if column.universal is None else _log_cauchy(column, float(value))
            total[rows] += cell
    return total


def _log_cauchy(column: Column, value: float) -> float:
    """Of a column with a universal support, in what its log-density is in."""
    assert column.universal is not None
    unit = np.diff(column.universal.points).min() if len(column.universal.points) > 1 else column.sd
    scale = np.log(unit) if column.universal.closed else 0.0
    return float(scale - np.log(np.pi * column.sd) - np.log1p(((value - column.mean) / column.sd) ** 2))


def _strange_levels(column: Column, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Which cells are of a level that was not there, and which are observed."""
    codes, mask = coded(column, cells)
    strange = codes == UNSEEN
    if column.boolean and column.minimum is not None and column.minimum == column.maximum:
        strange |= codes != int(column.minimum)
    return strange & mask, mask


def _outside(column: Column, cells: Cells) -> np.ndarray:
    cells = checked(column, cells)
    if column.kind == "categorical":
        strange, mask = _strange_levels(column, cells)
    else:
        values, mask = measured(column, cells)
        low = -np.inf if column.minimum is None else column.minimum
        high = np.inf if column.maximum is None else column.maximum
        strange = (values < low) | (values > high)
    return np.where(mask, strange, column.missing == 0)
