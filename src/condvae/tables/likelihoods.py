"""What a target may be modelled by: families by name, the values that each gives, how these are kept."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from condvae.tables.supports import Support, described

COUNTS = (
    "poisson",
    "negative_binomial",
    "zero_inflated_poisson",
    "zero_inflated_negative_binomial",
    "hurdle_poisson",
    "hurdle_negative_binomial",
)
POSITIVE = ("gamma", "log_normal")
WITH_ZEROS = ("hurdle_gamma", "hurdle_log_normal")
REAL = ("gaussian", "student_t", "laplace")
ROUNDED = ("rounded_gaussian", "rounded_student_t")
LIMITED = ("truncated_gaussian", "censored_gaussian")
SHARES = ("beta", "continuous_bernoulli")
NUMERIC = (
    "universal",
    *REAL,
    *ROUNDED,
    *COUNTS,
    *POSITIVE,
    *WITH_ZEROS,
    *LIMITED,
    *SHARES,
    "bernoulli",
    "ordinal",
)
"""What numbers may be modelled by."""
CATEGORICAL = ("categorical", "ordinal")
"""What categories may be modelled by."""
OWN_UNITS = (*COUNTS, *POSITIVE, *WITH_ZEROS, *SHARES)
"""Families of numbers as they are: a count standardised is none."""

SINGLE = 2e-7
"""The relative error of a number that went through single precision, at most."""


@dataclass(frozen=True)
class Likelihood:
    """What a column's cells are distributed by, given z and c, and how they are recorded.

    Attributes:
        family: one of `NUMERIC` or `CATEGORICAL`; the first are named as in `condvae.heads`.
        reason: why, in words.
        step: what a cell stands for, where it is one of a grid: all that rounds to it. Its likelihood is
            then a probability; over the step it is a density.
        origin: a value of the grid.
        low: the least value that there can be, None where there is no end.
        high: the greatest.
        start: the family's parameters, as the head has them, for the column by itself.

    Example:
        >>> Likelihood("negative_binomial", "counts", step=1.0).atoms
        ()
    """

    family: str
    reason: str = ""
    step: float | None = None
    origin: float = 0.0
    low: float | None = None
    high: float | None = None
    start: tuple[float, ...] = ()

    @property
    def atoms(self) -> tuple[float, ...]:
        """Single values of positive probability in a column that is continuous otherwise."""
        if self.family in WITH_ZEROS:
            return (0.0,)
        if self.family == "censored_gaussian":
            return tuple(end for end in (self.low, self.high) if end is not None)
        return ()

    @classmethod
    def universal(cls, support: Support) -> Self:
        """The likelihood that suits a column of any kind, from what values it can hold.

        Example:
            >>> halves = Support((), (), (0.5,), (1.0,), 0.0, 0.0, None, False)
            >>> Likelihood.universal(halves).reason
            'numbers from 0, recorded to 0.5'
        """
        step = support.steps[-1] if support.steps else None
        return cls("universal", described(support), step, support.origin, support.low, support.high)

    def possible(self, values: np.ndarray) -> np.ndarray:
        """Which values it can give at all; one between two steps stands for an interval as any other."""
        if self.family in COUNTS:
            return (values > -0.5) & (np.abs(values - np.rint(values)) < 1e-3)
        if self.family in POSITIVE:
            return values > 0
        if self.family in WITH_ZEROS:
            return values >= 0
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        if self.family == "beta":
            return (values > low) & (values < high)
        inside = (values >= low) & (values <= high)
        return inside & (values == np.rint(values)) if self.family in ("ordinal", "bernoulli") else inside

    def on_grid(self, values: np.ndarray) -> np.ndarray:
        """Which values are whole steps apart, as a rounded likelihood has them; all, for any other."""
        if self.family not in ROUNDED:
            return np.ones(np.shape(values), bool)
        step = 1.0 if self.step is None else self.step
        steps = (values - self.origin) / step
        slack = np.clip(SINGLE * np.abs(values) / step, 1e-3, 0.02)
        return np.abs(steps - np.rint(steps)) <= slack

    @property
    def range(self) -> str:
        """The values that there can be, in words."""
        if self.family in COUNTS:
            return "whole numbers from 0"
        if self.family in (*POSITIVE, *WITH_ZEROS):
            return "numbers above 0" if self.family in POSITIVE else "numbers from 0"
        if self.family in ROUNDED:
            return f"numbers that are whole steps of {self.step:g} away from {self.origin:g}"
        ends = [f"{end:g}" for end in (self.low, self.high) if end is not None]
        if len(ends) == 2:
            what = "whole numbers" if self.family in ("ordinal", "bernoulli") else "numbers"
            return f"{what} from {ends[0]} to {ends[1]}" + ", without these" * (self.family == "beta")
        return f"numbers {'from' if self.high is None else 'up to'} {ends[0]}" if ends else "any numbers"
