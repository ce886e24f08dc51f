"""One column of a schema: its name and kind, and what there is to know of its cells, as plain data."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from condvae.normal_scores import NormalScores
from condvae.tables.likelihoods import Likelihood
from condvae.tables.summaries import Kind
from condvae.tables.supports import Support, holds
from condvae.tables.text_cells import Reading

Role = Literal["given", "target"]

Level = str | bool | int | float
Knots = tuple[float, ...]
Scores = tuple[float | None, float | None, float, float, Knots, Knots, Knots]

MANY_LEVELS = 50
"""A category with more levels than this, most of them seen once, is an identifier."""


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
        reading: how its cells are read, of another type than they have, or with missing ones of their own;
            None where they are read as they are.

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
    levels: tuple[Level, ...] = ()
    declared: tuple[Level, ...] = ()
    other: bool = False
    parts: tuple[str, ...] = ()
    zone: str | None = None
    likelihood: Likelihood | None = None
    support: Support | None = None
    scores: Scores | None = None
    reading: Reading | None = None

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
        likelihood = self.likelihood
        if likelihood is None:
            return -math.inf, math.inf
        low, high = likelihood.low, likelihood.high
        if low is None:  # numbers above 0 are known by there being none below it
            low = -math.inf if likelihood.possible(np.array([-1.0, -1e9])).any() else 0.0
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
