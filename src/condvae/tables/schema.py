"""What a table looks like to a model: which columns are conditions and which are targets, of what
kind, and the numbers (means, standard deviations, levels) by which they become arrays.

A `Schema` is inferred once, from the rows that a model is fitted to, and travels with the model: it
is plain data, and all of it goes into JSON and back without loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
from narwhals.typing import IntoDataFrame

from condvae.declared import MALFORMED, conform, reason
from condvae.sentences import Argument
from condvae.tables import overrides
from condvae.tables.cells import Cells, cells, first_duplicate, numbers, open_frame, suggestion
from condvae.tables.columns import MANY_LEVELS, Column, Role
from condvae.tables.errors import TableError
from condvae.tables.likelihoods import CATEGORICAL, NUMERIC, Likelihood
from condvae.tables.recognition import reading_of
from condvae.tables.shapes import scores_of
from condvae.tables.summaries import Summary
from condvae.tables.supports import support_of
from condvae.tables.text_cells import Reading, read_cells
from condvae.tables.times import seconds
from condvae.text import quote, quoted

Unknown = Literal["error", "other"]


@dataclass(frozen=True)
class Schema:
    """The conditions and the targets of a table.

    Attributes:
        given: the conditions' columns, in the order asked for; () is the plain VAE.
        target: the targets' columns, likewise; at least one.

    Example:
        >>> import pyarrow as pa
        >>> frame = pa.table({"height": [1.5, 1.7, 1.9], "sex": ["f", "m", "m"]})
        >>> schema = Schema.infer(frame, given=["sex"], target=["height"])
        >>> schema.given[0].levels, round(schema.target[0].mean, 3)
        (('f', 'm'), 1.7)
        >>> Schema.from_json(schema.to_json()) == schema
        True
    """

    given: tuple[Column, ...]
    target: tuple[Column, ...]

    @classmethod
    def infer(
        cls,
        frame: IntoDataFrame,
        *,
        given: Sequence[str] = (),
        target: Sequence[str],
        unknown: Unknown = "error",
        read: Mapping[Any, str] | None = None,
        missing: Sequence[str] = (),
    ) -> Self:
        """Learn a schema from the rows that a model will be fitted to.

        Args:
            frame: a pandas, polars or pyarrow table of n rows.
            given: the names of the conditions; none is the plain VAE.
            target: the names of the targets.
            unknown: what a category that these rows lack will be, in a condition: `"error"`, or
                `"other"`, one level more in every categorical condition that is not boolean.
            read: what columns are read as, where the cells shall not tell: `{"hp": "number"}`; see
                `condvae.tables.text_cells.Reading.asked_for`.
            missing: texts that stand for a missing cell, besides the usual ones.

        Raises:
            TableError: when the names or the cells cannot serve (see the message).
        """
        options: dict[str, Any] = {"unknown": unknown, "read": read, "missing": missing}
        return cls.infer_pair(frame, frame, given=given, target=target, **options)

    @classmethod
    def infer_pair(
        cls,
        given_frame: IntoDataFrame | None,
        target_frame: IntoDataFrame,
        *,
        given: Sequence[str] | None = None,
        target: Sequence[str] | None = None,
        unknown: Unknown = "error",
        read: Mapping[Any, str] | None = None,
        missing: Sequence[str] = (),
    ) -> Self:
        """Learn a schema from two tables of the same rows: the conditions, and the targets.

        Args:
            given_frame: the conditions' table, or None for the plain VAE.
            target_frame: the targets' table.
            given: the names of the conditions; None is every column.
            target: the names of the targets; None is every column.
            unknown: as for `infer`.
            read: as for `infer`.
            missing: as for `infer`.

        Raises:
            TableError: when the names or the cells cannot serve, or the numbers of rows differ.
        """
        require_unknown(unknown)
        targets = open_frame(target_frame)
        conditions = None if given_frame is None else open_frame(given_frame)
        if given is None:
            given = [] if conditions is None else conditions.columns
        target = targets.columns if target is None else target
        check_names(given, target)
        columns_of = {
            "given": [] if conditions is None else [cells(conditions, name) for name in given],
            "target": [cells(targets, name) for name in target],
        }
        if len(targets) < 2:
            rows = "no rows" if len(targets) == 0 else "only one row (1 sample)"
            raise TableError(
                "the table has {rows}", remedy="a model needs at least two, better hundreds", rows=rows
            )
        if conditions is not None and len(conditions) != len(targets):
            raise TableError(
                "the conditions have {conditions} rows and the targets {targets}",
                remedy="give one row of each for every example",
                conditions=len(conditions),
                targets=len(targets),
            )
        asked = asked_readings(read, [*given, *target])
        readings = {
            column.name: reading_of(column, asked.get(column.name), missing)
            for columns in columns_of.values()
            for column in columns
        }
        summaries = {
            role: [Summary.of(as_read(column, readings[column.name])) for column in columns]
            for role, columns in columns_of.items()
        }
        return cls.of(summaries["given"], summaries["target"], unknown, readings)

    @classmethod
    def of(
        cls,
        given: Sequence[Summary],
        target: Sequence[Summary],
        unknown: Unknown,
        readings: Mapping[Any, Reading | None] | None = None,
    ) -> Self:
        """The schema of columns that have been summarised, each read as `readings` says.

        Raises:
            TableError: for cells that cannot be modelled.
        """
        conditions = [describe(summary, "given") for summary in given]
        if unknown == "other":
            conditions = [replace(c, other=c.kind == "categorical" and not c.boolean) for c in conditions]
        columns = (conditions, [describe(summary, "target") for summary in target])
        read = readings or {}
        return cls(*(tuple(replace(c, reading=read.get(c.name)) for c in side) for side in columns))

    def with_likelihoods(
        self,
        frame: IntoDataFrame,
        named: Mapping[Any, str] | None = None,
        default: str | None = None,
        *,
        given: IntoDataFrame | None = None,
    ) -> Self:
        """The same, with a likelihood for each target, chosen from its cells.

        Args:
            frame: rows of the table, all or many of them.
            given: the conditions of these rows, where they are another table.
            named: likelihoods by column that are not chosen: see `condvae.tables.likelihoods.NUMERIC`; of
                categories "categorical" or "ordinal".
            default: of the other numeric targets; None to choose.

        Raises:
            TableError: for a name or a column that there is not, or cells that the likelihood cannot give.

        Example:
            >>> import pyarrow as pa
            >>> frame = pa.table({"claims": [0, 3, 1, 0, 7, 2, 0, 1, 4, 0]})
            >>> schema = Schema.infer(frame, target=["claims"]).with_likelihoods(frame)
            >>> schema.target[0].likelihood.family
            'universal'
        """
        named = dict(named or {})
        if odd := [name for name in named if name not in [column.name for column in self.target]]:
            raise TableError(
                "a likelihood is named for {column!q}, which is no target",
                remedy="the targets are {targets}",
                column=odd[0],
                argument="likelihoods",
                targets=quoted(column.name for column in self.target),
            )
        table = open_frame(frame)
        conditions = table if given is None else open_frame(given)
        return replace(
            self,
            given=tuple(_looked_at(column, conditions) for column in self.given),
            target=tuple(
                _likelihood(_looked_at(column, table), table, named.get(column.name), default)
                for column in self.target
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """The schema as a dict of JSON types; floats come back exactly."""
        return {role: [asdict(c) for c in getattr(self, role)] for role in ("given", "target")}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The schema that `to_json` wrote, whether or not it went through a JSON file since.

        Raises:
            TableError: for anything else.
        """
        try:
            schema = conform(cls, data, "schema")
            schema._require_whole()
            return schema
        except MALFORMED as error:
            raise TableError(
                "this is not a schema as `Schema.to_json` writes it ({reason})",
                remedy="infer it from the table again",
                reason=reason(error),
            ) from error

    def _require_whole(self) -> None:
        """Refuse columns that contradict one another or themselves."""
        check_names([column.name for column in self.given], [column.name for column in self.target])
        for role in ("given", "target"):
            for column in getattr(self, role):
                shown = f"column {quote(column.name)}"
                if column.role != role:
                    raise ValueError(f"{shown} has the role {column.role!r} among the {role} columns")
                if column.sd <= 0:
                    raise ValueError(
                        f"{shown} has the standard deviation {column.sd}, expected one above 0"
                    )
                if column.kind == "categorical" and (
                    not column.levels or len(set(column.levels)) < len(column.levels)
                ):
                    raise ValueError(f"{shown} has no levels, or one twice")
                names = CATEGORICAL if column.kind == "categorical" else NUMERIC
                if column.likelihood is not None and column.likelihood.family not in names:
                    raise ValueError(f"{shown} has the likelihood {quote(column.likelihood.family)}")
                if column.scores is not None and len(set(map(len, column.scores[4:]))) > 1:
                    raise ValueError(f"{shown} has normal scores with knots of several lengths")


def as_read(column: Cells, reading: Reading | None) -> Cells:
    """The cells of a column, read as a reading says."""
    if reading is None:
        return column
    array = read_cells(column.name, column.array, reading)
    if array.type == column.array.type:
        return replace(column, array=array)
    return Cells(column.name, array)


def asked_readings(read: Mapping[Any, str] | None, names: Sequence[Any]) -> dict[Any, Reading]:
    """What users ask for, by column.

    Raises:
        TableError: for a column that there is not, or something that no column can be read as.

    Example:
        >>> asked_readings({"hp": "number"}, ["hp", "mpg"])["hp"].kind
        'number'
    """
    for name in read or {}:
        if name not in names:
            raise TableError(
                "{argument} names {column!q}, which is no column",
                remedy="{suggestion}",
                column=name,
                argument="read",
                suggestion=suggestion(name, names),
            )
    return {name: Reading.asked_for(text, name) for name, text in (read or {}).items()}


def _looked_at(column: Column, table: Any) -> Column:
    """A column of numbers with its support and its normal scores, if two of its cells differ."""
    if column.kind == "categorical":
        return column
    column_cells = as_read(cells(table, column.name), column.reading)
    values, mask = seconds(column_cells) if column.kind == "datetime" else numbers(column_cells)
    values = values[mask]
    if not len(values) or column.minimum == column.maximum:
        return column
    # Of a long table these are some of the cells, and its ends are known.
    ends = np.array([column.minimum, column.maximum], np.float64)
    if not (values.min() <= ends[0] and values.max() >= ends[1]):
        values = np.concatenate([values, ends])
    support = support_of(values)
    low, high, *others = scores_of(values, support)
    limits = [None if np.isinf(end) else float(end) for end in (low, high)]
    scores = (*limits, *map(float, others[:2]), *(tuple(map(float, part)) for part in others[2:]))
    return replace(column, support=support, scores=scores)


def _likelihood(column: Column, table: Any, name: str | None, default: str | None) -> Column:
    """A target with its likelihood."""
    if column.kind == "categorical":
        chosen = overrides.of_levels(name, column.name, column.levels, bool(column.declared))
    elif column.support is None:  # of a part of a long table
        chosen = Likelihood("student_t", "no two of the cells looked at differ")
    elif name is None and default is not None:
        chosen = Likelihood(default, "as asked for")
    elif name in (None, "universal"):
        chosen = Likelihood.universal(column.support)
    else:
        values, mask = numbers(as_read(cells(table, column.name), column.reading))
        chosen = overrides.named(name, values[mask], column.name)
    return replace(column, likelihood=chosen)


def require_unknown(unknown: str) -> None:
    """Refuse what is no `Unknown`."""
    if unknown not in get_args(Unknown):
        raise TableError(
            "{argument}, expected 'error' or 'other'",
            remedy="pass one of them",
            argument=Argument("unknown", unknown),
        )


def check_names(given: Sequence[str], target: Sequence[str]) -> None:
    """Refuse names of columns that cannot be what they shall be.

    Raises:
        TableError: naming the column.
    """
    if not target:
        raise TableError("no target column was named", remedy="name at least one column to model")
    for role, names in (("given", given), ("target", target)):
        if isinstance(names, str):
            raise TableError(
                "{argument} is one name",
                remedy="pass a list, [{names!r}]",
                argument=Argument(role, names),
                names=names,
            )
        if (twice := first_duplicate(names)) is not None:
            raise TableError(
                "column {column!q} is named twice in {argument}",
                remedy="name it once",
                column=twice,
                argument=role,
            )
    if both := [name for name in target if str(name) in set(map(str, given))]:
        raise TableError(
            "column {column!q} is both given and a target", remedy="leave it out of one", column=both[0]
        )


def describe(summary: Summary, role: Role) -> Column:
    """The column of a schema, from what its cells are.

    Raises:
        TableError: for cells that cannot be modelled.
    """
    if summary.empty:
        where = "a target needs some observed cells; " if role == "target" else ""
        raise TableError(
            "column {column!q} has no observed cell",
            remedy="{where}drop the column",
            column=summary.name,
            where=where,
        )
    if summary.kind == "datetime" and role == "target":
        raise TableError(
            "target column {column!q} holds dates or times, which can be conditions only",
            remedy="give it as one, drop it, or turn it into a number, such as days since a start",
            column=summary.name,
        )
    if role == "target" and summary.constant is not None:
        raise TableError(
            "target column {column!q} is constant (always {constant})",
            remedy="drop it, there is nothing to learn",
            column=summary.name,
            constant=summary.constant,
        )
    levels = tuple(level for level in summary.declared if level in summary.levels) or tuple(
        sorted(summary.levels)
    )
    if len(levels) > MANY_LEVELS and 2 * len(levels) > summary.rows:
        raise _identifier(summary, levels)
    minimum = maximum = None
    if summary.kind != "categorical":
        minimum, maximum = summary.minimum, summary.maximum
    elif summary.dtype == "bool":
        minimum, maximum = float(min(summary.levels)), float(max(summary.levels))
    return Column(
        summary.name,
        role,
        summary.kind,
        summary.dtype,
        missing=summary.missing,
        mean=summary.mean,
        sd=summary.sd or 1.0,  # of a constant
        minimum=minimum,
        maximum=maximum,
        levels=(False, True) if summary.dtype == "bool" else levels,
        declared=summary.declared,
        parts=summary.parts,
        zone=summary.zone,
    )


def _identifier(summary: Summary, levels: tuple[Any, ...]) -> TableError:
    """What is said of a column of nearly as many levels as rows."""
    return TableError(
        "column {column!q} looks like an identifier ({levels} different values in {rows} rows)",
        remedy="drop it, or group its values",
        column=summary.name,
        levels=len(levels),
        rows=summary.rows,
    )
