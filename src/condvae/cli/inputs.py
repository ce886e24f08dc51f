"""Models and tables as the commands need them, and the checks that come before any work."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condvae.cli.words import count, warn

if TYPE_CHECKING:
    from condvae.estimator import ConditionalVAE


def load(path: Path, quiet: bool = True) -> "ConditionalVAE":
    """The model in a folder, which answers in Arrow's tables."""
    from condvae import ConditionalVAE

    estimator = ConditionalVAE.load(path)
    estimator.progress = not quiet
    estimator.kind_ = "pyarrow"  # whatever kind of frame it was fitted with
    return estimator


def read_rows(path: str, columns: Any = ()) -> Any:
    """A table with at least one row, its names all different."""
    from condvae import tables
    from condvae.tables.cells import open_frame

    table = tables.read_table(path, columns)
    open_frame(table)
    if len(table) == 0:
        raise tables.TableError(f"{path} has no rows; give at least one")
    return table


def read_for(estimator: "ConditionalVAE", path: str) -> Any:
    """The rows of a file, its cells read as the model's columns were."""
    return read_rows(path, (*estimator.schema_.given, *estimator.schema_.target))


def conditions(estimator: "ConditionalVAE", table: Any) -> Any:
    """The table where the model has conditions, which are in it; else None."""
    return table if estimator.schema_.given else None


def require_outputs(out: str | None, as_json: bool) -> None:
    """Check that a file can be written, and that standard output is asked for once."""
    from condvae import tables

    if out is None:
        return
    if out == "-" and as_json:
        raise tables.TableError("--out - and --json both write to standard output; choose one")
    tables.require_writable(out)


def require_apart(names: Sequence[str], added: Iterable[str]) -> None:
    """Check that the columns which a command adds are named like no other."""
    from condvae.tables import TableError

    taken = set(names)
    for name in added:
        if name in taken:
            raise TableError(f"two columns would be named {name!r}; rename that column of the table")
        taken.add(name)


def warn_outside(estimator: "ConditionalVAE", rows: Any) -> int:
    """Say how many rows' conditions lie outside of what was trained on, and in which columns."""
    import numpy as np

    from condvae import tables

    given = estimator.schema_.given
    if not given or rows is None:
        return 0
    outside = np.asarray(estimator.support(rows)["outside"])
    if not outside.any():
        return 0
    cells = tables.outside(given, rows)
    where = [f"in {name!r}: {int(found.sum()):,}" for name, found in cells.items() if found.any()]
    alone = int((outside & ~np.any(list(cells.values()), axis=0)).sum())
    if alone:
        where.append(f"by an unusual combination of columns: {alone:,}")
    verb = "lies" if outside.sum() == 1 else "lie"
    warn(
        f"{outside.sum():,} of {count(len(outside), 'row')} {verb} outside of what the model was trained "
        f"on ({'; '.join(where)}); what it says there is a guess"
    )
    return int(outside.sum())
