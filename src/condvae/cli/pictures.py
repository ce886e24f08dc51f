"""The picture of samples: pairs of numeric targets, over the real rows where there are some."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from condvae.estimator import ConditionalVAE


def require_picture(estimator: "ConditionalVAE", path: Path) -> None:
    """Check that there is something to draw, and that it can be written."""
    from condvae.plots import require_drawable
    from condvae.tables import TableError

    if not _numeric(estimator):
        raise TableError("the model has no numeric target to plot; leave out --plot")
    require_drawable(path)


def draw(estimator: "ConditionalVAE", samples: Any, real: Any) -> Any:
    """Pairs of the first numeric targets, coloured by the first categorical condition.

    Real rows are drawn where the table has them: a table of conditions alone need not.
    """
    import numpy as np
    import pyarrow as pa

    from condvae.plots import MAX_PAIRED, plot_pairs

    numeric = _numeric(estimator)[:MAX_PAIRED]
    if real is not None and not all(
        name in real.column_names
        and (pa.types.is_floating(real[name].type) or pa.types.is_integer(real[name].type))
        for name in numeric
    ):
        real = None

    def columns(table: Any) -> dict[str, Any]:
        return {name: table[name].cast("double").to_numpy() for name in numeric}

    given = estimator.schema_.given
    group = next((str(column.name) for column in given if column.kind == "categorical"), None)

    def groups(table: Any) -> Any:
        if group is None:
            return None
        return np.array(["missing" if value is None else str(value) for value in table[group].to_pylist()])

    return plot_pairs(
        None if real is None else columns(real),
        columns(samples),
        real_groups=None if real is None else groups(real),
        sample_groups=groups(samples),
        group_name=group or "",
    )


def _numeric(estimator: "ConditionalVAE") -> list[str]:
    return [str(column.name) for column in estimator.schema_.target if column.kind == "numeric"]
