"""Models and tables as the commands need them, and the checks that come before any work."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condvae.cli.output import note, warn

if TYPE_CHECKING:
    from condvae import tables
    from condvae.estimator import ConditionalVAE
    from condvae.table_models.outside import Outside


def load(path: Path, quiet: bool = True) -> "ConditionalVAE":
    """The model in a folder, which answers in Arrow's tables."""
    from condvae import ConditionalVAE

    estimator = ConditionalVAE.load(path)
    estimator.progress = not quiet
    estimator.kind_ = "pyarrow"  # whatever kind of frame it was fitted with
    return estimator


def read_data(path: str, columns: Any = (), text: Iterable[str] = ()) -> "tables.File":
    """A table with at least one row, its names all different, and how it was read; a long one as a scan.

    Args:
        path: the file or folder.
        columns: of a schema, as which the table's are read.
        text: names and patterns of columns whose cells are left as they are written.
    """
    from condvae import tables
    from condvae.table_models.streaming import is_long
    from condvae.tables.cells import open_frame

    file = None
    if path != "-" and (Path(path).is_dir() or Path(path).suffix.lower() in tables.PARQUET):
        scan = tables.scan(path)
        file = tables.File(scan) if is_long(scan) else None
    file = tables.read_file(path, columns, text) if file is None else file
    if not isinstance(file.table, tables.Scan):
        open_frame(file.table)
    if len(file.table) == 0:
        raise tables.TableError("{path} has no rows", remedy="give at least one", path=path)
    return file


def read_for(estimator: "ConditionalVAE", path: str) -> Any:
    """The rows of a file, its cells read as the model's columns were; how is said, if progress is."""
    file = read_data(path, _columns(estimator))
    for sentence in file.notes if estimator.progress else ():
        note(sentence)
    return file.table


def _columns(estimator: "ConditionalVAE") -> tuple[Any, ...]:
    return (*estimator.schema_.given, *estimator.schema_.target)


def read_whole(estimator: "ConditionalVAE", path: str) -> Any:
    """The same rows in memory, however many."""
    from condvae import tables

    table = read_for(estimator, path)
    return tables.read_as(_columns(estimator), table.read()) if isinstance(table, tables.Scan) else table


def by_part(estimator: "ConditionalVAE", table: Any, work: Callable[[int, int, Any], Any]) -> Iterator[Any]:
    """What `work` gives of the parts of a table that fit into memory: of number, first row, and rows."""
    from condvae import tables
    from condvae.progress import Progress
    from condvae.tables.scans import located

    if not isinstance(table, tables.Scan):
        yield work(0, 0, table)
        return
    shown = estimator.progress
    estimator.progress = False  # one bar for all parts
    with Progress("rows", len(table), enabled=shown) as bar:
        for number, part in enumerate(table.parts()):
            with located(table, number):
                read = tables.read_as(_columns(estimator), part)
                result = work(number, table.groups[number].first, read)
            yield result
            bar.advance(len(part))
    estimator.progress = shown


def conditions(estimator: "ConditionalVAE", table: Any) -> Any:
    """The table where the model has conditions, which are in it; else None."""
    return table if estimator.schema_.given else None


def require_outputs(out: str | None, as_json: bool) -> None:
    """Check that a file can be written, and that standard output is asked for once."""
    from condvae import tables

    if out is None:
        return
    if out == "-" and as_json:
        raise tables.TableError("--out - and --json both write to standard output", remedy="choose one")
    tables.require_writable(out)


def require_budget(method: str, num_samples: int | None, budget: int | None) -> None:
    """Refuse a budget that cannot be kept to, before anything is read."""
    from condvae.tables import TableError

    draws = 1000 if num_samples is None else num_samples
    if method == "is" and budget is not None and budget < draws:
        raise TableError(
            "--budget is {budget}, less than the {draws} draws that every row gets",
            remedy="raise it, or lower --num-samples",
            budget=budget,
            draws=draws,
        )
    if method == "ais" and budget is not None and budget < 10:
        raise TableError("--budget is {budget}, expected at least 10 temperatures", budget=budget)


def to_judge(
    model: Path, data: str, train: str | None, deep: bool, quiet: bool, options: dict[str, Any]
) -> tuple["ConditionalVAE", Any, Any, dict[str, Any]]:
    """The model, the conditions and the table to judge it by, and what its diagnosis is told besides.

    Args:
        model: its folder.
        data: the file to judge by.
        train: the file that it was trained on, if that is to be looked at.
        deep: whether to fit again to that.
        quiet: whether to show no progress bars.
        options: how log-densities are found.
    """
    from condvae.tables import TableError

    require_budget(options["method"], options["num_samples"], options["budget"])
    if deep and train is None:
        raise TableError(
            "--deep fits again to the rows that the model was trained on", remedy="name them with --train"
        )
    if train == "-" == data:
        raise TableError("DATA and --train are both standard input", remedy="name a file for one of them")
    estimator = load(model, quiet)
    table = read_whole(estimator, data)
    more: dict[str, Any] = {"deep": True} if deep else {}
    if train is not None:
        learned = read_whole(estimator, train)
        # A refit takes every column of a table as a condition or a target.
        given, target = (
            learned.select([str(column.name) for column in columns])
            for columns in (estimator.schema_.given, estimator.schema_.target)
        )
        more["train"] = (conditions(estimator, given), target)
    return estimator, conditions(estimator, table), table, more


@contextmanager
def outside_counted() -> Iterator["Outside"]:
    """Within, rows outside of what the model was trained on are counted; at the end they are said."""
    from condvae.table_models.outside import gathered

    with gathered() as total:
        yield total
    if total:
        warn(total.words())
