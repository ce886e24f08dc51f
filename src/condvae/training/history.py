"""What happened in training."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from condvae.declared import conform
from condvae.storage import spelled, unspelled


class Entry(NamedTuple):
    """One number of the rows that are trained on, and where it stands.

    Attributes:
        path: of its array: "x" or "c", then names within, such as `("x", "numeric", "value")`.
        place: in that array; the row comes first.
        value: the number's size.
        shown: array and place, as they are written in Python.
    """

    path: tuple[str, ...]
    place: tuple[int, ...]
    value: float
    shown: str


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to do.

    Attributes:
        problem: what happened, without where.
        row: the row that gives numbers that are not finite, where one was found.
        entry: the largest of that row's numbers.
        held: whether the row is one of those held out.
    """

    def __init__(
        self,
        message: str,
        *,
        problem: str = "",
        row: int | None = None,
        entry: Entry | None = None,
        held: bool = False,
    ):
        super().__init__(message)
        self.problem, self.row, self.entry, self.held = problem, row, entry, held


class History:
    """What happened in training: one entry for each round.

    Attributes:
        records: a list of dictionaries with `step`, `train` (the mean objective over the round's
            batches, nats per row), `validation` (over the held-out rows, where there are any), `skipped`
            (steps left out because of numbers that are not finite), `seconds` since the start. For the
            members of a mixture, `train`, `validation` and `skipped` are lists with one entry for each;
            the first two are NaN after a member has stopped.
        best_step: the step whose parameters were kept; a list of them for a mixture.
        best_value: the objective over the held-out rows there, -inf where none are held out.
        events: a list of dictionaries, one for each time that something went wrong and was mended, or
            that the run was taken up again: `step`, `event` ("skipped", "restart" or "resumed"), and
            `member` and `count` where they apply.
        notes: sentences about the run that its user should know.
    """

    def __init__(self):
        self.records: list[dict[str, Any]] = []
        self.best_step: int | list[int] = 0
        self.best_value: float | list[float] = -np.inf
        self.events: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, name: str) -> np.ndarray:
        """One metric over the rounds: an array of shape (rounds,), or (rounds, K) for a mixture."""
        return np.array([record[name] for record in self.records])

    def plot(self, ax: Any = None) -> Any:
        """The learning curves, on a matplotlib Axes: a new one, unless `ax` is given. Returns it."""
        from condvae.plots import plot_history

        return plot_history(self.records, best_step=self.best_step, ax=ax)

    def warn(self, sentence: str) -> None:
        """Note a sentence, and warn with it."""
        if sentence not in self.notes:
            self.notes.append(sentence)
        warnings.warn(sentence, UserWarning, stacklevel=4)

    def to_json(self) -> dict[str, Any]:
        """All of it, of JSON's types."""
        return {name: spelled(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """What `to_json` gave.

        Raises:
            KeyError: for a part that is missing.
            ValueError: for one of another type.
        """
        history = cls()
        for name in vars(history):
            value = unspelled(record[name])
            if name in ("records", "events"):
                value = conform(list[dict[str, Any]], value, f"history.{name}")
            setattr(history, name, value)
        return history
