"""What a table looks like to a model: which columns are conditions and which are targets, of what
kind, and the numbers (means, standard deviations, levels) by which they become arrays.

A `Schema` is inferred once, from the rows that a model is fitted to, and travels with the model: it
is plain data, and all of it goes into JSON and back without loss.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
from narwhals.typing import IntoDataFrame

from condvae.normal_scores import NormalScores
from condvae.tables import overrides
from condvae.tables.cells import cells, first_duplicate, numbers, open_frame
from condvae.tables.errors import TableError
from condvae.tables.likelihoods import Likelihood
from condvae.tables.summaries import Kind, Summary
from condvae.tables.supports import Support, holds, scores_of, support_of
from condvae.tables.times import seconds

Role = Literal["given", "target"]
Unknown = Literal["error", "other"]

MANY_LEVELS = 50  # a category with more levels than this, most of them seen once, is an identifier
_DATE = re.compile(r"\s*(\d{4}-\d\d?-\d\d?(?!\d).*|\d\d?([./])\d\d?\2\d{4}(\s.*)?)")
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class Column:
    """One column of a schema.

    Attributes:
        name: its name in the table.
        role: `"given"` (a condition) or `"target"`.
        kind: `"numeric"`, `"categorical"` (text, categories and booleans) or, of conditions only,
            `"datetime"`.
        dtype: what its cells were at fitting: an Arrow name such as `"int64"`, `"double"`, `"bool"` or
            `"timestamp[us]"`, or `"string"` or `"category"`. Decoded cells are of that type again.
        missing: how many cells were missing at fitting.
        mean: mean of the observed cells (numeric; datetime, in seconds since 1970).
        sd: their standard deviation (numeric, datetime); 1 for a constant condition.
        minimum: the smallest observed cell (numeric, datetime; of booleans 0 or 1), else None.
        maximum: the largest observed cell, likewise.
        levels: the observed levels (categorical), in their declared order or sorted; `(False, True)` for
            booleans.
        declared: all categories in their order, for a column that declares an order; else ().
        other: whether a category that is none of `levels` is accepted, as one level after them.
        parts: the calendar parts that are encoded (datetime), of `"year"`, `"week"` and `"day"`.
        zone: the time zone by whose clock they are taken (datetime), None for times without one.
        likelihood: what a target is modelled by; None before it is chosen, and of conditions.
        support: the values that it can hold (numeric, datetime); None before its cells are looked at.
        scores: its normal scores, the fields of `NormalScores`, None for no limit; likewise.

    Example:
        >>> Column("mass", "target", "numeric", "double", mean=4.2, sd=0.8).integer
        False
    """

    name: str
    role: Role
    kind: Kind
    dtype: str
    missing: int = 0
    mean: float = 0.0
    sd: float = 1.0
    minimum: float | None = None
    maximum: float | None = None
    levels: tuple[Any, ...] = ()
    declared: tuple[Any, ...] = ()
    other: bool = False
    parts: tuple[str, ...] = ()
    zone: str | None = None
    likelihood: Likelihood | None = None
    support: Support | None = None
    scores: tuple[Any, ...] | None = None

    @property
    def block(self) -> Literal["numeric", "categorical"]:
        """The block of encoded arrays that holds the column."""
        return "categorical" if self.kind == "categorical" else "numeric"

    @property
    def width(self) -> int:
        """How many columns of its block it takes: one, and a sine and a cosine for each calendar part."""
        return 1 + 2 * len(self.parts)

    @property
    def integer(self) -> bool:
        """Whether the cells are whole numbers by their type."""
        return self.kind == "numeric" and "int" in self.dtype

    @property
    def boolean(self) -> bool:
        """Whether the cells are booleans."""
        return self.dtype == "bool"

    @property
    def step(self) -> float | None:
        """The step to which numbers are recorded, and draws are rounded; None where there is none."""
        if self.likelihood is not None and self.likelihood.step is not None:
            return self.likelihood.step
        return 1.0 if self.integer else None

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value that a number can have; infinite where there is no end.

        Example:
            >>> Column("n", "target", "numeric", "int64", likelihood=Likelihood("poisson", step=1.0)).ends
            (0.0, inf)
        """
        if (support := self.universal) is not None:
            free = -math.inf if support.closed else math.inf  # of values that are no points
            low = -free if support.low is None else support.low
            high = free if support.high is None else support.high
            return min((low, *support.points)), max((high, *support.points))
        found = self.likelihood
        if found is None:
            return -math.inf, math.inf
        low, high = found.low, found.high
        if low is None:  # numbers above 0 are known by there being none below it
            low = -math.inf if found.possible(np.array([-1.0, -1e9])).any() else 0.0
        return low, math.inf if high is None else high

    @property
    def points(self) -> tuple[float, ...]:
        """All values that a number can have, in order, where they are at most `MANY_LEVELS`; else ().

        Example:
            >>> scale = Likelihood("ordinal", step=1.0, low=-1.0, high=1.0)
            >>> Column("n", "target", "numeric", "int64", likelihood=scale).points
            (-1.0, 0.0, 1.0)
        """
        if self.universal is not None and (self.universal.closed or len(self.universal.steps) != 1):
            return self.universal.points if self.universal.closed else ()
        (low, high), step = self.ends, self.step
        if self.kind != "numeric" or step is None or not math.isfinite(high - low):
            return ()
        steps = round((high - low) / step)
        return tuple(low + step * i for i in range(steps + 1)) if steps < MANY_LEVELS else ()

    @property
    def outcomes(self) -> tuple[Any, ...]:
        """All that a cell can be, where that is a few things: levels, or the `points` of a number."""
        return self.levels if self.kind == "categorical" else self.points

    @property
    def atoms(self) -> tuple[float, ...]:
        """Single values that have a probability of their own."""
        if self.universal is not None:
            return self.universal.points
        return () if self.likelihood is None else self.likelihood.atoms

    @property
    def universal(self) -> Support | None:
        """The support of a target that is modelled by it; None for any other likelihood."""
        chosen = self.likelihood is not None and self.likelihood.family == "universal"
        return self.support if chosen else None

    @property
    def discrete(self) -> bool:
        """Whether some of its values have a probability of their own."""
        return self.step is not None or bool(self.atoms)

    @property
    def normal_scores(self) -> NormalScores:
        """Its normal scores, of a column whose cells have been looked at."""
        assert self.scores is not None
        low, high, *others = self.scores
        ends = (-np.inf if low is None else low, np.inf if high is None else high)
        return NormalScores(*ends, *(np.asarray(part) for part in others))

    def possible(self, values: np.ndarray) -> np.ndarray:
        """Which values its likelihood can give."""
        if self.universal is not None:
            return holds(self.universal, values)
        assert self.likelihood is not None
        return self.likelihood.possible(values)


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
    ) -> Self:
        """Learn a schema from the rows that a model will be fitted to.

        Args:
            frame: a pandas, polars or pyarrow table of n rows.
            given: the names of the conditions; none is the plain VAE.
            target: the names of the targets.
            unknown: what a category that these rows lack will be, in a condition: `"error"`, or
                `"other"`, one level more in every categorical condition that is not boolean.

        Raises:
            TableError: when the names or the cells cannot serve (see the message).
        """
        return cls.infer_pair(frame, frame, given=given, target=target, unknown=unknown)

    @classmethod
    def infer_pair(
        cls,
        given_frame: IntoDataFrame | None,
        target_frame: IntoDataFrame,
        *,
        given: Sequence[str] | None = None,
        target: Sequence[str] | None = None,
        unknown: Unknown = "error",
    ) -> Self:
        """Learn a schema from two tables of the same rows: the conditions, and the targets.

        Args:
            given_frame: the conditions' table, or None for the plain VAE.
            target_frame: the targets' table.
            given: the names of the conditions; None is every column.
            target: the names of the targets; None is every column.
            unknown: as for `infer`.

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
        found = {
            "given": [] if conditions is None else [cells(conditions, name) for name in given],
            "target": [cells(targets, name) for name in target],
        }
        if len(targets) < 2:
            rows = "no rows" if len(targets) == 0 else "only one row (1 sample)"
            raise TableError(f"the table has {rows}; a model needs at least two, better hundreds")
        if conditions is not None and len(conditions) != len(targets):
            raise TableError(
                f"the conditions have {len(conditions)} rows and the targets {len(targets)}; give one row "
                "of each for every example"
            )
        summaries = {role: [Summary.of(column) for column in columns] for role, columns in found.items()}
        return cls.of(summaries["given"], summaries["target"], unknown)

    @classmethod
    def of(cls, given: Sequence[Summary], target: Sequence[Summary], unknown: Unknown) -> Self:
        """The schema of columns that have been summarised.

        Raises:
            TableError: for cells that cannot be modelled.
        """
        conditions = [describe(found, "given") for found in given]
        if unknown == "other":
            conditions = [replace(c, other=c.kind == "categorical" and not c.boolean) for c in conditions]
        return cls(tuple(conditions), tuple(describe(found, "target") for found in target))

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
                f"a likelihood is named for {odd[0]!r}, which is no target; the targets are "
                f"{', '.join(repr(column.name) for column in self.target)}"
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
            return cls(*(tuple(map(_column, data[role])) for role in ("given", "target")))
        except (KeyError, TypeError) as error:
            raise TableError(
                "this is not a schema as `Schema.to_json` writes it; infer it from the table again"
            ) from error


def _column(fields: dict[str, Any]) -> Column:
    # Schemas of earlier versions lack what was added since, which has a default.
    tuples = {name: tuple(fields[name]) for name in ("levels", "declared", "parts") if name in fields}
    likelihood = Likelihood.from_json(fields.get("likelihood"))
    support, scores = (_tuples(fields.get(name)) for name in ("support", "scores"))
    return Column(
        **{
            **fields,
            **tuples,
            "likelihood": likelihood,
            "support": None if support is None else Support(*support),
            "scores": scores,
        }
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _looked_at(column: Column, table: Any) -> Column:
    """A column of numbers with its support and its normal scores, if two of its cells differ."""
    if column.kind == "categorical":
        return column
    found = cells(table, column.name)
    values, mask = seconds(found) if column.kind == "datetime" else numbers(found)
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
        values, mask = numbers(cells(table, column.name))
        chosen = overrides.named(name, values[mask], column.name)
    return replace(column, likelihood=chosen)


def require_unknown(unknown: str) -> None:
    """Refuse what is no `Unknown`."""
    if unknown not in get_args(Unknown):
        raise TableError(f"unknown={unknown!r}, expected 'error' or 'other'; pass one of them")


def check_names(given: Sequence[str], target: Sequence[str]) -> None:
    """Refuse names of columns that cannot be what they shall be.

    Raises:
        TableError: naming the column.
    """
    if not target:
        raise TableError("no target column was named; name at least one column to model")
    for role, names in (("given", given), ("target", target)):
        if isinstance(names, str):
            raise TableError(f"{role}={names!r} is one name; pass a list, [{names!r}]")
        if (twice := first_duplicate(names)) is not None:
            raise TableError(f"column {twice!r} is named twice in {role}; name it once")
    if both := [name for name in target if name in given]:
        raise TableError(f"column {both[0]!r} is both given and a target; leave it out of one")


def describe(found: Summary, role: Role) -> Column:
    """The column of a schema, from what its cells are.

    Raises:
        TableError: for cells that cannot be modelled.
    """
    if found.empty:
        where = "a target needs some observed cells; " if role == "target" else ""
        raise TableError(f"column {found.name!r} has no observed cell; {where}drop the column")
    if found.kind == "datetime" and role == "target":
        raise TableError(
            f"target column {found.name!r} holds dates or times, which can be conditions only; turn it "
            "into a number, such as days since a start"
        )
    if role == "target" and found.constant is not None:
        raise TableError(
            f"target column {found.name!r} is constant (always {found.constant}); drop it, there is "
            "nothing to learn"
        )
    levels = tuple(level for level in found.declared if level in found.levels) or tuple(
        sorted(found.levels)
    )
    if len(levels) > MANY_LEVELS and 2 * len(levels) > found.rows:
        raise TableError(_identifier(found, levels))
    minimum = maximum = None
    if found.kind != "categorical":
        minimum, maximum = found.minimum, found.maximum
    elif found.dtype == "bool":
        minimum, maximum = float(min(found.levels)), float(max(found.levels))
    return Column(
        found.name,
        role,
        found.kind,
        found.dtype,
        missing=found.missing,
        mean=found.mean,
        sd=found.sd or 1.0,  # of a constant
        minimum=minimum,
        maximum=maximum,
        levels=(False, True) if found.dtype == "bool" else levels,
        declared=found.declared,
        parts=found.parts,
        zone=found.zone,
    )


def _identifier(found: Summary, levels: tuple[Any, ...]) -> str:
    """The sentence for a column of nearly as many levels as rows: a name, or a spoilt number."""
    stray = [level for level in levels if not _NUMBER.fullmatch(str(level))]
    if 0 < 10 * len(stray) < len(levels):
        where = repr(stray[0])
        if found.cells is not None:
            cells = found.cells.array
            row = min(cells.index(level).as_py() for level in stray)
            where = f"row {row + 1} ({cells[row].as_py()!r})"
        return (
            f"column {found.name!r} would be numeric but for {where}; make that cell a number or leave it "
            "empty"
        )
    if not found.category and all(_DATE.fullmatch(str(level)) for level in levels):
        return (
            f"column {found.name!r} holds dates as text ({levels[0]!r}, ...); parse it into a column of "
            "dates or timestamps (such as by pandas.to_datetime)"
        )
    return (
        f"column {found.name!r} looks like an identifier ({len(levels)} different values in {found.rows} "
        "rows); drop it, or group its values"
    )
