"""The likelihood that a user named for a column: its limits and its step, and whether it can be.

What is not named is taken from the cells, and the reason says what was taken.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from condvae.tables.errors import TableError
from condvae.tables.grids import finest_grid
from condvae.tables.likelihoods import (
    CATEGORICAL,
    COUNTS,
    LIMITED,
    NUMERIC,
    OWN_UNITS,
    ROUNDED,
    SHARES,
    Likelihood,
)
from condvae.tables.marginals import is_whole, start_of
from condvae.tables.supports import spread_over
from condvae.text import as_call, listed

ASKED = "as asked for"

SCALES = ("ordinal", "bernoulli")

PILE = 0.02
"""The share of cells at an end from which they count as cut off there."""

MOST_ORDERED = 256
"""Levels of a scale, at most: each has a threshold of its own, which every draw is held against."""

FINEST = 1e-6
"""A step, in standard deviations, below which single precision cannot tell it from the next."""

FARTHEST = 1e6
"""Standard deviations beyond the cells at which a limit is as good as none."""

Ends = tuple[float | None, float | None]


def named(name: str, values: np.ndarray, column: Any) -> Likelihood:
    """The likelihood that a user named for a numeric target: "gamma", or "censored_gaussian(high=50)".

    Args:
        name: one of `NUMERIC`, with `low`, `high` or `step` in brackets where it has them.
        values: the observed cells.
        column: what it is called, for messages.

    Raises:
        TableError: for another name or option, or cells that it cannot have given.

    Example:
        >>> named("truncated_gaussian(low=0)", np.array([0.5, 1.5, 2.0]), "dose").low
        0.0
    """
    family, options = _parsed(name, column)
    values = np.sort(np.asarray(values, np.float64))
    likelihood = _recorded(family, values, options, column)
    if not (possible := likelihood.possible(values) & likelihood.on_grid(values)).all():
        leave = f"leave out {listed(options)}, or " if options else ""
        raise TableError(
            "column {column!q} holds {value:g}, which {family!q} cannot give: it is of {range}",
            remedy="{leave}name another likelihood, such as student_t",
            column=column,
            value=values[~possible][0],
            family=family,
            range=likelihood.range,
            leave=leave,
        )
    return (
        replace(likelihood, start=_start(likelihood, spread_over(values)))
        if family in OWN_UNITS
        else likelihood
    )


def of_levels(name: str | None, column: Any, levels: Sequence[Any], declared: bool) -> Likelihood:
    """The likelihood of categories, which the user named or not.

    Args:
        name: one of `CATEGORICAL`; None to choose.
        column: what it is called, for messages.
        levels: in their order.
        declared: whether the order is the user's own.

    Raises:
        TableError: for another name, or an order of too many.

    Example:
        >>> of_levels("ordinal", "size", ("s", "m", "l"), True).reason
        'as asked for, in the order s < m < l'
    """
    if name not in (None, *CATEGORICAL):
        raise TableError(
            "the likelihood of column {column!q} is {name!q}, expected categorical or "
            "ordinal, as its cells are categories",
            remedy="or turn them into numbers",
            column=column,
            name=name,
        )
    if name is None and declared and 2 < len(levels) <= MOST_ORDERED:
        return Likelihood("ordinal", "ordered categories")
    if name != "ordinal":
        return Likelihood("categorical", "categories" if name is None else ASKED)
    _require_few(len(levels), column, "categorical")
    ends = list(levels) if len(levels) <= 8 else [*levels[:4], "...", *levels[-2:]]
    order = " < ".join(map(str, ends))
    if declared or not isinstance(levels[0], str):
        return Likelihood("ordinal", f"{ASKED}, in the order {order}")
    other = "for another, give an ordered Categorical in Python"
    return Likelihood("ordinal", f"{ASKED}, in alphabetical order {order}; {other}")


def _parsed(name: str, column: Any) -> tuple[str, dict[str, float]]:
    """A family that numbers may have, and options that it takes."""
    try:
        call = as_call(name)
    except ValueError as error:
        raise TableError(
            "the likelihood of column {column!q}: {reason}", column=column, reason=str(error)
        ) from error
    if call is None:
        raise TableError(
            "the likelihood of column {column!q} is {name!q}",
            remedy="write a name, such as gamma, or one with its limits, such as "
            "censored_gaussian(low=0, high=50)",
            column=column,
            name=name,
        )
    family, options = call
    if family in CATEGORICAL and family not in NUMERIC:
        raise TableError(
            "the likelihood of column {column!q} is {family!q}, and its cells are numbers",
            remedy="name bernoulli for 0 and 1, ordinal for levels of a scale, or turn them into text",
            column=column,
            family=family,
        )
    if family not in NUMERIC:
        raise TableError(
            "the likelihood of column {column!q} is {family!q}, expected one of {families}",
            column=column,
            family=family,
            families=", ".join(NUMERIC),
        )
    takes = ("step",) if family in ROUNDED else ()
    takes = ("low", "high") if family in (*LIMITED, *SHARES, "ordinal") else takes
    if odd := [option for option in options if option not in takes]:
        known = " and ".join(takes) or "no options"
        raise TableError(
            "the likelihood {family!q} of column {column!q} takes {known}",
            remedy="leave out {odd!r}",
            column=column,
            family=family,
            known=known,
            odd=odd[0],
        )
    return family, options


def _recorded(family: str, values: np.ndarray, options: dict[str, float], column: Any) -> Likelihood:
    """The family with its step or its limits."""
    if family in ROUNDED:
        step, origin = _grid(family, values, options.get("step"), column)
        return Likelihood(family, f"{ASKED}, recorded to {step:g}", step, origin)
    if family not in (*LIMITED, *SHARES, *SCALES):
        return Likelihood(family, ASKED, 1.0 if family in COUNTS else None)
    _require_limits(options, values, column)
    low, high = _limits(family, values, options)
    if low is not None and high is not None and not low < high:
        raise TableError(
            "the likelihood of column {column!q} is from {low:g} to {high:g}",
            remedy="give a low below the high",
            column=column,
            low=low,
            high=high,
        )
    likelihood = Likelihood(family, "", None, 0.0, low, high)
    if family in SCALES:
        _require_scale(likelihood, values, column)
        likelihood = replace(likelihood, step=1.0)
    guessed = "" if options or family == "bernoulli" else ", as its cells tell"
    return replace(likelihood, reason=f"{ASKED}, {likelihood.range}{guessed}")


def _grid(family: str, values: np.ndarray, step: float | None, column: Any) -> tuple[float, float]:
    """The step and one of the values of the grid."""
    grid = finest_grid(np.unique(values))
    if step is None and grid is None:
        raise TableError(
            "column {column!q} is not recorded to a step",
            remedy="name one, such as {family}(step=0.1)",
            column=column,
            family=family,
        )
    origin = float(values[0])
    if grid is not None:
        step, origin = grid[0] if step is None else step, grid[1]
    assert step is not None
    if not step > 0:
        raise TableError(
            "the step of column {column!q} is {step:g}",
            remedy="give a number above 0",
            column=column,
            step=step,
        )
    if step < (least := FINEST * values.std()):
        raise TableError(
            "the step of column {column!q} is {step:g}, too fine to tell from none",
            remedy="name {plain}, or a step of at least {least:.1g}",
            column=column,
            step=step,
            plain=family.removeprefix("rounded_"),
            least=least,
        )
    origin -= step * np.rint(origin / step)
    return step, 0.0 if abs(origin) <= 1e-3 * step else float(origin)


def _limits(family: str, values: np.ndarray, options: dict[str, float]) -> Ends:
    low, high = options.get("low"), options.get("high")
    if family in LIMITED:
        guess = _truncated if family == "truncated_gaussian" else _censored
        return (low, high) if options else guess(values)
    ends = (float(values[0]), float(values[-1])) if family == "ordinal" else (0.0, 1.0)
    return ends[0] if low is None else low, ends[1] if high is None else high


def _truncated(values: np.ndarray) -> Ends:
    """0 and 1, or 0, where the cells are beyond neither; or the least."""
    low, high = float(values[0]), float(values[-1])
    if low < 0:
        return low, None
    return 0.0, 1.0 if high <= 1 else None


def _censored(values: np.ndarray) -> Ends:
    """The ends where cells pile up; or the least."""
    low, high = (float(end) if (values == end).mean() >= PILE else None for end in (values[0], values[-1]))
    return (float(values[0]) if low is None and high is None else low), high


def _require_limits(options: dict[str, float], values: np.ndarray, column: Any) -> None:
    """Limits from which single precision can tell the cells apart."""
    reach = FARTHEST * values.std()
    for option, end in options.items():
        if not values[0] - reach <= end <= values[-1] + reach:
            raise TableError(
                "the {option} of column {column!q} is {end:g}, over a million standard "
                "deviations beyond its cells",
                remedy="give one nearer, or leave it out",
                column=column,
                option=option,
                end=end,
            )


def _require_scale(likelihood: Likelihood, values: np.ndarray, column: Any) -> None:
    assert likelihood.low is not None and likelihood.high is not None
    if not (values == np.rint(values)).all():
        raise TableError(
            "column {column!q} has cells that are no whole numbers, which {family!r} needs",
            remedy="name another likelihood",
            column=column,
            family=likelihood.family,
        )
    if odd := [end for end in (likelihood.low, likelihood.high) if not is_whole(end)]:
        raise TableError(
            "the likelihood {family!r} of column {column!q} is of whole numbers, and a limit is {odd:g}",
            remedy="give a whole one",
            column=column,
            family=likelihood.family,
            odd=odd[0],
        )
    counts = "negative_binomial" if values[0] >= 0 else "rounded_student_t"
    _require_few(int(likelihood.high - likelihood.low) + 1, column, counts)


def _require_few(levels: int, column: Any, other: str) -> None:
    if levels > MOST_ORDERED:
        raise TableError(
            "the likelihood 'ordinal' of column {column!q} has {levels:,} levels, and may have {most}",
            remedy="name another, such as {other}",
            column=column,
            levels=levels,
            most=MOST_ORDERED,
            other=other,
        )


def _start(likelihood: Likelihood, values: np.ndarray) -> tuple[float, ...]:
    if likelihood.low is not None and likelihood.high is not None:
        values = (values - likelihood.low) / (likelihood.high - likelihood.low)
    elif likelihood.family not in COUNTS:  # amounts are modelled in standard deviations, at whatever scale
        values = values / values.std()
    return start_of(likelihood.family, values)
