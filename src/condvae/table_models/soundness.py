"""Whether a table model that was read from a file can answer at all."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from condvae import tables
from condvae.declared import Shape, require_array
from condvae.mixture import Mixture
from condvae.observed import Observed
from condvae.table_models.model import TableModel


def require_sound(table: TableModel) -> None:
    """Check that the parts of a table model fit its schema and one another, on a made-up row.

    Baselines are evaluated; networks are only traced, which compiles nothing.

    Raises:
        ValueError: if a part does not fit.
    """
    x, c = _made_up(table.schema.target), _made_up(table.schema.given)
    if not 0 <= table.best < table.mixture.num_members:
        raise ValueError(f"the best member is {table.best}, of {table.mixture.num_members} members")
    _require_calibration(table)
    try:
        densities = table.baselines(x, c)
        if table.support is not None:
            table.support.outside(table.features(c))
    except Exception as error:
        raise ValueError(f"the baselines do not fit the schema: {error}") from error
    for name, value in densities.items():
        if value.shape != (1,) or np.isnan(value).any():
            raise ValueError(f"the baseline {name!r} gives no density of a row")
    try:
        eqx.filter_eval_shape(_draws, table.mixture, x, c, jax.random.key(0))
    except Exception as error:  # whatever a network raises that gets other sizes than it has
        raise ValueError(f"the networks do not fit the schema: {error}") from error


def _made_up(columns: Sequence[tables.Column]) -> Any:
    """One row at the means of its numbers, of the first levels; None where there are no columns."""
    blocks = {}
    for block, dtype in (("numeric", np.float32), ("categorical", np.int32)):
        width = sum(column.width for column in columns if column.block == block)
        if width:
            blocks[block] = Observed(np.zeros((1, width), dtype), np.ones((1, width), bool))
    return blocks or None


def _draws(mixture: Mixture, x: Any, c: Any, key: Any) -> Any:
    member, x, c = jax.tree.map(
        lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, (mixture.stacked, x, c)
    )
    return member.draws(x, c, key=key).log_likelihood


def _require_calibration(table: TableModel) -> None:
    kinds = {str(column.name): column.kind for column in table.schema.target}
    for name, scores in table.calibration.items():
        if name not in kinds:
            raise ValueError(f"the calibration scores of {name!r} are of no target")
        numeric = kinds[name] == "numeric" and scores.ndim == 2
        require_array(f"calibration.{name}", scores, Shape("_ 2" if numeric else "_"), {})
    if table.training_rows is not None:
        require_array("training_rows", table.training_rows, Shape("_", "u"), {})
