"""Rows outside of what a model was trained on: found, counted, and said once.

All that asks a model about conditions goes through `tell`, which warns; within `gathered` it counts, so
that what is asked in several steps, or of a table in parts, is said once by whoever asked.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from condvae import tables
from condvae.table_models.model import TableModel
from condvae.text import count, in_line, quote

MOST_LEVELS = 3
"""Levels of a column that are named, of those never seen."""


class OutsideWarning(UserWarning):
    """Rows lie outside of what the model was trained on; `outside`, an `Outside`, counts them."""

    def __init__(self, outside: "Outside"):
        super().__init__(outside.words())
        self.outside = outside


@dataclass
class Outside:
    """How many rows lie outside of what a model was trained on, and why.

    Attributes:
        seen: rows that were looked at.
        rows: those of them whose conditions lie outside.
        cells: of each condition, how many cells lie outside of what the column held.
        levels: of each condition, the levels that were never seen, and the rows of each.
        alone: rows whose every cell is ordinary, and whose combination of cells is not.
        impossible: of each target, the levels that were never seen and the numbers outside of its support,
            and the rows of each.
    """

    seen: int = 0
    rows: int = 0
    cells: Counter[str] = field(default_factory=Counter)
    levels: dict[str, Counter[Any]] = field(default_factory=dict)
    alone: int = 0
    impossible: dict[str, Counter[Any]] = field(default_factory=dict)
    _last: Any = field(default=None, repr=False, compare=False)

    def look(self, model: TableModel, c: Any, given: Any) -> None:
        """Count those of some more rows; the same table asked about twice in a row counts once."""
        if c is None or given is self._last:
            return
        self._last = given
        columns = model.schema.given
        cells, jointly = _where(model, c, given)
        ordinary = ~np.any(list(cells.values()), axis=0)
        self.seen += len(ordinary)
        self.rows += int((jointly | ~ordinary).sum())
        self.alone += int((jointly & ordinary).sum())
        self.cells.update({name: int(strange.sum()) for name, strange in cells.items()})
        _add(
            self.levels,
            tables.unseen([column for column in columns if cells[str(column.name)].any()], given),
        )

    def look_at_targets(self, impossible: Mapping[Any, Mapping[Any, np.ndarray]]) -> None:
        """Count cells of targets outside of what these can hold, as `tables.impossible` gives them."""
        _add(self.impossible, impossible)

    def __bool__(self) -> bool:
        return bool(self.rows or self.impossible)

    def words(self) -> str:
        """What there is to be said, in a sentence."""
        said = []
        if self.rows:
            where = [self._column(name, number) for name, number in self.cells.items() if number]
            if self.alone:
                where.append(f"by an unusual combination of columns: {self.alone:,}")
            verb = "lies" if self.rows == 1 else "lie"
            said.append(
                f"{self.rows:,} of {count(self.seen, 'row')} {verb} outside of what the model was trained "
                f"on ({'; '.join(where)}); what it says there is a guess"
            )
        if self.impossible:
            where = [f"{quote(name)}: {_named(levels)}" for name, levels in self.impossible.items()]
            said.append(
                f"a target holds values outside of what its training cells show to be possible "
                f"({'; '.join(where)}); such a cell is treated as missing; in log p it counts as one "
                "exception among all training rows, and as impossible under a likelihood that you named"
            )
        return "; ".join(said)

    def _column(self, name: str, number: int) -> str:
        levels = self.levels.get(name)
        never = f", levels never seen: {_named(levels)}" if levels else ""
        return f"in {quote(name)}: {number:,}{never}"


def _add(counts: dict[str, Counter[Any]], unseen: Mapping[Any, Mapping[Any, np.ndarray]]) -> None:
    for name, levels in unseen.items():
        counts.setdefault(str(name), Counter()).update({level: len(rows) for level, rows in levels.items()})


def _named(levels: Counter[Any]) -> str:
    """Levels with the rows of each, the most frequent first."""
    parts = [f"{quote(level)} in {count(rows, 'row')}" for level, rows in levels.most_common()]
    return in_line(parts, MOST_LEVELS)


_gathering: ContextVar[Outside | None] = ContextVar("gathering", default=None)


@contextmanager
def gathered(total: Outside | None = None) -> Iterator[Outside]:
    """Within, rows outside are counted, by the outermost, and no warning is given.

    Args:
        total: what to count in; None for a new one.
    """
    outer = _gathering.get()
    if outer is not None:
        yield outer
        return
    total = Outside() if total is None else total
    token = _gathering.set(total)
    try:
        yield total
    finally:
        _gathering.reset(token)


@contextmanager
def told_once() -> Iterator[None]:
    """Within, rows outside are counted; at the end they are warned of, by the outermost."""
    with gathered() as total:
        yield
    if _gathering.get() is None:
        warn(total)


def tell(model: TableModel, c: Any, given: Any, impossible: Mapping[Any, Any] | None = None) -> None:
    """Warn of rows outside, or count them within `gathered`.

    Args:
        model: what is asked.
        c: the conditions, encoded; None for none.
        given: the conditions, a frame.
        impossible: cells of the targets outside of what these can hold, as `tables.impossible` gives them.
    """
    gathering = _gathering.get()
    total = Outside() if gathering is None else gathering
    total.look(model, c, given)
    total.look_at_targets(impossible or {})
    if gathering is None:
        warn(total)


def warn(total: Outside) -> None:
    """Warn of what was counted, at the line of whoever called the library."""
    if total:
        warnings.warn(OutsideWarning(total), stacklevel=_callers_level())


def _callers_level() -> int:
    """How many frames up from `warn` the first is that is of neither this package nor scikit-learn."""
    inside = (__name__.split(".")[0], "contextlib", "sklearn")
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    return level


def support(model: TableModel, c: Any, given: Any) -> dict[str, np.ndarray]:
    """`outside`, `columns` and `percentile` of each row."""
    if c is None or model.support is None:
        one = np.zeros(1)
        return {"outside": one.astype(bool), "columns": np.array([""], object), "percentile": one}
    by_column, jointly = _where(model, c, given)
    named = np.stack(list(by_column.values()), axis=1)
    text = [", ".join(name for name, out in zip(by_column, row, strict=True) if out) for row in named]
    return {
        "outside": named.any(axis=1) | jointly,
        "columns": np.array(text, dtype=object),
        "percentile": model.support.percentile(model.features(c)),
    }


def _where(model: TableModel, c: Any, given: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Which cells are outside, by column, and which rows are as a whole."""
    cells = {str(name): out for name, out in tables.outside(model.schema.given, given).items()}
    if model.support is None:
        return cells, np.zeros(len(next(iter(cells.values()))), bool)
    return cells, model.support.outside(model.features(c))
