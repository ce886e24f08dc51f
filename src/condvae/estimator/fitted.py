"""A fitted table among frames: frames become encoded blocks, and blocks frames of the same kind."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import jax
import narwhals as nw
import numpy as np
from sklearn.utils.validation import check_is_fitted

from condvae import tables
from condvae.estimator import prepare
from condvae.runtime import require_runtime
from condvae.table_models import outside
from condvae.table_models.defaults import Settings
from condvae.table_models.model import TableModel
from condvae.table_models.streaming import in_memory
from condvae.tables.native import FRAMES, as_frame, build, kind, rows_of
from condvae.text import listed
from condvae.vectorise import num_rows

PARTS = 1000
"""More than there are purposes of keys."""

Answers = TypeVar("Answers")
P = ParamSpec("P")
R = TypeVar("R")


def draw_key(seed: int, purpose: int, part: int = 0) -> jax.Array:
    """The key of the draws for one purpose, and for one part of a longer table."""
    # Part 0 is the purpose's key, which is split; its other parts are folded into a key of their own.
    key = jax.random.fold_in(jax.random.key(seed), PARTS + purpose if part else purpose)
    return jax.random.fold_in(key, part) if part else key


@dataclass(frozen=True)
class FittedTable:
    """A fitted model with what translates between a user's frames and its blocks.

    Attributes:
        model: the model, which takes encoded blocks.
        kind: of the frames that the model was fitted to; what is returned where nothing is passed.
        settings: the sizes that the model was fitted with.
        seed: of all draws, unless a question brings its own.
        num_rows: training rows.
        progress: whether to show progress bars.
    """

    model: TableModel
    kind: str
    settings: Settings
    seed: int
    num_rows: int
    progress: bool

    @property
    def schema(self) -> tables.Schema:
        """The columns."""
        return self.model.schema

    def given(self, X: Any, unseen: Any = "error", told: bool = False) -> tuple[TableModel, Any]:
        """The model, and the conditions as blocks; warns of rows outside, unless that was `told`."""
        given = as_frame(in_memory(X), "c")
        if isinstance(given, tables.Scan):
            raise tables.TableError(
                "the table has {rows:,} rows and is not read at once",
                remedy="ask of its parts, one by one: for part in scan.parts()",
                rows=len(given),
            )
        if given is None and self.schema.given:
            names = listed(column.name for column in self.schema.given)
            raise tables.TableError(
                "the model is of targets given {names}", remedy="pass them as X", names=names
            )
        if given is None:
            return self.model, None
        prepare.require_features(len(self.schema.given), X, given)
        c = tables.encode(self.schema.given, given, unseen=unseen)
        if not told:
            outside.tell(self.model, c, given)
        return self.model, c

    def pair(self, X: Any, y: Any, told: bool = False) -> tuple[TableModel, Any, Any]:
        """The model, conditions and targets as blocks; a cell that the model cannot give is missing."""
        return self.scored(X, y, told)[:3]

    def scored(self, X: Any, y: Any, told: bool = False) -> tuple[TableModel, Any, Any, np.ndarray]:
        """Likewise; and what cells that the model cannot give add to log p of their rows, [n].

        Such a cell, of a level never seen or a number outside of the column's support, is missing in x, and
        does not keep the others from being used (see `tables.log_unforeseen`); a warning counts them.
        """
        with outside.told_once():
            model, c = self.given(X, told=told)
            frame = prepare.target_frame(y)
            x = tables.encode(self.schema.target, frame, unseen="missing")
            prepare.require_rows(c, x)
            never = tables.impossible(self.schema.target, frame)
            outside.tell(model, None, None, never)
        return model, c, x, tables.log_unforeseen(self.schema.target, never, num_rows(x=x), self.num_rows)

    def key(self, random_state: int | None, purpose: int, part: int = 0) -> jax.Array:
        """The key of the draws for one purpose; of another seed, where one is given."""
        return draw_key(self.seed if random_state is None else random_state, purpose, part)

    def kind_of(self, data: Any) -> str:
        """The kind of frame in which an answer about `data` is given."""
        return self.kind if data is None else kind(data)

    def frame(self, columns: dict[Any, Any], X: Any, with_support: bool = False) -> Any:
        """Columns with a cell for each row of X as a frame of X's kind; if asked, with its support."""
        of = self.kind_of(X)
        names = list(columns)
        if with_support:
            if of == "numpy":
                raise ValueError("with_support adds columns to a frame: pass X as one, or call support(X)")
            model, c = self.given(X, told=True)
            support = outside.support(model, c, as_frame(X, "c"))
            columns = columns | {f"support_{name}": values for name, values in support.items()}
            names = list(columns)
        if of != "numpy":
            return build(columns, of, None if X is None else rows_of(X), names)
        stacked = build(columns, of)
        return stacked[:, 0] if stacked.shape[1] == 1 else stacked

    def decoded(self, blocks: Any, rows: int, of: str, observed: Any = None) -> Any:
        """Blocks of draws as a frame of `rows` rows; for arrays, as one."""
        flat = {name: np.reshape(block, (rows, np.shape(block)[-1])) for name, block in blocks.items()}
        backend: Any = of if of in FRAMES else "pyarrow"
        frame: Any = tables.decode(self.schema.target, flat, backend, observed=observed)
        if of == "pandas":
            frame.columns = [column.name for column in self.schema.target]  # which may be no strings
        if of != "numpy":
            return frame
        return np.column_stack([frame.column(i).to_numpy() for i in range(frame.num_columns)])

    def drawn(self, blocks: Any, X: Any, rows: int, n: int, observed: Any = None) -> Any:
        """Blocks of n draws for each of `rows` rows as a frame that numbers rows and draws."""
        of = self.kind_of(X)
        # Beside a target of that name, "row" is "row_": the table's names are its owner's.
        numbers = tables.apart(("row", "draw"), [column.name for column in self.schema.target])
        frame = self.decoded(blocks, rows * n, of, observed)
        row, draw = np.repeat(np.arange(rows), n), np.tile(np.arange(n), rows)
        if of == "numpy":
            return frame.reshape(rows, n, len(self.schema.target))
        if of == "pandas":
            import pandas as pd

            label = row if X is None else X.index[row]
            frame.index = pd.MultiIndex.from_arrays([label, draw], names=numbers)
            return frame
        backend: Any = of
        index = nw.from_dict(dict(zip(numbers, (row, draw), strict=True)), backend=backend)
        return nw.concat([index, nw.from_native(frame, eager_only=True)], how="horizontal").to_native()


def fitted_table(estimator: Any) -> FittedTable:
    """What was fitted, of a fitted estimator.

    Raises:
        sklearn.exceptions.NotFittedError: if `fit` was not called.
        RuntimeError: in a forked process.
    """
    check_is_fitted(estimator, "table_")
    require_runtime()
    model: TableModel = estimator.table_
    model.progress = estimator.progress
    return FittedTable(
        model,
        estimator.kind_,
        estimator.settings_,
        estimator.seed_,
        estimator.num_rows_,
        estimator.progress,
    )


def answered_by(
    answers: Callable[[FittedTable], Answers], method: Callable[Concatenate[Answers, P], R]
) -> Callable[Concatenate[Any, P], R]:
    """The method of an estimator that passes its fitted table to a method of `answers`."""

    @wraps(method)
    def ask(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(answers(fitted_table(self)), *args, **kwargs)

    return ask
