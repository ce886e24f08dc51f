"""Dataclasses of arrays and numbers, as arrays by name: what is kept in a file beside a model's weights."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Self

import numpy as np


class Arrays:
    """What makes a dataclass of arrays and numbers such a set of arrays, and back, exactly.

    Example:
        >>> from dataclasses import dataclass
        >>> import numpy as np
        >>> from condvae.arrays import Arrays
        >>> @dataclass
        ... class Line(Arrays):
        ...     slope: np.ndarray
        ...     rows: int
        >>> Line.from_arrays(Line(np.ones(2), 5).to_arrays())
        Line(slope=array([1., 1.]), rows=5)
    """

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The fields by name, for a file; `from_arrays` takes them back, exactly."""
        own: Any = self
        return {field.name: np.asarray(getattr(self, field.name), order="C") for field in fields(own)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of `to_arrays`; a field with a default may be absent, as in files of before.

        Raises:
            ValueError: if an array is missing.
        """
        own: Any = cls
        needed = [field.name for field in fields(own) if field.default is MISSING]
        names = [field.name for field in fields(own) if field.name in arrays or field.name in needed]
        if absent := [name for name in names if name not in arrays]:
            raise ValueError(f"the arrays of {cls.__name__} lack {', '.join(absent)}")
        found: dict[str, Any] = {name: np.asarray(arrays[name]) for name in names}
        for field in fields(own):
            if field.name in found and field.type in (int, float, bool):
                found[field.name] = found[field.name].item()
        return cls(**found)
