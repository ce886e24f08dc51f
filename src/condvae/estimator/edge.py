"""The edge of a fitted table: what users pass as encoded blocks, blocks as frames of their kind."""

from typing import Any

import jax
import narwhals as nw
import numpy as np
from sklearn.utils.validation import check_is_fitted

from condvae import tables
from condvae.estimator import prepare
from condvae.table_models import outside
from condvae.table_models.model import TableModel
from condvae.table_models.streaming import in_memory
from condvae.tables.native import FRAMES, as_frame, build, kind, rows_of
from condvae.text import listed
from condvae.vectorise import num_rows

PARTS = 1000
"""More than there are purposes of keys."""


class Edge:
    """Frames to blocks and back, for a table that was fitted."""

    table_: TableModel
    schema_: tables.Schema
    kind_: str
    settings_: Any
    seed_: int
    num_rows_: int
    n_features_in_: int
    progress: bool

    def _given(self, X: Any, unseen: Any = "error", told: bool = False) -> tuple[TableModel, Any]:
        """The model, and the conditions as blocks; warns of rows outside, unless that was `told`."""
        check_is_fitted(self, "table_")
        self.table_.progress = self.progress
        given = as_frame(in_memory(X), "c")
        if isinstance(given, tables.Scan):
            raise tables.TableError(
                "the table has {rows:,} rows and is not read at once",
                remedy="ask of its parts, one by one: for part in scan.parts()",
                rows=len(given),
            )
        if given is None and self.schema_.given:
            names = listed(column.name for column in self.schema_.given)
            raise tables.TableError(
                "the model is of targets given {names}", remedy="pass them as X", names=names
            )
        if given is None:
            return self.table_, None
        prepare.require_features(self, X, given)
        c = tables.encode(self.schema_.given, given, unseen=unseen)
        if not told:
            outside.tell(self.table_, c, given)
        return self.table_, c

    def _pair(self, X: Any, y: Any, told: bool = False) -> tuple[TableModel, Any, Any]:
        """The model, conditions and targets as blocks; a cell that the model cannot give is missing."""
        return self._scored(X, y, told)[:3]

    def _scored(self, X: Any, y: Any, told: bool = False) -> tuple[TableModel, Any, Any, np.ndarray]:
        """Likewise; and what cells that the model cannot give add to log p of their rows, [n].

        Such a cell, of a level never seen or a number outside of the column's support, is missing in x, and
        does not keep the others from being used (see `tables.log_unforeseen`); a warning counts them.
        """
        with outside.told_once():
            model, c = self._given(X, told=told)
            frame = prepare.target_frame(y)
            x = tables.encode(self.schema_.target, frame, unseen="missing")
            prepare.require_rows(c, x)
            never = tables.impossible(self.schema_.target, frame)
            outside.tell(model, None, None, never)
        return model, c, x, tables.log_unforeseen(self.schema_.target, never, num_rows(x=x), self.num_rows_)

    def _key(self, random_state: int | None, purpose: int, part: int = 0) -> jax.Array:
        seed = self.seed_ if random_state is None else random_state
        # Part 0 is the purpose's key, which is split; its other parts are folded into a key of their own.
        key = jax.random.fold_in(jax.random.key(seed), PARTS + purpose if part else purpose)
        return jax.random.fold_in(key, part) if part else key

    def _kind_of(self, data: Any) -> str:
        return self.kind_ if data is None else kind(data)

    def _require_numeric(self, model: TableModel, what: str) -> None:
        if not model.numeric:
            raise tables.TableError(
                "no target is numeric, so there is no {what}", remedy="use predict_proba", what=what
            )

    def _frame(self, columns: dict[Any, Any], X: Any, with_support: bool = False) -> Any:
        of = self._kind_of(X)
        names = list(columns)
        if with_support:
            if of == "numpy":
                raise ValueError("with_support adds columns to a frame: pass X as one, or call support(X)")
            model, c = self._given(X, told=True)
            found = outside.support(model, c, as_frame(X, "c"))
            columns = columns | {f"support_{name}": values for name, values in found.items()}
            names = list(columns)
        if of != "numpy":
            return build(columns, of, None if X is None else rows_of(X), names)
        stacked = build(columns, of)
        return stacked[:, 0] if stacked.shape[1] == 1 else stacked

    def _decoded(self, blocks: Any, rows: int, of: str, observed: Any = None) -> Any:
        """Blocks of draws as a frame of `rows` rows; for arrays, as one."""
        flat = {name: np.reshape(block, (rows, np.shape(block)[-1])) for name, block in blocks.items()}
        backend: Any = of if of in FRAMES else "pyarrow"
        frame: Any = tables.decode(self.schema_.target, flat, backend, observed=observed)
        if of == "pandas":
            frame.columns = [column.name for column in self.schema_.target]  # which may be no strings
        if of != "numpy":
            return frame
        return np.column_stack([frame.column(i).to_numpy() for i in range(frame.num_columns)])

    def _drawn(self, blocks: Any, X: Any, rows: int, n: int, observed: Any = None) -> Any:
        of = self._kind_of(X)
        # Beside a target of that name, "row" is "row_": the table's names are its owner's.
        numbers = tables.apart(("row", "draw"), [column.name for column in self.schema_.target])
        frame = self._decoded(blocks, rows * n, of, observed)
        row, draw = np.repeat(np.arange(rows), n), np.tile(np.arange(n), rows)
        if of == "numpy":
            return frame.reshape(rows, n, len(self.schema_.target))
        if of == "pandas":
            import pandas as pd

            label = row if X is None else X.index[row]
            frame.index = pd.MultiIndex.from_arrays([label, draw], names=numbers)
            return frame
        backend: Any = of
        index = nw.from_dict(dict(zip(numbers, (row, draw), strict=True)), backend=backend)
        return nw.concat([index, nw.from_native(frame, eager_only=True)], how="horizontal").to_native()
