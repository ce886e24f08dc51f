"""What each cell of a value can be: the numbers that a likelihood holds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpyro.distributions as npd
from jax.core import Tracer

from condvae.distributions.rounded import Rounded

OFF_STEP = 1e-3
"""The part of a step by which a recorded value may be off it, beyond single precision."""

_BOOLEAN, _REAL, _FROM, _ABOVE, _TO, _BELOW, _WITHIN, _BETWEEN, _WHOLE, _WHOLE_FROM = map(
    type,
    (
        npd.constraints.boolean,
        npd.constraints.real,
        npd.constraints.greater_than_eq(0.0),
        npd.constraints.greater_than(0.0),
        npd.constraints.less_than_eq(0.0),
        npd.constraints.less_than(0.0),
        npd.constraints.interval(0.0, 1.0),
        npd.constraints.open_interval(0.0, 1.0),
        npd.constraints.integer_interval(0, 1),
        npd.constraints.integer_greater_than(0),
    ),
)


class Support(NamedTuple):
    """The numbers that each cell of an array can be; every field is a number, or an array over cells.

    Attributes:
        likelihood: the name of the distribution.
        low: the least number.
        high: the greatest one.
        with_low: whether `low` itself can be.
        with_high: whether `high` itself can be.
        step: the distance of the numbers; 0 where any number can be.
        origin: one of those that are steps apart.

    Example:
        >>> import numpy as np
        >>> from condvae.distributions.support import Support
        >>> counts = Support("Poisson", low=0.0, step=1.0)
        >>> counts.holds(np.array([0.0, 2.0, 0.5, -1.0])).tolist(), counts.words()
        ([True, True, False, False], 'a whole number from 0')
    """

    likelihood: Any
    low: Any = -np.inf
    high: Any = np.inf
    with_low: Any = True
    with_high: Any = True
    step: Any = 0.0
    origin: Any = 0.0

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Which cells of rows of values, shape (rows, *cells), can be."""
        values = np.asarray(values, np.float64)
        above = np.where(self.with_low, values >= self.low, values > self.low)
        below = np.where(self.with_high, values <= self.high, values < self.high)
        step = np.asarray(self.step, np.float64)
        if not step.any():
            return above & below
        each = np.where(step > 0, step, 1.0)
        slack = np.where(
            step == 1.0, 0.0, OFF_STEP + 2.0 * np.finfo(np.float32).eps * np.abs(values) / each
        )
        steps = (values - self.origin) / each
        return above & below & ((step == 0) | (np.abs(steps - np.rint(steps)) <= slack))

    def at(self, cell: tuple[int, ...]) -> "Support":
        """The support of one cell; () where all cells have the same."""
        return Support(*(field if np.ndim(field) == 0 else _of_cell(field, cell) for field in self))

    def words(self) -> str:
        """What one cell can be."""
        low, high, step = float(self.low), float(self.high), float(self.step)
        if step == 1.0 and (low, high) == (0.0, 1.0):
            return "0 or 1"
        kind = "a whole number" if step == 1.0 else "a number"
        if step not in (0.0, 1.0):
            origin = float(self.origin)
            kind = (
                f"a multiple of {step:g}"
                if origin == 0
                else f"{origin:g} and whole steps of {step:g} from it"
            )
        if np.isfinite(low) and np.isfinite(high) and self.with_low and self.with_high:
            return f"{kind} from {low:g} to {high:g}"
        ends = [f"{'from' if self.with_low else 'above'} {low:g}"] if np.isfinite(low) else []
        ends += [f"{'up to' if self.with_high else 'below'} {high:g}"] if np.isfinite(high) else []
        return " ".join([kind, " and ".join(ends)]).strip()


def support_of(base: npd.Distribution, levels: Sequence[int] | None = None) -> Support | None:
    """What each cell of one of numpyro's distributions can be; None where that is not known.

    Args:
        base: the distribution; one over whole vectors, such as those on a simplex, is not known.
        levels: the number of levels of each cell, of categories.
    """
    name = type(base).__name__.removesuffix("Logits").removesuffix("Probs")
    if isinstance(base, npd.MixtureSameFamily):
        parts: Any = base.component_distribution
        name = f"a mixture of {type(parts).__name__}"
    if levels is not None:
        return Support(name, low=0.0, high=np.asarray(levels) - 1.0, step=1.0)
    if isinstance(base, Rounded):
        fields = {"step": base.width, "origin": base.origin}
    else:
        fields = _fields_of(base.support)
    if (
        fields is None
        or base.event_shape != ()
        or any(isinstance(field, Tracer) for field in fields.values())
    ):
        return None
    if isinstance(base, npd.Beta):  # its density at the ends is 0 or infinite
        fields |= {"with_low": False, "with_high": False}
    return Support(name, **fields)


def joined(parts: Sequence[Support | None], places: Sequence[Sequence[int]]) -> Support | None:
    """The support of one vector of cells of several distributions; what is not known holds anything."""
    if all(part is None for part in parts):
        return None
    size = sum(map(len, places))
    fields = []
    for number, blank in enumerate(Support("")):
        field = np.full(size, blank, object if number == 0 else np.asarray(blank).dtype)
        for part, where in zip(parts, places, strict=True):
            field[list(where)] = blank if part is None else part[number]
        fields.append(field)
    return Support(*fields)


def _fields_of(constraint: Any) -> dict[str, Any] | None:
    low, high = (getattr(constraint, f"{end}_bound", None) for end in ("lower", "upper"))
    if isinstance(constraint, _BOOLEAN):
        return {"low": 0.0, "high": 1.0, "step": 1.0}
    if isinstance(constraint, _REAL):
        return {}
    if isinstance(constraint, _WHOLE):
        return {"low": low, "high": high, "step": 1.0}
    if isinstance(constraint, _WHOLE_FROM):
        return {"low": low, "step": 1.0}
    if isinstance(constraint, _ABOVE):  # the others of this kind are its subclasses
        return {"low": low, "with_low": isinstance(constraint, _FROM)}
    if isinstance(constraint, _BELOW):
        return {"high": high, "with_high": isinstance(constraint, _TO)}
    if isinstance(constraint, _WITHIN):
        ends = not isinstance(constraint, _BETWEEN)
        return {"low": low, "high": high, "with_low": ends, "with_high": ends}
    return None


def _of_cell(field: Any, cell: tuple[int, ...]) -> Any:
    """An entry of an array that is broadcast over the last axes of the cells."""
    field = np.asarray(field)
    last = cell[len(cell) - field.ndim :]
    return field[tuple(0 if size == 1 else i for i, size in zip(last, field.shape, strict=True))]
